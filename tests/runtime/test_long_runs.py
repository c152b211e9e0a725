"""A step of a long run is as much work as a step of a short one. Calls of functions are counted, and no time is taken."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import seawall
from seawall import Agent, ContextGuard, Limits, Seawall, Team, Tool
from seawall.core.events import Mode
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, ToolCall, Usage
from seawall.testing import ManualClock, ScriptedModel

ROOT = str(Path(seawall.__file__).parent)
CALLS = 230
EARLY, LATE = (60, 80), (CALLS - 20, CALLS)
"""Calls of the tool between which is counted. Before the first of them, windows of guards and caches fill."""
NOISE = 1.01
"""What is done from time to time, such as the collection of garbage, may come within one of the two."""


class Counted:
    """An agent that learns something new with each of `CALLS` calls of its tool, and what that takes."""

    def __init__(self, *, effect: bool) -> None:
        self.counts = {EARLY: Counter[str](), LATE: Counter[str]()}
        self._window: tuple[int, int] | None = None
        self._made = itertools.count(1)
        schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
        tool = Tool(self._look, name="look", description="Looks at one thing.", schema=schema, effect=effect)
        model = ScriptedModel(self._reply, usage=Usage(100, 20), keep_requests=0)
        limits = Limits(tool_calls=2 * CALLS, model_calls=2 * CALLS, tokens=10**9)
        self.team = Team(Agent("desk", "Looks at things.", model=model, tools=[tool]), limits=limits)

    def _count(self, frame: FrameType, event: str, _: Any) -> None:
        """Counts calls of Seawall's functions, and those that they make of built-in ones."""
        code = frame.f_code
        if self._window is not None and code.co_filename.startswith(ROOT) and event in ("call", "c_call"):
            self.counts[self._window][f"{event} {code.co_filename}:{code.co_qualname}"] += 1

    def _reply(self, request: ModelRequest) -> ModelReply:
        made = (len(request.messages) - 2) // 2
        if made == CALLS:
            return ModelReply(message=Assistant("All was looked at."), usage=Usage(100, 20), finish="stop")
        call = ToolCall(f"call_{made:08d}", "look", f'{{"what":"thing {made:08d}"}}')
        return ModelReply(message=Assistant(None, (call,)), usage=Usage(100, 20), finish="tool_calls")

    async def _look(self, what: str) -> str:
        number = next(self._made)
        self._window = next((each for each in self.counts if each[0] <= number < each[1]), None)
        sys.setprofile(None if self._window is None else self._count)
        return f"{what}: found in room {number:08d} of the old house, behind the third door"


@pytest.mark.parametrize("effect", [False, True], ids=["reads", "effects"])
def test_a_late_step_takes_as_many_calls_as_an_early_one(effect: bool) -> None:
    counted = Counted(effect=effect)

    async def main() -> None:
        guards = [ContextGuard(mode="enforce")]
        async with Seawall(clock=ManualClock(), guards=guards) as sea:
            modes: dict[str, Mode] = {"loops": "off"} if effect else {}  # it counts effects in a row
            run = await sea.start(counted.team, "Look at things.", modes=modes)
            outcome = await run.outcome()
        assert (outcome.status, outcome.tool_calls) == ("completed", CALLS)

    asyncio.run(main())

    early, late = counted.counts[EARLY], counted.counts[LATE]
    assert early.total() > 1_000, "nothing was counted"
    grown = {where: count - early[where] for where, count in (late - early).most_common(5)}
    assert late.total() <= NOISE * early.total(), grown
