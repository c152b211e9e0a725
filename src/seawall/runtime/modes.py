"""Modes of guards: the mode in the code, and the live setting of a person, which may have an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from seawall.core.canonical import check_texts
from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.engine.gate import BUILT_IN
from seawall.journal.live_settings import LiveSettings
from seawall.journal.protocol import Setting, SettingKind
from seawall.run.guard import Guard

MODES: tuple[Mode, ...] = ("off", "observe", "enforce")
AUTO = "auto"
"""The live setting that restores the mode in the code."""


def check_mode(guard: str, mode: str) -> None:
    """Raises `Misused` if `mode` is not a mode."""
    if mode not in MODES:
        raise Misused(f"guard {guard!r}: mode is {mode!r}; it is 'off', 'observe' or 'enforce'")


def _read_mode(setting: Setting) -> Mode:
    return next(mode for mode in MODES if mode == setting.value)


def check_by(what: str, by: str) -> None:
    """Raises `Misused` if `by` does not name who made the change `what`."""
    check_texts(by=by)
    if not by.strip():
        raise Misused(f"{what}: by is {by!r}; name who does it, it is recorded")


class GuardModes:
    """The live settings of guards in the journal."""

    def __init__(self, clock: Clock) -> None:
        self._settings = LiveSettings("guard", clock)
        self._known: set[str] = set(BUILT_IN)
        """Names of all guards that this process has seen."""
        self.any_set = False
        """True if a guard was ever set live."""

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting], expired: Callable[[], None]) -> bool:
        """Applies the journal's settings; returns whether those of guards changed. Calls `expired` when one runs out."""
        changed = self._settings.read(settings, expired)
        self.any_set = self.any_set or changed
        return changed

    def list_live(self, at_start: Mapping[str, Mode]) -> Iterator[tuple[str, Mode, str, float | None]]:
        """Yields (guard, mode, by, until) for each guard of a run that was ever set live.

        `at_start` is what `compute_start_modes` returned for the run.
        """
        self._known.update(at_start)
        for name, setting in self._settings.items():
            if name not in at_start:
                continue
            if not self._settings.is_live(name):
                yield name, at_start[name], "expired", None
            elif setting.value == AUTO:
                yield name, at_start[name], setting.by, None
            else:
                yield name, _read_mode(setting), setting.by, setting.until

    def list_alternatives(self, guard: str, own: Iterable[Guard]) -> list[str]:
        """Returns the names of the guards that this process has seen and of `own`; nothing if `guard` is one of them."""
        known = self._known.union(each.name for each in own)
        return [] if guard in known else sorted(known)

    def compute_start_modes(
        self, guards: Sequence[Guard], process: Mapping[str, Mode], run: Mapping[str, Mode]
    ) -> dict[str, Mode]:
        """Returns each guard's mode in the code. The run's mode overrides the process's mode, which overrides the guard's.

        Raises `Misused` for a mode that does not exist, and for a guard that the run does not have.
        """
        modes: dict[str, Mode] = dict.fromkeys(BUILT_IN, "enforce")
        for guard in guards:
            check_mode(guard.name, guard.mode)
            modes[guard.name] = guard.mode
        for source in (process, run):
            for name, mode in source.items():
                check_mode(name, mode)
                if name not in modes:
                    names = ", ".join(modes)
                    raise Misused(f"there is no guard {name!r} to set to {mode!r}; there are: {names}")
                modes[name] = mode
        self._known.update(modes)
        return modes
