"""Links: signed, single-use texts with which one person may decide one proposal, for a mail, a chat or a page of your own.

A token says what it is for and holds no secret; whoever has it may use it once. It is bound to the proposal, to the hash
of what is performed, to the person and to a time. That it was used is recorded with the proposal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import cast

import msgspec

from seawall.core.errors import Misused, Refused

TOKEN_PREFIX = "swl_"
"""Also tells the redactor that what follows is a secret."""
MIN_KEY_BYTES = 16
"""128 bits: fewer can be guessed."""
MAX_TOKEN_CHARS = 4_096
"""A URL of more is cut by some servers and mail programs. No longer token is looked at."""
CLOCKS_APART_S = 60.0
"""So far may the clocks of two machines be apart. By a clock that was set back further no link is valid."""
NOT_VALID = "this link is not valid: it was changed or cut, or was made with another key"


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What a link allows."""

    proposal: str
    hash: str
    """Of what would be performed, see `Proposal.hash`."""
    principal: str
    roles: tuple[str, ...]
    recorded: bool
    """The principal is one that `seawall principals` made: its roles, and whether it is still there, are read later."""
    made_at: float
    expires_at: float
    nonce: str
    """Makes each link another one, so that each is used once."""


_decoder = msgspec.json.Decoder(Link)
_encoder = msgspec.json.Encoder()


class LinkSigner:
    """Makes tokens of links, and reads them. Nothing of it shows the key."""

    def __init__(self, key: bytes) -> None:
        if not isinstance(cast("object", key), bytes) or len(key) < MIN_KEY_BYTES:
            raise Misused(
                f"a link key must have at least {MIN_KEY_BYTES} random bytes; `openssl rand -hex 32` makes one"
            )
        self._mac = hmac.new(key, b"seawall link", "sha256")

    def __repr__(self) -> str:
        return "<LinkSigner>"

    def make(self, link: Link) -> str:
        """Returns the token of a link. Raises `Misused` if it would be too long for a URL."""
        body = TOKEN_PREFIX + base64.urlsafe_b64encode(_encoder.encode(link)).rstrip(b"=").decode()
        token = f"{body}.{self._sign(body)}"
        if len(token) > MAX_TOKEN_CHARS:
            raise Misused(
                f"a link for principal {link.principal!r:.100} has {len(token):,} characters (limit {MAX_TOKEN_CHARS:,}): "
                "its name or its roles are too long"
            )
        return token

    def read(self, token: str, now: float) -> Link:
        """Returns the link of a token. Raises `Refused` for one that was not made so, and for one whose time is over."""
        link = self._read(token)
        if link is None:
            raise Refused(NOT_VALID, guard="approval")
        if now >= link.expires_at:
            raise Refused("this link has expired", guard="approval", limit=link.expires_at, value=now)
        if now < link.made_at - CLOCKS_APART_S:
            raise Refused(
                "this link was made later than this machine's clock shows: the clock is wrong",
                guard="approval",
                limit=link.made_at,
                value=now,
            )
        return link

    def _read(self, token: object) -> Link | None:
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS:
            return None
        body, _, mac = token.rpartition(".")
        given = mac.encode("utf-8", "backslashreplace")
        if not hmac.compare_digest(self._sign(body).encode(), given) or not body.startswith(TOKEN_PREFIX):
            return None
        data = body.removeprefix(TOKEN_PREFIX)
        try:
            return _decoder.decode(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
        except (msgspec.MsgspecError, binascii.Error):  # of a version that this one does not know
            return None

    def _sign(self, body: str) -> str:
        mac = self._mac.copy()
        mac.update(body.encode("utf-8", "backslashreplace"))
        return mac.hexdigest()


def make_nonce() -> str:
    """Returns what no other link has."""
    return secrets.token_hex(8)


def digest_of_token(token: str) -> str:
    """Returns what is recorded of a link that was used, from which nobody gets the token."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest()[:32]
