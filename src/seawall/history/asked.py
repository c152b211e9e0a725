"""Replay of runs whose steps a framework's own loop asked for: only the record says what the loop asks for next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import Call, Event, Judged, RunEnded, StepDone, StepIntended, StepKind
from seawall.core.limits import Limits
from seawall.engine.gate import ADVICE_FRAMING_TOKENS
from seawall.guards.limits import LIMITS
from seawall.models.protocol import Price
from seawall.models.usage import compute_bound_usd
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import make_gist
from seawall.run.frame import find_call
from seawall.run.state import RunState
from seawall.run.step import Action, End, LoopElsewhere, Propose, Step, restore_step
from seawall.team.assembly import CLOSING_TOKENS
from seawall.team.decide import find_asked_skip

_ZERO = Decimal(0)


class RecordedLogic(LoopElsewhere):
    """`run.step.Logic` of a recorded run: it proposes the next recorded step, and prepares it as it was recorded."""

    def __init__(
        self, events: Sequence[Event], bodies: Bodies, find_price: Callable[[str], Price | None]
    ) -> None:
        """`find_price` returns the price of a model by its name; None if it is not known."""
        self._events, self._bodies, self._find_price = events, bodies, find_price
        self._kinds: dict[tuple[int, str | None], StepKind] = {}
        """The kinds of calls by frame and key, because a step that waited for a person is recorded as an approval first."""
        self._invalid: dict[int, Ref] = {}
        """The problem with a step's arguments that could not be used, by step."""
        self._notes: dict[int, list[Ref]] = {}
        """The guards' advice before a step, for which its reservation has room, by step."""
        for event in events:
            self._index(event)

    def __repr__(self) -> str:
        return f"<RecordedLogic of {len(self._events)} events>"

    def _index(self, event: Event) -> None:
        if isinstance(event, StepIntended) and event.kind != "approval":
            self._kinds[event.frame, event.call] = event.kind
        elif isinstance(event, StepDone) and event.status == "invalid" and event.output is not None:
            self._invalid[event.step] = event.output
        elif (
            isinstance(event, Judged)
            and event.verdict == "advise"
            and event.note is not None
            and _is_added(event)
        ):
            self._notes.setdefault(event.step, []).append(event.note)

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns the action recorded right after `state`, if that is a step or the end of the run."""
        event = self._events[state.seq] if state.seq < len(self._events) else None
        if isinstance(event, RunEnded):
            return [End(status=event.status, answer=event.answer, stopped_by=event.stopped_by)]
        if not isinstance(event, StepIntended):
            return []
        frame = state.frames.get(event.frame)
        pending = None if frame is None else find_call(frame, event.call or "")
        kind = self._find_kind(event)
        proposal = Propose(
            kind=kind,
            name=event.name,
            agent=event.agent,
            frame=event.frame,
            depth=event.depth,
            call=None
            if event.call is None
            else Call(event.call, event.name, event.input or Ref(""), event.seal),
            grant=None if pending is None else pending.grant,
            skip=None if frame is None else find_asked_skip(state, kind, frame, event.call or "", pending),
            last=event.last,
            reconciles=event.reconciles,
        )
        return [proposal]

    def _find_kind(self, intent: StepIntended) -> StepKind:
        if intent.kind != "approval":
            return intent.kind
        known = self._kinds.get((intent.frame, intent.call))
        if known is not None:
            return known
        return "handoff" if intent.gist is not None else "model" if intent.context_bytes else "tool"

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """See `Logic.prepare`. Arguments with a secret were not stored, so such a step is prepared as lost."""
        intent = self._events[state.seq]
        if not isinstance(intent, StepIntended):
            raise SeawallBug(f"event {state.seq} is {type(intent).__name__}, and a step was proposed for it")
        step = replace(
            restore_step(intent),
            number=number,
            kind=proposal.kind,
            call=proposal.call,
            grant=proposal.grant,
            lost=bool(intent.seal),
        )
        wrong = self._invalid.get(intent.step)
        if wrong is not None:
            return replace(step, invalid=self._bodies.text(wrong))
        if step.lost or intent.reconciles is not None:
            return step
        match proposal.kind:
            case "model":
                return self._restore_reservation(step, intent)
            case "handoff":
                task = self._bodies.text(step.input)
                return replace(step, arguments={"task": task}, gist=make_gist(task))
            case _:
                return replace(step, arguments=msgspec.json.decode(self._bodies.text(step.input)))

    def _restore_reservation(self, step: Step, intent: StepIntended) -> Step:
        """Returns a model step as it was before its guards added their advice."""
        price = self._find_price(step.name)
        notes = self._notes.get(intent.step, ())
        advice = sum(len(self._bodies.text(note).encode()) + ADVICE_FRAMING_TOKENS for note in notes)
        advice += CLOSING_TOKENS if intent.last else 0
        tokens = max(0, intent.tokens - advice)
        reply = max(0, tokens - intent.context_bytes)
        usd = compute_bound_usd(price, intent.context_bytes, reply)
        input_token_usd = compute_bound_usd(price, 1, 0) or _ZERO
        if intent.usd:
            usd = max(_ZERO, intent.usd - advice * input_token_usd)
        return replace(
            step,
            context=max(0, intent.context - len(notes)),
            tokens=tokens,
            reply_tokens=reply,
            reply_token_usd=compute_bound_usd(price, 0, 1) or _ZERO,
            input_token_usd=input_token_usd,
            usd=usd,
        )


def _is_added(advice: Judged) -> bool:
    """Returns whether advice was sent with the step, and not only observed or given with its result."""
    return advice.stage == "before" and advice.mode == "enforce"


def explain_going_on(halt: Judged, state: RunState, limits: Limits) -> str:
    """Returns why a run would go on today where `halt` ended it; "" if it would not, or if that is not known.

    The step that was asked for is not recorded, so the verdict is compared with today's mode and `limits`.
    """
    mode = state.modes.get(halt.guard, "enforce")
    if mode != "enforce":
        return f"goes on: guard {halt.guard!r} is in mode {mode}"
    if halt.guard != LIMITS:
        return ""
    name = (halt.limit or "").partition("=")[0]
    if name.startswith("reserved_"):  # the model has no known bound, so neither limit can be enforced
        unlimited = limits.tokens is None and limits.usd is None
        return "goes on: neither tokens nor usd are limited" if unlimited else ""
    allowed: object = getattr(limits, name, 0)
    if allowed is None:
        return f"goes on: {name} is not limited"
    try:
        fits = Decimal(halt.value or "NaN") <= Decimal(str(allowed))
    except InvalidOperation:  # without a known price there is no value
        return ""
    return f"goes on: {name} would be {halt.value} (limit {allowed})" if fits else ""
