"""Draws every table of the command line but the demo's: a line for each row, columns as wide as they need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.text import Text

from seawall.cli.render.formats import wrap_text

GAP = "  "
_LABEL_WIDTH = 11


class Table:
    """Rows under a head. A column in which nothing stands is left out.

    `right` names the columns that are set to the right. With `width`, columns that do not fit are left out, except
    those in `required`. With `keep_empty`, empty columns are shown too.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        right: Collection[str] = (),
        width: int | None = None,
        required: Collection[str] = (),
        keep_empty: bool = False,
    ) -> None:
        self._names = names
        self._right = right
        self._width = width
        self._required = required
        self._keep_empty = keep_empty
        self._rows: list[tuple[list[Text], Sequence[Text]]] = []

    def __repr__(self) -> str:
        return f"<Table of {len(self._rows)} rows: {', '.join(self._names)}>"

    def add_row(self, cells: Sequence[str | Text], notes: Sequence[Text] = ()) -> None:
        """Adds a row; `notes` are whole lines below it."""
        self._rows.append(([Text(each) if isinstance(each, str) else each for each in cells], notes))

    @property
    def left_out(self) -> list[str]:
        """The columns that did not fit into `width`."""
        filled = self._find_filled()
        shown = self._choose_columns(filled, self._measure())
        return [self._names[column] for column in filled if column not in shown]

    def draw_lines(self) -> Iterator[Text]:
        """Yields the head, then each row with its notes."""
        widths = self._measure()
        shown = self._choose_columns(self._find_filled(), widths)
        yield self._draw_row([Text(name, style="dim") for name in self._names], shown, widths)
        for cells, notes in self._rows:
            yield self._draw_row(cells, shown, widths)
            yield from notes

    def _measure(self) -> list[int]:
        """Returns the width of each column."""
        return [
            max(len(name), *(cells[column].cell_len for cells, _ in self._rows), 0)
            for column, name in enumerate(self._names)
        ]

    def _find_filled(self) -> list[int]:
        """Returns the columns in which something stands."""
        every = range(len(self._names))
        return [each for each in every if self._keep_empty or any(cells[each] for cells, _ in self._rows)]

    def _choose_columns(self, filled: Sequence[int], widths: Sequence[int]) -> Sequence[int]:
        """Returns the columns that fit."""
        if self._width is None:
            return filled
        shown: list[int] = []
        used = -len(GAP)
        for column in filled:
            used += widths[column] + len(GAP)
            if used <= self._width or self._names[column] in self._required:
                shown.append(column)
        return shown

    def _draw_row(self, cells: Sequence[Text], shown: Sequence[int], widths: Sequence[int]) -> Text:
        line = Text()
        for column in shown:
            cell = cells[column]
            space = Text(" " * (widths[column] - cell.cell_len))
            line += space + cell if self._names[column] in self._right else cell + space
            line.append(GAP)
        line.rstrip()
        return line


def draw_field(label: str, text: str, style: str, width: int, *, lines: int | None = None) -> Iterator[Text]:
    """Yields a label and its text, wrapped to `width`; beyond `lines` it says how much was left out."""
    for number, line in enumerate(wrap_text(text, width - _LABEL_WIDTH, lines)):
        yield Text(f"{'' if number else label:<{_LABEL_WIDTH}}", style="dim") + Text(line, style=style)
