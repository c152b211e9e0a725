"""Guards' modes: what the code says, and what somebody set live, for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.journal.protocol import GuardSetting
from seawall.run.gate import BUILT_IN
from seawall.run.guard import Guard

MODES: tuple[Mode, ...] = ("off", "observe", "enforce")


def check_mode(guard: str, mode: str) -> None:
    """Raise `Misused` if `mode` is none."""
    if mode not in MODES:
        raise Misused(f"guard {guard!r}: mode is {mode!r}; it is 'off', 'observe' or 'enforce'")


class Switches:
    """Live settings of guards, as the journal has them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._settings: dict[str, GuardSetting] = {}

    def read(self, settings: dict[str, GuardSetting], expired: Callable[[], None]) -> bool:
        """Take in the journal's settings; whether they changed. `expired` is called when one runs out."""
        if settings == self._settings:
            return False
        self._settings = settings
        for setting in settings.values():
            if setting.until is not None and self._live(setting):
                self._clock.call_later(setting.until - self._clock.wall_s(), expired)
        return True

    def _live(self, setting: GuardSetting) -> bool:
        return setting.until is None or setting.until > self._clock.wall_s()

    def now(self, at_start: Mapping[str, Mode]) -> Iterator[tuple[str, Mode, str, float | None]]:
        """(guard, mode, by, until) for every guard that was ever set and that a run has."""
        for name, setting in self._settings.items():
            if name not in at_start:
                continue
            if self._live(setting):
                yield name, setting.mode, setting.by, setting.until
            else:
                yield name, at_start[name], "expired", None

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
        return known
