"""The gate: the one place that every step of every agent passes.

    admit    1 validate, 2 judge, 3 reserve: gives the events to record, and the step if it may be performed
    perform  5, within the remaining time: the only caller of models and tools
    settle   6 judge the result, 7 settle: gives the events to record
    end      the event with which the run ends

`admit`, `settle` and `end` are pure: they take the state and give events. Step 4 (record the intent, durably)
lies between `admit` and `perform` and belongs to the driver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial

from msgspec.structs import replace

from seawall.core.errors import SeawallBug
from seawall.core.events import (
    LOST,
    REJECTED,
    EffectMoved,
    EffectState,
    Event,
    Judged,
    MemoryCut,
    Planned,
    RunEnded,
    StepDone,
    StepIntended,
    StepStatus,
)
from seawall.core.limits import Limits
from seawall.effects.asking import build_proposal
from seawall.effects.guard import EFFECTS, Blocked, EffectsGuard, Passed, Question
from seawall.effects.proposals import compute_likeness
from seawall.engine.admitted import Admitted, JudgedStep
from seawall.engine.claiming import Claiming, FindDecisions
from seawall.engine.closing import Closing
from seawall.engine.intents import add_wait, build_intent, note_advice, note_spelling
from seawall.engine.judging import GuardTable, Judge, read_answer
from seawall.engine.not_made import (
    FORGOTTEN_TEXT,
    LOST_REASON,
    LOST_TEXT,
    describe_simulated,
    refuse_forgotten,
)
from seawall.engine.parking import is_paused, tell_deferred
from seawall.engine.remembering import build_merge, name_merge, record_memory, tell_clashes
from seawall.engine.settling import (
    build_run_ended,
    encode_assistant,
    record_result,
    refuse_result,
    replace_result,
    trace_answer,
)
from seawall.engine.texts import note_answer, note_task
from seawall.guards.deadline import DEADLINE, PLANNER, bound_left_s
from seawall.guards.limits import LIMITS, Fits, Short, has_room_for_retry, stop_short
from seawall.guards.nested import bound_team_left_s
from seawall.guards.shared import BUDGET, ENDPOINTS, Defer, Retry, SharedGuard
from seawall.journal.protocol.effects import Wait
from seawall.journal.protocol.memory import MemoryMerge
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.fingerprint import compute_fingerprints
from seawall.run.guard import Guard, collect_handover
from seawall.run.state import RunState, may_have_happened
from seawall.run.step import End, Executor, Logic, Ownership, Propose, Result, Step
from seawall.run.verdict import (
    ALLOW,
    SEVERITY,
    Advise,
    Allow,
    GuardVerdict,
    Halt,
    Hold,
    Refuse,
    Rejected,
    Replace,
    kind_of,
)

BUILT_IN = (LIMITS, DEADLINE, PLANNER, ENDPOINTS, BUDGET)
"""Guards that the gate itself implements in its step 3, and the planner. They have modes like any other guard."""
SECRETS = "secrets"
"""The name of the guard that holds a call whose original arguments are not known any more. It has no mode, because it
can't be switched off."""
ADVICE_FRAMING_TOKENS = 16
"""Upper bound of the tokens of a message besides its text."""

_ZERO = Decimal(0)


def _reason_of(held: GuardVerdict) -> str:
    return getattr(held.verdict, "reason", "")


def _ignore() -> None:
    pass


