"""Assembles the calls of a chat completion from the pieces in which they arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seawall.models.providers.normalizers.values import (
    Unreadable,
    as_dict,
    as_ident,
    as_index,
    as_list,
    as_text,
    write_arguments,
)

_KNOWN = ("index", "id", "type", "function", "name", "arguments", "custom")


@dataclass
class _Call:
    ident: str | None
    name: str
    pieces: list[str]
    """Pieces of the arguments, as JSON text."""
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields that a provider adds, such as a signature of its thoughts."""

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object, so that no further piece can belong to it."""
        text = self.arguments.rstrip()
        return text.endswith("}") and _read_json(text) is not None


class Calls:
    """The calls of one reply, in the order in which they began.

    A piece belongs to the call with its index, or without an index to the call before it. It begins a new call if it has
    another id, or if the arguments so far are already whole. Some servers send a whole call again with their last chunk;
    it is the same call.
    """

    def __init__(self, tools: frozenset[str]) -> None:
        self._tools = tools
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._announced = ""

    def __repr__(self) -> str:
        return f"<Calls {[call.name for call in self._calls]}>"

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, given: object, *, whole: bool) -> None:
        """Takes in the calls of a message, or the pieces of a chunk. Raises `Unreadable`."""
        for place, one in enumerate(as_list(given)):
            piece = _read_piece(as_dict(one))
            if piece is None:
                continue
            if whole or (piece.place is None and place and piece.name):
                self._begin(piece)  # two entries of one list are two calls
            else:
                self._add_piece(piece)

    def write(self) -> list[dict[str, Any]]:
        """Returns the calls in the protocol's form. A missing id becomes the call's number."""
        return [
            {
                **call.more,
                "index": place,
                "id": call.ident or f"call-{place + 1}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for place, call in enumerate(self._calls)
        ]

    def _add_piece(self, piece: _Piece) -> None:
        call = self._find(piece)
        if call is None:
            self._begin(piece)
        elif self._begins_another(call, piece):
            if not _repeats(call, piece):
                self._begin(piece)
        else:
            if piece.name and call.pieces and piece.name in self._tools:
                self._announced = piece.name
            call.ident = call.ident or piece.ident
            call.name = self._join_name(call.name, piece.name)
            call.more.update(piece.more)
            if piece.arguments:
                call.pieces.append(piece.arguments)

    def _find(self, piece: _Piece) -> _Call | None:
        """Returns the call that a piece may belong to."""
        if piece.place is not None and (piece.place in self._by_index or piece.name):
            return self._by_index.get(piece.place)
        same = (call for call in reversed(self._calls) if piece.ident and call.ident == piece.ident)
        return next(same, self._calls[-1] if self._calls else None)

    def _begins_another(self, call: _Call, piece: _Piece) -> bool:
        if piece.ident and call.ident and piece.ident != call.ident:
            return bool(piece.name) or call.is_complete  # some servers make a new id for each piece
        if piece.name in self._tools and call.name in self._tools and piece.name != call.name:
            return True
        starts = piece.arguments.lstrip().startswith("{")
        if not starts and not (piece.name and piece.ident and not call.ident):
            return False
        return call.is_complete

    def _begin(self, piece: _Piece) -> None:
        name, self._announced = piece.name or self._announced, ""
        pieces = [piece.arguments] if piece.arguments else []
        call = _Call(piece.ident, name, pieces, piece.more)
        self._calls.append(call)
        if piece.place is not None:
            self._by_index[piece.place] = call

    def _join_name(self, name: str, piece: str) -> str:
        """Returns a name with a further piece appended. A repetition of the whole name is not appended."""
        joined = name + piece
        repeated = piece == name and (
            name in self._tools or not any(tool.startswith(joined) for tool in self._tools)
        )
        return name if repeated else joined


class _Piece(NamedTuple):
    """A call, or a piece of one, as it arrived."""

    place: int | None
    ident: str | None
    name: str
    arguments: str
    more: dict[str, Any]


def _read_piece(given: dict[str, Any]) -> _Piece | None:
    """Returns a piece; None for an empty piece. Some servers leave the object `function` out."""
    if as_dict(given.get("custom")):
        raise Unreadable("sent a call that is not a call of a function")
    function = as_dict(given.get("function")) or given
    ident, name = as_ident(given.get("id")), as_text(function.get("name")) or ""
    arguments = write_arguments(function.get("arguments"))
    if not (ident or name or arguments):
        return None
    more = {key: value for key, value in given.items() if key not in _KNOWN and value is not None}
    return _Piece(as_index(given.get("index")), ident, name, arguments, more)


def _repeats(call: _Call, piece: _Piece) -> bool:
    """Returns whether a piece repeats what a whole call already has."""
    if piece.ident not in (None, call.ident) or piece.name not in ("", call.name):
        return False
    said = _read_json(piece.arguments)
    return said is not None and said == _read_json(call.arguments)


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
