"""The oracle: each promise as a statement, checked over everything that the journal holds and the world saw."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import msgspec

from crash.job import digest_of
from seawall import Outcome, Seawall, SeawallError
from seawall.core.canonical import Ref
from seawall.core.errors import describe_error
from seawall.core.events import (
    CommandTaken,
    Event,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
)
from seawall.core.refs import refs_of
from seawall.history.recorded import read_outcome, read_waits
from seawall.journal.protocol import Journal, RunRow, SettingKind, Spend
from seawall.run.fold import fold
from torture.cases import BUDGET, make_case
from torture.desk import OUTPUT_TOKENS, PRICE, make_desk
from torture.notes import Ended, Kept, Note, Ordered, Problem, Started, Tried, read_notes
from torture.place import WORKERS, Place
from torture.world import Happening, read_happenings

_TAG = re.compile(r"\[m(\d+)\]")
_RECEIPT = re.compile(r"\w+-receipt-\d+")
SHOWN = 20
"""Failures of one round that are kept in words."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that does not hold."""

    statement: str
    run: str
    detail: str


class Findings(msgspec.Struct, kw_only=True):
    """How often each statement was checked, what does not hold, and the size of what was looked at."""

    checked: dict[str, int] = {}
    excused: dict[str, int] = {}
    """Events that only a run which says that a fate was unknown may have."""
    failures: list[Failure] = []
    counts: dict[str, int] = {}

    def check(self, statement: str, holds: bool, run: str = "", detail: str = "") -> None:
        """Counts a check, and keeps it if it fails."""
        self.checked[statement] = self.checked.get(statement, 0) + 1
        if not holds and len(self.failures) < SHOWN:
            self.failures.append(Failure(statement=statement, run=run, detail=detail))

    def excuse(self, what: str) -> None:
        """Counts something that an unknown fate excuses."""
        self.excused[what] = self.excused.get(what, 0) + 1

    def count(self, what: str, n: int = 1) -> None:
        """Counts something for the figures."""
        self.counts[what] = self.counts.get(what, 0) + n

    def add(self, other: Findings) -> None:
        """Adds the findings of another round."""
        for mine, more in (
            (self.checked, other.checked),
            (self.excused, other.excused),
            (self.counts, other.counts),
        ):
            for name, n in more.items():
                mine[name] = mine.get(name, 0) + n
        self.failures.extend(other.failures)


@dataclass
class RunStory:
    """One run: all that is recorded of it, and what the world saw of its tools and models."""

    row: RunRow
    events: Sequence[Event]
    bodies: dict[Ref, bytes]
    tools: list[Happening]
    models: list[Happening]

    @property
    def id(self) -> str:
        """The run's id."""
        return self.row.run

    @cached_property
    def started(self) -> RunStarted:
        """The first event."""
        first = self.events[0]
        assert isinstance(first, RunStarted)
        return first

    @cached_property
    def intents(self) -> dict[int, StepIntended]:
        """Every step that was to be performed."""
        return {e.step: e for e in self.events if isinstance(e, StepIntended) and e.perform}

    @cached_property
    def done(self) -> dict[int, StepDone]:
        """The first result of each step."""
        found: dict[int, StepDone] = {}
        for event in self.events:
            if isinstance(event, StepDone):
                found.setdefault(event.step, event)
        return found

    @cached_property
    def ended(self) -> RunEnded | None:
        """The end."""
        return next((e for e in self.events if isinstance(e, RunEnded)), None)

    def status(self, step: int) -> str:
        """How a step ended."""
        return self.done[step].status if step in self.done else "open"

    def was_in_doubt(self, step: int) -> bool:
        """Whether the record says that the fate of this attempt was not known."""
        done = self.done.get(step)
        if done is None:
            return True
        return done.status in ("unknown", "lost", "timeout", "cancelled") or (
            done.status == "error" and done.error != "not_done"
        )

    def text(self, ref: Ref | None) -> str:
        """A body as text."""
        return "" if ref is None else self.bodies.get(ref, b"").decode("utf-8", "replace")


