"""Settings that somebody made live, for as long as they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from seawall.core.clock import Clock, Timer
from seawall.journal.protocol import Setting, SettingKind

_LEAST_S = 0.001
"""Between two looks whether a setting has run out: a remainder that the clock can't tell must not spin."""


class LiveSettings:
    """The journal's settings of one kind.

    `until` is wall time, for people and for other processes. Here a setting lasts as long as the monotonic
    clock says from the moment in which it was read: a wall clock that is put back prolongs nothing.
    """

    def __init__(self, kind: SettingKind, clock: Clock) -> None:
        self._kind = kind
        self._clock = clock
        self._settings: dict[str, Setting] = {}
        self._ends: dict[str, float] = {}
        """When a setting runs out, in monotonic seconds."""
        self._timers: dict[str, Timer] = {}

    def __repr__(self) -> str:
        live = sum(self.live(name) for name in self._settings)
        return f"<LiveSettings {self._kind} {live}/{len(self._settings)} live>"

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting], expired: Callable[[], None]) -> bool:
        """Take in the journal's settings; whether those of this kind changed. `expired`: when one runs out."""
        mine = {name: setting for (kind, name), setting in settings.items() if kind == self._kind}
        if mine == self._settings:
            return False
        changed = {name: new for name, new in mine.items() if self._settings.get(name) != new}
        self._settings = mine
        for name, setting in changed.items():
            if (timer := self._timers.pop(name, None)) is not None:
                timer.cancel()
            self._ends.pop(name, None)
            if setting.until is not None:
                left_s = setting.until - self._clock.wall_s()
                # put back after it was set, the wall clock would grant more than was asked for
                left_s = min(left_s, setting.until - setting.at)
                self._ends[name] = self._clock.monotonic_s() + left_s
                self._ring(name, expired)
        return True

    def _ring(self, name: str, expired: Callable[[], None]) -> None:
        """Call back once a setting has run out: a timer may be early by the resolution of its clock."""

        def ring() -> None:
            if self.live(name):
                self._ring(name, expired)
            else:
                self._timers.pop(name, None)
                expired()

        if self.live(name):
            left_s = self._ends[name] - self._clock.monotonic_s()
            self._timers[name] = self._clock.call_later(max(left_s, _LEAST_S), ring)

    def live(self, name: str) -> bool:
        """Whether there is a setting of that name, and it has not run out."""
        if name not in self._settings:
            return False
        return name not in self._ends or self._ends[name] > self._clock.monotonic_s()

    def left_s(self, name: str) -> float | None:
        """Seconds until the setting runs out; None if it does not."""
        end = self._ends.get(name)
        return None if end is None else max(0.0, end - self._clock.monotonic_s())

    def get(self, name: str) -> Setting | None:
        """The setting of that name, if it is live."""
        return self._settings[name] if self.live(name) else None

    def items(self) -> Iterator[tuple[str, Setting]]:
        """Every setting there ever was, newest of each name, live or not."""
        yield from self._settings.items()

    def close(self) -> None:
        """Call nobody back any more, and begin anew with the next reading."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ends.clear()
        self._settings = {}
