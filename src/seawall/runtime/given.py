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
"""Longest request: some 250,000 tokens, more than most models take. Longer texts belong into a tool's result."""
_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){11,18}")
"""As long as the number of a card, which one in ten of such numbers could be: in a name it is the number of something."""


def check_names(redact: Callable[[str], str], **names: str | None) -> None:
    """Raises `Misused` for a name that holds a secret. The keyword says what the name is of.

    A name is recorded and shown as it is, because without its secret it would be another's, too.
    """
    for what, name in names.items():
        plain = _NUMBER.sub("0", name or "")
        shown = redact(plain)
        if shown == plain:
            continue
        before, *_, after = shown.split(MARK)
        if has_digit_and_letter(plain[len(before) : len(plain) - len(after)]):
            raise Misused(
                f"{what} holds what looks like a secret ({shown[:80]!r}). It would be recorded and shown as it is, because it "
                "says which one is meant: give it another name"
            )


def check_journal(journal: object, *, signed: bool) -> None:
    """Raises `Misused` for what is no journal, and for one that is open already and is to be signed."""
    is_path = isinstance(journal, str | Path)
    if not is_path and not callable(getattr(journal, "append", None)):
        raise Misused(f"Seawall: journal is {journal!r}; it must be a path, ':memory:' or a Journal")
    if signed and not is_path:
        raise Misused("Seawall: signing_key goes with a path; a journal that is open already has its own")


def check_options(**given: tuple[object, type]) -> None:
    """Raises `Misused` for options of another class."""
    for what, (options, kind) in given.items():
        if options is not None and not isinstance(options, kind):
            raise Misused(f"Seawall: {what} is {options!r}; it must be {kind.__name__}(…)")


def check_request(request: str, *, stream: object = False, modes: object = None) -> None:
    """Raises `Misused` for a request that is not a text, is empty, or is too long, and for options of another type."""
    check_recordable(request=request)
    if not isinstance(stream, bool):
        raise Misused(f"stream is {stream!r}; it must be True or False")
    if not isinstance(modes, Mapping | None):
        raise Misused(f"modes is {modes!r}; it must map names of guards to modes")
    if not request.strip():
        raise Misused(f"the request is empty (got {request!r})")
    if len(request) > MAX_REQUEST_CHARS:
        raise Misused(f"the request has {len(request):,} characters (limit {MAX_REQUEST_CHARS:,})")