class Gate:
    """The gate of one run: its guards and limits, and what it shares with other runs.

    `logic` prepares the team's steps, and `executor` performs them; without an executor the gate only judges. `wake` is
    called when a deferred step should be proposed again.
    """

    def __init__(
        self,
        logic: Logic,
        guards: Sequence[Guard] | GuardTable,
        limits: Limits,
        bodies: Bodies,
        causes: Causes,
        *,
        now: Callable[[], float],
        executor: Executor | None = None,
        simulate_effects: bool = False,
        shared: Sequence[SharedGuard] = (),
        effects: EffectsGuard | None = None,
        decisions: FindDecisions | None = None,
        wake: Callable[[], None] = _ignore,
    ) -> None:
        self.judge = Judge(guards, bodies, now=now)
        self.teams = self.judge.table.teams
        """The limits of nested teams, those of outer teams first."""
        self._logic = logic
        self._executor = executor
        self._limits = limits
        self._closing = Closing(logic, limits, self.teams, bodies, now=now, performs=executor is not None)
        self._bodies = bodies
        self._causes = causes
        self.claiming = Claiming(bodies, causes, self.judge.table.judges_claims, decisions)
        self._now = now
        self._simulate = simulate_effects
        self._shared = tuple(shared)
        self._effects = effects
        self._wake = wake
        self._acquired: dict[int, list[SharedGuard]] = {}
        """By step: the shared guards that count it."""

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The run's guards, in the order in which they judge."""
        return self.judge.guards

    # ---- 1 validate, 2 judge, 3 reserve

    def admit(self, proposal: Propose, state: RunState, left_s: float) -> Admitted:
        """Judges a proposal in `state`, with `left_s` active seconds left."""
        if state.halted is not None:  # a halt stays, even if an error handler swallowed it
            return Admitted([], None)
        step = self._logic.prepare(proposal, state, state.steps + 1)
        step = self.judge.protect(note_spelling(step, self._bodies))
        step = note_task(step, self._bodies, self._causes)
        unasked = self._admit_unasked(proposal, step, state)
        if unasked is not None:
            return unasked
        judged = self._judge_before(step, state, left_s, ahead=proposal.ahead)
        verdict, step, events = judged.verdict, judged.step, judged.events
        if isinstance(verdict, Defer):
            return Admitted(
                [*events, *tell_deferred(proposal, verdict, state, self._now(), left_s)], None, verdict
            )
        # other verdicts are given once it is the call's turn
        if proposal.ahead and not isinstance(verdict, Hold):
            return Admitted([], None)
        if isinstance(verdict, Planned):
            return Admitted([verdict], None)
        match verdict:
            case Allow() | Advise():
                pass
            case Halt():
                return Admitted(events, None)
            case Refuse():
                return self._refuse(verdict, step, state, events)
            case Hold():
                return self._hold(judged, state)
            case Replace():
                text = read_answer(verdict, self._bodies)
                return self._turn_away(step, state, "replaced", text, events)
        if self._simulate and step.effect:
            return self._turn_away(step, state, "simulated", describe_simulated(step), events)
        return self._acquire(step, state, left_s, events)

    def _refuse(self, verdict: Refuse, step: Step, state: RunState, events: list[Event]) -> Admitted:
        error = None
        if isinstance(verdict, Rejected):
            step = replace(step, likeness=compute_likeness(step, self._bodies.text(step.input)))
            error = REJECTED
        return self._turn_away(step, state, "refused", verdict.reason, events, error=error)

    def _hold(self, judged: JudgedStep, state: RunState) -> Admitted:
        """Returns the record that a step waits for a person or, with `blocked`, for the effect of another call."""
        step, blocked = judged.step, judged.blocked
        self._release_claim(step, state)
        intent = self._intend(replace(step, kind="approval"), state, perform=False)
        if blocked is not None:
            wait = Wait(effect=blocked.effect, run=state.started.run, step=step.number)
            return Admitted([replace(intent, waits_for=blocked.effect), *judged.events], None, None, (wait,))
        causes = self._causes.trace(intent.causes, intent.sources)
        asked = build_proposal(step, state, judged.holds, judged.question, causes, self._bodies, self._now())
        intent = replace(intent, proposal=asked.id, likeness=asked.likeness)
        return Admitted([intent, *judged.events], None, None, (asked,))

    def _release_claim(self, step: Step, state: RunState) -> None:
        if self._effects is not None:
            self._effects.take(state, step)

    def _admit_unasked(self, proposal: Propose, step: Step, state: RunState) -> Admitted | None:
        """Returns the answer for a step that no guard judges; None for any other step."""
        if step.kind == "approval":
            return Admitted([self._intend(step, state, perform=False)], None)
        if step.invalid is not None:
            return self._admit_invalid(step, step.invalid, state)
        if proposal.skip is not None:  # the planner pruned it; for a model step, the text replaces the reply
            status = "replaced" if step.kind == "model" else "refused"
            return self._turn_away(step, state, status, self._bodies.text(proposal.skip), [])
        if step.lost:
            return self._admit_lost(step, state)
        call = step.call and step.call.id
        if step.effect and may_have_happened(state, step.frame, call) and self._is_forgotten(step, state):
            return self._turn_away(step, state, "refused", FORGOTTEN_TEXT, [])
        return None

    def _admit_invalid(self, step: Step, text: str, state: RunState) -> Admitted:
        """Turns away a call that can't be made. Guards that judge such calls may halt the run before it, or advise."""
        verdict, events = self.judge.conclude(self.judge.judge(step, None, state), step.number, "before")
        if isinstance(verdict, Halt):
            return Admitted(events, None)
        return self._turn_away(step, state, "invalid", text, events)

    def _admit_lost(self, step: Step, state: RunState) -> Admitted:
        """Holds a call whose arguments are known only without their secrets: it is never performed with a gap. No guard
        judges it, because no guard can judge unknown arguments.
        """
        if self._simulate and step.effect:
            return self._turn_away(step, state, "simulated", describe_simulated(step), [])
        if step.grant is not None and step.grant.seal == LOST:
            return self._turn_away(step, state, "refused", LOST_TEXT, [])
        held = replace(step, kind="approval", seal=LOST)
        hold = Hold(LOST_REASON)
        event = self.judge.record(step.number, SECRETS, hold, "before", "enforce")
        holds = (GuardVerdict(SECRETS, hold, "enforce"),)
        return self._hold(JudgedStep(hold, held, [event], holds), state)

    def _judge_before(self, step: Step, state: RunState, left_s: float, *, ahead: bool) -> JudgedStep:
        """Does 2 judge and 3 reserve: returns the severest verdict, the step with the guards' additions, and the
        record.

        A call that is judged `ahead` of its turn reserves nothing yet.
        """
        claiming = self.claiming.add_to_step(step, state, self._wake)
        if isinstance(claiming, Defer):
            return JudgedStep(claiming, step, [])
        judged = self._judge_alone(claiming, state, left_s)
        if judged.verdict is ALLOW or isinstance(judged.verdict, Allow | Advise):
            if self._simulate and step.effect:
                return judged
            if not ahead:
                judged = self._reserve(judged, state, left_s)
        if not step.effect or self._effects is None or not isinstance(judged.verdict, Allow | Advise | Hold):
            return judged
        return self._check_effect(self._effects, judged, state, left_s, ahead=ahead)

    def _judge_alone(self, step: Step, state: RunState, left_s: float) -> JudgedStep:
        """Judges a step by the run's own guards and limits."""
        verdicts = self.judge.judge(step, None, state)
        if verdicts:
            step = add_wait(self._add_advice(step, verdicts), verdicts)
        limited = self._closing.check(step, state, left_s)
        if isinstance(limited, Fits):
            if not (verdicts or limited.verdicts):
                return JudgedStep(ALLOW, limited.step, [])
            step = self._add_advice(limited.step, limited.verdicts) if limited.verdicts else limited.step
            verdicts += limited.verdicts
        elif isinstance(limited, list):
            verdicts += limited
        verdict, events = self.judge.conclude(verdicts, step.number, "before")
        if isinstance(limited, Defer | Planned) and SEVERITY[kind_of(verdict)] < SEVERITY["refuse"]:
            return JudgedStep(limited, step, [])
        if isinstance(verdict, Hold) and self._simulate and step.effect:
            return JudgedStep(ALLOW, step, events)
        holds = [each for each in verdicts if isinstance(each.verdict, Hold) and each.mode == "enforce"]
        return JudgedStep(verdict, step, events, tuple(holds))

    def _reserve(self, judged: JudgedStep, state: RunState, left_s: float) -> JudgedStep:
        """Checks the shared guards for a step that the run's own guards let pass."""
        found = self._check_shared(judged.step, state, left_s)
        if isinstance(found, Defer):
            return JudgedStep(found, judged.step, [])
        if not found:
            return judged
        verdict, more = self.judge.conclude(found, judged.step.number, "before")
        return replace(judged, verdict=verdict, events=judged.events + more)

    def _check_effect(
        self, guard: EffectsGuard, judged: JudgedStep, state: RunState, left_s: float, *, ahead: bool
    ) -> JudgedStep:
        """Claims an effect that the other guards let pass or hold, and holds it if its tool requires a person's
        decision.
        """
        step, executor = judged.step, self._executor
        preview = None
        if executor is not None and step.facts is not None and step.facts.has_preview:
            preview = partial(executor.preview, step, state, left_s)
        answer = guard.check(step, state, judged.holds, self._bodies, preview, self._wake, ahead=ahead)
        match answer:
            case Passed():
                step = replace(step, identity=answer.identity, key=answer.key)
                return replace(judged, step=step)
            case Defer():
                return JudgedStep(answer, step, [])
            case MemoryCut():
                return JudgedStep(
                    Defer("memory that its run has read was reverted: the step is judged again"),
                    step,
                    [answer],
                )
            case Question():
                _, events = self.judge.conclude(answer.holds, step.number, "before")
                holds = (*judged.holds, *answer.holds)
                verdict = Hold("; ".join(_reason_of(each) for each in holds))
                return JudgedStep(verdict, step, judged.events + events, holds, answer)
            case Blocked():
                hold = Hold(answer.reason, value=answer.effect)
                event = self.judge.record(step.number, EFFECTS, hold, "before", "enforce")
                return JudgedStep(hold, step, [event], blocked=answer)
            case Replace() | Refuse() | Halt():
                event = self.judge.record(step.number, EFFECTS, answer, "before", "enforce")
                return JudgedStep(answer, step, [*judged.events, event])

    def _add_advice(self, step: Step, verdicts: Sequence[GuardVerdict]) -> Step:
        """Returns a model step whose reservation includes the advice that will be sent with it."""
        if step.kind != "model":
            return step
        notes = [
            each.verdict.note
            for each in verdicts
            if isinstance(each.verdict, Advise) and each.mode == "enforce"
        ]
        more = sum(len(self._bodies.redact(note).encode()) + ADVICE_FRAMING_TOKENS for note in notes)
        usd = None if step.usd is None else step.usd + step.input_token_usd * more
        return replace(step, tokens=step.tokens + more, usd=usd)

    def _check_shared(self, step: Step, state: RunState, left_s: float) -> list[GuardVerdict] | Defer:
        """Checks the shared guards in their order, up to the first that does not let the step pass."""
        verdicts: list[GuardVerdict] = []
        for each in self._shared:
            if not each.active:
                continue
            mode = state.modes.get(each.name, "enforce")
            if mode == "off":
                continue
            verdict = each.check(step, state, left_s, self._wake)
            if verdict is ALLOW:
                continue
            if isinstance(verdict, Defer):
                if mode == "enforce":
                    return verdict
            elif not isinstance(verdict, Allow):
                verdicts.append(GuardVerdict(each.name, verdict, mode))
                if mode == "enforce" and isinstance(verdict, Halt | Refuse):
                    break
        return verdicts

    def _acquire(self, step: Step, state: RunState, left_s: float, events: list[Event]) -> Admitted:
        self._release_claim(step, state)
        if self.teams:
            left_s = bound_team_left_s(self.teams, step, state, left_s)
        acquired = self._acquired[step.number] = [each for each in self._shared if each.active]
        for each in acquired:
            step = each.acquire(step, state, left_s)
        advice = 0
        for event in events:
            advice += isinstance(event, Judged) and bool(event.note) and event.mode == "enforce"
        if step.advice:
            events = [*events, *note_advice(step, self._now(), self._bodies)]
        folded = [] if step.folded is None else [replace(step.folded, at=self._now())]
        intent = self._intend(step, state, perform=True, advice=advice)
        return Admitted([*folded, intent, *events], step)

    def release(self, step: Step, state: RunState, result: Result) -> None:
        """Releases an admitted step that has ended at the shared guards that counted it."""
        for each in self._acquired.pop(step.number, ()):
            each.release(step, state, result)

    def is_paused(self, step: Step, state: RunState) -> bool:
        """Returns whether a person's pause holds an admitted step that has not begun."""
        return is_paused(self._shared, step, state, self._wake)

    def _turn_away(
        self,
        step: Step,
        state: RunState,
        status: StepStatus,
        text: str,
        events: list[Event],
        *,
        error: str | None = None,
    ) -> Admitted:
        """Returns the record of a step that is not performed: the text that the agent gets instead, and the guards'
        verdicts.
        """
        bodies = self._bodies
        self._release_claim(step, state)
        error = error or (status if status != "replaced" else None)
        result = Result(status=status, output=text, error=error)
        result = replace(result, fingerprint=compute_fingerprints(step, result).exact)
        if step.invalid is not None:
            advice = self.judge.judge(step, result, state)
            events = [*events, *self.judge.conclude(advice, step.number, "after")[1]]
        done = record_result(step, result, bodies, run=state.started.run, at=self._now(), left_s=state.left_s)
        if step.kind == "model" and status == "replaced":
            done = replace(done, answer=done.output, output=encode_assistant(text, bodies))
        if step.kind == "review" and status == "replaced":  # a guard's answer never counts as an approval
            done = replace(done, approved=False)
        return Admitted([self._intend(step, state, perform=False), *events, done], None)

    def _intend(self, step: Step, state: RunState, *, perform: bool, advice: int = 0) -> StepIntended:
        frame = state.frames[step.frame]
        if step.kind == "model":
            if not frame.foreign:  # in a foreign frame the input is a manifest, and the loop has the prompt
                self._causes.learn_prompt(step.input, self._bodies)
            if state.facts:
                self._causes.learn_told(state.facts, self._bodies)
            if state.reads:
                self._causes.descent.tell(state.reads.get(0, ()))
            edges = self._causes.find_edges("", exposed=frame.fresh)
        else:
            grant = step.grant
            by = grant.step if grant is not None and grant.edited else frame.last_reply
            edges = self._causes.find_edges(self._bodies.text(step.input), by=by)
        intent = build_intent(step, edges, at=self._now(), perform=perform, advice=advice)
        self._causes.note(intent)
        if intent.kind == "handoff":
            self._causes.learn_task(intent, self._bodies)
        return intent

    def learn_decisions(self, events: Iterable[Event]) -> None:
        """Learns what people have decided: what they wrote is a source of what comes after it."""
        for event in events:
            if isinstance(event, StepDone):
                self._causes.settle(event, self._bodies)

    def answer_failed(self, end: End, state: RunState) -> Planned | None:
        """Returns the answer of a run whose last reply failed; None if that was not its last reply, or there is nothing
        to answer with.
        """
        return self._closing.answer_failed(end, state)

    def end_overdue(self, step: Step, short: Short, state: RunState) -> tuple[list[Event], bool]:
        """Returns what is recorded once the time of the step's agent is up, and whether only the step is given up for it."""
        end = self._closing.end_overdue(step, short, state)
        if isinstance(end, Planned):
            return [end], False
        verdict = end or GuardVerdict(LIMITS, stop_short(short), "enforce")
        return self.judge.conclude([verdict], step.number, "after")[1], end is None

    # ---- 5 perform

    def perform(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None = None
    ) -> Awaitable[Result]:
        """Performs an admitted step whose intent is durable. This is the only way to a model or a tool."""
        if self._executor is None:
            raise SeawallBug(f"step {step.number} was to be performed at a gate that only judges")
        call = step.call and step.call.id
        if step.effect and may_have_happened(state, step.frame, call) and self._is_forgotten(step, state):
            return refuse_forgotten()
        left_s = _time_s(state, left_s)
        if self.teams:
            left_s = bound_team_left_s(self.teams, step, state, left_s)
        return self._executor.perform(step, state, left_s, ownership)

    def report_signs(self, on_sign: Callable[[int], None]) -> None:
        """Sets the callback that gets a step's number at each sign of life of its call."""
        if self._executor is not None:
            self._executor.on_sign = on_sign

    def withdraw(self, step: Step) -> Result | None:
        """Gives up a step that waits for its turn, and returns its result; None if it has begun."""
        return None if self._executor is None else self._executor.withdraw(step)

    # ---- 6 judge, 7 settle

    def settle(self, step: Step, result: Result, state: RunState, left_s: float) -> list[Event]:
        """Judges the result of a step and turns it into events."""
        if step.reconciles is not None:
            return self._settle_reconciled(step, step.reconciles, result, state, left_s)
        if result.error == "not_done" and may_have_happened(state, step.frame, step.call and step.call.id):
            # The result is of this attempt. The earlier attempt, which is made again, may have happened.
            result = replace(result, error="attempt_not_done")
        if step.kind == "handoff" and result.status == "ok":
            result = tell_clashes(step, result, state, self._bodies)
        if result.retryable:
            failed = self._record(step, result, state, left_s)
            retry = self._may_retry(step, result, failed, state, left_s)
            if retry != "no":
                return [replace(failed, retry=True, spared=retry == "waits")]
        found = compute_fingerprints(step, result, self._now(), self._bodies.conceal)
        if found.exact is not None:
            result = replace(
                result,
                fingerprint=found.exact,
                loose_fingerprint=found.loose,
                answer_fingerprint=found.answer,
            )
        # Guards are not shown data that only the model's server reads.
        shown = self.claiming.add_to_result(step, result, state)
        shown = shown if shown.reasoning is None else replace(shown, reasoning=None)
        verdicts = self.judge.judge(step, shown, state)
        if not verdicts:
            return self._conclude(step, result, self._record(step, result, state, left_s), state)
        verdict, events = self.judge.conclude(verdicts, step.number, "after")
        for event in events:
            self._causes.learn_verdict(event, self._bodies)
        done = self._record(step, result, state, left_s)
        if isinstance(verdict, Replace):
            done = replace_result(step, done, read_answer(verdict, self._bodies), self._bodies)
        elif isinstance(verdict, Refuse | Hold):
            done = refuse_result(step, done, verdict.reason, self._bodies)
        return [*events, *self._conclude(step, result, done, state)]

    def _conclude(self, step: Step, result: Result, done: StepDone, state: RunState) -> list[Event]:
        """Returns the events of a step's reads and writes of memory, and then its end."""
        done = note_answer(done, self._bodies, self._causes)
        if result.memory is None:
            self._causes.settle(done, self._bodies)
            return [done]
        used = record_memory(step, result, done, state, self._bodies, done.at)
        self._causes.settle(done, self._bodies, used)
        return [*used, done]

    def _settle_reconciled(
        self, step: Step, effect: int, result: Result, state: RunState, left_s: float
    ) -> list[Event]:
        """Turns the external system's answer about an effect into events. A state that is already settled is kept."""
        known = state.find_effect(effect)
        if known is not None and known.state in ("committed", "failed"):
            failed = known.state == "failed"
            result = Result(
                status="error" if failed else "ok",
                output=self._bodies.text(known.receipt),
                error="not_done" if failed else None,
                duration_s=result.duration_s,
            )
        done = self._record(step, result, state, left_s)
        self._causes.settle(done, self._bodies)
        if result.status != "ok" and result.error != "not_done":
            return [done]
        fate: EffectState = "committed" if result.status == "ok" else "failed"
        return [EffectMoved(at=self._now(), step=effect, state=fate, receipt=done.output), done]

    def end(self, end: End, state: RunState, left_s: float) -> RunEnded:
        """Returns the event with which the run ends. It must have no open steps."""
        return build_run_ended(
            end,
            state,
            edges=trace_answer(end, state, self._bodies, self._causes),
            # A run that ends before its first step had no part in the session's conversation.
            transcript=self._logic.transcript(state, end.status) if state.steps else None,
            handover=collect_handover(state, self.guards) if state.started.session is not None else {},
            bodies=self._bodies,
            at=self._now(),
            left_s=left_s,
            # It is not recorded whether an earlier owner of the run delivered text.
            delivered=state.epoch > 1 or (self._executor is not None and self._executor.delivered),
            memory=name_merge(end, state),
        )

    def build_merge(self, state: RunState, ended: RunEnded) -> MemoryMerge | None:
        """Returns a run's merge into memory at its end; `state` is the state before the end."""
        return build_merge(state, ended, self._bodies, self._causes)

    def _may_retry(
        self, step: Step, result: Result, failed: StepDone, state: RunState, left_s: float
    ) -> Retry:
        """Returns whether the step's policy, its limits and the guards that runs share allow another try in time."""
        policy = self._logic.retries(step, state)
        if policy == "never" or self._is_forgotten(step, state):
            return "no"
        time_s = _time_s(state, left_s)
        if (result.retry_after_s or 0.0) >= time_s:
            return "no"  # the next try would be answered after the deadline
        if not has_room_for_retry(step, failed, state, self._limits):
            return (
                "no"  # the run should end with the failure, and not with the limit that prevents another try
            )
        used_up = policy == "used_up"
        said = [
            each.may_retry(step, state, result, left_s, used_up=used_up)
            for each in self._shared
            if each.active
        ]
        if "no" in said:
            return "no"
        return "waits" if "waits" in said else "no" if used_up else "yes"

    def _is_forgotten(self, step: Step, state: RunState) -> bool:
        """Returns whether the external system may have forgotten the key of an effect's first attempt."""
        facts = step.facts
        if not step.effect or facts is None or facts.key_ttl_s is None:
            return False
        first = state.find_first_attempt(step.frame, step.call and step.call.id)
        return first is not None and self._now() + step.delay_s - first >= facts.key_ttl_s

    def _record(self, step: Step, result: Result, state: RunState, left_s: float) -> StepDone:
        run, counts = state.started.run, self._limits.count_failed
        return record_result(
            step, result, self._bodies, run=run, at=self._now(), left_s=left_s, counts=counts
        )


def _time_s(state: RunState, left_s: float) -> float:
    """Returns the seconds that a step may take. If the deadline does not bind, this is a day, so that no client's
    time-out binds either.
    """
    return max(0.0, bound_left_s(left_s, state))
