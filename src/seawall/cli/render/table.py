"""A plain table: a line a row, columns as wide as they need."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.text import Text

GAP = "  "


def columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> Iterator[Text]:
    """The lines, a head first; a column in which nothing stands is left out. `right`: those set to the right."""
    shown = [place for place in range(len(names)) if any(row[place] for row in rows)]
    cells = [[Text(row[place]) for place in shown] for row in rows]
    head = [Text(names[place], style="dim") for place in shown]
    widths = [max(row[place].cell_len for row in [head, *cells]) for place in range(len(shown))]
    for row in [head, *cells]:
        line = Text()
        for place, cell in enumerate(row):
            space = Text(" " * (widths[place] - cell.cell_len))
            line += space + cell if names[shown[place]] in right else cell + space
            line.append(GAP)
        line.rstrip()
        yield line
