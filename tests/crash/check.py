"""Checks of what must hold after a run was killed and resumed, by the world's own count."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from crash.desk import ANSWER, PRICE
from crash.job import Acknowledged, Job, Report, digest_of, open_journal
from crash.world import Call, read_calls
from seawall import Limits
from seawall.core.events import Event, RunEnded, StepDone, StepIntended
from seawall.journal.protocol import Account, Spend, Verification


class Story:
    """Everything that was recorded of the one run in a journal, and everything that the world saw."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.events, self.verified, self.accounts = asyncio.run(_read(job))
        self.calls: list[Call] = read_calls(job.world)
        self.intents = {
            event.step: event for event in self.events if isinstance(event, StepIntended) and event.perform
        }
        self.done: dict[int, StepDone] = {}
        for event in self.events:
            if isinstance(event, StepDone):
                assert event.step not in self.done, f"step {event.step} has two results"
                self.done[event.step] = event

    def count(self, kind: str) -> int:
        """Returns how many steps of a kind were recorded as intended."""
        return sum(1 for step in self.intents.values() if step.kind == kind)

    @property
    def ended(self) -> RunEnded | None:
        """The run's end; None if it has not ended."""
        return next((event for event in self.events if isinstance(event, RunEnded)), None)


async def _read(job: Job) -> tuple[list[Event], Verification, list[Account]]:
    journal = open_journal(msgspec.structs.replace(job, death=None))
    try:
        rows = await journal.runs()
        assert len(rows) == 1, "one request is one run"
        return await journal.events(rows[0].run), await journal.verify(), await journal.accounts()
    finally:
        await journal.close()


def check_nothing_lost(story: Story) -> None:
    """Checks that everything that the journal acknowledged is in it, unchanged."""
    assert story.verified.ok, story.verified
    for line in story.job.promises.read_bytes().splitlines():
        promise = msgspec.json.decode(line, type=Acknowledged)
        kept = story.events[promise.first_seq : promise.first_seq + promise.n]
        assert digest_of(kept) == promise.digest, f"events from {promise.first_seq} on are not as promised"


def check_nothing_twice(story: Story) -> None:
    """Checks that no step with a recorded result reached the world again, and that every call was recorded."""
    tools = [call for call in story.calls if call.kind != "model"]
    for step, times in Counter(call.step for call in tools).items():
        assert times == 1, f"step {step} reached the world {times} times"
        assert step in story.intents, f"step {step} reached the world and is not recorded as intended"
    models = [call for call in story.calls if call.kind == "model"]
    assert len(models) <= story.count("model"), "a model was called that nobody counted"
    by_step = {call.step: call for call in tools}
    by_number = {call.number: call for call in story.calls}
    for number, done in story.done.items():
        intent = story.intents.get(number)
        if done.status != "ok" or intent is None or intent.kind not in ("tool", "model"):
            continue
        if intent.kind == "tool":
            made = by_step[number]
        elif story.job.estimated:
            continue
        else:
            made = by_number[done.input_tokens]
        again = [call for call in story.calls if call.identity == made.identity and call.number > made.number]
        assert not again, f"step {number} has a result, and was made again: {made}, {again}"


def check_effects(story: Story) -> None:
    """Checks that the payment was made once, and that all notices to the customer had one key."""
    paid = [call for call in story.calls if call.name == "pay"]
    assert len(paid) == 1, paid
    told = {call.identity for call in story.calls if call.name == "notify"}
    assert len(told) == 1, told


def check_accounts(story: Story) -> None:
    """Checks that what was spent is in the accounts, and that nothing is reserved once the run has ended."""
    assert story.accounts
    assert all(account.reserved == Spend() for account in story.accounts), story.accounts


def check_within(story: Story, limits: Limits) -> None:
    """Checks that no limit was exceeded, by the world's own count of every call ever made."""
    models = [call for call in story.calls if call.kind == "model"]
    assert len(models) <= limits.model_calls
    assert len(story.calls) - len(models) <= limits.tool_calls
    assert story.count("handoff") <= limits.handoffs
    assert max(step.depth for step in story.intents.values()) <= limits.depth + 1  # its reviews stand above
    tokens = sum(call.tokens for call in models)
    if limits.tokens is not None:
        assert tokens <= limits.tokens
    if limits.usd is not None:
        output = 20 * len(models)
        usd = (PRICE.input_usd_per_mtok * (tokens - output) + PRICE.output_usd_per_mtok * output) / Decimal(
            1_000_000
        )
        assert usd <= limits.usd


def check_finished(job: Job, report: Report) -> Story:
    """Checks all of the above, and that the answer is the same as without a crash."""
    story = Story(job)
    check_nothing_lost(story)
    check_nothing_twice(story)
    check_effects(story)
    check_accounts(story)
    check_within(story, job.limits or Limits(active_s=60))
    outcome = report.outcome
    assert outcome is not None, report
    assert (outcome.status, outcome.reviewed, outcome.answer) == ("completed", True, ANSWER), outcome
    last = {effect.tool: effect.state for effect in outcome.effects}
    assert last == {"pay": "committed", "notify": "committed"}, outcome.effects
    return story


def states(report: Report) -> Sequence[tuple[str, str]]:
    """Returns the effects of an outcome, as (tool, state)."""
    assert report.outcome is not None, report
    return [(effect.tool, effect.state) for effect in report.outcome.effects]
