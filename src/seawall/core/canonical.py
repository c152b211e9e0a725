"""One encoding of a value, and one digest of it.

`canonical` sorts keys and writes no white space, so equal values have equal bytes. It is used for
digests inside one installation; what a person approves is encoded by RFC 8785 where that is needed.
"""

from __future__ import annotations

import hashlib
from typing import NewType, cast

import msgspec

from seawall.core.errors import Misused

Ref = NewType("Ref", str)
"""The address of a body: the SHA-256 of its bytes, 64 hexadecimal digits."""

_encoder = msgspec.json.Encoder(order="deterministic")


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no white space. Raises `TypeError` for what JSON can't hold."""
    return _encoder.encode(value)


def well_formed(text: str) -> str:
    """`text` with lone surrogates replaced by `?`: they have no UTF-8, and no provider takes them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def ref_of(data: bytes) -> Ref:
    """The address of `data`."""
    return Ref(hashlib.sha256(data).hexdigest())


def digest(value: object) -> str:
    """A short digest (128 bits, 32 hexadecimal digits) of a JSON value, for comparing."""
    return hashlib.blake2b(_encoder.encode(value), digest_size=16).hexdigest()


def check_recordable(**names: str | None) -> None:
    """Raise `Misused` for a name that can't be recorded, or is none, with what it is the name of."""
    for what, name in names.items():
        if name is not None and not isinstance(cast("object", name), str):
            raise Misused(f"{what} is {name!r}; it must be text")
        if name is not None and name != well_formed(name):
            raise Misused(f"{what} is {name!r}, which has no UTF-8")
