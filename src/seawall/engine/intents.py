"""The record of a step before it is performed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from seawall.core.events import Event, Judged, StepIntended
from seawall.effects.guard import EFFECTS
from seawall.run.bodies import Bodies
from seawall.run.causes import Edges
from seawall.run.fingerprint import decode_arguments, fold_arguments
from seawall.run.step import Step
from seawall.run.verdict import Allow, GuardVerdict
from seawall.run.wording import read_wording

_ZERO = Decimal(0)


def build_intent(step: Step, edges: Edges, *, at: float, perform: bool, advice: int = 0) -> StepIntended:
    """Returns the event that a step is about to be performed, or will not be performed. `advice`: the messages that
    guards add to it.
    """
    return StepIntended(
        at=at,
        step=step.number,
        kind=step.kind,
        name=step.name,
        agent=step.agent,
        frame=step.frame,
        call=None if step.call is None else step.call.id,
        grant=None if step.grant is None else step.grant.step,
        input=step.input,
        seal=step.seal,
        asked=step.asked,
        wording=step.wording,
        context=step.context + advice if step.kind == "model" else 0,
        causes=edges.causes,
        sources=edges.sources,
        context_bytes=step.context_bytes,
        junk=step.junk,
        version=step.version,
        last=step.last,
        effect=step.effect,
        idempotent=step.idempotent,
        may_write=step.may_write,
        poll=step.poll,
        untrusted=step.untrusted,
        gist=step.gist,
        perform=perform,
        tokens=step.tokens,
        usd=step.usd or _ZERO,
        prepaid=step.prepaid,
        depth=step.depth,
        identity=step.identity,
        key=step.key,
        reconciles=step.reconciles,
    )


def note_spelling(step: Step, bodies: Bodies) -> Step:
    """Returns a step with the folded spelling and the words of its arguments."""
    if step.kind != "tool" or step.input is None:
        return step
    text = bodies.text(step.input)
    arguments = decode_arguments(step.arguments_key, text)
    if arguments is None:
        return step
    asked = fold_arguments(step.arguments_key, arguments, text)
    wording = "" if step.poll else read_wording(arguments)
    return replace(step, asked=asked, wording=wording) if asked or wording else step


def note_advice(step: Step, now: float, bodies: Bodies) -> list[Event]:
    """Returns the record of advice for the operators of the application; the agent is not told."""
    if not step.advice:
        return []
    reason = bodies.redact(step.advice)
    advised = Judged(
        at=now,
        step=step.number,
        guard=EFFECTS,
        verdict="advise",
        stage="before",
        mode="observe",
        reason=reason,
    )
    return [advised]


def add_wait(step: Step, verdicts: Sequence[GuardVerdict]) -> Step:
    """Returns the step with the longest wait that a guard asks for before it is performed."""
    waits = [
        each.verdict.wait_s for each in verdicts if isinstance(each.verdict, Allow) and each.mode == "enforce"
    ]
    return replace(step, delay_s=max([step.delay_s, *waits])) if waits else step
