"""JSON values that can't be changed, for code that may look at them and not touch them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn, cast

EMPTY: MappingProxyType[Any, Any] = MappingProxyType({})
"""A mapping with nothing in it."""


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError("this value is read-only; make a copy of it to change it")


class FrozenDict(dict[str, Any]):
    """A dict whose methods that change it raise `TypeError`. Copies of it are plain dicts."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: thaw(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class FrozenList(list[Any]):
    """A list whose methods that change it raise `TypeError`. Copies of it are plain lists."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [thaw(value) for value in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def freeze(value: Mapping[str, Any]) -> FrozenDict:
    """Returns a JSON object that can't be changed at any depth. It shares no container with `value`."""
    return FrozenDict({key: _freeze(item) for key, item in value.items()})


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return freeze(cast("dict[str, Any]", value))
    return (
        FrozenList([_freeze(item) for item in cast("list[Any]", value)]) if isinstance(value, list) else value
    )


def thaw(value: Any) -> Any:
    """Returns a copy of a JSON value, as plain dicts and lists."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in cast("dict[str, Any]", value).items()}
    return [thaw(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
