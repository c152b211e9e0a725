"""Draws every table of the command line but the demo's: a line for each row, columns as wide as they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from seawall.cli.render.formats import wrap_text

GAP = "  "
_LABEL_WIDTH = 11
_HANG = 2
"""Columns by which the rest of a wrapped line is indented further than its beginning."""
_WORD = re.compile(r"\S+\s*")


class DrawnTable(NamedTuple):
    """A table as lines."""

    lines: list[Text]
    left_out: list[str]
    """The columns that did not fit."""


class Table:
    """Rows under a head. Empty columns are left out.

    `right` names the right-aligned columns. If the table is too wide, columns are left out, the last ones first, except
    those in `required`; the left-out columns in `below` become separate lines below each row. With `keep_empty`, empty
    columns are shown too.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        required: Collection[str],
        right: Collection[str] = (),
        below: Collection[str] = (),
        keep_empty: bool = False,
    ) -> None:
        self._names = names
        self._right = right
        self._required = required
        self._below = below
        self._keep_empty = keep_empty
        self._rows: list[tuple[list[Text], Sequence[Text]]] = []

    def __repr__(self) -> str:
        return f"<Table of {len(self._rows)} rows: {', '.join(self._names)}>"

    def add_row(self, cells: Sequence[str | Text], notes: Sequence[Text] = ()) -> None:
        """Adds a row; `notes` are whole lines below it."""
        texts = [Text(" ".join(each.splitlines())) if isinstance(each, str) else each for each in cells]
        self._rows.append((texts, notes))

    def draw(self, width: int | None, fit: Callable[[str], str] = str) -> DrawnTable:
        """Returns the head, then each row with its notes, and which columns do not fit into `width`.

        `fit` returns a cell as the terminal's encoding will show it.
        """
        rows = [([_fit_cell(cell, fit) for cell in cells], notes) for cells, notes in self._rows]
        widths = [
            max(len(name), self._measure_column(column, [cells[column].cell_len for cells, _ in rows], width))
            for column, name in enumerate(self._names)
        ]
        every = range(len(self._names))
        filled = [each for each in every if self._keep_empty or any(cells[each] for cells, _ in rows)]
        shown = self._choose_columns(filled, widths, width)
        left_out = [column for column in filled if column not in shown]
        below = [column for column in left_out if self._names[column] in self._below]
        lines = [self._draw_row([Text(name, style="dim") for name in self._names], shown, widths)]
        for cells, notes in rows:
            long = [column for column in shown if cells[column].cell_len > widths[column]]
            lines.extend(cells[column] for column in long)
            short = [Text() if column in long else cell for column, cell in enumerate(cells)]
            lines.append(self._draw_row(short, shown, widths))
            lines.extend(
                Text(f"  └ {self._names[each].lower()}: ") + cells[each] for each in below if cells[each]
            )
            lines.extend(notes)
        return DrawnTable(lines, [self._names[column] for column in left_out if column not in below])

    def _choose_columns(
        self, filled: Sequence[int], widths: Sequence[int], width: int | None
    ) -> Sequence[int]:
        """Returns the columns that fit: the required ones, and of the others the first ones."""
        if width is None:
            return filled
        shown = {column for column in filled if self._names[column] in self._required}
        left = width + len(GAP) - sum(widths[column] + len(GAP) for column in shown)
        for column in filled:
            if column in shown:
                continue
            left -= widths[column] + len(GAP)
            if left < 0:
                break
            shown.add(column)
        return sorted(shown)

    def _measure_column(self, column: int, cells: Sequence[int], width: int | None) -> int:
        """Returns the width that the cells of a column need.

        If only a few cells of a required column are wider than half the screen, these do not count, because they would
        take the other columns from all rows. Each stands alone on the line above its row.
        """
        if width is None or self._names[column] not in self._required:
            return max(cells, default=0)
        usual = [each for each in cells if each <= width // 2]
        return max(usual if 2 * len(usual) > len(cells) else cells, default=0)

    def _draw_row(self, cells: Sequence[Text], shown: Sequence[int], widths: Sequence[int]) -> Text:
        line = Text()
        for column in shown:
            cell = cells[column]
            space = Text(" " * (widths[column] - cell.cell_len))
            line += space + cell if self._names[column] in self._right else cell + space
            line.append(GAP)
        line.rstrip()
        return line


def _fit_cell(cell: Text, fit: Callable[[str], str]) -> Text:
    plain = fit(cell.plain)
    return cell if plain == cell.plain else Text(plain, style=cell.style)


def wrap_line(line: Text, width: int) -> list[Text]:
    """Returns a line as lines of at most `width` columns, broken between words.

    A longer word, such as an id that somebody may copy, stays whole.
    """
    if line.cell_len <= width:
        return [line]
    plain = line.plain
    hang = min(len(plain) - len(plain.lstrip()) + _HANG, width // 2)
    breaks: list[int] = []
    used = len(plain) - len(plain.lstrip())
    for word in _WORD.finditer(plain):
        if used + cell_len(word[0].rstrip()) > width and word.start() and plain[: word.start()].strip():
            breaks.append(word.start())
            used = hang
        used += cell_len(word[0])
    parts = list(line.divide(breaks))
    for part in parts:
        part.rstrip()
    return [parts[0], *(Text(" " * hang) + part for part in parts[1:])]


def draw_field(label: str, text: str, style: str, width: int, *, lines: int | None = None) -> Iterator[Text]:
    """Yields a label and its text, wrapped to `width`; beyond `lines` it says how much was left out."""
    for number, line in enumerate(wrap_text(text, width - _LABEL_WIDTH, lines)):
        yield Text(f"{'' if number else label:<{_LABEL_WIDTH}}", style="dim") + Text(line, style=style)
