"""Ids that sort by time, so that the journal's indexes grow at their end."""

from __future__ import annotations

import random

from seawall.core.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def _to_base32(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


class Ids:
    """Makes run ids: `r-` + 9 digits of milliseconds + 7 random digits (35 bits), base 32."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def make_run_id(self) -> str:
        """Returns a new run id. Ids that are made later sort later, to the millisecond."""
        return (
            f"r-{_to_base32(int(self._clock.wall_s() * 1000), 9)}{_to_base32(self._rng.getrandbits(35), 7)}"
        )
