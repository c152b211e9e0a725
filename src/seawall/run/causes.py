"""Where a value came from: finds values of earlier results in later inputs.

An input has an edge *by value* from each step whose result holds one of its literals or shingles (see `traces.py`), and
an edge *by exposure* from what was merely in the context. Values from memory or from the session's conversation also
name the entry, or the earlier run. The index is made from bodies, so it is not state; the edges that it finds are
recorded in the step's event.

A value of the request has the request as its source. A result that repeats values of its arguments is not a further
source of them, and neither is a hand-off that passes on values that were shown in it. Phrases of prompts and tool
descriptions have no source. If one of the bounds below is exceeded, a step counts as exposed to every earlier step
(`EVERYTHING`), and never as without a source.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import (
    CALLED,
    EVERYTHING,
    Cause,
    Event,
    Judged,
    MemoryRead,
    RunTaken,
    Source,
    StepDone,
    StepIntended,
)
from seawall.journal.protocol.effects import CauseStep
from seawall.run.bodies import Bodies
from seawall.run.claim_objects import describe_act
from seawall.run.descent import Descent
from seawall.run.frame import MessageRef
from seawall.run.permission_claims import AUTHORITY, ClaimIndex, FoundClaim, Resting, read_content
from seawall.run.traces import Traces, find_traces
from seawall.run.versions import MIN_TEXT_CHARS, Told, Versions

MAX_HOLDERS = 8
"""Most sources of one literal. A literal that more steps have shown (the customer's number) has edges to the first
ones."""
MAX_PHRASE_HOLDERS = 4
"""Most sources of one phrase that are not memory. A phrase that more steps have shown is boilerplate, and has no
source."""
MAX_TRACES_A_RUN = 100_000
"""Most traces that are indexed in a run, about 15 MB. Further values of results are not indexed."""
MAX_EDGES = 64
"""Most edges by value of one input, the newest ones. An input with more is a summary of everything."""
MAX_HISTORY_CHARS = 64_000
MAX_HISTORY_MESSAGES = 2_000
"""Characters and messages of the session's conversation that are indexed, the newest ones. This is done at the beginning
of each run, and the values of short messages are cached."""
SHORT_CHARS = 1_000
KEPT_TEXTS = 4_096
"""Most texts of conversations, each shorter than `SHORT_CHARS`, whose traces are cached, by newest use: each run of a
session indexes the messages that the run before it has indexed. They take 50 megabytes at most."""
MAX_HISTORY_RUNS = 8
"""Newest answers of the conversation to which a run counts as exposed. These answers were exposed to the earlier
ones."""
MAX_PATH_STEPS = 50
"""Most steps of a path that are shown to people: more than a person reads."""

RECALL = "recall"
"""The name of the memory step that shows entries; other memory steps write or forget an entry."""

_BOILERPLATE: tuple[int, ...] = ()
_MAX_ASKED = 64
"""Most inputs whose traces are kept: more than are in flight at once."""
_NO_TRACES = Traces(frozenset(), frozenset(), True)
_REQUEST = 0
"""The place of the request among the sources."""
_FACTS = re.compile(r"\[Not from the user: what has happened since in run ([^\s,.\]]+)")
"""The beginning of a text of `runtime/session_facts.py` about an earlier run."""


class Edges(msgspec.Struct, frozen=True):
    """The sources of an input, within the run and outside of it."""

    causes: tuple[Cause, ...]
    sources: tuple[Source, ...]


class Causes:
    """An index of which steps have shown each value of a run."""

    def __init__(
        self,
        find: Callable[[str], Traces] = find_traces,
        common: frozenset[int] = frozenset(),
        claims: ClaimIndex | None = None,
    ) -> None:
        """`find` is `find_traces`, or a function that has cached the traces of long texts. `common` holds shingles of
        the texts that all runs of the team are shown. `claims` is an index that finds claims of permission; None:
        claims are not used.
        """
        self.descent = Descent()
        self.claims = ClaimIndex() if claims is None else claims
        self.versions = Versions()
        self._find = find
        self._common = set(common)
        self._prompts: set[Ref] = set()
        self._told: set[Ref] = set()
        self._holders: dict[str | int, int | tuple[int, ...]] = {}
        """By literal or shingle: places in `_places`."""
        self._places: list[tuple[int, Source | None]] = [(0, None)]
        """Steps, each with its source outside of the run, if it has one."""
        self._by_source: dict[Source, int] = {}
        self._asked: dict[str, Traces] = {}
        """Traces of the most recent inputs and answers: they are needed again with their results."""
        self._steps: dict[int, StepIntended] = {}
        self._partial = False
        """Whether some result was not indexed completely."""

    # ---- what is learnt

    def learn(self, step: int, text: str, asked: str = "") -> None:
        """Adds the values of the result of `step` (0: the request), whose arguments are `asked`."""
        self._add(step, None, self._find(text), self._find_echo(asked))

    def learn_request(self, text: str) -> None:
        """Adds the values and the claims of the request."""
        self.learn(0, text)
        self.claims.note(0, text, "the request")

    def learn_task(self, step: StepIntended, bodies: Bodies) -> None:
        """Adds the claims in the task of a hand-off. The values in it are not added, because they come from texts that
        its writer was shown.
        """
        if step.kind == "handoff" and step.perform:
            where = f"the task that {step.agent!r} gave {step.name!r} (step {step.step})"
            self.claims.note(step.step, bodies.text(step.input), where, frame=step.step)

    def learn_verdict(self, event: Event, bodies: Bodies) -> None:
        """Adds a result that was refused because it speaks in somebody else's name: later calls about the same things
        rest on it.
        """
        if not isinstance(event, Judged) or (event.guard, event.verdict) != (AUTHORITY, "refuse"):
            return
        step = self._steps.get(event.step)
        if step is not None and step.kind in CALLED and event.stage == "after" and event.mode == "enforce":
            where = f"the result of {step.name!r} (step {step.step})"
            self.claims.note_refused(step.step, bodies.text(step.input), where)

    def _learn_claims(self, step: StepIntended, text: str, bodies: Bodies) -> None:
        """Adds the claims of a result. A trusted effect's result is a receipt and a reviewer's answer is a decision;
        these make no claims.
        """
        kind, number, frame = step.kind, f"(step {step.step})", step.frame
        if not self.claims.looks:
            return
        if kind == "model":
            where = f"the reply of {step.agent!r} {number}"
            self.claims.note(step.step, read_content(text), where, frame=frame)
        elif kind == "handoff":
            self.claims.note(step.step, text, f"the answer of {step.name!r} {number}", frame=frame)
        elif kind in CALLED and (not step.effect or step.untrusted):
            where, asked = f"the result of {step.name!r} {number}", bodies.text(step.input)
            self.claims.note(step.step, text, where, frame=frame, read=True, asked=asked)

    def learn_recall(self, step: int, text: str, asked: str = "") -> None:
        """Adds the entries that a memory step has shown: each entry is a separate source."""
        echo = self._find_echo(asked)
        hits, rest = _split_hits(text)
        for number, shown in hits:
            self._add(step, Source(number), self._find(shown), echo)
        if rest:
            self._add(step, None, self._find(rest), echo)

    def learn_history(self, messages: Sequence[MessageRef], bodies: Bodies) -> None:
        """Adds the session's conversation, the newest messages first: each earlier run is a separate source."""
        answers = (message.run for message in reversed(messages) if message.role == "assistant")
        shown = [run for run in dict.fromkeys(answers) if run][:MAX_HISTORY_RUNS]
        self.descent.begin([Source(run=run) for run in shown])
        answered = set[str]()
        left = MAX_HISTORY_CHARS
        self._partial |= len(messages) > MAX_HISTORY_MESSAGES
        for message in reversed(messages[-MAX_HISTORY_MESSAGES:]):
            source = _name_message(message, answered)
            if source is None:
                continue
            if left <= 0:
                self._partial = True
                break
            text = bodies.text(message.ref)
            find = _recall_traces if len(text) < SHORT_CHARS else self._find
            self._add(0, source, find(text[:left]), _NO_TRACES)
            if message.role != "user" or not message.step:  # a guard's note quotes a claim, and makes none
                is_recent = message.run == messages[-1].run
                read = message.role == "tool"
                self.claims.note_history(message.run, text[:left], read=read, is_recent=is_recent)
            if message.role == "tool" and message.name == RECALL:  # the shown entries are sources as well
                for number, shown in _split_hits(text)[0]:
                    self._add(0, Source(number), self._find(shown), _NO_TRACES)
            left -= len(text)

    def learn_told(self, facts: Sequence[Ref], bodies: Bodies) -> None:
        """Adds the texts about earlier runs that the coordinator is told before the request."""
        sources: list[Source] = []
        for ref in facts:
            if ref in self._told:
                continue
            self._told.add(ref)
            head, _, rest = bodies.text(ref).partition("\n")
            told = _FACTS.match(head)
            if told is not None:
                sources.append(Source(run=told[1]))
                self._add(0, sources[-1], self._find(rest), _NO_TRACES)
        if sources:
            self.descent.begin(sources)

    def learn_prompt(self, ref: Ref | None, bodies: Bodies) -> None:
        """Adds a system prompt, whose phrases count as having no source."""
        if ref is not None and ref not in self._prompts:
            self._prompts.add(ref)
            self._common |= _find_phrases(bodies.text(ref))

    def note(self, step: StepIntended) -> None:
        """Adds a step and its own causes, so that a path can lead through it."""
        self._steps[step.step] = step
        self.descent.intend(step)

    def settle(self, done: StepDone, bodies: Bodies, used: Iterable[Event] = ()) -> None:
        """Adds the result of a step that was added with `note`. Replies of models are not sources. `used` says what the
        step did in memory.
        """
        for event in used:
            if isinstance(event, MemoryRead):
                self.descent.read(event)
        self.descent.settle(done)
        step = self._steps.get(done.step)
        if step is not None:
            self.learn_version(step.frame, done, bodies)
        if step is not None and is_shown_decision(step, done):
            self.learn(step.step, bodies.text(done.output), bodies.text(step.input))
        if (
            step is None
            or step.kind == "approval"
            or done.status not in ("ok", "error")
            or done.output is None
        ):
            return
        text = bodies.text(done.output)
        self._learn_claims(step, text, bodies)
        if step.kind == "model":
            return
        asked = bodies.text(step.input)
        if step.kind == "memory":
            if step.name != RECALL:  # the run itself can recall what it wrote
                self.learn(step.step, asked)
            self.learn_recall(step.step, text, asked)
        elif step.kind in ("handoff", "review"):
            self._pass_on(step.step, text)
        else:
            self.learn(step.step, text, asked)

    def compare_answer(self, done: StepDone, bodies: Bodies) -> Told:
        """Returns the result with the text of which an agent's answer is a version, and whether the answer says nothing
        new. A review is not a version of a text, and neither is a reply that is not an answer.
        """
        step = self._steps.get(done.step)
        if step is None or step.kind != "model" or done.answer is None or done.approved is not None:
            return Told()
        text = bodies.text(done.answer)
        if len(text) < MIN_TEXT_CHARS:
            return Told()
        return self.versions.compare(
            step.step, self._find_asked(text), lambda frame: self._is_below(frame, step.frame)
        )

    def learn_version(self, frame: int, done: StepDone, bodies: Bodies) -> None:
        """Adds an answer that was compared with the earlier answers."""
        if done.version_of and done.answer is not None:
            self.versions.add(done.version_of, frame, self._find_asked(bodies.text(done.answer)))

    def find_text(self, task: str) -> int:
        """Returns the step number of the text of which a task holds a version; 0 if it holds none. See
        `StepDone.version_of`.
        """
        if not self.versions or len(task) < MIN_TEXT_CHARS:
            return 0
        return self.versions.find_text(self._find_asked(task))

    def _is_below(self, frame: int, above: int) -> bool:
        """Returns whether a frame worked for another frame."""
        while frame:
            opened = self._steps.get(frame)
            frame = 0 if opened is None else opened.frame
            if frame == above:
                return True
        return False

    def _pass_on(self, step: int, text: str) -> None:
        """Adds the answer of a frame: the sources of its values are the steps within the frame that showed them, and
        not the agent that passes them on.
        """
        traces, known = self._asked.get(text) or self._find(text), self._holders
        new = Traces(
            frozenset(each for each in traces.literals if each not in known),
            frozenset(each for each in traces.shingles if each not in known),
            traces.whole,
        )
        self._add(step, None, new, _NO_TRACES)

    def relearn(self, events: Iterable[Event], bodies: Bodies) -> Iterator[None]:
        """Adds recorded steps and their results, and yields after each result."""
        for event in events:
            if isinstance(event, RunTaken):
                self.learn_told(event.facts, bodies)
            elif isinstance(event, MemoryRead):
                self.descent.read(event)
            elif isinstance(event, Judged):
                self.learn_verdict(event, bodies)
            elif isinstance(event, StepIntended):
                if event.kind == "model":
                    self.learn_prompt(event.input, bodies)
                self.note(event)
                self.learn_task(event, bodies)
            elif isinstance(event, StepDone):
                self.settle(event, bodies)
                yield

    def _add(self, step: int, source: Source | None, traces: Traces, echo: Traces) -> None:
        place = self._find_place(step, source)
        if not traces.whole:
            self._partial = True
        known = self._holders
        for literal in traces.literals:
            held = known.get(literal)
            if held is None:
                self._add_new(literal, place)
            elif held != _REQUEST and literal not in echo.literals:
                both = held if isinstance(held, tuple) else (held,)
                if len(both) <= MAX_HOLDERS and place not in both:  # one more says that there are more
                    known[literal] = (*both, place)
        for shingle in traces.shingles - self._common:
            held = known.get(shingle)
            if held is None:
                self._add_new(shingle, place)
            elif held != _REQUEST and held != _BOILERPLATE and shingle not in echo.shingles:
                both = held if isinstance(held, tuple) else (held,)
                if place not in both:
                    known[shingle] = self._add_holder(both, place)

    def _add_holder(self, holders: tuple[int, ...], place: int) -> tuple[int, ...]:
        """Returns the sources of a phrase, with one more. A phrase of many tools is boilerplate; a phrase of many
        memory entries is not.
        """
        more = (*holders, place)
        if sum(not self._is_memory(each) for each in more) > MAX_PHRASE_HOLDERS:
            return _BOILERPLATE
        return more if len(more) <= MAX_HOLDERS + 1 else holders  # one more says that there are more

    def _is_memory(self, place: int) -> bool:
        """Returns whether a source is a memory entry, or a step that wrote one."""
        number, source = self._places[place]
        step = self._steps.get(number)
        return bool(source and source.entry) or (step is not None and step.kind == "memory")

    def _find_echo(self, asked: str) -> Traces:
        known = self._asked.pop(asked, None)
        return known if known is not None else self._find(asked) if asked else _NO_TRACES

    def _find_place(self, step: int, source: Source | None) -> int:
        """Returns the place of a source. An entry that is shown again keeps its place."""
        if source is None:
            if step == 0:
                return _REQUEST
        elif (known := self._by_source.get(source)) is not None:
            return known
        else:
            self._by_source[source] = len(self._places)
        self._places.append((step, source))
        return len(self._places) - 1

    def _add_new(self, trace: str | int, place: int) -> None:
        if len(self._holders) < MAX_TRACES_A_RUN:
            self._holders[trace] = place
        else:
            self._partial = True

    # ---- what is asked

    def of(self, text: str, *, exposed: tuple[int, ...] = (), by: int | None = None) -> tuple[Cause, ...]:
        """Returns the edges to an input: by value from steps that showed its values, and by exposure from `exposed`.
        `by` is the model step that wrote the input; it also gets a value edge.
        """
        return self.find_edges(text, exposed=exposed, by=by).causes

    def find_edges(self, text: str, *, exposed: tuple[int, ...] = (), by: int | None = None) -> Edges:
        """Returns the edges to an input, and the sources of its values outside of the run."""
        if not text and by is None:
            return Edges(tuple([Cause(step, "exposure") for step in exposed]), ())
        places, everything = self._find_places(text)
        valued = set[int]() if by is None else {by}
        sources: dict[Source, None] = {}
        for place in places:
            step, source = self._places[place]
            valued.add(step)
            if source is not None:
                sources[source] = None
        edges = [Cause(step, "value") for step in sorted(valued)]
        edges += [Cause(step, "exposure") for step in exposed if step not in valued]
        if everything:
            edges.append(Cause(EVERYTHING, "exposure"))
        return Edges(tuple(edges), tuple(sources))

    def find_claims(
        self, text: str, frames: Sequence[int], by: int | None, name: str
    ) -> tuple[FoundClaim, ...]:
        """Returns the claims on which an input of the tool `name` rests, which the model step `by` wrote. The input
        rests on texts from which it has a value, directly or through other steps, and on its tasks: the hand-offs of
        the frames `frames`, where 0 is the request. It is exposed to the conversations of these frames as well, each up
        to the hand-off that opened the next frame.
        """
        if not self.claims:
            return ()
        path = self.trace(self.find_edges(text, by=by).causes)
        steps = {
            each.step for each in path if each.tie == "value" and each.kind not in ("entry", "run", "answer")
        }
        mine = self._find(text)

        def shares(other: Traces) -> bool:
            shingles = (mine.shingles & other.shingles) - self._common
            return bool(mine.literals & other.literals or shingles)

        exposed = dict(zip(frames, (sys.maxsize, *frames), strict=False))
        act = describe_act(name, text, mine.literals)
        return tuple(self.claims.list_under(Resting(act, steps, frames, exposed, shares)))

    def is_handoff(self, step: int) -> bool:
        """Returns whether a step is a hand-off."""
        known = self._steps.get(step)
        return known is not None and known.kind == "handoff"

    def _find_places(self, text: str) -> tuple[list[int], bool]:
        """Returns the places that hold values of a text, and whether there may be further ones."""
        known, traces = self._holders, self._find_asked(text)
        found: set[int] = set()
        everything = self._partial or not traces.whole
        for trace in (*(known.keys() & traces.literals), *(known.keys() & traces.shingles)):
            held = known[trace]
            if trace in self._common:
                continue
            if isinstance(held, int):
                found.add(held)
            else:
                everything = everything or held == _BOILERPLATE or len(held) > MAX_HOLDERS
                found.update(held[:MAX_HOLDERS])
        places = sorted(found)
        return places[-MAX_EDGES:], everything or len(places) > MAX_EDGES

    def _find_asked(self, text: str) -> Traces:
        """Returns the traces of a text, and keeps them, because they are needed again soon."""
        traces = self._asked.get(text)
        if traces is None:
            traces = self._find(text)
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked[text] = traces
        return traces

    def trace(self, causes: Iterable[Cause], sources: Sequence[Source] = ()) -> list[CauseStep]:
        """Returns the steps on the paths by value that lead to `causes`, the nearest first, at most
        `MAX_PATH_STEPS`.
        """
        path: dict[int, CauseStep] = {}
        beyond = dict.fromkeys(sources)
        wave = list(causes)
        while wave and len(path) < MAX_PATH_STEPS:
            onward: list[Cause] = []
            for cause in wave:
                if cause.step in path or len(path) >= MAX_PATH_STEPS:
                    continue
                step = self._steps.get(cause.step)
                if step is None:
                    path[cause.step] = CauseStep(
                        step=cause.step,
                        kind="everything" if cause.step == EVERYTHING else "request",
                        name="",
                        tie=cause.tie,
                    )
                    continue
                path[cause.step] = CauseStep(
                    step=cause.step, kind=step.kind, name=step.name, agent=step.agent, tie=cause.tie
                )
                if cause.tie == "value":
                    onward += [each for each in step.causes if each.tie == "value"]
                    beyond |= dict.fromkeys(step.sources)
            wave = onward
        return [*path.values(), *map(_describe_source, list(beyond)[: MAX_PATH_STEPS - len(path)])]


_recall_traces = functools.lru_cache(maxsize=KEPT_TEXTS)(find_traces)


def is_shown_decision(step: StepIntended, done: StepDone) -> bool:
    """Returns whether the agent is shown what a person decided: other arguments, why a call was not allowed, or what
    became of an effect. It is not shown that and why a call was approved.
    """
    if step.kind != "approval" or done.output is None:
        return False
    return done.status == "refused" or (done.status == "ok" and (done.edit is not None or not done.proposal))


@functools.lru_cache(maxsize=256)  # the runs of an application have few prompts in common
def _find_phrases(prompt: str) -> frozenset[int]:
    return find_traces(prompt).shingles


def _describe_source(source: Source) -> CauseStep:
    if source.entry:
        return CauseStep(step=0, kind="entry", name=f"#{source.entry}")
    return CauseStep(step=source.step or 0, kind="run" if source.step else "answer", name=source.run)


def _name_message(message: MessageRef, answered: set[str]) -> Source | None:
    """Returns a name for a message of an earlier run, while messages are read from the newest back; None for a reply
    that only called tools.
    """
    if not message.run:
        return None
    if message.role != "assistant":
        return Source(run=message.run, step=message.step)
    if message.run in answered:
        return None
    answered.add(message.run)
    return Source(run=message.run)


def _split_hits(text: str) -> tuple[list[tuple[int, str]], str]:
    """Returns the entries in the result of a memory step, each with its text, and the rest of the result."""
    try:
        waiting: list[Any] = [msgspec.json.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return [], text
    hits: list[tuple[int, str]] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += cast("list[Any]", value)
        elif isinstance(value, Mapping):
            fields = cast("dict[str, Any]", value)
            if "key" not in fields or "value" not in fields:
                waiting += fields.values()
            elif isinstance(number := fields.get("number"), int) and number > 0:
                hits.append((number, msgspec.json.encode([fields["key"], fields["value"]]).decode()))
    return hits, ""
