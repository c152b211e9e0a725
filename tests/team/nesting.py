"""Teams within a team, and guards to give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seawall import (
    ALLOW,
    Agent,
    Guard,
    Halt,
    Refuse,
    Team,
    Tool,
)
from seawall.core.events import Mode, StepIntended
from seawall.models.protocol import ModelRequest
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, say
from team.play import World


class Never(Guard):
    """Says `verdict` to each tool call."""

    def __init__(self, verdict: Any = None, name: str = "never", mode: Mode = "enforce") -> None:
        self.name = name
        self.mode = mode
        self._verdict = verdict or Halt("no tool calls")

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return self._verdict if step.kind == "tool" else ALLOW


class AtMost(Guard):
    """Refuses tool calls after `limit` of them, by its memory."""

    name = "at-most"

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def start(self) -> int:
        return 0

    def fold(self, memory: int, event: Any, run: Any) -> int:
        return memory + (isinstance(event, StepIntended) and event.kind == "tool" and event.perform)

    def before(self, step: Any, run: Any, memory: int) -> Any:
        if step.kind == "tool" and memory >= self._limit:
            return Refuse("enough", f"limit={self._limit}", memory)
        return ALLOW


def looking(times: int, tool_name: str = "look") -> Any:
    """A model that makes so many calls, each of another thing, and then answers; by the conversation alone."""

    def script(request: ModelRequest) -> Any:
        made = sum(message.role == "assistant" for message in request.messages)
        return call(tool_name, what=str(made)) if made < times else say("seen")

    return ScriptedModel(script)


def inner(world: World, times: int = 3, name: str = "inner", **options: Any) -> Team:
    lead = Agent(f"lead_of_{name}", model=looking(times), tools=[world.reads()])
    return Team(name, lead, **options)


def outer(*nested: Team, script: Any = None, tools: Sequence[Tool] = (), **options: Any) -> Team:
    asks = [call(f"ask_{each.name}", task="look") for each in nested]
    model = ScriptedModel(script or [calls(*asks), say("Done.")], by="position")
    return Team("outer", Agent("boss", model=model, tools=tools), specialists=nested, **options)


def boss_of(team: Team) -> ScriptedModel:
    model = team.coordinator.model
    assert isinstance(model, ScriptedModel)
    return model
