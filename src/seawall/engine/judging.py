"""Steps 2 and 6 of the gate: the guards' verdicts on a step or on its result, and the record of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import describe_error, format_trace
from seawall.core.events import Event, Judged, Mode, Stage
from seawall.core.frozen import FrozenDict, freeze
from seawall.guards.authority import AUTHORITY, AuthorityGuard
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


class _JudgingGuard(NamedTuple):
    """A guard that judges, with its mode."""

    guard: Guard
    mode: Mode
    memory_key: str | None
    """The key of the guard's memory; None: the guard has no memory."""


class _JudgingGuards(NamedTuple):
    """The guards that judge in one stage, without those that are off."""

    everywhere: list[_JudgingGuard]
    by_agent: dict[str, list[_JudgingGuard]]
    """The guards of agents with guards of nested teams, those that judge everywhere included."""


_NO_GUARDS = _JudgingGuards([], {})


class _GuardsByAgent:
    """The guards that judge each agent's steps in one stage."""

    def __init__(self, method: str, guards: Iterable[tuple[Guard, Collection[str]]]) -> None:
        """`guards`: each with the names of the methods that it overrides."""
        self._own: list[tuple[Guard, str | None]] = []
        """Each guard with the key of its memory, or None if it has none."""
        self._nested: list[TeamGuard] = []
        for guard, methods in guards:
            if isinstance(guard, TeamGuard):
                self._nested.append(guard)
                continue
            # The guard's memory may be a failed fold, which must halt the run.
            remembers = "start" in methods or "fold" in methods
            if remembers or method in methods:
                self._own.append((guard, guard.memory_key if remembers else None))
        self._all: list[Guard] = [*[guard for guard, _ in self._own], *self._nested]
        self._newest: tuple[list[Mode], _JudgingGuards] | None = None
        """The modes of all guards, and what was listed for them. Most runs of a team have the same modes."""

    def list_asked(self, modes: Mapping[str, Mode]) -> _JudgingGuards:
        """Returns the guards that judge under these modes."""
        wanted: list[Mode] = [modes.get(guard.name, guard.mode) for guard in self._all]
        newest = self._newest  # read and set as a whole, because runs in several threads may share it
        if newest is None or newest[0] != wanted:
            everywhere = _list_asked(self._own, modes)
            by_agent = {
                agent: everywhere
                + _list_asked(
                    ((each, each.memory_key) for each in self._nested if agent in each.agents), modes
                )
                for agent in {agent for each in self._nested for agent in each.agents}
            }
            newest = self._newest = (wanted, _JudgingGuards(everywhere, by_agent))
        return newest[1]


def _list_asked(guards: Iterable[tuple[Guard, str | None]], modes: Mapping[str, Mode]) -> list[_JudgingGuard]:
    asked = [_JudgingGuard(guard, modes.get(guard.name, guard.mode), key) for guard, key in guards]
    return [each for each in asked if each.mode != "off"]


_METHODS = {name: getattr(Guard, name) for name in ("before", "after", "start", "fold")}


def _list_own_methods(guard: Guard) -> list[str]:
    """Returns the names of the methods that a guard overrides. The methods of the base class only allow."""
    return [
        name for name, base in _METHODS.items() if getattr(getattr(guard, name), "__func__", None) is not base
    ]


def _describe(guard: Guard) -> tuple[str, str, list[str]]:
    return guard.name, guard.memory_key, _list_own_methods(guard)


class GuardTable:
    """The guards of a team's runs, sorted by what they do. All runs of the team share it."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self.guards = tuple(guards)
        self._described = [_describe(guard) for guard in self.guards]
        guarded = [
            (guard, methods) for guard, (_, _, methods) in zip(self.guards, self._described, strict=True)
        ]
        self.folding = tuple([guard for guard, methods in guarded if "fold" in methods])
        """The guards that have a memory."""
        self.folding_keys = [(guard, guard.memory_key) for guard in self.folding]
        self.teams = tuple([guard for guard in self.guards if isinstance(guard, TeamLimits)])
        """The limits of nested teams, those of outer teams first."""
        judging = [each for each in guarded if not isinstance(each[0], TeamLimits)]
        self.before = _GuardsByAgent("before", judging)
        self.after = _GuardsByAgent("after", judging)
        plain = [guard.guard if isinstance(guard, TeamGuard) else guard for guard, _ in judging]
        self.all_built_in = all(type(guard) in _BUILT_IN for guard in plain)
        """Whether every guard is one of Seawall's own, which never changes the values that it is shown."""
        names = [guard.name for guard in self.guards]
        self.judges_claims = AUTHORITY in names
        """Whether a guard judges claims of permission."""
        self.memory = None if MEMORY_GUARD in names else MemoryGuard()
        """The memory guard. It is also there for a run whose team has lost its memory by a deploy, because of what the
        run has read before."""

    def __repr__(self) -> str:
        return f"<GuardTable of {', '.join(guard.name for guard in self.guards) or 'no guards'}>"

    @property
    def is_current(self) -> bool:
        """Whether the guards are still what they were. A program may set a method on a guard at any time."""
        return self._described == [_describe(guard) for guard in self.guards]


