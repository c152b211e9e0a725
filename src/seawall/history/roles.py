"""Sums up what each agent of a team did over many runs, and whether its reviewer reviews anything.

It goes through the runs of a journal once, newest first, with one run in memory at a time. Forks are left out, because
they have the steps of another run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import CALLED, REQUESTED
from seawall.history.planting import list_evidence
from seawall.history.record import RunRecord, StepRecord, build_record
from seawall.history.shares import bound_unseen, compute_interval, compute_median
from seawall.journal.protocol import Journal, RunFilter, RunRow
from seawall.run.ledger import EXACT, is_at_bound
from seawall.run.traces import find_traces
from seawall.team.context import read_assistant, split_review_task
from seawall.team.team import REVIEW_TOOL

MIN_REVIEWS = 30
"""Approvals without a rejection after which a reviewer is named. By the rule of three (Hanley and Lippman-Hand, JAMA 249,
1983) it then rejects less than one answer in ten, at 95%."""
MAX_SAMPLES = 10_000
"""How many of the newest reviews of each reviewer the medians are computed from, which gives their rank to 1%."""
PAGE_RUNS = 500
"""How many rows of runs are read at once."""


class AgentRole(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent did."""

    team: str
    agent: str
    runs: int
    """Runs in which it took a step."""
    model_calls: int
    tokens: int
    usd: Decimal
    share: float
    """The agent's share of the cost of its team's runs in dollars or, without prices, in tokens, from 0 to 1."""
    handoffs: int
    """Hand-offs that it received."""
    tools: dict[str, int]
    """Calls that it made, by tool, most first."""
    errors: int
    """Its steps that failed, ran out of time, or were calls that did not validate."""
    refusals: int
    """Its steps that a guard refused."""


