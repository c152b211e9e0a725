"""Draws fields, each a label and its whole text: nothing is shortened, and every character can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from rich.text import Text

from seawall.cli.render.formats import chop_text
from seawall.core.odd_text import show_plainly

LABEL_COLUMNS = 12
_ARGUMENT_COLUMNS = 30
"""The most columns for the names of arguments; a longer name moves its own value to the right."""


def draw_field(label: str, text: str, width: int, style: str = "", *, column: int = 0) -> Iterator[Text]:
    """Yields a label and its whole text, in as many lines as the text needs."""
    column = max(column, LABEL_COLUMNS, len(label) + 2)
    for number, line in enumerate(chop_text(show_plainly(text), max(20, width - column))):
        yield Text(f"{'' if number else label:<{column}}", style="dim") + Text(line, style=style)


def draw_arguments(arguments: Mapping[str, Any] | None, text: str, width: int) -> Iterator[Text]:
    """Yields the arguments of a call, one line or more for each. Without arguments, `text` is shown."""
    if not arguments:
        yield from draw_field("arguments", text or "none", width)
        return
    yield Text("arguments")
    labels = {name: f"  {show_plainly(name)}" for name in arguments}
    column = min(max(len(label) + 2 for label in labels.values()), _ARGUMENT_COLUMNS)
    for name, value in arguments.items():
        yield from draw_field(labels[name], msgspec.json.encode(value).decode(), width, column=column)