async def check_round(place: Place, journal: Journal) -> Findings:
    """Checks everything of a round."""
    findings = Findings(checked={}, excused={}, failures=[], counts={})
    notes = list(_read_all_notes(place))
    happenings = read_happenings(place.world)
    for note in notes:
        if isinstance(note, Problem):
            findings.check("No process met an error that no fault explains", False, "", note.text)
    verified = await journal.verify()
    findings.check("verify says ok at the end", verified.ok, "", str(verified.bad))
    for note in notes:
        if isinstance(note, Tried) and note.by == "verified":
            findings.check("verify says ok after a kill", True)
    stories = await _read_stories(journal, happenings)
    busy = {(s.row.tenant, s.started.session) for s in stories if s.row.state == "waiting"}
    for story in stories:
        _check_calls(findings, story)
        _check_effects(findings, story)
        _check_results(findings, story)
        _check_limits(findings, story)
        await _check_rest(findings, story, journal, busy)
    _check_budget(findings, place, happenings)
    await _check_reserved(findings, stories, journal)
    _check_sessions(findings, stories)
    await _check_promises(findings, notes, stories, journal)
    await _check_replay(findings, place, stories, journal)
    _count(findings, stories, happenings)
    return findings


def _read_all_notes(place: Place) -> Iterator[Note]:
    for who in (*(f"worker-{n}" for n in range(WORKERS)), "person", "verifier", "closer"):
        yield from read_notes(place.notes(who))


async def _read_stories(journal: Journal, happenings: Sequence[Happening]) -> list[RunStory]:
    by_run: dict[str, list[Happening]] = defaultdict(list)
    by_case: dict[str, list[Happening]] = defaultdict(list)
    for each in happenings:
        if each.call.kind == "model":
            by_case[each.call.case].append(each)
        else:
            by_run[each.call.run].append(each)
    stories: list[RunStory] = []
    for row in reversed(await journal.runs(limit=100_000)):
        events = await journal.events(row.run)
        bodies = await journal.bodies(row.tenant, refs_of(events))
        story = RunStory(row, events, bodies, by_run.pop(row.run, []), [])
        story.models = by_case.get(story.started.request_id or "", [])
        stories.append(story)
    assert not by_run, f"the world was called by runs that are not in the journal: {list(by_run)[:5]}"
    return stories


def _count(findings: Findings, stories: Sequence[RunStory], happenings: Sequence[Happening]) -> None:
    findings.count("runs", len(stories))
    for each in happenings:
        findings.count(f"{each.call.kind} calls")
        if each.call.kind == "effect" and each.happened:
            findings.count("effects that happened")
    for story in stories:
        findings.count(f"runs {'waiting' if story.ended is None else story.ended.status}")
        findings.count("takeovers", max(0, sum(isinstance(e, RunTaken) for e in story.events) - 1))
        findings.count("steps", len(story.intents))
        for step in story.intents:
            if story.status(step) in ("lost", "unknown"):
                findings.count(f"steps {story.status(step)}")


# -- one run: calls, effects, results


def _check_calls(findings: Findings, story: RunStory) -> None:
    times = Counter(each.call.step for each in story.tools)
    keys: dict[str, list[int]] = defaultdict(list)
    for each in story.tools:
        step = each.call.step
        intent = story.intents.get(step)
        announced = intent is not None and intent.name == each.call.name
        findings.check("Every call of the world is announced in the journal", announced, story.id, f"{each}")
        findings.check("No step reaches the world twice", times[step] == 1, story.id, f"{each}")
        keys[each.call.key].append(step)
    for key, steps in keys.items():
        ok = [step for step in steps if story.status(step) == "ok"]
        if ok:
            again = [step for step in steps if step > ok[0]]
            text = f"{key}: step {ok[0]} has a result, and then {again}"
            findings.check("A step with a recorded result is not executed again", not again, story.id, text)


def _check_effects(findings: Findings, story: RunStory) -> None:
    effects = [each for each in story.tools if each.call.kind == "effect"]
    for key, times in Counter(e.call.key for e in effects if not e.call.honours).items():
        text = f"{key} came {times} times"
        findings.check(
            "An effect without a key reaches the world once for a call", times == 1, story.id, text
        )
    for key, times in Counter(e.call.key for e in effects if e.call.honours and e.happened).items():
        findings.check(
            "An effect with a key happens once by its key", times == 1, story.id, f"{key}: {times}"
        )
    for name in {e.call.name for e in effects}:
        made = [e for e in effects if e.call.name == name and e.happened]
        doubtful = [e for e in made if story.was_in_doubt(e.call.step)]
        twice_named = len(made) <= 1 or len(doubtful) >= len(made) - 1
        findings.check(
            "An effect happens twice only if the run says that its fate was unknown",
            twice_named,
            story.id,
            f"{made}",
        )
        if len(made) > 1 and twice_named:
            findings.excuse("effects that happened again after a person said that they had not")
    for each in effects:
        if each.call.name == "wire":
            _check_grant(findings, story, each)


