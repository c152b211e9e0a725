"""Guards' modes: what the code says, and what somebody set live, for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.engine.gate import BUILT_IN
from seawall.journal.live_settings import LiveSettings
from seawall.journal.protocol import Setting, SettingKind
from seawall.run.guard import Guard

MODES: tuple[Mode, ...] = ("off", "observe", "enforce")
AUTO = "auto"
"""What is set live to go back to what the code says."""


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


class GuardModes:
    """Live settings of guards, as the journal has them."""

    def __init__(self, clock: Clock) -> None:
        self._settings = LiveSettings("guard", clock)
        self._seen: set[str] = set(BUILT_IN)

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting], expired: Callable[[], None]) -> bool:
        """Take in the journal's settings; whether those of guards changed. `expired`: when one runs out."""
        return self._settings.read(settings, expired)

    def live(self, at_start: Mapping[str, Mode]) -> Iterator[tuple[str, Mode, str, float | None]]:
        """(guard, mode, by, until) for every guard that was ever set and that a run has."""
        self._seen.update(at_start)
        for name, setting in self._settings.items():
            if name not in at_start:
                continue
            if not self._settings.live(name):
                yield name, at_start[name], "expired", None
            elif setting.value == AUTO:
                yield name, at_start[name], setting.by, None
            else:
                yield name, _mode(setting), setting.by, setting.until

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
