"""The gate: the one place that every step of every agent passes.

    admit    1 validate, 2 judge, 3 reserve: gives the events to record, and the step if it may be performed
    perform  5, within the remaining time: the only caller of models and tools
    settle   6 judge the result, 7 settle: gives the events to record

`admit` and `settle` are pure: they take the state and give events. Step 4 (record the intent, durably)
lies between `admit` and `perform` and belongs to the shell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from seawall.core.canonical import Ref, canonical
from seawall.core.errors import describe_error
from seawall.core.events import (
    Call,
    Event,
    Judged,
    Mode,
    Stage,
    StepDone,
    StepIntended,
    StepStatus,
    VerdictKind,
)
from seawall.core.limits import Limits
from seawall.engine.reserve import check_shared, is_paused
from seawall.guards.deadline import DEADLINE, PLANNER
from seawall.guards.limits import LIMITS, check_limits
from seawall.guards.shared import BUDGET, ENDPOINTS, Defer, SharedGuard, retry_all
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fingerprint import compute_fingerprint, compute_loose_fingerprint
from seawall.run.frame import Grant
from seawall.run.guard import FoldFailed, Guard
from seawall.run.state import RunState
from seawall.run.step import Propose, Result, Step, Work
from seawall.run.verdict import (
    ALLOW,
    SEVERITY,
    Advise,
    Allow,
    GuardVerdict,
    Halt,
    Hold,
    Refuse,
    Replace,
    Verdict,
    check_verdict,
    kind_of,
)

UNBOUND_S = 86_400.0
"""Told to a step as the time that it has where the deadline is only observed, or off: a day."""
BUILT_IN = (LIMITS, DEADLINE, PLANNER, ENDPOINTS, BUDGET)
"""Guards that the gate itself plays, at reserve, and the planner: they have modes like any other."""


WITHHELD = "[this reply was withheld]"
"""Stands for a reply that a guard refused; some providers take no empty message."""


ADVICE_FRAMING_TOKENS = 16
"""Upper bound of what a message costs beside its text."""


class Admitted(NamedTuple):
    """What became of a proposal: the events to record, and the step if it is to be performed.

    With `defer` the step waits: for what is in flight, or for something that runs share.
    """

    events: list[Event]
    step: Step | None
    defer: Defer | None = None


def _nobody() -> None:
    pass


class Gate:
    """Guards and limits of one run."""

    def __init__(
        self,
        work: Work,
        guards: Sequence[Guard],
        limits: Limits,
        *,
        now: Callable[[], float],
        simulate_effects: bool = False,
        shared: Sequence[SharedGuard] = (),
        again: Callable[[], None] = _nobody,
    ) -> None:
        self.guards = tuple(guards)
        self._work = work
        self._limits = limits
        self._now = now
        self._simulate = simulate_effects
        self._shared = tuple(shared)
        self._again = again
        """Called when it is worth asking again for a step that was told `Defer`."""

    # ---- 1 validate, 2 judge, 3 reserve

    def admit(
        self, proposal: Propose, state: RunState, bodies: Bodies, causes: Causes, left_s: float
    ) -> Admitted:
        """Judge a proposal in `state`, with `left_s` active seconds left."""
        if state.halted is not None:  # sticky, whatever was swallowed in between
            return Admitted([], None)
        step = self._work.prepare(proposal, state, bodies, state.steps + 1)
        if step.kind == "approval":
            return Admitted([self._intent(step, state, bodies, causes, perform=False)], None)
        if (unmade := _unmade(step, proposal, bodies)) is not None:
            return self._turned_away(step, state, bodies, causes, *unmade, [])
        verdict, step, events = self._judged_before(step, state, bodies, left_s)
        match verdict:
            case Defer():
                return Admitted([], None, verdict)
            case Halt():
                return Admitted(events, None)
            case Refuse(reason=reason):
                return self._turned_away(step, state, bodies, causes, "refused", reason, events)
            case Hold():
                held = msgspec.structs.replace(step, kind="approval")
                return Admitted([self._intent(held, state, bodies, causes, perform=False), *events], None)
            case Replace():
                text = _answer(verdict, bodies)
                return self._turned_away(step, state, bodies, causes, "replaced", text, events)
            case Allow() | Advise():
                pass
        if self._simulates(step):
            text = f"[simulated: in a fork {step.name!r} is not performed]"
            return self._turned_away(step, state, bodies, causes, "simulated", text, events)
        return self._admitted(step, state, bodies, causes, events)

    def _judged_before(
        self, step: Step, state: RunState, bodies: Bodies, left_s: float
    ) -> tuple[Verdict | Defer, Step, list[Event]]:
        """2 judge, 3 reserve: what is said of the step in all, and the step with the advice in its bounds."""
        findings = self.judge("before", step, None, state)
        step = _later(_advised(step, findings, bodies), findings)
        limited = check_limits(step, state, self._limits)
        if not isinstance(limited, Defer):
            findings += limited
        verdict, events = self._sum_up(findings, step, "before", bodies)
        if isinstance(limited, Defer) and SEVERITY[kind_of(verdict)] < SEVERITY["refuse"]:
            return limited, step, []
        if not self._shared or not isinstance(verdict, Allow | Advise) or self._simulates(step):
            return verdict, step, events
        found = check_shared(self._shared, step, state, left_s, self._again)
        if isinstance(found, Defer):
            return found, step, []
        word, more = self._sum_up(found, step, "before", bodies)
        return word, step, events + more

    def _simulates(self, step: Step) -> bool:
        return step.effect and self._simulate

    def _admitted(
        self, step: Step, state: RunState, bodies: Bodies, causes: Causes, events: list[Event]
    ) -> Admitted:
        for each in self._shared:
            step = each.take(step, state)
        advice = sum(
            1 for event in events if isinstance(event, Judged) and event.note and event.mode == "enforce"
        )
        intent = self._intent(step, state, bodies, causes, perform=True, advice=advice)
        return Admitted([intent, *events], step)

    def done(self, step: Step, state: RunState, result: Result) -> None:
        """An admitted step has come to an end: those that runs share may let go of it."""
        for each in self._shared:
            each.done(step, state, result)

    def held(self, step: Step, state: RunState) -> bool:
        """Whether a brake holds an admitted step that has not begun."""
        return is_paused(self._shared, step, state, self._again)

    def judge(self, stage: Stage, step: Step, result: Result | None, state: RunState) -> list[GuardVerdict]:
        """What every guard that is not off says, but for Allow."""
        findings: list[GuardVerdict] = []
        for guard in self.guards:
            mode = state.modes.get(guard.name, guard.mode)
            if mode == "off":
                continue
            memory = state.memories.get(guard.name)
            if isinstance(memory, FoldFailed):
                verdict = memory.verdict
            else:
                try:
                    if result is None:
                        verdict = check_verdict(guard.before(step, state, memory))
                    else:
                        verdict = check_verdict(guard.after(step, result, state, memory))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # noqa: BLE001 -- fail closed: a guard that can't judge lets nothing pass
                    verdict = Halt(f"guard {guard.name!r} raised {describe_error(error)}")
            if isinstance(verdict, Hold) and step.grant is not None:
                if (step.grant.version, step.grant.input) == (step.version, step.input):
                    continue
                verdict = _held_again(verdict, step, step.grant)
            if not isinstance(verdict, Allow) or verdict.wait_s:
                findings.append(GuardVerdict(guard.name, verdict, mode))
        return findings

    def failed(self, before: RunState, state: RunState) -> list[Event]:
        """Guards whose fold raised at the newest event: each is a `Halt`, recorded at once."""
        events: list[Event] = []
        for guard in self.guards:
            memory = state.memories.get(guard.name)
            mode = state.modes.get(guard.name, guard.mode)
            if (
                isinstance(memory, FoldFailed)
                and memory is not before.memories.get(guard.name)
                and mode != "off"
            ):
                reason = memory.verdict.reason
                events.append(
                    Judged(
                        at=self._now(),
                        step=0,
                        guard=guard.name,
                        verdict="halt",
                        stage="before",
                        mode=mode,
                        reason=reason,
                    )
                )
        return events

    def _sum_up(
        self, findings: list[GuardVerdict], step: Step, stage: Stage, bodies: Bodies
    ) -> tuple[Verdict, list[Event]]:
        """The severest enforced verdict, and the record of all."""
        severest: Verdict = ALLOW
        events: list[Event] = []
        for guard, verdict, mode in findings:
            if isinstance(verdict, Allow):
                continue
            kind = kind_of(verdict)
            note: Ref | None = None
            if isinstance(verdict, Advise):
                note = bodies.put(verdict.note)
            elif isinstance(verdict, Replace):
                note = bodies.put(_answer(verdict, bodies))
            events.append(self._judged(step.number, guard, verdict, kind, stage, mode, note, bodies))
            if mode == "enforce" and SEVERITY[kind] > SEVERITY[kind_of(severest)]:
                severest = verdict
        return severest, events

    def _judged(
        self,
        number: int,
        guard: str,
        verdict: Verdict,
        kind: VerdictKind,
        stage: Stage,
        mode: Mode,
        note: Ref | None,
        bodies: Bodies,
    ) -> Judged:
        limit = getattr(verdict, "limit", None)
        value = getattr(verdict, "value", None)
        return Judged(
            at=self._now(),
            step=number,
            guard=guard,
            verdict=kind,
            stage=stage,
            mode=mode,
            reason=bodies.redact(getattr(verdict, "reason", "")),
            limit=None if limit is None else bodies.redact(str(limit)),
            value=None if value is None else bodies.redact(str(value)),
            note=note,
        )

    def _turned_away(
        self,
        step: Step,
        state: RunState,
        bodies: Bodies,
        causes: Causes,
        status: StepStatus,
        text: str,
        events: list[Event],
    ) -> Admitted:
        """A step that is not performed: what the agent is told instead, and the guards' word on it."""
        intent = self._intent(step, state, bodies, causes, perform=False)
        result = Result(status=status, output=text, error=status if status != "replaced" else None)
        result = msgspec.structs.replace(result, fingerprint=compute_fingerprint(step, result))
        done = self._done(step, result, state, bodies, retry=False, left_s=state.left_s)
        if step.kind == "model" and status == "replaced":
            done = msgspec.structs.replace(done, answer=done.output, output=_assistant(text, bodies))
        if step.kind == "review" and status == "replaced":  # a guard's word is never an approval
            done = msgspec.structs.replace(done, approved=False)
        return Admitted([intent, *events, done], None)

    def _intent(
        self, step: Step, state: RunState, bodies: Bodies, causes: Causes, *, perform: bool, advice: int = 0
    ) -> StepIntended:
        frame = state.frames[step.frame]
        if step.kind == "model":
            edges = causes.of("", exposed=frame.fresh)
        else:
            edges = causes.of(bodies.text(step.input), by=frame.last_reply)
        return StepIntended(
            at=self._now(),
            step=step.number,
            kind=step.kind,
            name=step.name,
            agent=step.agent,
            frame=step.frame,
            call=None if step.call is None else step.call.id,
            grant=None if step.grant is None else step.grant.step,
            input=step.input,
            context=step.context + advice if step.kind == "model" else 0,
            causes=edges,
            version=step.version,
            effect=step.effect,
            idempotent=step.idempotent,
            may_write=step.may_write,
            poll=step.poll,
            gist=step.gist,
            perform=perform,
            tokens=step.tokens,
            usd=step.usd or _ZERO,
            prepaid=step.prepaid,
            depth=step.depth,
        )

    # ---- 5 perform

    async def perform(self, step: Step, state: RunState, bodies: Bodies, left_s: float) -> Result:
        """Perform an admitted step whose intent is durable. The only way to a model or a tool."""
        return await self._work.perform(step, state, bodies, _time_s(state, left_s))

    # ---- 6 judge, 7 settle

    def settle(
        self, step: Step, result: Result, state: RunState, bodies: Bodies, causes: Causes, left_s: float
    ) -> list[Event]:
        """Judge what came back and turn it into events."""
        retry = result.retryable and self._work.retries(step, state, result)
        if retry and (result.retry_after_s or 0.0) >= _time_s(state, left_s):
            retry = False  # it would be answered after the deadline
        retry = retry and retry_all(self._shared, step, state, result)
        if retry:
            return [self._done(step, result, state, bodies, retry=True, left_s=left_s)]
        result = msgspec.structs.replace(
            result,
            fingerprint=compute_fingerprint(step, result),
            loose_fingerprint=compute_loose_fingerprint(step, result),
        )
        findings = self.judge("after", step, result, state) if self.guards else []
        if not findings:
            done = self._done(step, result, state, bodies, retry=False, left_s=left_s)
            self._learn(step, done, bodies, causes)
            return [done]
        verdict, events = self._sum_up(findings, step, "after", bodies)
        done = self._done(step, result, state, bodies, retry=False, left_s=left_s)
        if isinstance(verdict, Replace):
            done = self._swapped(step, done, _answer(verdict, bodies), "ok", bodies)
        elif isinstance(verdict, Refuse | Hold):
            done = self._swapped(step, done, verdict.reason, "refused", bodies)
        self._learn(step, done, bodies, causes)
        return [*events, done]

    def _swapped(self, step: Step, done: StepDone, text: str, status: StepStatus, bodies: Bodies) -> StepDone:
        """The result with another text in its place. What was spent stays spent, an effect stays an effect."""
        if step.kind == "model":
            answer = bodies.put(text)
            if status == "refused":
                return msgspec.structs.replace(
                    done,
                    status="ok",
                    output=_assistant(WITHHELD, bodies),
                    calls=(),
                    answer=None,
                    problem=answer,
                )
            return msgspec.structs.replace(
                done, output=_assistant(text, bodies), calls=(), answer=answer, problem=None
            )
        if step.effect:
            status = done.status
        return msgspec.structs.replace(done, output=bodies.put(text), status=status)

    def _done(
        self, step: Step, result: Result, state: RunState, bodies: Bodies, *, retry: bool, left_s: float
    ) -> StepDone:
        calls = tuple(Call(number, name, bodies.put(text)) for number, name, text in result.calls)
        return StepDone(
            at=self._now(),
            step=step.number,
            status=result.status,
            output=bodies.put(result.output),
            fingerprint=result.fingerprint,
            loose_fingerprint=result.loose_fingerprint,
            error=result.error,
            retry=retry,
            retry_after_s=result.retry_after_s,
            calls=calls,
            answer=None if result.answer is None else bodies.put(result.answer),
            problem=None if result.problem is None else bodies.put(result.problem),
            approved=result.approved,
            output_bytes=len(result.output),
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
            usd=result.usd,
            uncharged=result.uncharged,
            duration_s=round(result.duration_s, 6),
            left_s=round(left_s, 6),
        )

    def _learn(self, step: Step, done: StepDone, bodies: Bodies, causes: Causes) -> None:
        if step.kind != "model" and done.status == "ok" and done.output is not None:
            causes.learn(step.number, bodies.text(done.output))