class Judge:
    """Lets the guards of one run judge, and turns their verdicts into events."""

    def __init__(
        self, guards: Sequence[Guard] | GuardTable, bodies: Bodies, *, now: Callable[[], float]
    ) -> None:
        self.table = table = guards if isinstance(guards, GuardTable) else GuardTable(guards)
        self.guards = table.guards
        self.folding = table.folding
        """The guards that have a memory."""
        self._folding_keys = table.folding_keys
        self._all_built_in, self._memory = table.all_built_in, table.memory
        self._modes: Mapping[str, Mode] | None = None
        """The modes for which the guards below were listed."""
        self._before = self._after = _NO_GUARDS
        self._bodies = bodies
        self._now = now

    def __repr__(self) -> str:
        return f"<Judge of {', '.join(guard.name for guard in self.guards) or 'no guards'}>"

    def protect(self, step: Step) -> Step:
        """Returns the step for guards, with a copy of the arguments that can't be changed."""
        if step.arguments is None or self._all_built_in or isinstance(step.arguments, FrozenDict):
            return step
        return replace(step, arguments=freeze(step.arguments))

    def judge(self, step: Step, result: Result | None, state: RunState) -> list[GuardVerdict]:
        """Returns the verdicts other than `Allow` of all guards of the step's agent that are not off: on `result`, or
        on the step before it is performed. A guard that raises, or whose fold raised, halts the run: it fails
        closed.
        """
        found: list[GuardVerdict] = []
        # guards must not change the arguments of the call
        if step.target is not None and not self._all_built_in:
            step = replace(step, target=None)
        if state.modes is not self._modes:
            self._before = self.table.before.list_asked(state.modes)
            self._after = self.table.after.list_asked(state.modes)
            self._modes = state.modes
        everywhere, by_agent = self._before if result is None else self._after
        asked = by_agent.get(step.agent, everywhere)
        if state.cut and self._memory is not None:
            mode = state.modes.get(MEMORY_GUARD, self._memory.mode)
            asked = asked if mode == "off" else [*asked, _JudgingGuard(self._memory, mode, None)]
        for guard, mode, memory_key in asked:
            if step.invalid is not None and not guard.judges_invalid:
                continue
            memory = None if memory_key is None else state.memories.get(memory_key)
            try:
                if isinstance(memory, FoldFailed):
                    verdict = memory.verdict
                elif result is None:
                    verdict = guard.before(step, state, memory)
                else:
                    verdict = guard.after(step, result, state, memory)
                if verdict is ALLOW:
                    continue
                verdict = check_verdict(verdict)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 -- fail closed: a guard that can't judge lets no step pass
                verdict = GuardFailed(f"guard {guard.name!r} raised {describe_error(error)}", error=error)
            verdict = self._take_verdict(guard, verdict, step, state)
            if not isinstance(verdict, Allow) or verdict.wait_s:
                found.append(GuardVerdict(guard.name, verdict, mode))
        return found

    def _take_verdict(self, guard: Guard, verdict: Verdict, step: Step, state: RunState) -> Verdict:
        """Returns the verdict that counts: a step that was approved is not held again for the same reason."""
        if isinstance(verdict, GuardFailed):
            self._log_failure(guard, verdict, step.number, state)
        elif isinstance(verdict, Hold) and step.grant is not None:
            if guard.name in step.grant.guards and _still_granted(step, step.grant):
                return ALLOW
            return _explain_void_grant(verdict, step, step.grant)
        return verdict

    def conclude(
        self, verdicts: Sequence[GuardVerdict], step: int, stage: Stage
    ) -> tuple[Verdict, list[Event]]:
        """Returns the severest enforced verdict, and the record of all verdicts."""
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
        events: list[Event] = []
        for guard, key in self._folding_keys:
            memory = state.memories.get(key)
            if not isinstance(memory, FoldFailed):
                continue
            mode = state.modes.get(guard.name, guard.mode)
            if mode != "off" and memory is not before.memories.get(key):
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


def _still_granted(step: Step, grant: Grant) -> bool:
    return (grant.version, grant.input, grant.seal) == (step.version, step.input, step.seal)


def _explain_void_grant(hold: Hold, step: Step, grant: Grant) -> Hold:
    """Returns the hold with the reason why an earlier approval does not apply: the tool or the arguments have changed,
    or the approval was for other guards' reasons.
    """
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