def _check_grant(findings: Findings, story: RunStory, wire: Happening) -> None:
    intent = story.intents.get(wire.call.step)
    grant = None if intent is None else intent.grant
    approved = grant is not None and story.status(grant) == "ok"
    decided = any(
        isinstance(e, CommandTaken) and e.command == "decide" and e.step == grant and e.approved
        for e in story.events
    )
    findings.check("What is held happens only once approved", approved and decided, story.id, f"{wire}")
    granted = [each.step for each in story.intents.values() if each.grant == grant]
    used = sum(story.status(step) != "withdrawn" for step in granted)
    findings.check("An approval lets one attempt pass", used <= 1, story.id, f"grant {grant}: {used}")


def _check_results(findings: Findings, story: RunStory) -> None:
    by_step = {each.call.step: each for each in story.tools}
    by_number = {each.number: each for each in story.models}
    seen: set[int] = set()
    statement = "A recorded result is what the world gave"
    for step, done in story.done.items():
        intent = story.intents.get(step)
        if intent is None or done.status != "ok":
            continue
        text = story.text(done.output)
        if intent.kind == "tool":
            made = by_step.get(step)
            holds = made is not None and made.reply == text
            findings.check(statement, holds, story.id, f"step {step}: {text!r}, world: {made}")
        elif intent.kind == "model":
            match = _TAG.search(text)
            number = 0 if match is None else int(match[1])
            made = by_number.get(number)
            holds = made is not None and made.call.name == intent.agent and number not in seen
            seen.add(number)
            findings.check(statement, holds, story.id, f"step {step}: {text[:100]!r}, world: {made}")


def _check_limits(findings: Findings, story: RunStory) -> None:
    limits = story.started.limits
    statement = "The world saw no more than a run's limits"

    def within(what: str, used: float | Decimal, limit: float | Decimal | None) -> None:
        holds = limit is None or used <= limit
        findings.check(statement, holds, story.id, f"{what}: {used} (limit {limit})")

    charged = [each for each in story.models if each.happened or each.fate == "lost_after"]
    tokens = sum(each.call.tokens for each in charged)
    output = OUTPUT_TOKENS * len(charged)
    within("model calls", len(story.models), limits.model_calls)
    within("tool calls", len(story.tools), limits.tool_calls)
    within("tokens", tokens, limits.tokens)
    usd = (PRICE.input_usd_per_mtok * (tokens - output) + PRICE.output_usd_per_mtok * output) / 1_000_000
    within("usd", usd, limits.usd)
    handoffs = sum(1 for step in story.intents.values() if step.kind == "handoff")
    within("handoffs", handoffs, limits.handoffs)


def _check_budget(findings: Findings, place: Place, happenings: Sequence[Happening]) -> None:
    for tenant, caps in BUDGET.tenants.items():
        mine = [e for e in happenings if make_case(place.seed, e.call.case).tenant == tenant]
        models = [each for each in mine if each.call.kind == "model"]
        tools = len(mine) - len(models)
        tokens = sum(each.call.tokens for each in models if each.happened)
        for what, used, cap in (
            ("model calls", len(models), caps.model_calls),
            ("tool calls", tools, caps.tool_calls),
            ("tokens", tokens, caps.tokens),
        ):
            holds = cap is None or used <= cap
            detail = f"{tenant}, {what}: {used} (cap {cap})"
            findings.check("The world saw no more than a tenant's budget", holds, "", detail)


async def _check_reserved(findings: Findings, stories: Sequence[RunStory], journal: Journal) -> None:
    """A run that is held has nothing in flight."""
    if any(story.row.state in ("running", "interrupted") and len(story.events) > 1 for story in stories):
        return  # it is reported as a run that has not ended
    for account in await journal.accounts():
        detail = f"{account.tenant!r} on {account.day}: {account.reserved}"
        findings.check(
            "Nothing is reserved once all runs have ended", account.reserved == Spend(), "", detail
        )


