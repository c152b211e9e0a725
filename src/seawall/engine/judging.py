"""Steps 2 and 6 of the gate: what the guards say of a step or of its result, and the record of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import describe_error, format_trace
from seawall.core.events import Event, Judged, Mode, Stage
from seawall.core.frozen import FrozenDict, freeze
from seawall.guards.authority import AuthorityGuard
from seawall.guards.context import ContextGuard
from seawall.guards.loops import Loops
from seawall.guards.nested import TeamGuard, TeamLimits
from seawall.guards.waste import WasteGuard
from seawall.memory.guard import MEMORY_GUARD, MemoryGuard
from seawall.run.bodies import Bodies
from seawall.run.frame import Grant
from seawall.run.guard import FoldFailed, Guard
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import (
    ALLOW,
    SEVERITY,
    Advise,
    Allow,
    GuardFailed,
    GuardVerdict,
    Hold,
    Replace,
    Verdict,
    check_verdict,
    kind_of,
)

_log = logging.getLogger("seawall.calls")
_BUILT_IN = (Loops, ContextGuard, AuthorityGuard, WasteGuard, MemoryGuard)


class _GuardsByAgent:
    """Which guards are asked about the steps of each agent."""

    def __init__(self, own: Sequence[Guard], nested: Sequence[TeamGuard]) -> None:
        self._everywhere = list(own)
        self._by_agent = {
            agent: [*own, *(guard for guard in nested if agent in guard.agents)]
            for agent in {agent for guard in nested for agent in guard.agents}
        }

    def find(self, agent: str) -> list[Guard]:
        """Returns the guards that judge an agent's steps."""
        return self._by_agent.get(agent, self._everywhere)


def _overrides(guard: Guard, method: str) -> bool:
    """Returns whether a guard has a method of its own, and not that of the base class, which says nothing."""
    return getattr(getattr(guard, method), "__func__", None) is not getattr(Guard, method)


def _judges(guard: Guard, method: str) -> bool:
    """Returns whether a guard may say something: its method does, or what it remembers may be a failure."""
    return any(_overrides(guard, each) for each in (method, "start", "fold"))


