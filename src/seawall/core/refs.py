"""The bodies that events refer to."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_type_hints

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import Event


def refs_of(events: Iterable[Event]) -> list[Ref]:
    """Returns every body that these events refer to, by the declared types of their fields, each once."""
    return list(dict.fromkeys(ref for event in events for ref in _list_refs(event)))


def _list_refs(item: object) -> Iterator[Ref]:
    if isinstance(item, str):
        if item:
            yield Ref(item)
        return
    for name in _find_ref_fields(type(item)):
        value: Ref | msgspec.Struct | tuple[object, ...] | None = getattr(item, name)
        for each in value if isinstance(value, tuple) else (value,) if value else ():
            yield from _list_refs(each)


@functools.cache
def _find_ref_fields(kind: type) -> tuple[str, ...]:
    """Returns the fields that hold a `Ref`, or structs with such fields. The cache has one entry for each kind of
    event.
    """
    return tuple(name for name, hint in get_type_hints(kind).items() if _holds_ref(hint))


def _holds_ref(hint: Any) -> bool:
    if hint is Ref or any(_holds_ref(part) for part in get_args(hint)):
        return True
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct) and bool(_find_ref_fields(hint))
