"""Links: signed, single-use texts with which one person may decide one proposal, for a mail, a chat or a page of your
own.

A token says what it is for and holds no secret; anybody who has it may use it once. It is bound to the proposal, to the
hash of the call, to the person and to a time. Its use is recorded with the proposal.
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
"""The prefix of tokens, by which the redactor also recognises them."""
MIN_KEY_BYTES = 16
"""Fewest bytes of a key: a key of less than 128 bits can be guessed."""
MAX_TOKEN_CHARS = 4_096
"""Characters of the longest token. Some servers and mail programs cut longer URLs. A longer token is not read."""
CLOCKS_APART_S = 60.0
"""Seconds by which the clocks of two machines may differ. If the clock was set back by more, no link is valid."""
NOT_VALID = "this link is not valid: it was changed or cut, or was made with another key"


class Link(msgspec.Struct, frozen=True, array_like=True):
    """The content of a link: what it allows, to whom, and until when."""

    proposal: str
    hash: str
    """The hash of the call, see `Proposal.hash`."""
    principal: str
    roles: tuple[str, ...]
    recorded: bool
    """Whether `seawall principals` made the principal. Its roles, and whether it still exists, are then read when the
    link is used."""
    made_at: float
    expires_at: float
    nonce: str
    """A random text that makes each link unique, so that each can be used once."""


_decoder = msgspec.json.Decoder(Link)
_encoder = msgspec.json.Encoder()


class LinkSigner:
    """Makes tokens of links, and reads them. Its `repr` does not show the key."""

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
        """Returns the link of a token. Raises `Refused` for a token that this key did not sign, and for one that has
        expired.
        """
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
        except (msgspec.MsgspecError, binascii.Error):  # the token is of an unknown version
            return None

    def _sign(self, body: str) -> str:
        mac = self._mac.copy()
        mac.update(body.encode("utf-8", "backslashreplace"))
        return mac.hexdigest()


def make_nonce() -> str:
    """Returns a random text that no other link has."""
    return secrets.token_hex(8)


def digest_of_token(token: str) -> str:
    """Returns the digest that is recorded for a used link. The token can't be derived from it."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest()[:32]
