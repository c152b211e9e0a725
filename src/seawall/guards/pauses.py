"""The guard `pause`: the pauses that people have set, and the runs that wait for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from seawall.core.canonical import check_texts
from seawall.core.clock import Clock
from seawall.core.errors import Misused, Refused
from seawall.core.events import CALLED, StepKind
from seawall.guards.shared import PAUSE, Defer, Pause, Retry
from seawall.journal.live_settings import LiveSettings
from seawall.journal.protocol import Journal, RunFilter, Setting, SettingKind
from seawall.run.fold import fold
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

ALL = "all"
MAX_RUNS = 10_000
"""Most unended runs that `find_in_flight` reads: more than the processes of one host can have in flight."""
TARGET_KINDS = ("tool", "agent", "tenant", "run")
"""Kinds of targets that a person can pause by name, written as `tool:refund`."""


def check_target(what: str) -> None:
    """Raises `Misused` if `what` names nothing that can be paused."""
    check_texts(what=what)
    kind, colon, name = what.partition(":")
    if what != ALL and not (colon and name.strip() and kind in TARGET_KINDS):
        forms = ", ".join(f"{kind}:NAME" for kind in TARGET_KINDS)
        raise Misused(f"{what!r} cannot be paused: write one of {forms}, or {ALL!r}")


def list_pause_names(kind: StepKind, name: str, agent: str, tenant: str, run_id: str) -> Iterator[str]:
    """Yields the names of the pauses that hold a step, widest first.

    A pause of a tool holds the calls of that tool. A pause of an agent holds the agent's own steps, and the hand-offs
    and reviews that go to it.
    """
    yield ALL
    yield f"tenant:{tenant}"
    yield f"run:{run_id}"
    yield f"agent:{agent}"
    if kind in ("handoff", "review"):
        yield f"agent:{name}"
    if kind in CALLED:
        yield f"tool:{name}"


def parse_pause(setting: Setting) -> Pause | None:
    """Returns the pause that a setting begins; None if the setting lifts one."""
    if setting.kind != "pause" or setting.value != "on":
        return None
    return Pause(what=setting.name, by=setting.by, why=setting.why, since=setting.at, until=setting.until)


async def read_pauses(journal: Journal, now: float) -> dict[str, Pause]:
    """Reads the pauses that are active at wall second `now`, for a process that has no `Pauses` object."""
    settings = await journal.settings()
    found = (parse_pause(setting) for setting in settings.values())
    return {
        pause.what: pause
        for pause in found
        if pause is not None and (pause.until is None or pause.until > now)
    }


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a pause names and that began before the pause. It is not stopped."""

    what: str
    """The name of the pause."""
    run: str
    tenant: str
    step: int
    kind: StepKind
    name: str
    agent: str
    since: float
    """Wall seconds when the intent of the step was recorded."""


async def find_in_flight(journal: Journal, whats: Collection[str]) -> tuple[list[InFlight], bool]:
    """Returns the steps in flight that these pauses name, oldest first, and whether there were runs beyond `MAX_RUNS`.

    The steps of runs beyond `MAX_RUNS` are missing.
    """
    rows = await journal.runs(RunFilter(state="running"), limit=MAX_RUNS + 1)
    found: list[InFlight] = []
    for row in rows[:MAX_RUNS]:
        events = await journal.events(row.run)
        for step in fold(events).in_flight if events else ():
            names = list_pause_names(step.kind, step.name, step.agent, row.tenant, row.run)
            what = next((each for each in names if each in whats), None)
            if what is not None:
                found.append(
                    InFlight(
                        what=what,
                        run=row.run,
                        tenant=row.tenant,
                        step=step.step,
                        kind=step.kind,
                        name=step.name,
                        agent=step.agent,
                        since=step.at,
                    )
                )
    return sorted(found, key=lambda each: each.since), len(rows) > MAX_RUNS


