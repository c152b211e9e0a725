"""Checks what a program gives to `Seawall`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from seawall.core.canonical import check_recordable
from seawall.core.errors import Misused
from seawall.core.redact import MARK
from seawall.core.secret_values import has_digit_and_letter

MAX_REQUEST_CHARS = 1_000_000
"""The longest request: about 250,000 tokens, more than most models take. Put longer texts into a tool's result."""
_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}")
"""A number as long as a card number. In a name it identifies something, so it is not taken for a card number."""


def check_names(redact: Callable[[str], str], **names: str | None) -> None:
    """Raises `Misused` for a name that holds a secret. The keywords say what each name identifies, such as `session`.

    A name is recorded and shown unredacted: two names that differ only in a secret would be one name after redaction.
    """
    for what, name in names.items():
        if not name:
            continue
        plain = _NUMBER.sub("0", name)
        shown = redact(plain)
        if shown == plain:
            continue
        before, *_, after = shown.split(MARK)
        if has_digit_and_letter(plain[len(before) : len(plain) - len(after)]):
            raise Misused(
                f"{what} holds what looks like a secret ({shown[:80]!r}). It would be recorded and shown unredacted, because "
                f"it identifies the {what.replace('_', ' ')}: use another name"
            )


def check_journal(journal: object, *, signed: bool) -> None:
    """Raises `Misused` if `journal` is not a journal, or is an open journal that is to be signed."""
    is_path = isinstance(journal, str | Path)
    if not is_path and not callable(getattr(journal, "append", None)):
        raise Misused(f"Seawall: journal is {journal!r}; it must be a path, ':memory:' or a Journal")
    if signed and not is_path:
        raise Misused("Seawall: signing_key goes with a path; a journal that is open already has its own")


def check_options(**given: tuple[object, type]) -> None:
    """Raises `Misused` for options of a wrong class."""
    for what, (options, kind) in given.items():
        if options is not None and not isinstance(options, kind):
            raise Misused(f"Seawall: {what} is {options!r}; it must be {kind.__name__}(…)")


def check_request(request: str, *, stream: object = False, modes: object = None) -> None:
    """Raises `Misused` for a request that is not a text, is empty, or is too long, and for options of a wrong type."""
    check_recordable(request=request)
    if not isinstance(stream, bool):
        raise Misused(f"stream is {stream!r}; it must be True or False")
    if not isinstance(modes, Mapping | None):
        raise Misused(f"modes is {modes!r}; it must map names of guards to modes")
    if not request.strip():
        raise Misused(f"the request is empty (got {request!r})")
    if len(request) > MAX_REQUEST_CHARS:
        raise Misused(f"the request has {len(request):,} characters (limit {MAX_REQUEST_CHARS:,})")
