"""Proposals in a journal, as the engine makes them: of runs that wait at an approval step."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from seawall import Seawall
from seawall.core.canonical import Ref, ref_of
from seawall.core.clock import Clock
from seawall.core.events import Call, RunStarted, RunTaken, StepDone, StepIntended
from seawall.core.limits import Limits
from seawall.core.money import Money
from seawall.effects.proposals import compute_proposal_hash
from seawall.journal.protocol import EffectClaim, EffectRecord, Journal, Lease, Proposal, Settle
from seawall.journal.protocol.effects import make_proposal_id
from seawall.testing import ManualClock

ARGUMENTS = '{"amount":{"amount":"250.00","currency":"EUR"},"order_id":"1042"}'
WROTE = "I only look the order up."
STEP = 2
"""The approval step of each of these runs."""


def put(bodies: dict[Ref, bytes], text: str) -> Ref:
    data = text.encode()
    bodies[ref_of(data)] = data
    return ref_of(data)


async def propose(
    journal: Journal,
    run: str = "r-1",
    *,
    clock: Clock,
    arguments: str = ARGUMENTS,
    preview: str | None = None,
    **fields: Any,
) -> Proposal:
    """Records a run that waits for a person, and its proposal: `refund` of user:7 in tenant acme."""
    bodies: dict[Ref, bytes] = {}
    now, ref = clock.wall_s(), put(bodies, arguments)
    reply = put(bodies, msgspec.json.encode({"role": "assistant", "content": WROTE, "calls": []}).decode())
    proposal = replace(
        Proposal(
            id=make_proposal_id(run, STEP),
            hash=compute_proposal_hash("tool", "refund", "v-1", arguments, ""),
            tenant="acme",
            run=run,
            step=STEP,
            call="0:c-1",
            team="desk",
            agent="clerk",
            requester="user:7",
            name="refund",
            version="v-1",
            arguments=ref,
            preview=None if preview is None else put(bodies, preview),
            amount=Money("250", "EUR"),
            created_at=now,
            expires_at=now + 1_000.0,
            expires_s=1_000.0,
            group="refund user:7",
        ),
        **fields,
    )
    events = [
        RunTaken(at=now, owner=journal.owner, epoch=1, left_s=60.0),
        StepIntended(at=now, step=1, kind="model", name="m", agent="clerk", frame=0),
        StepDone(at=now, step=1, status="ok", output=reply, calls=(Call("c-1", "refund", ref),)),
        StepIntended(
            at=now,
            step=STEP,
            kind="approval",
            name="refund",
            agent="clerk",
            frame=0,
            call="c-1",
            input=ref,
            proposal=proposal.id,
        ),
    ]
    lease = await begin(journal, run, clock=clock, tenant=proposal.tenant, principal=proposal.requester)
    await journal.append(lease, 1, events, bodies, waiting=True, records=[proposal])
    await journal.release(lease)
    return proposal


async def begin(journal: Journal, run: str, *, clock: Clock, **fields: Any) -> Lease:
    """Creates a run that this process owns."""
    bodies: dict[Ref, bytes] = {}
    started = RunStarted(
        at=clock.wall_s(),
        run=run,
        team="desk",
        team_version="1",
        agent="clerk",
        intent=put(bodies, "Refund order 1042."),
        limits=Limits(),
        guards={},
        **fields,
    )
    return await journal.create(started, [], bodies)


async def leave_unknown(
    journal: Journal, run: str = "r-1", *, clock: Clock, principal: str = "user:7", **fields: Any
) -> EffectRecord:
    """Records a run that has paid, and nobody knows whether it did."""
    bodies: dict[Ref, bytes] = {}
    lease = await begin(journal, run, clock=clock, tenant="acme", principal=principal)
    claim = EffectClaim(
        tenant="acme",
        run=run,
        call="0:c-1",
        tool="refund",
        identity=f"identity of {run}",
        principal=principal,
        arguments=put(bodies, ARGUMENTS),
        amount=Money("250", "EUR"),
        day="2026-01-01",
    )
    answer = await journal.claim(replace(claim, **fields), bodies)
    assert answer.effect is not None
    effect, now = answer.effect.id, clock.wall_s()
    intent = StepIntended(
        at=now, step=1, kind="tool", name="refund", agent="clerk", frame=0, call="c-1", effect=True
    )
    done = StepDone(at=now, step=1, status="unknown")
    await journal.append(
        lease, 1, [intent], {}, records=[Settle(effect=effect, state="attempting", at=now, step=1)]
    )
    await journal.append(
        lease, 2, [done], {}, waiting=True, records=[Settle(effect=effect, state="unknown", at=now, step=1)]
    )
    await journal.release(lease)
    return await journal.effect(effect)


def opened(clock: ManualClock, path: Any = ":memory:", **options: Any) -> Seawall:
    """Returns a Seawall on a journal, not opened yet."""
    return Seawall(path, clock=clock, environment={}, **options)