class Pauses:
    """The active pauses in the journal. A step that a pause holds waits until it is lifted or ends.

    Implements `SharedGuard`.
    """

    name = PAUSE

    def __init__(self, clock: Clock) -> None:
        self._settings = LiveSettings("pause", clock)
        self._on: dict[str, Pause] = {}
        self._waiting: dict[str, dict[str, Callable[[], None]]] = {}
        """By the name of the pause: the runs that wait for it, each with its `wake`."""
        self.active = False
        """Whether there has been a pause since this guard was opened."""

    def __repr__(self) -> str:
        held = sum(map(len, self._waiting.values()))
        return f"<Pauses {', '.join(self._on) or 'none'}, {held} held>"

    # ---- which pauses are on

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting]) -> bool:
        """Applies the journal's settings; returns whether a pause began."""
        before = self._on
        if self._settings.read(settings, self._refresh):
            self._refresh()
        return not self._on.keys() <= before.keys()

    def close(self) -> None:
        """Stops waking runs; the next `read` starts again."""
        self._settings.close()
        self._waiting.clear()
        self._on = {}
        self.active = False

    def list_pauses(self) -> list[Pause]:
        """Returns the active pauses, oldest first."""
        on = (pause for what, pause in self._on.items() if self._settings.is_live(what))
        return sorted(on, key=lambda each: each.since)

    def get(self, what: str) -> Pause | None:
        """Returns the pause of `what`, if it is active."""
        return self._on.get(what) if self._settings.is_live(what) else None

    def find(self, kind: StepKind, name: str, agent: str, tenant: str, run_id: str) -> Pause | None:
        """Returns the widest pause that holds such a step."""
        if not self._on:
            return None
        pauses = map(self.get, list_pause_names(kind, name, agent, tenant, run_id))
        return next((pause for pause in pauses if pause is not None), None)

    def check_new_run(self, tenant: str) -> None:
        """Raises `Refused` if a pause would hold every step of a new run of this tenant."""
        for what in (ALL, f"tenant:{tenant}") if self._on else ():
            pause = self.get(what)
            if pause is not None:
                after_s = self._settings.get_left_s(what)
                again = "" if after_s is None else f": try again in {after_s:.1f} s"
                raise Refused(f"{pause}{again}", guard=PAUSE, value=what, retry_after_s=after_s)

    def _refresh(self) -> None:
        """Applies new and expired settings, and wakes the runs whose pause has ended. A run that another pause holds as
        well waits again when it checks.
        """
        self._on = {
            name: pause
            for name, setting in self._settings.items()
            if self._settings.is_live(name) and (pause := parse_pause(setting)) is not None
        }
        self.active = self.active or bool(self._on)
        woken: dict[str, Callable[[], None]] = {}
        for what in [what for what in self._waiting if what not in self._on]:
            woken |= self._waiting.pop(what)
        for wake in woken.values():
            wake()

    # ---- SharedGuard

    def check(self, step: Step, run: RunState, left_s: float, wake: Callable[[], None]) -> Verdict | Defer:
        """Defers a step that a pause holds."""
        if not self._on:
            return ALLOW
        started = run.started
        pause = self.find(step.kind, step.name, step.agent, started.tenant, started.run)
        if pause is None:
            return ALLOW
        self._waiting.setdefault(pause.what, {})[started.run] = wake
        return Defer(str(pause), pause)

    def acquire(self, step: Step, run: RunState, left_s: float) -> Step:
        """Returns the step unchanged: pauses count nothing."""
        return step

    def release(self, step: Step, run: RunState, result: Result) -> None:
        """Does nothing: pauses count nothing."""

    def may_retry(self, step: Step, run: RunState, result: Result, left_s: float, *, used_up: bool) -> Retry:
        """Returns "yes": another try passes the gate like any step, and is held there."""
        return "yes"

    def forget(self, run_id: str, *, parked: bool) -> None:
        """Stops waking this run, unless it is parked."""
        if parked:
            return
        for what in list(self._waiting):
            runs = self._waiting[what]
            if runs.pop(run_id, None) is not None and not runs:
                del self._waiting[what]
