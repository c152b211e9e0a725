"""Checks of what must hold in the end, by the bank's table."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from crash.job import Acknowledged, digest_of
from effects.job import Job, Report
from effects.world.client import Bank
from seawall.core.clock import SystemClock
from seawall.core.events import Event, StepDone, StepIntended
from seawall.journal.sqlite import SqliteJournal


def read_events(job: Job) -> list[list[Event]]:
    """Returns the events of every run, oldest run first, after the journal was verified."""

    async def read() -> list[list[Event]]:
        journal = SqliteJournal.open(job.journal, clock=SystemClock())
        try:
            verified = await journal.verify()
            assert verified.ok, verified
            return [await journal.events(row.run) for row in reversed(await journal.runs(limit=10_000))]
        finally:
            await journal.close()

    return asyncio.run(read())


def read_decisions(job: Job, about: str) -> list[tuple[str, bool]]:
    """Returns who has decided on a proposal, and whether that counted, in order; from the chain, which nothing changes."""

    async def read() -> list[tuple[str, bool]]:
        journal: Any = SqliteJournal.open(job.journal, clock=SystemClock())
        try:
            return [(record.by, not record.problem) for record in await journal.decisions(about)]
        finally:
            await journal.close()

    return asyncio.run(read())


def check_kept(job: Job) -> list[Event]:
    """Checks that all that the journal of one run has acknowledged is in it; returns its events."""
    (events,) = read_events(job)
    for line in job.promises.read_bytes().splitlines():
        promise = msgspec.json.decode(line, type=Acknowledged)
        kept = events[promise.first_seq : promise.first_seq + promise.n]
        assert digest_of(kept) == promise.digest, f"events from {promise.first_seq} on are not as promised"
    done = {each.step: each.status for each in events if isinstance(each, StepDone)}
    uses: dict[int, list[StepIntended]] = {}
    for each in events:
        if isinstance(each, StepIntended) and each.perform and each.grant is not None:
            uses.setdefault(each.grant, []).append(each)
    for grant, steps in uses.items():
        assert len({(step.frame, step.call) for step in steps}) == 1, (
            f"approval {grant} was used for two calls"
        )
        assert [done[step.step] for step in steps].count("ok") <= 1, f"approval {grant} was used twice"
    return events


def check_paid_once(report: Report, bank: Bank, orders: Iterable[str]) -> None:
    """Checks that every order has at most one payment, and an effect that is `committed` if and only if it has one."""
    for order in orders:
        paid = bank.paid(order)
        assert len(paid) <= 1, f"order {order} was paid {len(paid)} times"
        states = [effect.state for effect in report.effects if effect.order == order]
        assert states.count("committed") == len(paid), (order, paid, report.effects)


def check_states(report: Report, bank: Bank, orders: dict[str, str]) -> None:
    """Checks the same by the outcome of the one run; `orders` are by the tool that pays for them."""
    (rest,) = report.rests
    for tool, order in orders.items():
        paid = bank.paid(order)
        assert len(paid) <= 1, f"order {order} was paid {len(paid)} times"
        states = [state for name, state in rest.effects if name == tool]
        assert states.count("committed") == len(paid), (order, paid, rest)
