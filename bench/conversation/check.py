"""The journal against the script: every call, argument, result and text, one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from conversation.recorded import EFFECT_PREFIXES, Call
from conversation.result import Result
from conversation.script import Expected
from seawall import Outcome
from seawall.core.canonical import Ref
from seawall.core.events import Event, Judged, RunStarted, StepDone, StepIntended
from seawall.journal.protocol import Journal

GUARDS = {"loops", "limits", "deadline"}
"""All of them have to be enforced, by the journal."""
OBSERVES = {"context"}
"""Guards that only observe unless they are told otherwise."""
ASK = "ask_"


async def check(
    journal: Journal,
    tenant: str,
    result: Result,
    played: Sequence[tuple[str, Outcome, str]],
    *,
    read: Callable[[str], Any] = str,
) -> None:
    """Fill in what the journal says of a conversation, and everything that is not as recorded.

    `read` is applied to the arguments that a model wrote before they are compared: some frameworks keep no text of them.
    """
    if len(played) != len(result.script.runs) and not result.problems:
        result.problems.append(f"{len(played)} runs ended, and {len(result.script.runs)} are recorded")
    for number, (expected, (run, outcome, streamed)) in enumerate(
        zip(result.script.runs, played, strict=False), start=1
    ):
        log = await _Log.read(journal, tenant, run, read)
        problems = [*_ending(expected, outcome), *log.problems(expected)]
        told = "".join(log.texts())
        if result.wire == "stream" and streamed != told:
            problems.append(f"streamed was {streamed!r}, and said was {told!r}")
        result.problems += [f"run {number} ({run}): {problem}" for problem in problems]
        result.runs += 1
        result.steps += len(log.steps)
        result.advised += log.advised()
        result.overlapped += log.overlapped(expected.batches)
        if outcome.status == "halted" and outcome.stopped_by is not None:
            result.halted_by, result.halted_why = outcome.stopped_by.guard, outcome.stopped_by.reason


def _ending(expected: Expected, outcome: Outcome) -> list[str]:
    if expected.halted:
        by = outcome.stopped_by.guard if outcome.stopped_by else "nobody"
        return [] if (outcome.status, by) == ("halted", "loops") else [f"{outcome}, and it is a loop"]
    if outcome.status != "completed":
        return [str(outcome)]
    if outcome.answer != expected.texts[-1]:
        return [f"answered {outcome.answer!r}, and recorded is {expected.texts[-1]!r}"]
    return []


class _Log:
    """One run, as it is recorded."""

    def __init__(self, events: Sequence[Event], bodies: dict[Ref, bytes], read: Callable[[str], Any]) -> None:
        self._events = events
        self._bodies = bodies
        self._read = read
        self.steps = [event for event in events if isinstance(event, StepIntended)]
        self._done = {event.step: event for event in events if isinstance(event, StepDone)}

    @classmethod
    async def read(cls, journal: Journal, tenant: str, run: str, read: Callable[[str], Any]) -> _Log:
        events = await journal.events(run)
        refs: list[Ref] = []
        for event in events:
            if isinstance(event, StepIntended | StepDone):
                refs += [getattr(event, name, None) or Ref("") for name in ("input", "output")]
            if isinstance(event, StepDone):
                refs += [call.arguments for call in event.calls]
        return cls(events, await journal.bodies(tenant, sorted({ref for ref in refs if ref})), read)

    def advised(self) -> int:
        """Calls that a guard advised on."""
        return sum(1 for event in self._events if isinstance(event, Judged) and event.verdict == "advise")

    def texts(self) -> list[str]:
        """What the coordinator said, in order."""
        root = [step for step in self.steps if step.kind == "model" and step.frame == 0]
        said = [self._output(step) for step in root if self._status(step) == "ok"]
        return [text for text in (json.loads(each).get("content") for each in said) if text]

    def overlapped(self, batches: Sequence[Sequence[Call]]) -> int:
        """Batches of several calls that were all under way before the first of them was done."""
        tools = iter([step for step in self.steps if step.kind == "tool"])
        at = {id(event): place for place, event in enumerate(self._events)}
        count = 0
        for batch in batches:
            steps = [step for _, step in zip(batch, tools, strict=False)]
            begun = [at[id(step)] for step in steps]
            ended = [at[id(self._done[step.step])] for step in steps if step.step in self._done]
            count += len(steps) > 1 and len(ended) == len(batch) and max(begun) < min(ended)
        return count

    def problems(self, expected: Expected) -> list[str]:
        """Everything that is not as expected."""
        started = self._events[0]
        found: list[str] = []
        if not isinstance(started, RunStarted):
            return [f"it begins with {started}"]
        enforced = {name for name, mode in started.guards.items() if mode == "enforce"}
        if not enforced >= GUARDS or not set(started.guards) - enforced <= OBSERVES:
            found.append(f"not every guard was enforced: {started.guards}")
        if self.advised() != expected.advised:
            found.append(
                f"{self.advised()} calls were advised on, and {expected.advised} brought nothing new"
            )
        if (texts := self.texts()) != list(expected.texts):
            found.append(f"said {texts!r}, and recorded is {expected.texts!r}")
        together = sum(1 for batch in expected.batches if len(batch) > 1)
        if (overlapped := self.overlapped(expected.batches)) != together:
            found.append(f"{overlapped} of {together} batches were in flight at once")
        calls = [call for batch in expected.batches for call in batch]
        return [*found, *self._calls(calls), *self._asked(calls, halted=expected.halted)]

    def _calls(self, calls: Sequence[Call]) -> list[str]:
        """The calls that were performed: which, with which arguments, as what, with which result."""
        made = [
            (
                step.name,
                json.loads(self._text(step.input)),
                step.effect,
                step.perform,
                self._status(step),
                self._output(step),
            )
            for step in self.steps
            if step.kind == "tool"
        ]
        recorded = [
            (
                call.name,
                json.loads(call.arguments),
                call.name.startswith(EFFECT_PREFIXES),
                True,
                "ok",
                call.result,
            )
            for call in calls
        ]
        return _differences("made", made, recorded)

    def _asked(self, calls: Sequence[Call], *, halted: bool) -> list[str]:
        """The calls as the model wrote them; a run that was halted asked for more."""
        asked = [
            (call.id, call.name, self._read(self._text(call.arguments)))
            for step in self.steps
            if step.kind == "model" and step.step in self._done
            for call in self._done[step.step].calls
            if not call.name.startswith(ASK)
        ]
        recorded = [(call.id, call.name, self._read(call.arguments)) for call in calls]
        return _differences("asked for", asked[: len(recorded)] if halted else asked, recorded)

    def _status(self, step: StepIntended) -> str:
        done = self._done.get(step.step)
        return "open" if done is None else done.status

    def _output(self, step: StepIntended) -> str:
        done = self._done.get(step.step)
        return "" if done is None else self._text(done.output)

    def _text(self, ref: Ref | None) -> str:
        return "" if ref is None else self._bodies.get(ref, b"").decode()


def _differences(what: str, have: Sequence[Any], want: Sequence[Any]) -> list[str]:
    if len(have) != len(want):
        return [f"{len(have)} calls were {what}, and {len(want)} are recorded"]
    return [
        f"call {place} {what}: {got!r}, and recorded is {wanted!r}"
        for place, (got, wanted) in enumerate(zip(have, want, strict=True), start=1)
        if got != wanted
    ]