async def _check_rest(
    findings: Findings, story: RunStory, journal: Journal, busy: Collection[tuple[str, str | None]]
) -> None:
    """`busy`: the sessions with a run that waits; those behind it are in line."""
    if story.ended is None:
        waits = await read_waits(journal, story.id) if story.row.state == "waiting" else []
        held = bool(waits) and all(wait.reason or wait.kind == "unknown" for wait in waits)
        behind = len(story.events) == 1 and (story.row.tenant, story.started.session) in busy
        text = f"{story.row.state}, {waits}"
        findings.check("Every run has ended, or is held with a reason", held or behind, story.id, text)
        return
    findings.check("Every run has ended, or is held with a reason", True)
    ends = sum(isinstance(event, RunEnded) for event in story.events)
    findings.check("A run ends once", ends == 1, story.id, f"{ends} ends")
    outcome = await read_outcome(journal, story.id)
    _check_outcome(findings, story, outcome)


def _check_outcome(findings: Findings, story: RunStory, outcome: Outcome) -> None:
    happened = {(e.call.key): e for e in story.tools if e.call.kind == "effect" and e.reply}
    key_of = {each.step: f"{story.id}:{each.key}" for each in fold(story.events).effects}
    reported: dict[str, str] = {}
    for effect in outcome.effects:
        key = key_of.get(effect.step, "")
        reported[key] = effect.state
        text = f"{effect}: {happened.get(key)}"
        if effect.state == "committed":
            holds = key in happened
            findings.check("What an outcome says happened, happened", holds, story.id, text)
        elif effect.state == "failed":
            holds = key not in happened
            excused = not holds and story.was_in_doubt(effect.step)
            if excused:
                findings.excuse("effects that a person said did not happen, before they did")
            statement = "What an outcome says did not happen, did not"
            findings.check(statement, holds or excused, story.id, text)
        else:
            statement = "An outcome names each effect with a state that is final or unknown"
            findings.check(statement, effect.state == "unknown", story.id, text)
    for key, each in happened.items():
        state = reported.get(key)
        in_doubt = state == "failed" and story.was_in_doubt(each.call.step)
        holds = state in ("committed", "unknown") or in_doubt
        statement = "What happened is in the outcome"
        findings.check(statement, holds, story.id, f"{each}: {state}")
    for receipt in set(_RECEIPT.findall(outcome.answer or "")):
        known = any(each.reply == receipt for each in story.tools)
        findings.check("A receipt in an answer is one that the world gave", known, story.id, receipt)


# -- over runs


def _check_sessions(findings: Findings, stories: Sequence[RunStory]) -> None:
    sessions: dict[tuple[str, str], list[RunStory]] = defaultdict(list)
    for story in stories:
        if story.started.session is not None:
            sessions[story.row.tenant, story.started.session].append(story)
    for (tenant, session), runs in sessions.items():
        last, number, transcript = "", 0, None
        for story in runs:
            if any(isinstance(e, StepIntended) and e.kind == "approval" for e in story.events):
                break  # while it waits, the session goes on; the runs after it are told later what it did
            taken = next((e for e in story.events if isinstance(e, RunTaken)), None)
            models = [e.number for e in story.models]
            left = None if story.ended is None else story.ended.transcript
            if taken is None or (left is None and not models):  # it never had its turn
                continue
            text = f"session {tenant}/{session}: after {last}"
            serial = min(models, default=number + 1) > number
            findings.check("The runs of a session are serial", serial, story.id, text)
            went_on = taken.history == transcript
            findings.check("A session's run goes on where the one before ended", went_on, story.id, text)
            counted = [e.number for e in story.tools if not story.was_in_doubt(e.call.step)]
            number, last = max(number, *counted, *_count_models(story)), story.id
            transcript = left or transcript


def _count_models(story: RunStory) -> list[int]:
    """Returns the numbers of the model calls whose replies are recorded; others may be made late by a stopped worker."""
    texts = [story.text(done.output) for done in story.done.values() if done.status == "ok"]
    numbers = [int(match[1]) for text in texts if text.startswith("{") and (match := _TAG.search(text))]
    return numbers or [0]


