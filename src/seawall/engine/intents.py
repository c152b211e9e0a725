"""The record of a step before it is performed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from seawall.core.events import StepIntended
from seawall.run.bodies import Bodies
from seawall.run.causes import Edges
from seawall.run.fingerprint import fold_arguments
from seawall.run.step import Step
from seawall.run.verdict import Allow, GuardVerdict

_ZERO = Decimal(0)


def build_intent(step: Step, edges: Edges, *, at: float, perform: bool, advice: int = 0) -> StepIntended:
    """Returns the event that a step is about to be performed, or is not. `advice`: the messages that guards add to it."""
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
    """Returns a step with what other spellings of its arguments have in common with them."""
    if step.kind != "tool" or step.input is None:
        return step
    asked = fold_arguments(step.arguments_key, bodies.text(step.input))
    return replace(step, asked=asked) if asked else step


def add_wait(step: Step, verdicts: Sequence[GuardVerdict]) -> Step:
    """Returns the step with the longest wait that a guard asks for before it is performed."""
    waits = [
        each.verdict.wait_s for each in verdicts if isinstance(each.verdict, Allow) and each.mode == "enforce"
    ]
    return replace(step, delay_s=max([step.delay_s, *waits])) if waits else step
