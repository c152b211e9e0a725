"""Guards and limits of a nested team, a team that is a specialist of another one: they hold for its part of the run.

The part of a team are the steps within the frames of its agents, and of the agents of teams nested in it. An agent's
name is unique in a run, so the agent that acts says to which parts a step belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from seawall.core.events import (
    PERFORMED,
    Event,
    Judged,
    LimitsRaised,
    Planned,
    RunTaken,
    StepDone,
    StepIntended,
)
from seawall.core.limits import Limits
from seawall.guards.limits import (
    LIMITS,
    Fits,
    Limited,
    Short,
    advise,
    describe_shortfall,
    fit,
    halt_overrun,
)
from seawall.guards.shared import Defer
from seawall.run.guard import Guard
from seawall.run.ledger import Ledger, Rest, reserve, settle
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import GuardVerdict, Halt, Verdict

TOLERANCE_S = 0.001
"""Two moments that are closer together count as one: a timer may fire a little early."""

_NO_USD = Decimal(0)


def is_within(event: Event, run: RunState, agents: frozenset[str]) -> bool:
    """Returns whether an event is about a step of these agents, or about the run as a whole."""
    match event:
        case StepIntended():
            return event.agent in agents
        case StepDone() | Judged():
            step = run.open.get(event.step)
            return step is not None and step.agent in agents
        case Planned():
            frame = run.frames.get(event.frame)
            return frame is not None and frame.agent in agents
        case _:
            return True


class TeamGuard(Guard):
    """A guard of a nested team: it judges the steps of the team's agents, and its memory is a fold over these.

    Its verdicts and its mode have the guard's own name. Its memory has a key of its own: one guard may be given to
    two teams, and guards of two teams may have one name.
    """

    def __init__(self, guard: Guard, lead: str, agents: frozenset[str]) -> None:
        """`lead` is the name of the team's coordinator, which is unique in a run, as the team's name need not be."""
        self.guard = guard
        self.name = guard.name
        self.mode = guard.mode
        self.judges_invalid = guard.judges_invalid
        self.agents = agents
        self._key = f"{lead}/{guard.name}"

    def __repr__(self) -> str:
        return f"<TeamGuard {self._key} {self.guard!r}>"

    @property
    def memory_key(self) -> str:
        """The coordinator's name and the guard's."""
        return self._key

    def start(self) -> Any:
        """Returns the guard's first memory."""
        return self.guard.start()

    def fold(self, memory: Any, event: Event, run: RunState) -> Any:
        """Takes in an event of the team's part, or of the run as a whole."""
        if not is_within(event, run, self.agents):
            return memory
        if isinstance(event, RunTaken) and event.handover:
            handover = {name: text for name, text in event.handover.items() if name != self.name}
            if (mine := event.handover.get(self._key)) is not None:
                handover[self.name] = mine
            event = replace(event, handover=handover)
        return self.guard.fold(memory, event, run)

    def carry(self, memory: Any) -> str | None:
        """Returns what the guard leaves to the session's next run."""
        return self.guard.carry(memory)

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Judges a step of the team's part."""
        return self.guard.before(step, run, memory)

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        """Judges the result of such a step."""
        return self.guard.after(step, result, run, memory)


class Part(msgspec.Struct, frozen=True):
    """What a nested team's part of the run has spent so far."""

    ledger: Ledger = Ledger()
    used_s: float = 0.0
    """Active seconds of the time in which it had work and has none now."""
    handoffs: frozenset[int] = frozenset()
    """The hand-offs to the team and the reviews by it that are open: while there is one, its active time passes."""
    since_left_s: float = 0.0
    """What the run had left when the first of them was made."""

    def compute_used_s(self, left_s: float) -> float:
        """Returns the team's active seconds, when the run has `left_s` seconds left."""
        return self.used_s + (self.since_left_s - left_s if self.handoffs else 0.0)


