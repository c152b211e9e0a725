"""The canonical encoding of a value, and digests of it.

`to_canonical_bytes` sorts keys and writes no white space, so equal values have equal bytes. It is meant for
digests inside one installation; RFC 8785 is for bytes that other programs have to reproduce.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import NewType, cast

import msgspec

from seawall.core.errors import Misused

Ref = NewType("Ref", str)
"""The address of a body: the SHA-256 of its bytes, 64 hexadecimal digits."""


def encode_text(value: object) -> str:
    """Returns a value of a subclass of `str` as the text that it is; for encoders, which know only `str` itself."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


_encoder = msgspec.json.Encoder(order="deterministic", enc_hook=encode_text)


def to_canonical_bytes(value: object) -> bytes:
    """Returns JSON with sorted keys and no white space. Raises `TypeError` for what JSON can't hold."""
    return _encoder.encode(value)


def to_canonical_text(value: object) -> str:
    r"""Returns JSON as `to_canonical_bytes` does, as text, with the six characters `\ud83d` for each lone surrogate.

    Raises `TypeError` for what JSON can't hold.
    """
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=False)
        return _encoder.encode(msgspec.json.decode(escape_surrogates_in_json(text))).decode()


def to_canonical_texts(values: Sequence[object]) -> list[str]:
    """Returns the text of each value as `to_canonical_text` returns it. The values are encoded in one call."""
    try:
        lines = _encoder.encode_lines([*values]).decode().split("\n")
    except UnicodeEncodeError:
        lines = []
    # each value ends with a line end, and has none inside: JSON escapes them
    return lines[:-1] if len(lines) == len(values) + 1 else [to_canonical_text(each) for each in values]


def escape_unsendable(text: str) -> str:
    r"""Returns `text` with `\ud83d` for each lone surrogate, which has no UTF-8, and `\u0000` for each zero character.

    No provider accepts the first, and many databases and terminals do not take the second.
    """
    if "\0" in text:
        text = text.replace("\0", r"\u0000")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def escape_surrogates_in_json(text: str) -> str:
    r"""Returns JSON text in which each lone surrogate of a value is the six characters `\ud83d`."""
    return text if text.isascii() else _surrogate.sub(lambda found: rf"\\u{ord(found[0]):04x}", text)


_surrogate = re.compile("[\ud800-\udfff]")


def measure_bytes(text: str | bytes) -> int:
    """Returns the bytes of a text in UTF-8, with each lone surrogate counted as its escape, as it is recorded."""
    if text.isascii() or isinstance(text, bytes):
        return len(text)
    return len(text.encode("utf-8", "backslashreplace"))


def ref_of(data: bytes) -> Ref:
    """Returns the address of `data`."""
    return Ref(hashlib.sha256(data).hexdigest())


def digest_of(value: object) -> str:
    """Returns a short digest (128 bits, 32 hexadecimal digits) of a JSON value, to compare values by."""
    return hashlib.blake2b(_encoder.encode(value), digest_size=16).hexdigest()


def check_texts(**texts: str) -> None:
    """Raises `Misused` for a value that is not text. The keyword says what it stands for."""
    for what, text in texts.items():
        if not isinstance(cast("object", text), str):
            raise Misused(f"{what} is {text!r}; it must be text")


def check_recordable(**names: str | None) -> None:
    """Raises `Misused` for a name that is not text or has no UTF-8. The keyword says what the name stands for."""
    for what, name in names.items():
        if name is None or (type(name) is str and name.isascii() and "\0" not in name):
            continue
        if not isinstance(cast("object", name), str):
            raise Misused(f"{what} is {name!r}; it must be text")
        if name != escape_unsendable(name):
            raise Misused(f"{what} is {name!r}, which has no UTF-8")