class ReviewerRole(msgspec.Struct, frozen=True, kw_only=True):
    """What one reviewer did. Medians are of the newest 10,000 reviews; None without any."""

    team: str
    agent: str
    runs: int
    reviews: int
    approved: int
    rejected: int
    """Rejections. The other reviews had no decision, because the model failed or time was short."""
    rate: float | None
    """The share of approvals among the decisions, from 0 to 1."""
    low: float
    """The lower end of the 95% interval of that rate (Wilson)."""
    high: float
    rounds: int
    """The most reviews in one run."""
    words: float | None
    """The median number of words that the reviewer wrote beside the decision itself."""
    seconds: float | None
    output_tokens: float | None
    shown_tokens: float | None
    """The median number of tokens that the reviewer was shown, as its provider counted them."""
    named: int
    """Reviews whose words contain a value or a phrase of the results."""
    looked_up: int
    """Reviews in which it called a tool or a colleague."""
    unread: int
    """Reviews whose texts were erased, so that they are not counted in `named`."""
    signal: str
    """Why the reviewer may review nothing; "" without such a reason. This is a signal, not a verdict."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """What the agents of each team did, most expensive first."""

    runs: int
    left_out: int
    """Runs that are forks or probes, or whose events were pruned."""
    agents: tuple[AgentRole, ...]
    reviewers: tuple[ReviewerRole, ...]


class _AgentSums:
    def __init__(self) -> None:
        self.runs = self.model_calls = self.tokens = self.handoffs = self.errors = self.refusals = 0
        self.usd = Decimal(0)
        self.tools: Counter[str] = Counter()


class _ReviewSample(NamedTuple):
    words: int | None
    seconds: float | None
    output_tokens: int
    shown_tokens: int


class _ReviewerSums:
    def __init__(self) -> None:
        self.runs = self.reviews = self.approved = self.rejected = self.rounds = 0
        self.named = self.looked_up = self.unread = 0
        self.samples: list[_ReviewSample] = []


async def read_roles(
    journal: Journal,
    *,
    team: str | None = None,
    members: Sequence[str] = (),
    tenant: str | None = None,
    since: float | None = None,
    until: float | None = None,
    min_reviews: int = MIN_REVIEWS,
    on_run: Callable[[int], None] | None = None,
) -> Roles:
    """Returns what the agents of the journal's runs did: of one `team` and `tenant`, or of all.

    `since` and `until` are wall seconds between which a run must have started. `members` of the team are listed even if
    they did nothing. A reviewer is named after `min_reviews` approvals without a rejection. `on_run` is called with the
    number of runs read so far. The time grows with the number of events, the memory with the longest run.
    """
    reading = _Reading(journal)
    for member in members:
        reading.agents[team or "", member] = _AgentSums()
    async for row in _list_runs(journal, team, tenant, since, until):
        await reading.add(row)
        if on_run is not None:
            on_run(reading.runs)
    return reading.build(min_reviews)


async def _list_runs(
    journal: Journal, team: str | None, tenant: str | None, since: float | None, until: float | None
) -> AsyncIterator[RunRow]:
    """Yields the matching runs, newest first, a page at a time.

    A page begins at the start time of the last page's last run. Runs with that time are read again, and dropped.
    """
    before = math.inf if until is None else until
    seen: set[str] = set()
    while True:
        wanted = RunFilter(team=team, tenant=tenant, since=since, until=before)
        limit = PAGE_RUNS + len(seen)
        page = await journal.runs(wanted, limit=limit)
        for row in page:
            if row.run not in seen:
                yield row
        if len(page) < limit:
            return
        last = page[-1].started_at
        seen = {row.run for row in page if row.started_at == last}
        before = math.nextafter(last, math.inf)


class _Reading:
    """The sums over the runs read so far."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.runs = 0
        self._left_out = 0
        self.agents: dict[tuple[str, str], _AgentSums] = {}
        self._reviewers: dict[tuple[str, str], _ReviewerSums] = {}

    async def add(self, row: RunRow) -> None:
        """Adds one run."""
        events = await self._journal.events(row.run) if row.events else []
        record = build_record(events) if events else None
        if record is None or record.started.fork is not None:
            self._left_out += 1
            return
        self.runs += 1
        team = record.started.team
        acted: set[str] = set()
        for step in record.steps.values():
            acted.add(step.intent.agent)
            self._add_step(team, step)
        for agent in acted:
            self._find_agent(team, agent).runs += 1
        await self._add_reviews(team, record)

    def _find_agent(self, team: str, agent: str) -> _AgentSums:
        return self.agents.setdefault((team, agent), _AgentSums())

    def _add_step(self, team: str, step: StepRecord) -> None:
        intent, done = step.intent, step.done
        sums = self._find_agent(team, intent.agent)
        if intent.kind == "handoff" and intent.perform:
            self._find_agent(team, intent.name).handoffs += 1
        if intent.kind in CALLED and intent.perform:
            sums.tools[intent.name] += 1
        if intent.kind == "model" and intent.perform:
            sums.model_calls += 1
        if done is None:
            return
        if intent.kind == "model":
            at_bound = is_at_bound(intent, done)
            sums.tokens += intent.tokens if at_bound else done.input_tokens + done.output_tokens
            sums.usd = EXACT.add(sums.usd, intent.usd if at_bound else done.usd)
        if intent.kind not in ("handoff", "review"):  # their errors are counted for the agent in their frame
            sums.errors += done.status in ("error", "timeout", "invalid")
            sums.refusals += done.status == "refused"

    async def _add_reviews(self, team: str, record: RunRecord) -> None:
        reviews = [step for step in record.steps.values() if step.intent.kind == "review" and step.done]
        counted = Counter(step.intent.name for step in reviews)
        for agent, rounds in counted.items():
            sums = self._reviewers.setdefault((team, agent), _ReviewerSums())
            sums.runs += 1
            sums.rounds = max(sums.rounds, rounds)
        for review in reversed(reviews):
            await self._add_review(self._reviewers[team, review.intent.name], record, review)

    async def _add_review(self, sums: _ReviewerSums, record: RunRecord, review: StepRecord) -> None:
        done, steps = review.done, record.list_steps(review.number)
        models = [step.done for step in steps if step.intent.kind == "model" and step.done is not None]
        sums.reviews += 1
        if done is None or done.approved is None:
            return
        sums.approved += done.approved
        sums.rejected += not done.approved
        sums.looked_up += any(step.intent.kind in REQUESTED for step in steps)
        reply = models[-1] if models else None
        texts = await self._read_texts(
            record.started.tenant, review.intent.input, None if reply is None else reply.output
        )
        words = None
        if texts is None:
            sums.unread += 1
        else:
            said = _read_words(texts[1])
            words = len(said.split())
            sums.named += _names_result(said, texts[0])
        if len(sums.samples) < MAX_SAMPLES:
            sums.samples.append(
                _ReviewSample(
                    words,
                    review.duration_s,
                    sum(each.output_tokens for each in models),
                    max((each.input_tokens for each in models), default=0),
                )
            )

    async def _read_texts(self, tenant: str, task: Ref | None, reply: Ref | None) -> tuple[str, str] | None:
        """Returns the task of a reviewer, and its reply; None if either was erased."""
        if task is None or reply is None:
            return None
        found = await self._journal.bodies(tenant, [task, reply])
        if task not in found or reply not in found:
            return None
        return found[task].decode("utf-8", "replace"), found[reply].decode("utf-8", "replace")

    def build(self, min_reviews: int) -> Roles:
        """Returns the roles in the runs so far."""
        usd: dict[str, Decimal] = {}
        tokens: Counter[str] = Counter()
        for (team, _), sums in self.agents.items():
            usd[team] = EXACT.add(usd.get(team, Decimal(0)), sums.usd)
            tokens[team] += sums.tokens
        agents = [
            AgentRole(
                team=team,
                agent=agent,
                runs=sums.runs,
                model_calls=sums.model_calls,
                tokens=sums.tokens,
                usd=sums.usd,
                share=float(sums.usd / usd[team]) if usd[team] else sums.tokens / (tokens[team] or 1),
                handoffs=sums.handoffs,
                tools=dict(sums.tools.most_common()),
                errors=sums.errors,
                refusals=sums.refusals,
            )
            for (team, agent), sums in self.agents.items()
        ]
        reviewers = [
            _build_reviewer(team, agent, sums, min_reviews) for (team, agent), sums in self._reviewers.items()
        ]
        return Roles(
            runs=self.runs,
            left_out=self._left_out,
            agents=tuple(sorted(agents, key=lambda each: (each.team, -each.share, each.agent))),
            reviewers=tuple(sorted(reviewers, key=lambda each: (each.team, each.agent))),
        )