class TeamLimits(Guard):
    """The limits of a nested team, or of one agent. A step that does not fit brings this part of the run to its end: it
    answers with what it has, and its caller is told.

    The gate asks for the verdict where it checks the run's own limits; as a guard it only keeps the part's ledger.
    """

    name = LIMITS

    def __init__(
        self, kind: Literal["team", "agent"], label: str, key: str, agents: frozenset[str], limits: Limits
    ) -> None:
        """`label` is the name of the team or agent; `key` is unique in a run."""
        self.part = f"{kind} {label!r}"
        self._kind = kind
        self._label = label
        self.agents = agents
        self.limits = limits
        self._key = key

    def __repr__(self) -> str:
        return f"<TeamLimits of {self.part}>"

    @property
    def memory_key(self) -> str:
        """The key and `limits`."""
        return f"{self._key}/{LIMITS}"

    def start(self) -> Part:
        """Returns a part that has spent nothing."""
        return Part()

    def fold(self, memory: Any, event: Event, run: RunState) -> Part:
        """Takes in what the team's agents do, and the hand-offs to the team."""
        part: Part = memory
        match event:
            case StepIntended():
                return self._fold_intent(part, event, run)
            case LimitsRaised():  # the run's time jumps, and this part's does not
                more_s = event.limits.active_s - run.started.limits.active_s
                return replace(part, since_left_s=part.since_left_s + more_s) if part.handoffs else part
            case StepDone():
                step = run.open.get(event.step)
                return part if step is None else _fold_result(part, step, event, run, self)
            case _:
                return part

    def _fold_intent(self, part: Part, step: StepIntended, run: RunState) -> Part:
        if not step.perform:
            return part
        if step.agent in self.agents:
            return replace(part, ledger=reserve(part.ledger, step))
        if step.kind not in ("handoff", "review") or step.name not in self.agents:
            return part
        since_left_s = part.since_left_s if part.handoffs else run.left_s
        return replace(part, handoffs=part.handoffs | {step.step}, since_left_s=since_left_s)

    def _get_part(self, run: RunState) -> Part:
        part = run.memories.get(self.memory_key)
        return part if isinstance(part, Part) else Part()

    def _leads(self, run: RunState) -> bool:
        """Returns whether they are those of the agent that a request goes to: its time passes from the run's start."""
        started = run.started
        return self._kind == "agent" and started.agent in self.agents and started.errand is None

    def _compute_used_s(self, run: RunState, left_s: float) -> float:
        if self._leads(run):
            return run.started.limits.active_s - left_s
        return self._get_part(run).compute_used_s(left_s)

    def compute_left_s(self, run: RunState, left_s: float) -> float:
        """Returns the active seconds that the team has left, when the run has `left_s`."""
        return self.limits.active_s - self._compute_used_s(run, left_s)

    def is_timed(self, run: RunState) -> bool:
        """Returns whether the team's active time passes now, and is bounded."""
        passes = self._leads(run) or bool(self._get_part(run).handoffs)
        return passes and run.modes.get(LIMITS, "enforce") == "enforce"

    def check(self, fits: Fits, run: RunState, left_s: float, rest: Rest) -> Limited:
        """Returns what these limits say of a step; `Defer` while steps in flight of this part may make room."""
        mode, step = run.modes.get(LIMITS, "enforce"), fits.step
        if mode == "off" or step.agent not in self.agents or step.kind == "approval":
            return fits
        limits, ledger, enforced = self.limits, self._get_part(run).ledger, mode == "enforce"
        in_flight = sum(each.agent in self.agents for each in run.in_flight)
        if step.kind in PERFORMED and in_flight >= limits.parallel and enforced:
            return Defer(f"{self.part} has {in_flight} steps in flight (limit {limits.parallel})")
        found = self._check_time(step, run, left_s) or self._check_depth(step, run)
        if found is not None:
            return found
        verdict = self._check_money(step, run)
        if verdict is not None:
            return [GuardVerdict(LIMITS, verdict, mode)]
        fitted = fit(step, ledger, limits, rest, in_flight=bool(in_flight), enforced=enforced)
        if isinstance(fitted, Step):
            more = list(advise(fitted, run, ledger, limits, self.part)) if enforced else []
            return Fits(fitted, [*fits.verdicts, *more])
        if fitted.waits and in_flight:
            return Defer(f"{fitted.limit_name} are reserved by steps in flight") if enforced else fits
        reason = f"{self.part}: {describe_shortfall(step, fitted)}"
        return self._make_short(
            step, run, fitted.limit_name, f"{fitted.limit_name}={fitted.limit}", str(fitted.value), reason
        )

    def _make_short(
        self,
        step: Step | StepIntended,
        run: RunState,
        name: str,
        limit: str,
        value: str,
        reason: str,
        *,
        closes: bool = True,
    ) -> Short:
        frame = self.find_top(step.frame, run)
        return Short(
            name,
            limit,
            value,
            reason,
            frame=frame,
            part=self.part,
            label=self._label,
            closes=closes,
            limits=self.limits,
        )

    def find_top(self, frame: int, run: RunState) -> int:
        """Returns the outermost frame of this part that a frame is in."""
        found = [each for each in run.walk_up(frame) if each in run.frames]
        mine = [each for each in found if run.frames[each].agent in self.agents]
        return mine[-1] if mine else frame

    def _check_time(self, step: Step, run: RunState, left_s: float) -> Short | None:
        return (
            None
            if self.compute_left_s(run, left_s) > TOLERANCE_S
            else self.describe_overdue(step, run, left_s)
        )

    def describe_overdue(self, step: Step | StepIntended, run: RunState, left_s: float) -> Short:
        """Returns why a step of the team does not fit once its time is up."""
        limit_s = self.limits.active_s
        used_s = self._compute_used_s(run, left_s)
        reason = f"{self.part} used up its {limit_s:g} active seconds"
        return self._make_short(
            step, run, "active_s", f"active_s={limit_s:g}", f"{used_s:.3f}", reason, closes=False
        )

    def _check_depth(self, step: Step, run: RunState) -> Short | None:
        if step.kind not in ("handoff", "review"):
            return None
        depth, frame = 2, run.frames[step.frame]
        while frame.id and (parent := run.frames.get(frame.parent)) and parent.agent in self.agents:
            depth, frame = depth + 1, parent
        limit = self.limits.depth
        if depth <= limit:
            return None
        reason = f"{self.part}: {step.name!r} would work at depth {depth} of it (limit {limit})"
        return self._make_short(step, run, "depth", f"depth={limit}", str(depth), reason)

    def _check_money(self, step: Step, run: RunState) -> Halt | None:
        """Returns a halt where the limits can't hold: a price is not known, or a report was above its reservation."""
        limits, overrun = self.limits, run.overrun
        if step.kind == "model" and limits.usd is not None and step.usd is None:
            reason = f"the price of model {step.name!r} is not known and usd is limited to {limits.usd}"
            return Halt(f"{self.part}: {reason}", f"usd={limits.usd}", "unknown price")
        bounded = limits.tokens is not None or limits.usd is not None
        return halt_overrun(overrun) if bounded and overrun and overrun.agent in self.agents else None


