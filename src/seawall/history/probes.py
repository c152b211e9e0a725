"""Probes: a recorded, reviewed answer is reviewed once more, perhaps with a planted contradiction.

A probe is a fork that ends with the review. It never has an answer, so nothing is delivered or remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import SeawallBug
from seawall.core.events import Event, RunStarted, StepDone
from seawall.core.limits import Limits
from seawall.history.fork import fork_events
from seawall.history.planting import KINDS, PlantKind
from seawall.history.record import RunRecord, StepRecord
from seawall.history.shares import compute_interval

ProbeKind = Literal[PlantKind, "unchanged"]
Judgement = Literal["approved", "rejected", "not judged"]


class ReviewedAnswer(NamedTuple):
    """A recorded answer that a reviewer has approved."""

    step: int
    """The model step that wrote it."""
    agent: str
    reviewer: str
    answer: Ref
    task: Ref
    """The task that the reviewer was shown."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One probe, and the reviewer's judgement."""

    run: str
    """The id of the probe's own run."""
    origin: str
    """The id of the run whose answer was reviewed again."""
    reviewer: str
    kind: ProbeKind
    """The kind of what was planted; `unchanged` if nothing was."""
    original: str
    """The value that was replaced; "" if a sentence was added, or nothing was planted."""
    planted: str
    judgement: Judgement
    named: bool
    """Whether the reviewer's words contain the planted or the original value."""
    feedback: str
    """The reviewer's feedback, as the coordinator would get it; or why the reviewer did not judge."""
    model_calls: int
    tokens: int
    usd: Decimal


class KindResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the probes of one kind the reviewer has caught, that is, rejected."""

    kind: ProbeKind | Literal["all"]
    judged: int
    caught: int
    named: int
    """How many of the caught probes the reviewer has rejected with the wrong value in its words."""
    low: float
    """The lower end of the 95% interval of the share of caught probes (Wilson)."""
    high: float


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The results of all probes."""

    team: str
    seed: int
    probes: tuple[Probe, ...]
    skipped: dict[str, str]
    """Why nothing was planted into a run's answer, by run."""
    unmade: int
    """Probes that were not made, because the limit on calls or dollars was used up."""
    kinds: tuple[KindResult, ...]
    all: KindResult
    model_calls: int
    tokens: int
    usd: Decimal

    @property
    def share(self) -> float | None:
        """The share of contradictions that were caught, from 0 to 1; None if none was judged."""
        return self.all.caught / self.all.judged if self.all.judged else None


def find_reviewed(record: RunRecord) -> ReviewedAnswer | None:
    """Returns the answer that the run's last approving review has approved; None if there was no such review.

    In a run with a reviewed coordinator this is the delivered answer.
    """
    for review in reversed(record.steps.values()):
        done, task = review.done, review.intent.input
        if review.intent.kind != "review" or done is None or not done.approved or task is None:
            continue
        reply = _find_reply(record, review)
        if reply is not None and reply.done is not None and reply.done.answer is not None:
            intent = review.intent
            return ReviewedAnswer(reply.number, intent.agent, intent.name, reply.done.answer, task)
    return None


def _find_reply(record: RunRecord, review: StepRecord) -> StepRecord | None:
    """Returns the newest reply before a review, in the frame whose answer is reviewed."""
    replies = (
        step
        for step in reversed(record.list_steps(review.intent.frame))
        if step.number < review.number and step.intent.kind == "model" and step.done is not None
    )
    return next((each for each in replies if each.done is not None and each.done.status == "ok"), None)


def begin_probe(
    events: Sequence[Event],
    at: int,
    kind: ProbeKind,
    answer: Ref,
    *,
    run: str,
    now: float,
    app: str | None,
) -> tuple[RunStarted, list[Event]]:
    """Returns the first event of a probe, and the events after it. In them, the answer of model step `at` is `answer`.

    The output of that step stays unchanged. A limit halts a probe, because a review without tools, or no review, would
    prove nothing. Raises `Misused` as `fork_events` does.
    """
    begin = fork_events(events, at, run=run, now=now, result=None, live_effects=False)
    started = begin[0]
    if not isinstance(started, RunStarted) or started.fork is None:
        raise SeawallBug("a fork begins with RunStarted")
    fork = msgspec.structs.replace(started.fork, probe=kind)
    limits = msgspec.structs.replace(started.limits, at_limit="halt")
    started = msgspec.structs.replace(
        started, fork=fork, limits=limits, app=app or started.app, stream=False, again=""
    )
    rest = [
        msgspec.structs.replace(event, answer=answer)
        if isinstance(event, StepDone) and event.step == at
        else event
        for event in begin[1:]
    ]
    return started, rest


def lower_limits(limits: Limits, used_calls: int, used_usd: Decimal, left: Left) -> Limits:
    """Returns the limits of a probe, whose usage begins with its origin's usage and which may use `left` in addition."""
    calls, usd = limits.model_calls, limits.usd
    if left.calls is not None:
        calls = min(calls, used_calls + left.calls)
    if left.usd is not None:
        usd = used_usd + left.usd if usd is None else min(usd, used_usd + left.usd)
    return msgspec.structs.replace(limits, model_calls=calls, usd=usd)


class Left(NamedTuple):
    """What probes may still use; None if it is not limited."""

    calls: int | None
    usd: Decimal | None

    @property
    def is_used_up(self) -> bool:
        """Whether no further call may be made."""
        return (self.calls is not None and self.calls <= 0) or (self.usd is not None and self.usd <= 0)


def build_report(
    team: str, seed: int, probes: Sequence[Probe], skipped: dict[str, str], unmade: int
) -> ProbeReport:
    """Returns the report of all probes. Probes that were not judged are left out of the shares."""
    planted = [each for each in probes if each.kind != "unchanged"]
    by_kind = [_count(kind, [each for each in planted if each.kind == kind]) for kind in KINDS]
    return ProbeReport(
        team=team,
        seed=seed,
        probes=tuple(probes),
        skipped=skipped,
        unmade=unmade,
        kinds=tuple(each for each in by_kind if each.judged),
        all=_count("all", planted),
        model_calls=sum(each.model_calls for each in probes),
        tokens=sum(each.tokens for each in probes),
        usd=sum((each.usd for each in probes), Decimal(0)),
    )


def _count(kind: ProbeKind | Literal["all"], probes: Iterable[Probe]) -> KindResult:
    judged = [each for each in probes if each.judgement != "not judged"]
    caught = [each for each in judged if each.judgement == "rejected"]
    low, high = compute_interval(len(caught), len(judged))
    named = sum(each.named for each in caught)
    return KindResult(kind=kind, judged=len(judged), caught=len(caught), named=named, low=low, high=high)
