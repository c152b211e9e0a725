"""Secrets that are known by the form of a file: keys as JSON (JWK, RFC 7517), and the lines of PostgreSQL's `.pgpass`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seawall.core.secret_values import has_all_kinds, is_secret

_NAME_CHARS = 64
"""Characters before a value that are read again for its name."""
_LINE_CHARS = 512

_KEY_MEMBER = re.compile(
    r"[\"'](?:d[pq]?|k|p|qi?)(?P<quote>\\{0,7}[\"'])\s{0,4}:\s{0,4}(?P=quote)"
    r"(?P<secret>[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{64}|[A-Za-z0-9_-]{86}|[A-Za-z0-9_-]{88}|[A-Za-z0-9_-]{168,1100})(?P=quote)"
)
"""A private member of a key in JSON. Its length is that of a key: of 32, 48, 64 or 66 bytes, or of RSA."""
KEY_MEMBERS = ('"d"', '"d\\', '"k"', '"k\\')
"""Members of which each private key has one."""

# a search for the whole line takes 0.1 ms for 1,000 characters
LOGIN_PORT = re.compile(r":(?:\*|[0-9]{4,5}):(?:\*|[A-Za-z_])")
_LOGIN_LINE = re.compile(
    r"(?:(?<![^\s\"'`])|(?<=\\n))(?:\*|[\w./-]{1,255}):(?:\*|[0-9]{4,5})"
    r":(?!(?i:debug|info|note|warn(?:ing)?|error|critical|fatal):)(?:\*|[A-Za-z_][\w.-]{0,62})"
    r":(?:\*|[A-Za-z_][\w.@-]{0,62}):(?P<secret>(?:[^\s\"'`\\]|\\[:\\]){0,300})(?=[\s\"'`\\]|\Z)"
)
"""A line `host:port:database:user:password`. Between the first two colons is a port, so it is no place in a file."""


def find_in_files(text: str, since: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yields start and end of each secret, the place of what tells it, and whether more text may change this. Start and
    end are the same where only more text can tell.
    """
    for match in _KEY_MEMBER.finditer(text, max(0, since - _NAME_CHARS)):
        if has_all_kinds(match["secret"]):
            yield *match.span("secret"), match.start(), False
    if LOGIN_PORT.search(text, max(0, since - _LINE_CHARS)) is None:
        return
    for match in _LOGIN_LINE.finditer(text, max(0, since - _LINE_CHARS)):
        is_open = match.end() == len(text)
        if is_secret(match["secret"], "hint", "query", "pw"):
            yield *match.span("secret"), match.start(), is_open
        elif is_open:
            yield match.end(), match.end(), match.start(), True
