"""Append-only collections that behave as values and append in constant time.

`Log`, `Seen` and `Latest` never change once made: adding returns a new version, and older versions stay as they were.
Versions share one backing store. Only the newest version adds to it in place; an older one copies it first.
So each step of a fold over 1,000 steps costs the same, and a fold that goes on from an older state is correct too.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Log(Generic[T]):  # noqa: PLW1641 -- a collection of values, never a key
    """An immutable sequence with `append` in constant time."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: list[T] = list(items)
        self._length = len(self._items)

    def append(self, *items: T) -> Log[T]:
        """Returns a log with `items` at its end."""
        backing = self._items
        if len(backing) != self._length:  # another version was added to already
            backing = backing[: self._length]
        backing.extend(items)
        new: Log[T] = object.__new__(type(self))
        new._items = backing
        new._length = self._length + len(items)
        return new

    def continues(self, older: Log[T]) -> bool:
        """Returns True if this log was made by appending to `older`, so that it begins with all of its items.

        It compares no items: a log that was made in another way does not count, even if it begins with the same items.
        """
        return self._items is older._items and self._length >= older._length

    def since(self, start: int) -> list[T]:
        """Returns the items from index `start` on."""
        return self._items[start : self._length]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return iter(self._items[: self._length])

    def __getitem__(self, index: int) -> T:
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} of a log of {self._length}")
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Log):
            return NotImplemented
        return list(self) == list(cast("Log[Any]", other))

    def __repr__(self) -> str:
        return f"Log({list(self)!r})"


class Seen(Generic[K, V]):  # noqa: PLW1641 -- a collection of values, never a key
    """An immutable mapping that only grows; the first value of a key stays."""

    __slots__ = ("_keys", "_length", "_table")

    def __init__(self) -> None:
        self._table: dict[K, tuple[int, V]] = {}
        self._keys: list[K] = []
        self._length = 0

    def add(self, key: K, value: V) -> Seen[K, V]:
        """Returns a mapping that also has `key`, or this one if it has `key` already."""
        if key in self:
            return self
        table, keys = self._table, self._keys
        if len(keys) != self._length:  # another version was added to already
            keys = keys[: self._length]
            table = {k: table[k] for k in keys}
        table[key] = (self._length, value)
        keys.append(key)
        new: Seen[K, V] = Seen()
        new._table, new._keys, new._length = table, keys, len(keys)
        return new

    def get(self, key: K) -> V | None:
        """Returns the value of `key`, or None."""
        entry = self._table.get(key)
        return entry[1] if entry is not None and entry[0] < self._length else None

    def __contains__(self, key: object) -> bool:
        entry = self._table.get(cast("K", key))
        return entry is not None and entry[0] < self._length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[K]:
        return iter(self._keys[: self._length])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seen):
            return NotImplemented
        return self.items() == cast("Seen[Any, Any]", other).items()

    def items(self) -> list[tuple[K, V]]:
        """Returns the keys with their values, in the order in which they were added."""
        return [(key, self._table[key][1]) for key in self]

    def __repr__(self) -> str:
        return f"Seen({dict(self.items())!r})"


class Latest(Generic[K, V]):  # noqa: PLW1641 -- a collection of values, never a key
    """An immutable mapping whose keys may be set again, in constant time."""

    __slots__ = ("_length", "_puts", "_table")

    def __init__(self) -> None:
        self._table: dict[K, list[tuple[int, V]]] = {}
        self._puts: list[tuple[K, V]] = []
        self._length = 0

    def put(self, key: K, value: V) -> Latest[K, V]:
        """Returns a mapping in which `key` has `value`."""
        table, puts = self._table, self._puts
        if len(puts) != self._length:  # another version was added to already
            puts = puts[: self._length]
            table = dict[K, list[tuple[int, V]]]()
            for index, (known, old) in enumerate(puts):
                table.setdefault(known, []).append((index, old))
        values = table.get(key)
        if values is None:
            table[key] = [(self._length, value)]
        else:
            values.append((self._length, value))
        puts.append((key, value))
        new: Latest[K, V] = object.__new__(type(self))
        new._table, new._puts, new._length = table, puts, self._length + 1
        return new

    def get(self, key: K) -> V | None:
        """Returns the value of `key`, or None."""
        values = self._table.get(key)
        if values is not None:
            for index, value in reversed(values):  # the value of the newest version is the last
                if index < self._length:
                    return value
        return None

    def __contains__(self, key: object) -> bool:
        return self.get(cast("K", key)) is not None

    def __len__(self) -> int:
        return len(self.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Latest):
            return NotImplemented
        return self.items() == cast("Latest[Any, Any]", other).items()

    def items(self) -> dict[K, V]:
        """Returns every key with its value."""
        return dict(self._puts[: self._length])

    def __repr__(self) -> str:
        return f"Latest({self.items()!r})"
