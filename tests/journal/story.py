"""Small runs to record in a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from seawall.core.canonical import Ref, ref_of, to_canonical_bytes
from seawall.core.events import Event, RunEnded, RunStarted, RunTaken, Status, StepDone, StepIntended
from seawall.core.limits import Limits
from seawall.journal.protocol import Journal, Lease, Summary

INTENT = b'"Refund order 1042"'
Open = Callable[[], Journal]


@asynccontextmanager
async def opened(open_journal: Open) -> AsyncIterator[Journal]:
    """Opens a journal, and closes it at the end."""
    journal = open_journal()
    try:
        yield journal
    finally:
        await journal.close()


def started(run: str, **fields: str | None) -> RunStarted:
    """Returns the first event of a run of tenant `acme`."""
    event = RunStarted(
        at=1.0,
        run=run,
        team="desk",
        team_version="1",
        agent="desk",
        intent=ref_of(INTENT),
        limits=Limits(),
        guards={},
        tenant="acme",
    )
    return msgspec.structs.replace(event, **fields)


def taken(history: Ref | None = None) -> RunTaken:
    """Returns the event that a process took the run."""
    return RunTaken(at=1.5, owner="host:1:1", epoch=1, left_s=9.0, history=history)


def intended(step: int, arguments: bytes = b"{}") -> StepIntended:
    """Returns the intent of a tool call."""
    return StepIntended(
        at=2.0, step=step, kind="tool", name="find_order", agent="clerk", frame=0, input=ref_of(arguments)
    )


def done(step: int, result: bytes) -> StepDone:
    """Returns the result of a tool call."""
    return StepDone(at=3.0, step=step, status="ok", output=ref_of(result))


def ended(status: Status = "completed", transcript: Ref | None = None) -> RunEnded:
    """Returns the outcome of a run."""
    return RunEnded(at=4.0, status=status, transcript=transcript)


def bodies(*contents: bytes) -> dict[Ref, bytes]:
    """Returns contents under their addresses."""
    return {ref_of(content): content for content in contents}


def manifest(prev: Ref | None, messages: Sequence[bytes]) -> bytes:
    """Returns the manifest of a conversation."""
    return to_canonical_bytes({"prev": prev, "messages": [ref_of(message) for message in messages]})


async def begin(journal: Journal, run: str, **fields: str | None) -> Lease:
    """Creates a run that this journal owns."""
    return await journal.create(started(run, **fields), [], bodies(INTENT))


async def step(journal: Journal, lease: Lease, seq: int, result: bytes) -> list[Event]:
    """Appends the two events of a step at `seq`."""
    events: list[Event] = [intended(seq), done(seq, result)]
    await journal.append(lease, seq, events, bodies(b"{}", result))
    return events


async def finish(journal: Journal, lease: Lease, seq: int, status: Status = "completed") -> None:
    """Appends the outcome at `seq`."""
    await journal.append(lease, seq, [ended(status)], {}, summary=Summary(status=status))


async def whole_run(journal: Journal, run: str, results: Sequence[bytes], **fields: str | None) -> None:
    """Records a run from its request to its outcome, with one step for each result."""
    lease = await begin(journal, run, **fields)
    seq = 1
    for result in results:
        await step(journal, lease, seq, result)
        seq += 2
    await finish(journal, lease, seq)
