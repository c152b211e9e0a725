"""The journal's settings of one kind, each for as long as it was set for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from seawall.core.clock import Clock, Timer
from seawall.journal.protocol import Setting, SettingKind

_LEAST_S = 0.001
"""Least time between two checks whether a setting has run out. A timer may fire early by the resolution of its
clock; without this bound the remainder, which the clock cannot measure, would make the timer spin."""
_MOST_S = 60.0
"""Most time between two such checks. Timers stand still while the machine is suspended, so after that a setting that
has run out is noticed within this time."""


def compute_left_s(setting: Setting, clock: Clock) -> float | None:
    """Returns for how many seconds from now a setting that was just read lasts; None if it has no end.

    `until` is wall time, for people and for other processes. A process that has read the setting keeps it by a clock
    that never goes back: a wall clock that is set back later does not prolong the setting.
    """
    if setting.until is None:
        return None
    # If the wall clock was set back after the setting was made, the setting still lasts no longer than was asked for.
    return min(setting.until - clock.wall_s(), setting.until - setting.at)


class LiveSettings:
    """The journal's settings of one kind, as this process has read them.

    They run out by boot time, which goes on while the machine is suspended. See also `compute_left_s`.
    """

    def __init__(self, kind: SettingKind, clock: Clock) -> None:
        self._kind = kind
        self._clock = clock
        self._settings: dict[str, Setting] = {}
        self._ends_s: dict[str, float] = {}
        """By name: the boot-time second at which the setting runs out. Settings without an end are missing."""
        self._timers: dict[str, Timer] = {}

    def __repr__(self) -> str:
        live = sum(self.is_live(name) for name in self._settings)
        return f"<LiveSettings {self._kind} {live}/{len(self._settings)} live>"

    def read(
        self, settings: Mapping[tuple[SettingKind, str], Setting], on_expired: Callable[[], None]
    ) -> bool:
        """Replaces the settings by those of the journal; returns whether settings of this kind changed.

        `on_expired` is called whenever one of them runs out.
        """
        mine = {name: setting for (kind, name), setting in settings.items() if kind == self._kind}
        if mine == self._settings:
            return False
        changed = {name: new for name, new in mine.items() if self._settings.get(name) != new}
        self._settings = mine
        for name, setting in changed.items():
            if (timer := self._timers.pop(name, None)) is not None:
                timer.cancel()
            self._ends_s.pop(name, None)
            if (left_s := compute_left_s(setting, self._clock)) is not None:
                self._ends_s[name] = self._clock.boottime_s() + left_s
                self._watch(name, on_expired)
        return True

    def _watch(self, name: str, on_expired: Callable[[], None]) -> None:
        """Calls `on_expired` once the setting has run out. A timer that fires earlier is set again."""

        def fire() -> None:
            if self.is_live(name):
                self._watch(name, on_expired)
            else:
                self._timers.pop(name, None)
                on_expired()

        if self.is_live(name):
            left_s = self._ends_s[name] - self._clock.boottime_s()
            self._timers[name] = self._clock.call_later(min(max(left_s, _LEAST_S), _MOST_S), fire)

    def is_live(self, name: str) -> bool:
        """Returns whether there is a setting of that name that has not run out."""
        if name not in self._settings:
            return False
        return name not in self._ends_s or self._ends_s[name] > self._clock.boottime_s()

    def get_left_s(self, name: str) -> float | None:
        """Returns the seconds until the setting runs out; None if it has no end."""
        end_s = self._ends_s.get(name)
        return None if end_s is None else max(0.0, end_s - self._clock.boottime_s())

    def items(self) -> Iterator[tuple[str, Setting]]:
        """Yields the newest setting of each name, live or not."""
        yield from self._settings.items()

    def close(self) -> None:
        """Cancels all timers, so that `on_expired` is not called any more; the next `read` starts again."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ends_s.clear()
        self._settings = {}
