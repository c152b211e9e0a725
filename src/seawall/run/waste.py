"""The cost of work that brought nothing new: a fold over a run's steps, independent of guards. Pure.

Three kinds of work are counted. A read is a *repeat* if its own agent has asked the same and got the same, and a
*duplicate* if only other agents have, with nothing written since. An answer is a *rewrite* if it says what earlier versions
of the text said, in nearly the same words and without a new value (`versions.py`).

A repeat or a duplicate costs the call's own time, and the tokens of the reply that asked for it, divided by the calls
of that reply. A rewrite costs the model calls of its frame since the frame's previous answer, the reply that asked for
it, divided in the same way, and its review. A reply that asked for a new version and was given a known one counts as
well.
"""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import RunTaken, StepDone, StepIntended
from seawall.core.frozen import EMPTY
from seawall.core.persistent import Latest

WasteKind = Literal["repeats", "duplicates", "rewrites"]

MAX_READS = 1_000
"""Reads that are remembered: some 300 kB. With more reads and no write between them, all are forgotten."""
MAX_ASKERS = 8
"""Agents that are remembered for one question, the newest: most teams have no more."""
MAX_VERSIONS = 16
"""Versions of texts with which a new one is compared, the newest: agents that argue do so about the newest ones."""
MAX_STEPS = 32
"""Steps that are named for one kind, the newest: more than a person reads. Calls and costs include all steps."""

_ZERO = Decimal(0)


class Wasted(msgspec.Struct, frozen=True):
    """The cost of work of one kind that brought nothing new."""

    calls: int = 0
    """The calls that brought nothing new: tool calls or, of `rewrites`, the model calls that gave the answers."""
    tokens: int = 0
    """Tokens that were spent on these calls; `seawall.run.waste` says what is counted."""
    usd: Decimal = _ZERO
    seconds: float = 0.0
    """The sum of the calls' durations in seconds; parallel calls are added as well."""
    steps: tuple[int, ...] = ()
    """The steps that brought nothing new, the newest 32."""

    def add(self, step: int, spent: Spent) -> Wasted:
        """Returns the sum with the cost of `step`, or with a further cost of it."""
        return Wasted(
            self.calls + (step not in self.steps),
            self.tokens + spent.tokens,
            self.usd + spent.usd,
            round(self.seconds + spent.seconds, 6),
            self.steps if step in self.steps else (*self.steps, step)[-MAX_STEPS:],
        )


