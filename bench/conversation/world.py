"""The tools of a recorded conversation: they return what was recorded, for the calls that were recorded."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from conversation.recorded import EFFECT_PREFIXES, Call
from conversation.script import Expected
from seawall import Tool

TOGETHER_S = 20.0
"""How long a call waits for those that have to be in flight with it; they come within milliseconds."""
SCHEMA = {"type": "object", "additionalProperties": True}
"""The recording holds calls and not the tools' schemas: any object will do."""


class Unrecorded(Exception):
    """A call that the recording does not have at this place."""


class _Batch:
    """Calls that have to be in flight at once."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.left = list(calls)
        self.all_here = asyncio.Event()
        self.last: asyncio.Event | None = None
        """Set when the newest call that came has been answered."""


class World:
    """What one conversation may call next. Each recorded call is answered once."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self.calls = 0
        """Calls that reached the world."""
        self.problems: list[str] = []

    def expect(self, run: Expected) -> None:
        """Be ready for the calls of a run."""
        self._batches = deque(_Batch(calls) for calls in run.batches)

    def close(self) -> None:
        """The run is over: what was not called by now is a problem."""
        left = [call.name for batch in self._batches for call in batch.left]
        if left:
            self.problems.append(f"{len(left)} recorded calls were not made: {', '.join(left)}")

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Answer a call once all of its batch are in flight. Raises `Unrecorded`."""
        self.calls += 1
        batch = self._batches[0] if self._batches else _Batch(())
        call = _taken(batch, name, arguments)
        if call is None:
            expected = ", ".join(f"{one.name} {one.arguments}" for one in batch.left) or "no call"
            self.problems.append(f"{name} {json.dumps(arguments)} was called, and recorded is {expected}")
            raise Unrecorded(self.problems[-1])
        if not batch.left:
            batch.all_here.set()
            self._batches.popleft()
        before, done = batch.last, asyncio.Event()
        batch.last = done
        try:
            async with asyncio.timeout(TOGETHER_S):
                await batch.all_here.wait()
                if before is not None:  # in the order of the calls, so that a run repeats exactly
                    await before.wait()
        except TimeoutError:
            self.problems.append(f"{name} was in flight without {', '.join(one.name for one in batch.left)}")
            raise
        finally:
            done.set()
        return call.result


def _taken(batch: _Batch, name: str, arguments: dict[str, Any]) -> Call | None:
    """The recorded call that this is, taken out of its batch."""
    text = json.dumps(arguments, sort_keys=True)
    for place, call in enumerate(batch.left):
        if call.name == name and json.dumps(json.loads(call.arguments), sort_keys=True) == text:
            return batch.left.pop(place)
    return None


def tools(world: World, names: Sequence[str]) -> list[Tool]:
    """The tools of these names, played by `world`."""
    return [_tool(world, name) for name in names]


def _tool(world: World, name: str) -> Tool:
    async def play(**arguments: Any) -> str:
        return await world.call(name, arguments)

    effect = name.startswith(EFFECT_PREFIXES)
    return Tool(play, name=name, description=f"{name}, as recorded.", effect=effect, schema=SCHEMA)
