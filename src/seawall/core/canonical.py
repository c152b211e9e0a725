"""One encoding of a value, and one digest of it.

`canonical` sorts keys and writes no white space, so equal values have equal bytes. It is used for
digests inside one installation; what a person approves is encoded by RFC 8785 where that is needed.
"""

from __future__ import annotations

import hashlib
from typing import NewType

import msgspec

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