class Spent(msgspec.Struct, frozen=True):
    """The cost of model calls."""

    tokens: int = 0
    usd: Decimal = _ZERO
    seconds: float = 0.0

    def add(self, other: Spent) -> Spent:
        """Returns the sum of both."""
        return Spent(self.tokens + other.tokens, self.usd + other.usd, self.seconds + other.seconds)

    def subtract(self, other: Spent) -> Spent:
        """Returns the difference of both."""
        return Spent(self.tokens - other.tokens, self.usd - other.usd, self.seconds - other.seconds)

    def divide(self, parts: int) -> Spent:
        """Returns one of `parts` equal parts."""
        if parts <= 1:
            return self
        return Spent(self.tokens // parts, round(self.usd / parts, 9), self.seconds / parts)


class FrameSpent(msgspec.Struct, frozen=True):
    """The cost of the model calls of one frame."""

    since: Spent = Spent()
    """The cost since the frame's newest answer."""
    newest: Spent = Spent()
    """The cost of the frame's newest reply."""
    asked: int = 1
    """The number of calls in the newest reply."""


class KnownRead(msgspec.Struct, frozen=True):
    """A read, with the fingerprints of its result."""

    step: int
    agent: str
    fingerprint: str
    agents: tuple[str, ...]
    """The agents that have made this read."""
    output: Ref | None
    left_s: float
    """The active seconds that the run had left when the result came."""


class TextVersion(msgspec.Struct, frozen=True):
    """An agent's answer, as one version of a text."""

    step: int
    text: int
    """The step of the first version."""
    agent: str
    frame: int
    parent: int
    """The frame that has asked for the answer."""
    ref: Ref
    rewrites: bool
    """Whether the version says nothing that earlier versions did not say."""
    check: Literal["", "review", "contract"] = ""
    """The check that the version has passed: a review that approved it, or the type that its agent's answers must have.
    "": none."""
    checked_in: int = 0
    """The step of the review."""


class TextHistory(msgspec.Struct, frozen=True):
    """The history of one text: its checked version, and the cost of rewriting it."""

    newest: TextVersion
    passed: TextVersion | None = None
    """The newest version that has passed a check."""
    authors: frozenset[str] = frozenset()
    rewrites: int = 0
    tokens: int = 0


class WasteState(msgspec.Struct, frozen=True):
    """Everything that the fold remembers of a run."""

    written: int = 0
    """The newest step that had begun when the world was last changed: the result of a read up to this step may be
    outdated."""
    reads: Latest[str, KnownRead] = Latest()
    """The reads since the last change, by question."""
    remembered: int = 0
    """The number of reads that were put into `reads`."""
    frames: MappingProxyType[int, FrameSpent] = EMPTY
    versions: tuple[TextVersion, ...] = ()
    """The newest versions of texts, newest last."""
    texts: MappingProxyType[int, TextHistory] = EMPTY
    """By the step of the first version: the texts of the newest versions."""
    wasted: MappingProxyType[WasteKind, Wasted] = EMPTY

    def find_read(self, name: str, arguments_key: str) -> KnownRead | None:
        """Returns the known read with the same question since the world was last changed; None if there is none."""
        return self.reads.get(f"{name}\0{arguments_key}")

    def find_same(
        self, step: int, name: str, arguments_key: str, fingerprint: str | None
    ) -> KnownRead | None:
        """Returns the known read with the same question and result as the read `step`, with nothing written since; None
        if there is none.
        """
        known = self.find_read(name, arguments_key)
        return known if known and known.fingerprint == fingerprint and step > self.written else None


def note_intent(state: WasteState, step: StepIntended) -> WasteState:
    """Forgets all reads once a call begins that changes the world."""
    return _forget_reads(state, step.step) if step.effect and step.perform else state


def note_taken(state: WasteState, event: RunTaken, steps: int) -> WasteState:
    """Forgets all reads once a run goes on after an interruption, because other programs may have written meanwhile."""
    return _forget_reads(state, steps) if event.epoch > 1 else state


def _forget_reads(state: WasteState, written: int) -> WasteState:
    return replace(state, written=written, reads=Latest(), remembered=0)


def note_done(
    state: WasteState,
    step: StepIntended,
    done: StepDone,
    *,
    tokens: int,
    usd: Decimal,
    parent: int,
    steps: int,
) -> WasteState:
    """Counts a result. `tokens` and `usd` were booked for it; `parent` is the frame around the step's frame, and
    `steps` the newest step.
    """
    if step.kind == "tool":
        return _note_call(state, step, done, steps) if step.perform else state
    if step.kind == "model":
        return _note_reply(state, step, done, tokens, usd, parent)
    if step.kind in ("handoff", "review"):
        return _note_frame_end(state, step, done)
    return state


# ---- reads


def _note_call(state: WasteState, step: StepIntended, done: StepDone, steps: int) -> WasteState:
    if step.effect:
        return _forget_reads(state, steps)
    if done.status != "ok" or done.fingerprint is None or step.poll:
        return _forget_reads(state, steps) if step.may_write else state
    same = state.find_same(step.step, step.name, step.arguments_key, done.fingerprint)
    if same is not None:
        return _note_same(state, step, done, same)
    if step.may_write:
        state = _forget_reads(state, steps)
    elif step.step <= state.written:
        return state
    elif state.remembered >= MAX_READS:
        state = _forget_reads(state, state.written)
    read = KnownRead(step.step, step.agent, done.fingerprint, (step.agent,), done.output, done.left_s)
    return _remember(state, step, read)


def _note_same(state: WasteState, step: StepIntended, done: StepDone, known: KnownRead) -> WasteState:
    kind: WasteKind = "repeats" if step.agent in known.agents else "duplicates"
    asked = replace(_share_reply(state, step.frame), seconds=done.duration_s)
    state = _add_waste(state, kind, step.step, asked)
    if kind == "repeats":
        return state
    return _remember(state, step, replace(known, agents=(*known.agents, step.agent)[-MAX_ASKERS:]))


def _remember(state: WasteState, step: StepIntended, read: KnownRead) -> WasteState:
    reads = state.reads.put(f"{step.name}\0{step.arguments_key}", read)
    return replace(state, reads=reads, remembered=state.remembered + 1)


def _share_reply(state: WasteState, frame: int) -> Spent:
    """Returns the cost of one call of a frame's newest reply: an equal part of the reply's cost."""
    spent = state.frames.get(frame)
    return Spent() if spent is None else spent.newest.divide(spent.asked)


def _add_waste(state: WasteState, kind: WasteKind, step: int, spent: Spent) -> WasteState:
    wasted = state.wasted.get(kind, Wasted()).add(step, spent)
    return replace(state, wasted=MappingProxyType({**state.wasted, kind: wasted}))


# ---- versions of texts


def _note_reply(
    state: WasteState, step: StepIntended, done: StepDone, tokens: int, usd: Decimal, parent: int
) -> WasteState:
    newest = Spent(tokens, usd, done.duration_s)
    before = state.frames.get(step.frame)
    since = newest if before is None else before.since.add(newest)
    if done.answer is not None and done.approved is None:  # a review is not a version of a text
        if done.version_of:
            state = _note_version(state, step, done, done.answer, since, parent)
        since = Spent()
    spent = FrameSpent(since, newest, max(1, len(done.calls)))
    return replace(state, frames=MappingProxyType(state.frames | {step.frame: spent}))


def _note_version(
    state: WasteState, step: StepIntended, done: StepDone, answer: Ref, spent: Spent, parent: int
) -> WasteState:
    version = TextVersion(
        step.step,
        done.version_of,
        step.agent,
        step.frame,
        parent,
        answer,
        done.rewrites,
        "contract"
        if done.calls
        else "",  # an answer comes with a call only if the call has the answer's type
    )
    text = state.texts.get(version.text) or TextHistory(version)
    text = replace(text, newest=version, authors=text.authors | {version.agent})
    if version.check:
        text = replace(text, passed=version)
    if version.rewrites:
        if step.frame:
            state, asked = _take_reply(state, parent)
            spent = spent.add(asked)
        state = _add_waste(state, "rewrites", version.step, spent)
        text = replace(text, rewrites=text.rewrites + 1, tokens=text.tokens + spent.tokens)
    versions = (*state.versions, version)[-MAX_VERSIONS:]
    kept = {each.text for each in versions}
    texts = {number: each for number, each in state.texts.items() if number in kept}
    texts[version.text] = text
    return replace(state, versions=versions, texts=MappingProxyType(texts))


def _take_reply(state: WasteState, frame: int) -> tuple[WasteState, Spent]:
    """Returns the cost of a frame's newest reply for one of its calls, and the state in which the frame no longer
    counts it.
    """
    asked, spent = _share_reply(state, frame), state.frames.get(frame)
    if spent is None:
        return state, asked
    left = replace(spent, since=spent.since.subtract(asked))
    return replace(state, frames=MappingProxyType({**state.frames, frame: left})), asked


def _note_frame_end(state: WasteState, step: StepIntended, done: StepDone) -> WasteState:
    if done.status == "replaced" and step.kind == "handoff":
        return _note_taken_version(state, step, done)
    spent = state.frames.get(step.step)
    if step.kind == "review" and done.status in ("ok", "replaced"):
        cost = Spent() if spent is None else spent.since
        state = _note_review(state, step, cost, approved=bool(done.approved))
    if spent is None:
        return state
    frames = {number: each for number, each in state.frames.items() if number != step.step}
    return replace(state, frames=MappingProxyType(frames))


def _note_taken_version(state: WasteState, step: StepIntended, done: StepDone) -> WasteState:
    """Counts the reply that has asked for another version, if a known one was given in its place."""
    taken = next((each for each in reversed(state.versions) if each.ref == done.output), None)
    text = None if taken is None else state.texts.get(taken.text)
    if taken is None or text is None:
        return state
    state, asked = _take_reply(state, step.frame)
    state = _add_waste(state, "rewrites", step.step, asked)
    text = replace(text, tokens=text.tokens + asked.tokens)
    return replace(state, texts=MappingProxyType({**state.texts, taken.text: text}))


def _note_review(state: WasteState, step: StepIntended, spent: Spent, *, approved: bool) -> WasteState:
    """Adds the result and the cost of a review to the newest version of its frame."""
    reviewed = next((each for each in reversed(state.versions) if each.frame == step.frame), None)
    text = None if reviewed is None else state.texts.get(reviewed.text)
    if reviewed is None or text is None:
        return state
    checked = replace(reviewed, check="review" if approved else "", checked_in=step.step if approved else 0)
    versions = tuple([checked if each == reviewed else each for each in state.versions])
    passed = text.passed
    if approved or passed == reviewed:  # otherwise an older version has passed, and that stays so
        passed = next(
            (each for each in reversed(versions) if each.text == text.newest.text and each.check), None
        )
    text = replace(text, passed=passed, newest=checked if text.newest == reviewed else text.newest)
    if reviewed.rewrites:
        state = _add_waste(state, "rewrites", reviewed.step, spent)
        text = replace(text, tokens=text.tokens + spent.tokens)
    return replace(state, versions=versions, texts=MappingProxyType({**state.texts, checked.text: text}))
