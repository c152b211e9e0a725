"""Secrets never reach store, log or screen: known shapes and known values are replaced on the way in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# OpenAI, Anthropic and kin. `task-…`, `desk-…` and `risk-…` end alike: behind a letter that is not the end of an
# escape, a key is what has both cases, a digit and sixteen characters without a dash.
_KEY = (
    r"sk-(?:(?<![A-Za-z0-9]sk-)|(?<=\\[bfnrt]sk-)|(?<=\\u[0-9A-Fa-f]{4}sk-)|(?<=%[0-9A-Fa-f]{2}sk-)"
    r"|(?=[\w-]{0,99}[A-Z])(?=[\w-]{0,99}[a-z])(?=[\w-]{0,99}[0-9])(?=[\w-]{0,99}[A-Za-z0-9]{16}))[A-Za-z0-9_-]{16,}"
)

# Shapes that are secrets wherever they stand. Each begins with a fixed prefix, so that ordinary text
# is passed over at the speed of a literal search.
_SHAPES = (
    _KEY,
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS access key id
    r"gh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{30,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AIza[A-Za-z0-9_-]{30,}",  # Google
    r"glpat-[A-Za-z0-9_-]{16,}",  # GitLab
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JWT
    r"(?i:bearer )[A-Za-z0-9._~+/-]{20,}=*",
)
_SECRET_NAME = re.compile(r"(?:^|_)(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|PRIVATE_KEY)$")
_MIN_LENGTH = 8  # a shorter value would redact ordinary words

MARK = "[redacted]"


class Redactor:
    """Replaces secrets by `[redacted]`. `values` are secrets by themselves, whatever their shape."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({value for value in values if len(value) >= _MIN_LENGTH}, key=len, reverse=True)
        shapes = [re.escape(value) for value in known] + list(_SHAPES)
        self._pattern = re.compile("|".join(shapes))
        self._bytes = re.compile("|".join(shapes).encode())

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], values: Iterable[str] = ()) -> Redactor:
        """One that also knows the values of variables named like `…_API_KEY`, `…_TOKEN`, `…_SECRET`."""
        named = [value for name, value in environment.items() if _SECRET_NAME.search(name.upper())]
        return cls([*values, *named])

    def text(self, text: str) -> str:
        """`text` without its secrets."""
        return self._pattern.sub(MARK, text)

    def places(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets of `text` begin and end."""
        return [match.span() for match in self._pattern.finditer(text)]

    def data(self, data: bytes) -> bytes:
        """`data` without its secrets."""
        return self._bytes.sub(MARK.encode(), data)


class StreamRedactor:
    """Redacts text that comes in pieces: a secret that is split over pieces is found all the same.

    The last two words are held back until more follows, so that no shape above is told before it is whole.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be told now."""
        text = self._held + piece
        begun = text.find("-----BEGIN")
        safe = text if begun < 0 else text[:begun]
        cut = _last_words(safe)
        for start, end in self._redactor.places(text):
            if start < cut < end:
                cut = start
        self._held = text[cut:]
        return self._redactor.text(text[:cut])

    def end(self) -> str:
        """What was held back."""
        text, self._held = self._held, ""
        return self._redactor.text(text)


_TAIL = re.compile(r"\S*\s+\S*\s*\Z|\S*\s*\Z")


def _last_words(text: str) -> int:
    """Where the last two words begin."""
    match = _TAIL.search(text)
    return len(text) if match is None else match.start()
