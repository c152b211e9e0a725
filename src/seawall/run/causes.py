"""Where a value came from: literals of earlier results found again in a later input.

A literal is a token that could hardly be there by chance: it has a digit, an `@` or an underscore, and at
least three characters (order numbers, amounts, dates, ids, addresses). Ordinary words give no edge.
The index is made from bodies, so it is not state; the edges it finds are recorded in the step's event.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from seawall.core.events import Cause, Event, StepDone, StepIntended
from seawall.journal.protocol.effects import CauseStep
from seawall.run.bodies import Bodies

_PLAIN = "A-Za-z.:/+#$€£-"
_PLAIN_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.:/+#$€£-"
_MARKED_RUN = re.compile(rf"[0-9@_][0-9@_{_PLAIN}]*+")
"""The rest of a run of such characters from its first mark (a digit, `@` or `_`) on. Few words of a text have one, so
only they are looked at; what a run begins and ends with is cut off after. No character is looked at twice."""
_MARKED = re.compile(r"[0-9@_]")
_MIN_LENGTH = 3
MAX_LITERAL_CHARS = 256
"""A longer run is content (base64, a path with a query), and not a value that somebody writes again."""
MAX_INDEXED_CHARS = 200_000
"""Of a text: enough for `MAX_LITERALS_A_RESULT` with a sentence around each. Values after that read as unsourced."""
MAX_LITERALS_A_RESULT = 2_000
"""Of a longer result only the first so many are indexed: a page of search results has some hundred."""
MAX_LITERALS_A_RUN = 50_000
"""About 5 MB. Past that new results are not indexed, and their values read as unsourced."""

MAX_PATH_STEPS = 50
"""Steps of a path that a person is shown: more than anybody reads."""


def literals(text: str) -> set[str]:
    """Returns the literals of the first `MAX_INDEXED_CHARS` of `text`, at most `MAX_LITERALS_A_RESULT`."""
    found: set[str] = set()
    before = 0
    for run in _MARKED_RUN.finditer(text, 0, MAX_INDEXED_CHARS):
        start, end = run.span()
        start = before + len(text[before:start].rstrip(_PLAIN_CHARS))
        before = end
        token = text[start:end].lstrip("@.:/+-").rstrip("@.:/+#$€£-")
        # Only an `@` that was cut off can have been the token's one mark.
        if _MIN_LENGTH <= len(token) <= MAX_LITERAL_CHARS and ("@" not in run[0] or _MARKED.search(token)):
            found.add(token.lstrip("@.:/+#$€£-"))
            if len(found) >= MAX_LITERALS_A_RESULT:
                break
    return found


class Causes:
    """An index of the step that first showed each literal of a run."""

    def __init__(self, find: Callable[[str], set[str]] = literals) -> None:
        """`find` is `literals`, or one that knows the literals of a long text already."""
        self._find = find
        self._first: dict[str, int] = {}
        self._steps: dict[int, StepIntended] = {}

    def learn(self, step: int, text: str) -> None:
        """Adds the literals of the result of `step` (0: the request)."""
        if len(self._first) >= MAX_LITERALS_A_RUN:
            return
        for literal in self._find(text):
            self._first.setdefault(literal, step)

    def note(self, step: StepIntended) -> None:
        """Notes a step and its own causes, so that a path can lead over it."""
        self._steps[step.step] = step

    def trace(self, causes: Iterable[Cause]) -> list[CauseStep]:
        """Returns the steps on the ways by value that lead to `causes`, the nearest first, at most `MAX_PATH_STEPS`."""
        path: dict[int, CauseStep] = {}
        wave = list(causes)
        while wave and len(path) < MAX_PATH_STEPS:
            onward: list[Cause] = []
            for cause in wave:
                if cause.step in path or len(path) >= MAX_PATH_STEPS:
                    continue
                step = self._steps.get(cause.step)
                if step is None:
                    path[cause.step] = CauseStep(step=cause.step, kind="request", name="", tie=cause.tie)
                    continue
                path[cause.step] = CauseStep(
                    step=cause.step, kind=step.kind, name=step.name, agent=step.agent, tie=cause.tie
                )
                onward += [each for each in step.causes if cause.tie == "value" and each.tie == "value"]
            wave = onward
        return list(path.values())

    def relearn(self, events: Iterable[Event], bodies: Bodies) -> Iterator[None]:
        """Adds the literals of recorded results, and yields after each. What models replied is not a source."""
        kinds: dict[int, str] = {}
        for event in events:
            if isinstance(event, StepIntended):
                self.note(event)
                kinds[event.step] = event.kind
            elif isinstance(event, StepDone) and event.status == "ok" and kinds.get(event.step) != "model":
                self.learn(event.step, bodies.text(event.output))
                yield

    def of(self, text: str, *, exposed: tuple[int, ...] = (), by: int | None = None) -> tuple[Cause, ...]:
        """Returns the edges to an input: by value where its literals were seen, by exposure to `exposed`.

        `by` is the model step that wrote the input, a value edge of its own.
        """
        if not text and by is None:
            return tuple([Cause(step, "exposure") for step in exposed])
        first = self._first
        valued = {first[literal] for literal in self._find(text) if literal in first}
        if by is not None:
            valued.add(by)
        edges = [Cause(step, "value") for step in sorted(valued)]
        edges += [Cause(step, "exposure") for step in exposed if step not in valued]
        return tuple(edges)