async def _check_promises(
    findings: Findings, notes: Sequence[Note], stories: Sequence[RunStory], journal: Journal
) -> None:
    by_id = {story.id: story for story in stories}
    by_case = {story.started.request_id: story.id for story in stories}
    newest: dict[tuple[SettingKind, str], int] = {}
    for note in notes:
        if isinstance(note, Kept):
            story = by_id.get(note.run)
            kept = [] if story is None else story.events[note.first_seq : note.first_seq + note.n]
            holds = digest_of(kept) == note.digest
            text = f"{note.n} events from {note.first_seq} on"
            findings.check("What the journal acknowledged is in it", holds, note.run, text)
        elif isinstance(note, Started):
            holds = by_case.get(note.case) == note.run
            text = f"{note.case}: {by_case.get(note.case)}"
            findings.check("An acknowledged run is the one of its request", holds, note.run, text)
        elif isinstance(note, Ended):
            now = await read_outcome(journal, note.outcome.run)
            findings.check(
                "An acknowledged outcome is the recorded one",
                _is_same_outcome(note.outcome, now),
                now.run,
                f"{note.outcome} and now {now}",
            )
        elif isinstance(note, Ordered):
            await _check_order(findings, note, by_id.get(note.target), journal)
            if note.what in ("guard", "pause"):
                newest[note.what, note.target] = _number_of(note.by)
    for (kind, name), number in newest.items():
        setting = (await journal.settings()).get((kind, name))
        by = "" if setting is None else setting.by
        holds = by == "closer" or _number_of(by) >= number
        findings.check(
            "An acknowledged setting is not lost", holds, "", f"{kind} {name}: {by} before {number}"
        )


def _number_of(by: str) -> int:
    """Returns the order of a person's signature among all."""
    life, _, count = by.removeprefix("person:").partition(".")
    return int(life) * 100_000 + int(count) if life.isdigit() and count.isdigit() else -1


def _is_same_outcome(then: Outcome, now: Outcome) -> bool:
    """Returns whether two outcomes are the same, but for effects that a late receipt has settled."""
    effects = {effect.step: effect.state for effect in now.effects}
    same = all(effects.get(e.step) in (e.state, "committed") for e in then.effects)
    then, now = (msgspec.structs.replace(each, effects=()) for each in (then, now))
    return same and then == now


async def _check_order(findings: Findings, note: Ordered, story: RunStory | None, journal: Journal) -> None:
    if note.what in ("guard", "pause"):
        return
    assert story is not None, f"an order for a run that is not there: {note}"
    box = await journal.inbox(story.id)
    lies = any(item.command.by == note.by for item in box)
    taken = next((e for e in story.events if isinstance(e, CommandTaken) and e.by == note.by), None)
    if note.what == "cancel":
        holds = story.ended is not None and (taken is not None or lies or _ended_first(story))
        text = f"{note.by}: ended {story.ended is not None}, taken {taken is not None}, in the inbox {lies}"
        findings.check("An acknowledged cancellation ends its run", holds, story.id, text)
        return
    if note.what == "settle":  # of several who find the same, the first one is recorded
        found = [item.command for item in box if item.command.kind == "settled"]
        holds = any(each.approved == (note.value == "approve") and each.step == note.step for each in found)
        text = f"{note}: in the inbox {found}"
        findings.check("An acknowledged finding is not lost", holds, story.id, text)
        return
    holds = lies and (taken is not None or story.ended is not None)
    if taken is not None:
        holds = holds and taken.approved == (note.value == "approve") and taken.step == note.step
    text = f"{note}: taken {taken}, in the inbox {lies}"
    findings.check("An acknowledged decision is not lost", holds, story.id, text)


def _ended_first(story: RunStory) -> bool:
    return story.ended is not None and story.ended.status != "cancelled"


async def _check_replay(
    findings: Findings, place: Place, stories: Sequence[RunStory], journal: Journal
) -> None:
    """Decides again over every run that used today's tools, with today's team."""
    team = make_desk(place.socket)
    sea = Seawall(journal, environment={})
    await sea.open()
    for story in stories:
        findings.count("events", len(story.events))
        try:
            replayed = await sea.replay(story.id, team)
        except SeawallError as error:
            findings.check("A replay decides the same", False, story.id, describe_error(error))
            continue
        differences = [each for each in replayed.differences if each.what != "version"]
        findings.check("A replay decides the same", not differences, story.id, f"{differences[:3]}")
