"""A script through the real runtime, on a clock of its own: the default guards, and limits that are far away."""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loop_hard.kinds import StepKind
from loop_hard.script import FIRST, START_S, Move, Script
from loop_hard.texts import tell_time
from seawall import ALLOW, Agent, Guard, Hold, Limits, NotDone, Outcome, Run, Seawall, Team, Tool, Waiting
from seawall.core.events import Judged
from seawall.models.protocol import ModelRequest
from seawall.models.scripted import Entry, call, say, slow
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.testing import ManualClock, ScriptedModel

FAR = Limits(active_s=1_000_000, tool_calls=10_000, model_calls=10_000, handoffs=10_000, depth=16)
DONE = 1
"""The answer in the end: it is of use also where a number is asked for."""
REPLY_MEDIAN_S, REPLY_P90_S = 5.7, 22.2
"""Seconds that models took for a reply in 357,161 steps of coding agents (Claude Code and Codex) in daily use, as
published: "TraceLab: Characterizing Coding Agent Workloads for LLM Serving", arXiv 2606.30560, table of timing, positive
generation spans. The log-normal distribution through both has its 99th percentile at 67 s; 84 s were measured."""
_REPLY_SIGMA = math.log(REPLY_P90_S / REPLY_MEDIAN_S) / 1.2816


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a rule did with a script."""

    stopped_at: int | None = None
    """The move (from 1) at which it said that this is a loop. None: it never did."""
    advised: bool = False
    by: str = ""
    """What stopped it."""


class Failure(Exception):
    """A read's error."""


class _World:
    """The script's moves, of which each agent's model takes the next one of its own."""

    def __init__(self, script: Script, clock: ManualClock) -> None:
        self.clock = clock
        self.taken = 0
        self.made: dict[str, Move] = {}
        """The move whose call comes next, by tool."""
        self.newest: Move = script.moves[0]
        self._moves = deque(script.moves)
        self._numbers = bool(script.kind.output)
        self._at_s = 0.0
        self._rng = random.Random(f"{script.kind.name}/{script.seed}/replies")
        self._blocks_s = 0.0
        """What is left of the time before the result of the newest call, once its reply was there."""

    def reply(self, agent: str) -> Entry:
        """What this agent's model says next."""
        while self._moves and self._moves[0].agent != agent:  # its hand-off was not made
            self._take()
        if not self._moves:
            return self._answer(agent)
        before_s, move = self._at_s, self._take()
        reply_s, self._blocks_s = split_gap(move, move.at_s - before_s, self._rng)
        return slow(reply_s, self._said(move))

    def _take(self) -> Move:
        move = self._moves.popleft()
        self.taken += 1
        self._at_s = move.at_s
        return move

    def _answer(self, agent: str) -> Entry:
        if agent == FIRST and self._numbers:
            return call("final_answer", value=DONE)
        return say(f"Done: {DONE}.")

    def _said(self, move: Move) -> Entry:
        if move.said is not None:
            return say(self._told(move.said))
        if move.step.reply is not None:
            finish = "length" if move.step.finish == "length" else "stop"
            return say(json.loads(move.arguments)["text"], finish=finish)
        self.made[move.tool] = self.newest = move
        return call(move.tool, self._told(move.arguments))

    def _told(self, text: str) -> str:
        return tell_time(text, self.clock.wall_s())

    async def perform(self, tool: str) -> str:
        """The recorded result of the call that was made last, when it is there."""
        move = self.made[tool]
        await self.clock.sleep(self._blocks_s)
        result = self._told(move.result)
        if move.step.error:
            raise NotDone(result) if move.step.effect else Failure(result)
        return result


def split_gap(move: Move, gap_s: float, rng: random.Random) -> tuple[float, float]:
    """The seconds before a move's result that its reply takes, and those that its call takes.

    The rule is the same for all kinds, see `bench/loops_hard.py`.
    """
    drawn_s = rng.lognormvariate(math.log(REPLY_MEDIAN_S), _REPLY_SIGMA)
    performed = move.said is None and move.step.reply is None and not move.step.to
    if not performed or move.step.unmade or move.step.rejected:
        return gap_s, 0.0
    reply_s = min(gap_s, drawn_s)
    return reply_s, gap_s - reply_s


class _Ask(Guard):
    """Calls on which a person decides."""

    name = "ask"

    def __init__(self, tools: Sequence[str]) -> None:
        self._tools = frozenset(tools)

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Hold a call of these tools."""
        return Hold("a person has to say so") if step.name in self._tools else ALLOW


async def play(script: Script) -> Judgement:
    """Play it, until it ends or is stopped."""
    clock = ManualClock(wall_s=START_S)
    world = _World(script, clock)
    async with Seawall(clock=clock, rng=random.Random(script.seed)) as sea:
        run = await sea.start(_team(script, world), script.kind.asked)
        outcome = await _outcome(sea, run, world)
        events = [event async for event in run.events()]
    advised = any(
        isinstance(event, Judged) and (event.guard, event.verdict) == ("loops", "advise") for event in events
    )
    stop = outcome.stopped_by
    if outcome.status == "completed" or stop is None:
        return Judgement(advised=advised, by="" if outcome.status == "completed" else outcome.status)
    rule = f"{stop.guard}: {stop.limit or stop.reason}"
    return Judgement(stopped_at=world.taken if stop.guard == "loops" else None, advised=advised, by=rule)


async def _outcome(sea: Seawall, run: Run, world: _World) -> Outcome:
    """The outcome, with a person who decides as the script says."""
    clock = world.clock
    rests = await clock.until(run.rest(), limit_s=FAR.active_s)
    while isinstance(rests, Waiting):
        move = world.newest
        reason = move.step.rejected or "it is fine"
        await sea.decide(run.id, rests.step, approve=not move.step.rejected, by="ann", reason=reason)
        rests = await clock.until(run.rest(), limit_s=FAR.active_s)
    return rests


def _team(script: Script, world: _World) -> Team:
    agents = [_agent(name, script, world) for name in script.agents]
    asks = sorted({move.tool for move in script.moves if move.step.rejected or move.step.approved})
    return Team("desk", agents[0], specialists=agents[1:], limits=FAR, guards=[_Ask(asks)] if asks else [])


def _agent(name: str, script: Script, world: _World) -> Agent:
    model = ScriptedModel(lambda request: _reply(world, name, request), clock=world.clock)
    tools = _tools(world, script)
    if name == FIRST and script.kind.output == "int":
        return Agent(name, model=model, tools=tools, output=int)
    return Agent(name, model=model, tools=tools)


def _reply(world: _World, agent: str, request: ModelRequest) -> Entry:
    return world.reply(agent)


def _tools(world: _World, script: Script) -> list[Tool]:
    made: dict[str, list[StepKind]] = {}
    for name, step in {(move.tool, id(move.step)): (move.tool, move.step) for move in script.moves}.values():
        offered = step.tool and name != "final_answer" and not (step.unmade and "nope" in name)
        if offered and step.reply is None:
            made.setdefault(name, []).append(step)
    return [_tool(world, name, members) for name, members in made.items()]


def _tool(world: _World, name: str, members: Sequence[StepKind]) -> Tool:
    async def perform(**arguments: object) -> str:
        return await world.perform(name)

    required = sorted({each for step in members for each in step.required})
    schema = {"type": "object", "additionalProperties": True, "required": required}
    return Tool(
        perform,
        name=name,
        description=f"The tool {name}.",
        effect=any(step.effect for step in members),
        poll=any(step.poll for step in members),
        schema=schema,
    )
