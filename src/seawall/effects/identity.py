"""Identities: they decide which calls are the same effect, in whatever form their values are written.

The values are those after validation. A number is its text, so that 1042, 1042.0 and "1042" are one identity. A text
that only looks like another one is refused. The model is told what to write, and the value is never guessed.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import hmac
import math
import unicodedata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any, cast

import pydantic
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from seawall.core.canonical import to_canonical_bytes
from seawall.core.invisible import is_invisible
from seawall.core.money import Money


class OddValue(ValueError):
    """A value that identifies an effect looks like another one, or can't be compared."""


def compute_identity(key: bytes, tool: str, scope: str, within: str, values: Sequence[str]) -> str:
    """Returns the keyed digest of an effect's identity: 128 bits of HMAC-SHA256, 32 hexadecimal digits."""
    data = to_canonical_bytes([tool, scope, within, list(values)])
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:32]


def write_value(name: str, value: object) -> str:
    """Returns the text by which a value of parameter `name` is compared. Raises `OddValue` for one that can't be
    compared.
    """
    return to_canonical_bytes(_simplify(name, value)).decode()


def _simplify(name: str, value: Any) -> Any:
    """Returns a value made of texts, lists and objects of texts, and None."""
    match value:
        case None:
            return None
        case enum.Enum():
            return _simplify(name, value.value)
        case bool():
            return "true" if value else "false"
        case str():
            return _check_text(name, str.__str__(value))
        case int() | float() | Decimal():
            return _write_number(name, value)
        case pydantic.SecretStr() | pydantic.SecretBytes() | pydantic.Secret():
            return _simplify_secret(name, value.get_secret_value())
        case datetime.datetime() if value.utcoffset() is not None:
            return value.astimezone(datetime.UTC).isoformat()
        case Money() | uuid.UUID():
            return str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case bytes() | bytearray():
            return value.hex()
        case _:
            return _simplify_compound(name, value)


def _simplify_secret(name: str, value: Any) -> Any:
    try:
        return _simplify(name, value)
    except OddValue:  # its message would quote the secret
        raise OddValue(f"{name}: the secret is not plainly written") from None


def _simplify_compound(name: str, value: Any) -> Any:
    if isinstance(value, Iterator):  # reading its items would use them up
        kind = type(cast("object", value)).__name__
        raise OddValue(f"{name}: {kind} can't identify an effect; take a list")
    if isinstance(value, BaseModel):
        value = dict(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        simple = {_write_key(name, key): _simplify(name, each) for key, each in items}
        if len(simple) < len(items):
            raise OddValue(f"{name}: two of its keys are the same")
        return simple
    if isinstance(value, AbstractSet):
        parts = [_simplify(name, each) for each in cast("AbstractSet[Any]", value)]
        return sorted(parts, key=to_canonical_bytes)
    if isinstance(value, Sequence):
        return [_simplify(name, each) for each in cast("Sequence[Any]", value)]
    plain = to_jsonable_python(value)
    if type(plain) is type(value):
        raise OddValue(f"{name}: {type(value).__name__} can't identify an effect")
    return _simplify(name, plain)


def _write_key(name: str, key: object) -> str:
    simple = _simplify(name, key)
    return simple if isinstance(simple, str) else to_canonical_bytes(simple).decode()


def _write_number(name: str, value: float | Decimal) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise OddValue(f"{name}: {value!r} is not a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise OddValue(f"{name}: {value!r} is not a number")
    if not number:
        return "0"
    if number.adjusted() > MAX_DIGITS or number.adjusted() < -MAX_DIGITS:
        raise OddValue(f"{name}: the number has more than {MAX_DIGITS} digits")
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


MAX_DIGITS = 400
"""Digits of a number before or after its point: those of the largest float."""


def _check_text(name: str, text: str) -> str:
    plain = write_plainly(text)
    if plain != text:
        raise OddValue(f"{name}: {text!a} is not plainly written; write {plain!r}")
    return text


def write_plainly(text: str) -> str:
    """Returns the one way to write what a text looks like: NFKC, ASCII digits, no invisible characters, no outer space."""
    plain = unicodedata.normalize("NFKC", text.replace("\r\n", "\n").replace("\t", " "))
    written = "".join(map(_write_char, plain))
    return unicodedata.normalize("NFC", written).strip()


def _write_char(char: str) -> str:
    if char == "\n":
        return char
    if is_invisible(char):
        return ""
    return str(unicodedata.digit(char)) if not char.isascii() and char.isdigit() else char
