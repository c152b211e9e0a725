"""Describes what is wrong with a call or a reply: a text for the model, and a kind for comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import ValidationError

from seawall.core.errors import describe_error, is_error, read_error_text

MAX_KINDS = 32
"""How many fields of one problem are compared. If a model repeats itself, it repeats the first ones, too."""


class Problem(NamedTuple):
    """What is wrong with a call or a reply."""

    text: str
    """The text for the model, which quotes the values."""
    kind: str = ""
    """The fields and the error of each, without values, so that equal problems have equal kinds. If it is "", the text is
    the kind."""


class InvalidValue(ValueError):
    """A value that a model wrote is invalid in a known way."""

    def __init__(self, text: str, kind: str) -> None:
        """`kind`: see `Problem.kind`."""
        super().__init__(text)
        self.kind = kind


def describe_problem(error: BaseException) -> Problem:
    """Returns the problem that an error describes. A user's own validator may raise anything."""
    text = (read_error_text(error) if is_error(error, ValueError) else "") or describe_error(error)
    # `isinstance` would read the error's own `__class__`; `is_error` does not.
    return Problem(text, error.kind if type(error) is InvalidValue else "")


def find_validation_kind(error: ValidationError) -> str:
    """Returns the kind of a validation error: its fields, each with the type of its error."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return join_kinds((_name_place(item), item["type"]) for item in found)


def _name_place(item: Mapping[str, Any]) -> tuple[object, ...]:
    """Returns the place of a validation error. The name of an unknown field is left out, because the model invented it."""
    place = tuple(item["loc"])
    return (*place[:-1], "") if item["type"] == "extra_forbidden" else place


def join_kinds(found: Iterable[tuple[Iterable[object], str]]) -> str:
    """Returns the kind of several pairs of a place and its error. Positions in lists are not part of it."""
    kinds = {
        f"{'.'.join('*' if isinstance(part, int) else str(part) for part in place)}:{what}"
        for place, what in found
    }
    return " ".join(sorted(kinds)[:MAX_KINDS])
