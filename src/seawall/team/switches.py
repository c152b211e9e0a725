"""Guards' modes: what the code says, and what somebody set live, for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from seawall.core.clock import Clock, Timer
from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.journal.protocol import Setting, SettingKind
from seawall.run.gate import BUILT_IN
from seawall.run.guard import Guard

MODES: tuple[Mode, ...] = ("off", "observe", "enforce")


_LEAST_S = 0.001
"""Between two looks whether a setting has run out: a remainder that the clock can't tell must not spin."""


def check_mode(guard: str, mode: str) -> None:
    """Raise `Misused` if `mode` is none."""
    if mode not in MODES:
        raise Misused(f"guard {guard!r}: mode is {mode!r}; it is 'off', 'observe' or 'enforce'")


def _mode(setting: Setting) -> Mode:
    return next(mode for mode in MODES if mode == setting.value)


def check_by(what: str, by: str) -> None:
    """Raise `Misused` if nobody is named who did it."""
    if not by.strip():
        raise Misused(f"{what}: by is {by!r}; name who does it, it is recorded")


class Switches:
    """Live settings of guards, as the journal has them.

    `until` is wall time, for people and for other processes. Here a setting lasts as long as the monotonic
    clock says from the moment in which it was read: a wall clock that is put back prolongs nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settings: dict[str, Setting] = {}
        self._ends: dict[str, float] = {}
        """When a setting runs out, in monotonic seconds."""
        self._timers: dict[str, Timer] = {}
        self._seen: set[str] = set(BUILT_IN)

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting], expired: Callable[[], None]) -> bool:
        """Take in the journal's settings; whether those of guards changed. `expired`: when one runs out."""
        return self._read({name: new for (kind, name), new in settings.items() if kind == "guard"}, expired)

    def _read(self, settings: dict[str, Setting], expired: Callable[[], None]) -> bool:
        if settings == self._settings:
            return False
        changed = {name: new for name, new in settings.items() if self._settings.get(name) != new}
        self._settings = settings
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
            if self._live(name):
                self._ring(name, expired)
            else:
                self._timers.pop(name, None)
                expired()

        if self._live(name):
            left_s = self._ends[name] - self._clock.monotonic_s()
            self._timers[name] = self._clock.call_later(max(left_s, _LEAST_S), ring)

    def _live(self, name: str) -> bool:
        return name not in self._ends or self._ends[name] > self._clock.monotonic_s()

    def now(self, at_start: Mapping[str, Mode]) -> Iterator[tuple[str, Mode, str, float | None]]:
        """(guard, mode, by, until) for every guard that was ever set and that a run has."""
        self._seen.update(at_start)
        for name, setting in self._settings.items():
            if name not in at_start:
                continue
            if self._live(name):
                yield name, _mode(setting), setting.by, setting.until
            else:
                yield name, at_start[name], "expired", None

    def unseen(self, guard: str, own: Iterable[Guard]) -> list[str]:
        """The guards that this process has seen and `own`, if `guard` is none of them; else nothing."""
        known = self._seen.union(each.name for each in own)
        return [] if guard in known else sorted(known)

    def at_start(
        self, guards: Sequence[Guard], host: Mapping[str, Mode], run: Mapping[str, Mode]
    ) -> dict[str, Mode]:
        """Each guard's mode as the code says it: the guard's own, then the host's, then the run's."""
        known: dict[str, Mode] = dict.fromkeys(BUILT_IN, "enforce")
        for guard in guards:
            check_mode(guard.name, guard.mode)
            known[guard.name] = guard.mode
        for source in (host, run):
            for name, mode in source.items():
                check_mode(name, mode)
                if name not in known:
                    there = ", ".join(known)
                    raise Misused(f"there is no guard {name!r} to set to {mode!r}; there are: {there}")
                known[name] = mode
        self._seen.update(known)
        return known
