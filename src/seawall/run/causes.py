"""Where a value came from: what of earlier results is found again in a later input.

An input has an edge *by value* from each step whose result holds one of its literals or shingles (see `traces.py`), and
an edge *by exposure* from what was merely in the context. Values that memory or the session's conversation have
brought also name the entry, or the earlier run. The index is made from bodies, so it is not state; the edges it finds
are recorded in the step's event.

What the request holds is the request's. A result that repeats what it was asked with is no further source of that, and
neither is a hand-off that passes on what was shown in it.
Phrases of prompts and tool descriptions are nobody's. Past any of the bounds below a step counts as exposed to every
earlier one (`EVERYTHING`), never as sourced by nothing.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

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
"""Sources of one literal. One that more have shown (the customer's number) has edges to the first so many."""
MAX_PHRASE_HOLDERS = 4
"""Sources of one phrase that are not memory. One that more have shown is boilerplate, and nobody's."""
MAX_TRACES_A_RUN = 100_000
"""About 15 MB. Past that the new values of results are not indexed."""
MAX_EDGES = 64
"""By value, of one input: the newest. More is a summary of everything."""
MAX_HISTORY_CHARS = 64_000
"""Of the session's conversation, the newest of it: it is gone through at the beginning of each run, in some 10 ms."""
MAX_HISTORY_RUNS = 8
"""The newest answers in the conversation, to which a run counts as exposed. These were exposed to those before."""
MAX_PATH_STEPS = 50
"""Steps of a path that a person is shown: more than anybody reads."""

RECALL = "recall"
"""The memory step that shows entries; the others write or forget one."""

_BOILERPLATE: tuple[int, ...] = ()
_MAX_ASKED = 64
"""More than are in flight at once."""
_NO_TRACES = Traces(frozenset(), frozenset(), True)
_REQUEST = 0
"""The place of the request among the sources."""
_FACTS = re.compile(r"\[Not from the user: what has happened since in run ([^\s,.\]]+)")
"""How `runtime/session_facts.py` begins what it tells of an earlier run."""


class Edges(NamedTuple):
    """Where an input comes from: within the run, and beyond it."""

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
        """`find` is `find_traces`, or one that knows the traces of a long text already. `common`: shingles of the texts
        that all of the team's runs are shown. `claims`: an index that finds claims of permission; None: nobody asks.
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
        """Steps, and what they have brought from beyond the run."""
        self._by_source: dict[Source, int] = {}
        self._asked: dict[str, Traces] = {}
        """Of inputs and answers that were looked at last: they are looked at again with their results."""
        self._steps: dict[int, StepIntended] = {}
        self._partial = False
        """Whether a result was not indexed as a whole."""

    # ---- what is learnt

    def learn(self, step: int, text: str, asked: str = "") -> None:
        """Adds the values of the result of `step` (0: the request), which was asked with the arguments `asked`."""
        self._add(step, None, self._find(text), self._find_echo(asked))

    def learn_request(self, text: str) -> None:
        """Adds the values of the request, and what it claims."""
        self.learn(0, text)
        self.claims.note(0, text, "the request")

    def learn_task(self, step: StepIntended, bodies: Bodies) -> None:
        """Adds what the task of a hand-off claims. Its values are those of what was shown to its writer."""
        if step.kind == "handoff" and step.perform:
            where = f"the task that {step.agent!r} gave {step.name!r} (step {step.step})"
            self.claims.note(step.step, bodies.text(step.input), where, frame=step.step)

    def learn_verdict(self, event: Event, bodies: Bodies) -> None:
        """Notes that a result was refused because it speaks as somebody else: what is about the same rests on that."""
        if not isinstance(event, Judged) or (event.guard, event.verdict) != (AUTHORITY, "refuse"):
            return
        step = self._steps.get(event.step)
        if step is not None and step.kind in CALLED and event.stage == "after" and event.mode == "enforce":
            where = f"the result of {step.name!r} (step {step.step})"
            self.claims.note_refused(step.step, bodies.text(step.input), where)

    def _learn_claims(self, step: StepIntended, text: str, bodies: Bodies) -> None:
        """Adds what a result claims. What an effect returns is its receipt, unless nobody vouches for it; what a reviewer says
        is a decision.
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
        """Adds what a memory step has shown: each entry is a source of its own."""
        echo = self._find_echo(asked)
        hits, rest = _split_hits(text)
        for number, shown in hits:
            self._add(step, Source(number), self._find(shown), echo)
        if rest:
            self._add(step, None, self._find(rest), echo)

    def learn_history(self, messages: Sequence[MessageRef], bodies: Bodies) -> None:
        """Adds the session's conversation, the newest messages first: each earlier run is a source of its own."""
        answers = (message.run for message in reversed(messages) if message.role == "assistant")
        shown = [run for run in dict.fromkeys(answers) if run][:MAX_HISTORY_RUNS]
        self.descent.begin([Source(run=run) for run in shown])
        answered = set[str]()
        left = MAX_HISTORY_CHARS
        for message in reversed(messages):
            source = _name_message(message, answered)
            if source is None:
                continue
            if left <= 0:
                self._partial = True
                break
            text = bodies.text(message.ref)
            self._add(0, source, self._find(text[:left]), _NO_TRACES)
            if message.role != "user" or not message.step:  # a guard's note quotes a claim, and makes none
                is_recent = message.run == messages[-1].run
                read = message.role == "tool"
                self.claims.note_history(message.run, text[:left], read=read, is_recent=is_recent)
            if message.role == "tool" and message.name == RECALL:  # what it shows is also the entries'
                for number, shown in _split_hits(text)[0]:
                    self._add(0, Source(number), self._find(shown), _NO_TRACES)
            left -= len(text)

    def learn_told(self, facts: Sequence[Ref], bodies: Bodies) -> None:
        """Adds what the coordinator is told of earlier runs before the request."""
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
        """Notes a system prompt: its phrases are nobody's."""
        if ref is not None and ref not in self._prompts:
            self._prompts.add(ref)
            self._common |= _find_phrases(bodies.text(ref))

    def note(self, step: StepIntended) -> None:
        """Notes a step and its own causes, so that a path can lead over it."""
        self._steps[step.step] = step
        self.descent.intend(step)

    def settle(self, done: StepDone, bodies: Bodies, used: Iterable[Event] = ()) -> None:
        """Adds what a noted step has returned. What models replied is not a source. `used`: what it did in memory."""
        for event in used:
            if isinstance(event, MemoryRead):
                self.descent.read(event)
        self.descent.settle(done)
        step = self._steps.get(done.step)
        if step is not None:
            self.learn_version(step.frame, done, bodies)
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
            if step.name != RECALL:  # what was written can be recalled within the run
                self.learn(step.step, asked)
            self.learn_recall(step.step, text, asked)
        elif step.kind in ("handoff", "review"):
            self._pass_on(step.step, text)
        else:
            self.learn(step.step, text, asked)

    def compare_answer(self, done: StepDone, bodies: Bodies) -> Told:
        """Returns of which text an agent's answer is a version, and whether it says anything new.

        Reviews, and what is no answer, are versions of nothing.
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
        """Adds an answer that was compared with those before it."""
        if done.version_of and done.answer is not None:
            self.versions.add(done.version_of, frame, self._find_asked(bodies.text(done.answer)))

    def find_text(self, task: str) -> int:
        """Returns the text of which a task holds a version; 0 if it holds none. See `StepDone.version_of`."""
        if not self.versions or len(task) < MIN_TEXT_CHARS:
            return 0
        return self.versions.find_text(self._find_asked(task))

    def _is_below(self, frame: int, above: int) -> bool:
        """Returns whether a frame was at work for another one."""
        while frame:
            opened = self._steps.get(frame)
            frame = 0 if opened is None else opened.frame
            if frame == above:
                return True
        return False

    def _pass_on(self, step: int, text: str) -> None:
        """Adds the answer of a frame: the steps in it that showed a value are its sources, and not who passes it on."""
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
        """Returns who has shown a phrase, with one more. Tools that all say it make it boilerplate; memory does not."""
        more = (*holders, place)
        if sum(not self._is_memory(each) for each in more) > MAX_PHRASE_HOLDERS:
            return _BOILERPLATE
        return more if len(more) <= MAX_HOLDERS + 1 else holders  # one more says that there are more

    def _is_memory(self, place: int) -> bool:
        """Returns whether a source is an entry, or a step that wrote one."""
        number, source = self._places[place]
        step = self._steps.get(number)
        return bool(source and source.entry) or (step is not None and step.kind == "memory")

    def _find_echo(self, asked: str) -> Traces:
        known = self._asked.pop(asked, None)
        return known if known is not None else self._find(asked) if asked else _NO_TRACES

    def _find_place(self, step: int, source: Source | None) -> int:
        """Returns the place of a source. An entry that is shown again is the same one."""
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
        """Returns the edges to an input: by value where its values were seen, by exposure to `exposed`.

        `by` is the model step that wrote the input, a value edge of its own.
        """
        return self.find_edges(text, exposed=exposed, by=by).causes

    def find_edges(self, text: str, *, exposed: tuple[int, ...] = (), by: int | None = None) -> Edges:
        """Returns the edges to an input, and where its values come from beyond the run."""
        if not text and by is None:
            return Edges(tuple([Cause(step, "exposure") for step in exposed]), ())
        places, everything = self._find_places(text)
        valued = {self._places[place][0] for place in places}
        if by is not None:
            valued.add(by)
        sources = [source for _, source in (self._places[place] for place in places) if source is not None]
        edges = [Cause(step, "value") for step in sorted(valued)]
        edges += [Cause(step, "exposure") for step in exposed if step not in valued]
        if everything:
            edges.append(Cause(EVERYTHING, "exposure"))
        return Edges(tuple(edges), tuple(dict.fromkeys(sources)))

    def find_claims(
        self, text: str, frames: Sequence[int], by: int | None, name: str
    ) -> tuple[FoundClaim, ...]:
        """Returns the claims on which an input of the tool `name` rests that the model step `by` wrote.

        It rests on what it has a value of, directly or over other steps, and on the tasks that it is made for: the hand-offs
        of the frames `frames`, of which 0 is the request. It is exposed to the conversations of these frames as well, each
        up to the hand-off that led on from it.
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
        """Returns the places that hold values of a text, and whether there may be others."""
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
        """Returns the traces of a text that is looked at again soon."""
        traces = self._asked.get(text)
        if traces is None:
            traces = self._find(text)
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked[text] = traces
        return traces

    def trace(self, causes: Iterable[Cause], sources: Sequence[Source] = ()) -> list[CauseStep]:
        """Returns the steps on the ways by value that lead to `causes`, the nearest first, at most `MAX_PATH_STEPS`."""
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


@functools.lru_cache(maxsize=256)  # the runs of an application have few prompts in common
def _find_phrases(prompt: str) -> frozenset[int]:
    return find_traces(prompt).shingles


def _describe_source(source: Source) -> CauseStep:
    if source.entry:
        return CauseStep(step=0, kind="entry", name=f"#{source.entry}")
    return CauseStep(step=source.step or 0, kind="run" if source.step else "answer", name=source.run)


def _name_message(message: MessageRef, answered: set[str]) -> Source | None:
    """Returns what a message of an earlier run is, going back; None for replies that only called tools."""
    if not message.run:
        return None
    if message.role != "assistant":
        return Source(run=message.run, step=message.step)
    if message.run in answered:
        return None
    answered.add(message.run)
    return Source(run=message.run)


def _split_hits(text: str) -> tuple[list[tuple[int, str]], str]:
    """Returns the entries that the result of a memory step shows, each with its text, and the rest of the result."""
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