_ZERO = Decimal(0)


def _unmade(step: Step, proposal: Propose, bodies: Bodies) -> tuple[StepStatus, str] | None:
    """What no guard is asked about, and what is said of it: invalid calls, and those that the planner pruned."""
    if step.invalid is not None:
        return "invalid", step.invalid
    return None if proposal.skip is None else ("refused", bodies.text(proposal.skip))


def _time_s(state: RunState, left_s: float) -> float:
    """What a step may take: where the deadline does not bind, no client's time-out may bind in its place."""
    return max(0.0, left_s) if state.modes.get(DEADLINE, "enforce") == "enforce" else UNBOUND_S


def _advised(step: Step, findings: Sequence[GuardVerdict], bodies: Bodies) -> Step:
    """A model step with the advice that it will be sent in its reservation."""
    if step.kind != "model":
        return step
    notes = [
        each.verdict.note for each in findings if isinstance(each.verdict, Advise) and each.mode == "enforce"
    ]
    more = sum(len(bodies.redact(note).encode()) + ADVICE_FRAMING_TOKENS for note in notes)
    usd = None if step.usd is None else step.usd + step.input_token_usd * more
    return msgspec.structs.replace(step, tokens=step.tokens + more, usd=usd)


def _held_again(hold: Hold, step: Step, grant: Grant) -> Hold:
    """An approval is void once its tool or its arguments have changed."""
    what = f"version {grant.version} of {step.name!r}, which is at {step.version} now"
    if grant.input != step.input:
        what = f"other arguments of {step.name!r}"
    return Hold(f"{hold.reason} (the approval in step {grant.step} was for {what})", hold.limit, hold.value)


def _answer(verdict: Replace, bodies: Bodies) -> str:
    return verdict.answer if verdict.ref is None else bodies.text(verdict.ref)


def _later(step: Step, findings: Sequence[GuardVerdict]) -> Step:
    """The step, with the longest wait that a guard asks for before it is performed."""
    waits = [
        each.verdict.wait_s for each in findings if isinstance(each.verdict, Allow) and each.mode == "enforce"
    ]
    return msgspec.structs.replace(step, delay_s=max([step.delay_s, *waits])) if waits else step


def _assistant(text: str, bodies: Bodies) -> Ref:
    return bodies.put(canonical({"content": bodies.redact(text), "role": "assistant"}).decode())
