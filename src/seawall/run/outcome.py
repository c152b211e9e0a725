"""The outcome of a run, with everything that belongs to the answer, and the steps that a run waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Generic, Literal

import msgspec
from typing_extensions import TypeVar

from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import LOST, EffectState, Event, Judged, Status, StoppedBy
from seawall.journal.protocol import Summary
from seawall.journal.protocol.effects import make_effect_id
from seawall.run.commands import find_effect_in_doubt
from seawall.run.state import EffectChange, PastPause, RunState
from seawall.run.waste import Wasted, WasteKind

REDACTED_NOTE = "; the arguments are shown without their secrets"

Output_co = TypeVar("Output_co", covariant=True, default=Any)
"""The coordinator's `output` type; None for a team whose coordinator has none."""


class EffectReport(msgspec.Struct, frozen=True):
    """One effect of a run, with its state."""

    step: int
    tool: str
    state: EffectState
    id: str = ""
    """The effect's id in the journal: `seawall effects`."""


class AboveLimit(msgspec.Struct, frozen=True):
    """An amount that a run spent above one of its limits, and why it was possible."""

    limit: str
    """The limit's name, for example `tokens`."""
    allowed: int | Decimal
    spent: int | Decimal
    above: int | Decimal
    why: str


class Waiting(msgspec.Struct, frozen=True):
    """A step for which a run waits. The run's active time stands still meanwhile."""

    run: str
    step: int
    """The approval step to decide on; 0 for a pause."""
    what: str
    agent: str
    since: float
    """Wall seconds."""
    kind: Literal["hold", "unknown", "effect", "pause"] = "hold"
    """What the run waits for. `hold`: a person decides whether the step may be made. `unknown`: a person finds out
    whether the effect happened (`seawall reconcile`). `effect`: the same effect is under way in another call. `pause`:
    there is no decision to make; the run goes on once the pause `what` is lifted."""
    arguments: str | None = None
    """The text of the arguments, or a hand-off's task; None if a model call or a review is held."""
    reason: str = ""
    """The guard's reason for the hold, or a note that the effect's result is not known."""
    until: float | None = None
    """Wall seconds at which a pause ends by itself; None if a person must lift it, and for every other kind."""


class Outcome(msgspec.Struct, Generic[Output_co], frozen=True, kw_only=True):
    """The outcome of a run. `status` says only how the run ended; the other fields say the rest.

    `completed`: the team answered. `refused`: a guard or the reviewer refused. `halted`: a guard ended the run
    (`stopped_by`). `failed`: the outside world or the team's code failed (`error`). `cancelled`: a caller or a person
    cancelled the run.
    """

    run: str
    status: Status
    answer: str | None = None
    output: Output_co | None = None
    """The answer as the coordinator's `output` type. It is None without such a type, and if the answer does not fit the
    type: an answer made of recorded results (`answer:partial` in `pruned`), or a fallback agent's of another type."""
    reviewed: bool | None = None
    """Whether the reviewer approved; None: the team has no reviewer."""
    unverified: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    """Work that was left out for lack of time or, for `limits` and `limits:clerk`, because a limit was used up."""
    lacks: tuple[str, ...] = ()
    """Work that was not done because a limit was used up, each with the limit."""
    effects: tuple[EffectReport, ...] = ()
    stopped_by: StoppedBy | None = None
    error: str | None = None
    memory: Literal["", "merged", "conflict"] = ""
    """What became of the run's writes to memory. "": there were none, or they were dropped. `merged`: all were merged.
    `conflict`: some are kept beside what another run wrote first (`seawall memory conflicts`). Only a completed run
    merges."""
    unchecked_delivery: bool = False
    """Whether the answer was streamed to the user while it was made, before it was checked."""
    paused: tuple[PastPause, ...] = ()
    """The pauses that held the run, oldest first; 0 seconds for a pause that still held the run when it ended."""
    usage_problems: tuple[str, ...] = ()
    """Problems with the usage that models reported, each with its step: an impossible report (the call is booked at its
    upper bound), or a report above the reservation (it is booked, and halts the run at its next step)."""
    above_limits: tuple[AboveLimit, ...] = ()
    """Amounts that were spent above a limit, each with the reason: a server did not keep to the maximum reply that it
    was given, or the guard `limits` is off or only observes."""
    wasted: Mapping[WasteKind, Wasted] = {}
    """Cost of work that brought nothing new, by kind: `repeats` (an agent read again what it had read), `duplicates`
    (an agent read what another agent had read) and `rewrites` (a text was written again without anything new). The cost
    is also part of the sums below, whatever the guards `loops` and `waste` decided."""
    usd: Decimal = Decimal(0)
    tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    handoffs: int = 0
    active_s: float = 0.0

    def __str__(self) -> str:
        why = f": {self.stopped_by.reason}" if self.stopped_by else f": {self.error}" if self.error else ""
        return f"{self.status}{why}" if self.answer is None else f"{self.status}: {self.answer}"


