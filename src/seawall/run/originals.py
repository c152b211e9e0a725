"""The originals of texts that were redacted: kept in the memory of this process, and nowhere else.

A call is performed with the arguments that the model wrote. The stored arguments have no secrets, so a call with
redacted arguments also has a *seal*: a digest of the original under a key that this process has made and does not
store. The seal finds the original here. Without the key it tells nothing about the original, and no model can make one.
"""

from __future__ import annotations

import hashlib

from seawall.core.canonical import to_canonical_bytes

MAX_CHARS = 32 * 1024 * 1024
"""Most characters that are kept for all runs together. The oldest originals are dropped first, and their calls then
wait for a person."""
KEY_BYTES = 32


class Originals:
    """Texts of models before they were redacted, by run and seal. `key` is secret, and only this process has it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._texts: dict[tuple[str, str], str] = {}
        """The originals by run and seal, oldest first."""
        self.chars = 0
        """Characters that are kept now."""

    def __repr__(self) -> str:
        return f"<Originals of {len(self._texts)} texts, {self.chars:,} characters>"

    def seal(self, value: object) -> str:
        """Returns a digest of a JSON value that only this process can make."""
        data = to_canonical_bytes(value)
        return hashlib.blake2b(data, key=self._key, digest_size=16).hexdigest()

    def keep(self, run: str, text: str, seal: str) -> str:
        """Keeps the original of a redacted text under its seal, and returns the seal."""
        if (run, seal) not in self._texts:
            self._texts[run, seal] = text
            self.chars += len(text)
        while self.chars > MAX_CHARS:
            self._drop(next(iter(self._texts)))
        return seal

    def find(self, run: str, seal: str) -> str | None:
        """Returns the original, or None if this process does not have it (any more)."""
        return self._texts.get((run, seal))

    def forget(self, run: str) -> None:
        """Forgets the originals of a run that has ended."""
        for key in [key for key in self._texts if key[0] == run]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        self.chars -= len(self._texts.pop(key))
