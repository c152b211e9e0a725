"""Signatures of batches: an HMAC with a key that the journal never holds.

A batch covers all batches before it, so one signature proves that its author had the key and saw this history.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import cast

from seawall.core.errors import Misused

KEY_VARIABLE = "SEAWALL_SIGNING_KEY_FILE"
"""The environment variable that names the signing key's file for the command line."""
MIN_KEY_BYTES = 16
"""Fewest bytes of a key: a key of less than 128 bits can be guessed."""


class Signer:
    """Signs batches with a key, and checks signatures. Its `repr` does not show the key."""

    def __init__(self, key: bytes) -> None:
        if not isinstance(cast("object", key), bytes) or len(key) < MIN_KEY_BYTES:
            raise Misused(
                f"a signing key must have at least {MIN_KEY_BYTES} random bytes; `openssl rand -hex 32` makes one"
            )
        self._mac = hmac.new(key, b"seawall batch", "sha256")

    def __repr__(self) -> str:
        return "<Signer>"

    def sign(self, hash_: bytes) -> bytes:
        """Returns the mac of a batch."""
        mac = self._mac.copy()
        mac.update(hash_)
        return mac.digest()

    def check(self, hash_: bytes, mac: object) -> bool:
        """Returns whether `mac` was made with this key for this batch."""
        return isinstance(mac, bytes) and hmac.compare_digest(self.sign(hash_), mac)


def read_key(key: bytes | Path) -> bytes:
    """Returns a key: the given bytes, or the content of the given file without line feeds at its end. Raises `Misused`
    for a file that can't be read, and for any other type.
    """
    if isinstance(key, bytes):
        return key
    if not isinstance(cast("object", key), Path):
        raise Misused(f"a key is bytes, or the Path of a file with them, not {type(key).__name__}")
    try:
        return key.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise Misused(f"the signing key {key} can't be read: {error.strerror}") from None
