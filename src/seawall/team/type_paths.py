"""Finds the types of the value at a path: of a parameter or, with dots in the path, of a field in it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

_ANYTHING: tuple[Any, ...] = (Any, object)


class NoSuchField(LookupError):
    """A path names a field that does not exist; the text lists the existing ones."""


def find_types(hints: Mapping[str, Any], path: str) -> list[Any]:
    """Returns the types of the value at a path, without `None`; `Any` if the value may be of any type.

    `hints` are annotations by parameter. Raises `NoSuchField`.
    """
    name, *fields = path.split(".")
    if name not in hints:
        raise NoSuchField(f"{name!r}, which is not a parameter (there: {', '.join(hints) or 'none'})")
    found = list(list_types(hints[name]))
    for field in fields:
        found = [each for owner in found for each in _list_field_types(owner, field)]
    return found


def list_types(hint: Any) -> Iterator[Any]:
    """Yields the plain types of an annotation: each type of a union, the types of a `Literal`'s values, never `None`."""
    if hint is None or hint is type(None):
        return
    origin = get_origin(hint)
    named = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)  # NewType, type alias
    if hasattr(hint, "__metadata__"):  # Annotated
        yield from list_types(get_args(hint)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(hint):
            yield from list_types(each)
    elif origin is Literal:
        yield from {type(each): None for each in get_args(hint) if each is not None}
    elif isinstance(hint, TypeVar):
        for each in hint.__constraints__ or (hint.__bound__ or Any,):
            yield from list_types(each)
    elif named is not None:
        yield from list_types(named)
    else:
        yield hint


def _list_field_types(owner: Any, field: str) -> list[Any]:
    if owner in _ANYTHING:
        return [Any]
    fields = _list_fields(owner)
    if fields is None:
        raise NoSuchField(f"{field!r} of {describe_type(owner)}, which has no fields")
    if field in fields:
        return list(list_types(fields[field]))
    if "*" in fields:
        return list(list_types(fields["*"]))
    raise NoSuchField(
        f"{field!r}, which {describe_type(owner)} does not have (there: {', '.join(fields) or 'none'})"
    )


def _list_fields(owner: Any) -> dict[str, Any] | None:
    """Returns the annotations of a type's fields, with `*` for a mapping's values; None if the type has no fields."""
    kind: object = get_origin(owner) or owner
    if not isinstance(kind, type):
        return None
    cls = cast("type[object]", kind)
    if issubclass(cls, BaseModel):
        return {name: field.annotation for name, field in owner.model_fields.items()}
    if dataclasses.is_dataclass(cls) or is_typeddict(cls) or hasattr(cls, "_fields"):
        return get_type_hints(cls)
    if issubclass(cls, Mapping):
        parts = get_args(owner)
        return {"*": parts[1] if len(parts) == 2 else Any}
    return None


def describe_type(kind: Any) -> str:
    """Returns the name of a type, for messages."""
    return getattr(kind, "__name__", None) or str(kind)