class Judge:
    """Asks the guards of one run, and turns what they say into events."""

    def __init__(self, guards: Sequence[Guard], bodies: Bodies, *, now: Callable[[], float]) -> None:
        self.guards = tuple(guards)
        own = [guard for guard in self.guards if not isinstance(guard, TeamGuard | TeamLimits)]
        nested = [guard for guard in self.guards if isinstance(guard, TeamGuard)]
        self.folding = tuple([guard for guard in self.guards if _overrides(guard, "fold")])
        """Those that remember something."""
        self._before = _GuardsByAgent([guard for guard in own if _judges(guard, "before")], nested)
        self._after = _GuardsByAgent([guard for guard in own if _judges(guard, "after")], nested)
        plain = [*own, *(guard.guard for guard in nested)]
        self._all_built_in = all(type(guard) in _BUILT_IN for guard in plain)
        """Whether every guard is one of Seawall's own, which changes nothing that it is shown."""
        self._memory = None if any(guard.name == MEMORY_GUARD for guard in self.guards) else MemoryGuard()
        """Also for a run whose team has had its memory taken away by a deploy: what it has read, it has read."""
        self._bodies = bodies
        self._now = now

    def __repr__(self) -> str:
        return f"<Judge of {', '.join(guard.name for guard in self.guards) or 'no guards'}>"

    def protect(self, step: Step) -> Step:
        """Returns the step with arguments that can't be changed, and that nothing else has, for guards to be shown."""
        if step.arguments is None or self._all_built_in or isinstance(step.arguments, FrozenDict):
            return step
        return replace(step, arguments=freeze(step.arguments))

    def judge(self, step: Step, result: Result | None, state: RunState) -> list[GuardVerdict]:
        """Returns what every guard of the step's agent that is not off says other than Allow: of `result`, or of the step before it
        is performed.
        """
        found: list[GuardVerdict] = []
        if step.target is not None and not self._all_built_in:  # what is called with is no guard's to change
            step = replace(step, target=None)
        guards = (self._before if result is None else self._after).find(step.agent)
        if state.cut and self._memory is not None:
            guards = [*guards, self._memory]
        for guard in guards:
            mode = state.modes.get(guard.name, guard.mode)
            if mode == "off" or (step.invalid is not None and not guard.judges_invalid):
                continue
            verdict = _ask(guard, step, result, state)
            if isinstance(verdict, GuardFailed):
                self._log_failure(guard, verdict, step.number, state)
            if verdict is ALLOW:
                continue
            if isinstance(verdict, Hold) and step.grant is not None:
                if guard.name in step.grant.guards and _still_granted(step, step.grant):
                    continue
                verdict = _explain_void_grant(verdict, step, step.grant)
            if not isinstance(verdict, Allow) or verdict.wait_s:
                found.append(GuardVerdict(guard.name, verdict, mode))
        return found

    def conclude(
        self, verdicts: Sequence[GuardVerdict], step: int, stage: Stage
    ) -> tuple[Verdict, list[Event]]:
        """Returns the severest verdict that is enforced, and the record of all."""
        severest: Verdict = ALLOW
        events: list[Event] = []
        for guard, verdict, mode in verdicts:
            if isinstance(verdict, Allow):
                continue
            events.append(self.record(step, guard, verdict, stage, mode))
            if mode == "enforce" and SEVERITY[kind_of(verdict)] > SEVERITY[kind_of(severest)]:
                severest = verdict
        return severest, events

    def record(self, step: int, guard: str, verdict: Verdict, stage: Stage, mode: Mode) -> Judged:
        """Returns the event of a verdict."""
        note: Ref | None = None
        if isinstance(verdict, Advise):
            note = self._bodies.put(verdict.note)
        elif isinstance(verdict, Replace):
            note = self._bodies.put(read_answer(verdict, self._bodies))
        trace = self._trace(verdict)
        limit = getattr(verdict, "limit", None)
        value = getattr(verdict, "value", None)
        redact = self._bodies.redact
        return Judged(
            at=self._now(),
            step=step,
            guard=guard,
            verdict=kind_of(verdict),
            stage=stage,
            mode=mode,
            reason=redact(getattr(verdict, "reason", "")),
            limit=None if limit is None else redact(str(limit)),
            value=None if value is None else redact(str(value)),
            note=note,
            trace=self._bodies.put(trace) if trace else None,
        )

    def halt_failed_folds(self, before: RunState, state: RunState) -> list[Event]:
        """Returns a `Halt` for each guard whose fold raised at the newest event."""
        if state.memories is before.memories or not any(
            isinstance(memory, FoldFailed) for memory in state.memories.values()
        ):
            return []
        events: list[Event] = []
        for guard in self.guards:
            memory = state.memories.get(guard.memory_key)
            mode = state.modes.get(guard.name, guard.mode)
            if not isinstance(memory, FoldFailed) or mode == "off":
                continue
            if memory is not before.memories.get(guard.memory_key):
                events.append(self.record(0, guard.name, memory.verdict, "before", mode))
                self._log_failure(guard, memory.verdict, 0, state)
        return events

    def _log_failure(self, guard: Guard, verdict: GuardFailed, step: int, state: RunState) -> None:
        run = state.started.run
        _log.error("guard %r raised at step %d of %s:\n%s", guard.name, step, run, self._trace(verdict))

    def _trace(self, verdict: Verdict) -> str:
        if not isinstance(verdict, GuardFailed) or verdict.error is None:
            return ""
        return format_trace(verdict.error, self._bodies.redact)


def read_answer(verdict: Replace, bodies: Bodies) -> str:
    """Returns the text that a `Replace` gives in place of the result."""
    return verdict.answer if verdict.ref is None else bodies.text(verdict.ref)


def _ask(guard: Guard, step: Step, result: Result | None, state: RunState) -> Verdict:
    """Returns one guard's verdict. A guard that raises, or whose fold raised, halts the run: it fails closed."""
    memory = state.memories.get(guard.memory_key)
    if isinstance(memory, FoldFailed):
        return memory.verdict
    try:
        if result is None:
            verdict = guard.before(step, state, memory)
        else:
            verdict = guard.after(step, result, state, memory)
        return verdict if verdict is ALLOW else check_verdict(verdict)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- fail closed: a guard that can't judge lets nothing pass
        return GuardFailed(f"guard {guard.name!r} raised {describe_error(error)}", error=error)


def _still_granted(step: Step, grant: Grant) -> bool:
    return (grant.version, grant.input, grant.seal) == (step.version, step.input, step.seal)


def _explain_void_grant(hold: Hold, step: Step, grant: Grant) -> Hold:
    """An approval is void once its tool or its arguments have changed. It says nothing of other guards' reasons."""
    if _still_granted(step, grant):
        return Hold(
            f"{hold.reason} (the approval in step {grant.step} was not asked about this)",
            hold.limit,
            hold.value,
        )
    what = f"version {grant.version} of {step.name!r}, which is at {step.version} now"
    if (grant.input, grant.seal) != (step.input, step.seal):
        what = f"other arguments of {step.name!r}"
    return Hold(f"{hold.reason} (the approval in step {grant.step} was for {what})", hold.limit, hold.value)
