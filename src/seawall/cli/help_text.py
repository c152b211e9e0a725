"""Lays out `--help`: each sentence on its own line, and every option that a command requires in its usage line."""

from __future__ import annotations

import inspect
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

_BETWEEN_SENTENCES = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")


class HelpfulCommand(TyperCommand):
    """A command whose help breaks lines between sentences, and whose usage names the options that it requires."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = break_sentences(self.help or "")
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text:  # Typer prints a paragraph of an option's help as a line
                setattr(parameter, "help", "\n\n".join(split_sentences(text)))  # noqa: B010  # not every kind has it

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the words of the usage line."""
        first, *others = super().collect_usage_pieces(ctx)
        required = [
            f"{each.opts[0]} {each.metavar or str(each.name).upper()}"
            for each in self.params
            if isinstance(each, TyperOption) and each.required
        ]
        return [first, *required, *others]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments. The error about a value that is not valid names that value."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            from pydantic_core import ValidationError

            if isinstance(error.__cause__, ValidationError):
                given = error.__cause__.errors()[0]["input"]
                error.message = f"{given!r}: {error.message}"
            raise


def break_sentences(text: str) -> str:
    """Returns the first sentence of a text, which lists show alone, and below it the others, each on its own line."""
    first, *others = [split_sentences(part) for part in inspect.cleandoc(text).split("\n\n")]
    paragraphs = ["\n".join(each) for each in (first[:1], first[1:], *others)]
    return "\n\n".join(each for each in paragraphs if each)


def split_sentences(text: str) -> list[str]:
    """Returns the sentences of a paragraph."""
    return _BETWEEN_SENTENCES.split(" ".join(text.split()))
