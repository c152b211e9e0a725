"""Plays a team to its end, and keeps what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from seawall import Outcome, Seawall, Team, Tool
from seawall.core.events import Event, Judged, Mode, StepDone, StepIntended
from seawall.models.protocol import Message
from seawall.testing import ManualClock, ScriptedModel

NO_GUARDS: dict[str, Mode] = dict.fromkeys(("loops", "context", "authority", "waste"), "off")
"""Modes in which none of the default guards judges."""


@dataclass
class Played:
    """One run that has ended."""

    outcome: Outcome
    events: list[Event]

    @property
    def judged(self) -> list[tuple[str, str, str]]:
        """(guard, verdict, mode) in order."""
        return [(each.guard, each.verdict, each.mode) for each in self.events if isinstance(each, Judged)]

    def steps(self, kind: str) -> list[StepIntended]:
        """The steps of a kind, in order."""
        return [each for each in self.events if isinstance(each, StepIntended) and each.kind == kind]

    def done(self, step: int) -> StepDone:
        """A step's result."""
        return next(each for each in self.events if isinstance(each, StepDone) and each.step == step)


@dataclass
class World:
    """Counts what reaches it. The truth, whatever a ledger says."""

    calls: list[str] = field(default_factory=list)

    def reads(self, name: str = "look", answer: Any = None) -> Tool:
        """A tool that reads, and says `answer` or its argument."""
        return Tool(self._function(answer), name=name, description="Look something up.")

    def writes(self, name: str = "pay", answer: Any = None) -> Tool:
        """A tool that changes the world."""
        return Tool(self._function(answer), name=name, description="Pay something.", effect=True)

    def _function(self, answer: Any) -> Any:
        async def function(what: str = "") -> Any:
            self.calls.append(what)
            await asyncio.sleep(0)
            return what if answer is None else answer

        return function


def play(team: Team, request: str = "go", *, options: dict[str, Any] | None = None, **host: Any) -> Played:
    """Run it on a journal in memory. `host` is for `Seawall`, `options` for `start`."""
    return asyncio.run(played(team, request, options=options, **host))


async def played(
    team: Team, request: str = "go", *, options: dict[str, Any] | None = None, **host: Any
) -> Played:
    """As `play`, within a loop."""
    async with Seawall(environment={}, **host) as sea:
        run = await sea.start(team, request, **(options or {}))
        clock = host.get("clock")
        async with asyncio.timeout(60):
            outcome = await (clock.until(run.outcome()) if isinstance(clock, ManualClock) else run.outcome())
        return Played(outcome, await sea.journal.events(run.id))


def sent(model: ScriptedModel, request: int = -1) -> list[str]:
    """The texts of what the model was sent."""
    return [text(message) for message in model.requests[request].messages]


def text(message: Message) -> str:
    """A message's text."""
    return message.content or ""


def unanswered(messages: Sequence[Message]) -> list[str]:
    """Calls without an answer right after them, and answers without a call."""
    open_: list[str] = []
    wrong: list[str] = []
    for message in messages:
        calls = getattr(message, "calls", ())
        answers = getattr(message, "call_id", None)
        if answers is not None:
            if answers in open_:
                open_.remove(answers)
            else:
                wrong.append(f"answer to {answers}")
            continue
        wrong += open_
        open_ = [call.id for call in calls]
    return wrong + open_