def _build_reviewer(team: str, agent: str, sums: _ReviewerSums, min_reviews: int) -> ReviewerRole:
    decided = sums.approved + sums.rejected
    low, high = compute_interval(sums.approved, decided)
    samples = sums.samples
    return ReviewerRole(
        team=team,
        agent=agent,
        runs=sums.runs,
        reviews=sums.reviews,
        approved=sums.approved,
        rejected=sums.rejected,
        rate=sums.approved / decided if decided else None,
        low=low,
        high=high,
        rounds=sums.rounds,
        words=compute_median(each.words for each in samples if each.words is not None),
        seconds=compute_median(each.seconds for each in samples if each.seconds is not None),
        output_tokens=compute_median(each.output_tokens for each in samples),
        shown_tokens=compute_median(each.shown_tokens for each in samples),
        named=sums.named,
        looked_up=sums.looked_up,
        unread=sums.unread,
        signal=_find_signal(sums, min_reviews),
    )


def _find_signal(sums: _ReviewerSums, min_reviews: int) -> str:
    """Returns why a reviewer may review nothing; "" if it has rejected, named a result, or looked something up.

    Its speed and its number of words are shown but do not count, because a model that is right may be quick and brief.
    """
    if sums.rejected or sums.named or sums.looked_up or sums.approved < max(1, min_reviews):
        return ""
    return (
        f"it approved all {sums.approved:,} answers, named no result and looked nothing up; it rejects less than "
        f"{bound_unseen(sums.approved):.1%} of such answers (95%), which may be right if all were good"
    )


def _read_words(reply: str) -> str:
    """Returns the words of a reviewer: its text beside the decision, and the feedback in the decision."""
    message = read_assistant(reply)
    said = [message.content or ""]
    for call in message.calls:
        if call.name != REVIEW_TOOL:
            continue
        try:
            arguments: Any = msgspec.json.decode(call.arguments)
        except msgspec.DecodeError:
            arguments = None
        if isinstance(arguments, dict):
            said.append(str(cast("dict[str, Any]", arguments).get("feedback") or ""))
    return " ".join(said).strip()


def _names_result(said: str, task: str) -> bool:
    """Returns whether a reviewer's words contain a value or a phrase of the results that it was shown."""
    if not said:
        return False
    words = find_traces(said)
    shown = find_traces("\n".join(list_evidence(split_review_task(task).evidence)))
    return bool(words.literals & shown.literals or words.shingles & shown.shingles)
