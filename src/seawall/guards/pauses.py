"""Pauses that people set: what is paused, and which steps wait for that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from seawall.core.clock import Clock
from seawall.core.errors import Misused, Refused
from seawall.core.events import StepKind
from seawall.guards.shared import PAUSE, Defer, Pause
from seawall.journal.live_settings import LiveSettings
from seawall.journal.protocol import Journal, Setting, SettingKind
from seawall.run.fold import fold
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Verdict

ALL = "all"
MAX_RUNS = 10_000
"""Runs that are looked through for steps in flight: more than the processes of a host can have at work."""
KINDS = ("tool", "agent", "tenant", "run")
"""Of what can be paused: written as `tool:refund`."""


def check_target(what: str) -> None:
    """Raise `Misused` if `what` names nothing that can be paused."""
    kind, colon, name = what.partition(":")
    if what != ALL and not (colon and name.strip() and kind in KINDS):
        there = ", ".join(f"{kind}:NAME" for kind in KINDS)
        raise Misused(f"{what!r} is nothing that can be paused: write one of {there}, or {ALL!r}")


def list_pause_names(kind: StepKind, name: str, agent: str, tenant: str, run: str) -> Iterator[str]:
    """What a brake that holds a step may be called, widest first.

    A tool step is held by its tool and by the agent that acts; a hand-off or review also by the agent that it
    goes to.
    """
    yield ALL
    yield f"tenant:{tenant}"
    yield f"run:{run}"
    yield f"agent:{agent}"
    if kind in ("handoff", "review"):
        yield f"agent:{name}"
    if kind == "tool":
        yield f"tool:{name}"


def pause_of(setting: Setting) -> Pause | None:
    """The brake that a setting puts on; None if it lifts one."""
    if setting.kind != "pause" or setting.value != "on":
        return None
    return Pause(what=setting.name, by=setting.by, why=setting.why, since=setting.at, until=setting.until)


async def read_pauses(journal: Journal, now: float) -> dict[str, Pause]:
    """The brakes that are on at wall second `now`, for who has no process that watches them."""
    settings = await journal.settings()
    found = (pause_of(setting) for setting in settings.values())
    return {
        pause.what: pause
        for pause in found
        if pause is not None and (pause.until is None or pause.until > now)
    }


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a brake names, and that had begun before: it goes on to its end."""

    what: str
    """The brake."""
    run: str
    tenant: str
    step: int
    kind: StepKind
    name: str
    agent: str
    since: float
    """Wall seconds when it was recorded as about to be made."""


async def find_in_flight(
    journal: Journal, whats: Collection[str], *, limit: int = MAX_RUNS
) -> tuple[list[InFlight], bool]:
    """The steps in flight that these brakes name, oldest first; and whether runs beyond `limit` were not looked at."""
    rows = await journal.runs(state="running", limit=limit + 1)
    found: list[InFlight] = []
    for row in rows[:limit]:
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
    return sorted(found, key=lambda each: each.since), len(rows) > limit


class Pauses:
    """What is paused, as the journal has it. A step that a brake holds waits until that is lifted or runs out.

    It is one of the things that runs share: see `Shared`.
    """

    name = PAUSE

    def __init__(self, clock: Clock) -> None:
        self._live = LiveSettings("pause", clock)
        self._on: dict[str, Pause] = {}
        self._held: dict[str, dict[str, Callable[[], None]]] = {}
        """By the brake that holds them: the runs, and how each is told."""

    def __repr__(self) -> str:
        held = sum(map(len, self._held.values()))
        return f"<Pauses {', '.join(self._on) or 'none'}, {held} held>"

    # ---- what is on

    def read(self, settings: Mapping[tuple[SettingKind, str], Setting]) -> bool:
        """Take in the journal's settings; whether a brake was put on."""
        before = self._on
        if self._live.read(settings, self._look):
            self._look()
        return not self._on.keys() <= before.keys()

    def close(self) -> None:
        """Call nobody back any more, and begin anew with the next reading."""
        self._live.close()
        self._held.clear()
        self._on = {}

    def pauses(self) -> list[Pause]:
        """The brakes that are on, oldest first."""
        return sorted(
            (pause for what, pause in self._on.items() if self._live.live(what)), key=lambda each: each.since
        )

    def get(self, what: str) -> Pause | None:
        """The brake on `what`, if it is on."""
        return self._on.get(what) if self._live.live(what) else None

    def matching(self, kind: StepKind, name: str, agent: str, tenant: str, run: str) -> Pause | None:
        """The widest brake that holds such a step."""
        if not self._on:
            return None
        brakes = map(self.get, list_pause_names(kind, name, agent, tenant, run))
        return next((pause for pause in brakes if pause is not None), None)

    def check_door(self, tenant: str) -> None:
        """Raise `Refused` if a new run of this tenant could not make a single step."""
        for what in (ALL, f"tenant:{tenant}") if self._on else ():
            pause = self.get(what)
            if pause is not None:
                after_s = self._live.left_s(what)
                again = "" if after_s is None else f": try again in {after_s:.1f} s"
                raise Refused(f"{pause}{again}", guard=PAUSE, value=what, retry_after_s=after_s)

    def _look(self) -> None:
        """Something was set, or has run out: tell the runs whose brake is off. Whom another holds asks again."""
        self._on = {
            name: pause
            for name, setting in self._live.items()
            if self._live.live(name) and (pause := pause_of(setting)) is not None
        }
        told: dict[str, Callable[[], None]] = {}
        for what in [what for what in self._held if what not in self._on]:
            told |= self._held.pop(what)
        for again in told.values():
            again()

    # ---- what the gate asks

    def ask(self, step: Step, run: RunState, left_s: float, again: Callable[[], None]) -> Verdict | Defer:
        """See `Shared.ask`."""
        started = run.started
        pause = self.matching(step.kind, step.name, step.agent, started.tenant, started.run)
        if pause is None:
            return ALLOW
        self._held.setdefault(pause.what, {})[started.run] = again
        return Defer(str(pause), pause)

    def take(self, step: Step, run: RunState) -> Step:
        """See `Shared.take`."""
        return step

    def done(self, step: Step, run: RunState, result: Result) -> None:
        """See `Shared.done`."""

    def retry(self, step: Step, run: RunState, result: Result) -> bool:
        """See `Shared.retry`: another try passes the gate like any step, and is held there."""
        return True

    def gone(self, run: str, *, parked: bool) -> None:
        """See `Shared.gone`."""
        if parked:
            return
        for what in list(self._held):
            runs = self._held[what]
            if runs.pop(run, None) is not None and not runs:
                del self._held[what]