def _fold_result(part: Part, step: StepIntended, done: StepDone, run: RunState, bounds: TeamLimits) -> Part:
    if step.agent in bounds.agents:
        if not step.perform:
            return part
        free = (
            done.status == "error" and done.uncharged
        )  # what is recorded as uncounted is so by the run's limits
        done = replace(done, uncounted=free and not bounds.limits.count_failed)
        return replace(part, ledger=settle(part.ledger, step, done))
    if step.step not in part.handoffs:
        return part
    rest = part.handoffs - {step.step}
    if rest:
        return replace(part, handoffs=rest)
    return replace(part, handoffs=rest, used_s=part.compute_used_s(done.left_s or run.left_s))


# ---- of all nested teams of a run


def check_teams(
    teams: Sequence[TeamLimits],
    fits: Fits,
    run: RunState,
    left_s: float,
    compute_rest: Callable[[TeamLimits, Step, RunState], Rest],
) -> Limited:
    """Returns what the first of these limits says that does not let the step pass, or the step as it fits into all."""
    for each in teams:
        if fits.step.agent in each.agents:
            found = each.check(fits, run, left_s, compute_rest(each, fits.step, run))
            if not isinstance(found, Fits):
                return found
            fits = found
    return fits


def bound_team_left_s(teams: Sequence[TeamLimits], step: Step, run: RunState, left_s: float) -> float:
    """Returns the seconds that a step may take: no more than the teams have left to whose part it belongs."""
    mine = [
        each.compute_left_s(run, left_s) for each in teams if step.agent in each.agents and each.is_timed(run)
    ]
    return max(0.0, min([left_s, *mine]))


def find_next_end_s(teams: Sequence[TeamLimits], run: RunState, left_s: float) -> float | None:
    """Returns the seconds until the next team's active time is used up; None if no time passes."""
    ends = [each.compute_left_s(run, left_s) for each in teams if each.is_timed(run)]
    return min((end_s for end_s in ends if end_s > TOLERANCE_S), default=None)


def list_overdue(
    teams: Sequence[TeamLimits], run: RunState, left_s: float
) -> list[tuple[StepIntended, Short]]:
    """Returns the steps in flight of teams whose time is up, but for effects: these go on to their own end."""
    found: dict[int, tuple[StepIntended, Short]] = {}
    for each in teams:
        if each.is_timed(run) and each.compute_left_s(run, left_s) <= TOLERANCE_S:
            for step in run.in_flight:
                if step.agent in each.agents and not step.effect:
                    found.setdefault(step.step, (step, each.describe_overdue(step, run, left_s)))
    return list(found.values())
