"""What is wrong with something that a model has written: a text for the model, and the kind of it for comparing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import ValidationError

from seawall.core.errors import describe_error, is_error, read_error_text

MAX_KINDS = 32
"""Fields of one problem whose kinds are compared: a model that repeats itself repeats the first ones."""


class Problem(NamedTuple):
    """What is wrong with a call or a reply."""

    text: str
    """For the model: it quotes the values."""
    kind: str = ""
    """The fields and what is wrong with each, without values: equal for problems that are the same. "": the text says it."""


class InvalidValue(ValueError):
    """What a model wrote does not fit, and it is known in which way."""

    def __init__(self, text: str, kind: str) -> None:
        """`kind`: see `Problem.kind`."""
        super().__init__(text)
        self.kind = kind


def describe_problem(error: BaseException) -> Problem:
    """Returns what an error says of the value that it was raised for. A validator of the user's own may raise anything."""
    text = (read_error_text(error) if is_error(error, ValueError) else "") or describe_error(error)
    # `is_error` asks nothing of the error; `isinstance` asks it for its class.
    return Problem(text, error.kind if type(error) is InvalidValue else "")


def find_validation_kind(error: ValidationError) -> str:
    """Returns the kind of a validation error: its fields, each with what is wrong with it."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return join_kinds((_name_place(item), item["type"]) for item in found)


def _name_place(item: Mapping[str, Any]) -> tuple[object, ...]:
    """Returns where a validation error is. A field that is not known has no name that counts: the model made it up."""
    place = tuple(item["loc"])
    return (*place[:-1], "") if item["type"] == "extra_forbidden" else place


def join_kinds(found: Iterable[tuple[Iterable[object], str]]) -> str:
    """Returns the kind of several (place, what is wrong there). Positions in lists do not count."""
    kinds = {
        f"{'.'.join('*' if isinstance(part, int) else str(part) for part in place)}:{what}"
        for place, what in found
    }
    return " ".join(sorted(kinds)[:MAX_KINDS])