def build_outcome(state: RunState, answer: str | None, output: Output_co | None = None) -> Outcome[Output_co]:
    """Returns the outcome of a run that has ended."""
    ended = state.ended
    if ended is None:
        raise SeawallBug(f"run {state.started.run} has no outcome yet")
    ledger = state.ledger
    effects = tuple(
        EffectReport(change.step, change.tool, change.state, _find_effect_id(state, change))
        for change in state.effect_states()
    )
    return Outcome(
        run=state.started.run,
        status=ended.status,
        answer=answer,
        output=output,
        reviewed=ended.reviewed,
        unverified=ended.unverified,
        pruned=ended.pruned,
        lacks=ended.lacks,
        effects=effects,
        stopped_by=ended.stopped_by,
        error=ended.error,
        memory=ended.memory,
        unchecked_delivery=ended.unchecked_delivery,
        paused=state.past_pauses
        + tuple(PastPause(each.what, each.by, each.why, 0.0) for each in state.paused),
        usage_problems=tuple(state.usage_problems),
        above_limits=list_above_limits(state),
        wasted=dict(state.waste.wasted),
        usd=ledger.usd,
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        handoffs=ledger.handoffs,
        active_s=round(state.started.limits.active_s - ended.left_s, 6),
    )


def _find_effect_id(state: RunState, change: EffectChange) -> str:
    return make_effect_id(change.tool_key or f"{state.started.run}:{change.key}")


_SPENT = ("tokens", "usd", "model_calls", "tool_calls", "handoffs")


def list_above_limits(state: RunState) -> tuple[AboveLimit, ...]:
    """Returns the amounts that a run has spent above its limits, each with the reason."""
    limits, found = state.started.limits, list[AboveLimit]()
    for name in _SPENT:
        allowed, spent = getattr(limits, name), getattr(state.ledger, name)
        if allowed is not None and spent > allowed:
            found.append(AboveLimit(name, allowed, spent, spent - allowed, _explain_excess(state)))
    return tuple(found)


def _explain_excess(state: RunState) -> str:
    mode = state.modes.get("limits", "enforce")
    if mode != "enforce":
        return "the guard 'limits' is off" if mode == "off" else f"the guard 'limits' is in mode {mode!r}"
    overrun = state.overrun
    if overrun is None:
        return "a call was counted above what was reserved for it"
    return (
        f"step {overrun.step}, model {overrun.model!r}: {overrun.problem}; its server did not keep to the longest "
        "reply that it was given (max_output_tokens), or counts tokens in another way"
    )


def list_waits(state: RunState, events: Iterable[Event], text: Callable[[Ref], str]) -> list[Waiting]:
    """Returns the steps that a run waits for, oldest first. `text` returns the text of a body."""
    held: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, Judged) and event.verdict == "hold" and event.mode == "enforce":
            held.setdefault(event.step, []).append(event.reason)
    found: list[Waiting] = []
    for step in sorted(state.approvals, key=lambda step: step.step):
        unknown = find_effect_in_doubt(state, step) is not None
        kind = "effect" if step.waits_for else "unknown" if unknown else "hold"
        reason = "the fate of this effect is not known" if unknown else "; ".join(held.get(step.step, ()))
        if step.seal not in ("", LOST) and not unknown:
            reason += REDACTED_NOTE
        found.append(
            Waiting(
                state.started.run,
                step.step,
                step.name,
                step.agent,
                step.at,
                kind,
                None if step.call is None or not step.input else text(step.input),
                reason,
            )
        )
    for pause in state.paused:
        started = state.started
        why = f"paused by {pause.by}{f': {pause.why}' if pause.why else ''}"
        found.append(
            Waiting(
                started.run, 0, pause.what, started.agent, pause.at, "pause", reason=why, until=pause.until
            )
        )
    return found


def summarise(state: RunState) -> Summary:
    """Returns the summary row of a finished run, for lists."""
    ended, ledger = state.ended, state.ledger
    if ended is None:
        raise SeawallBug("a run without an outcome has no summary")
    return Summary(
        status=ended.status,
        stopped_by=None if ended.stopped_by is None else ended.stopped_by.guard,
        usd=str(ledger.usd),
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        active_s=round(state.started.limits.active_s - ended.left_s, 6),
    )
