"""Loops in threads and on event loops, interrupted anywhere on engines that come and go: each effect is made once.

A seed replays a plan. The world counts what reaches it; the record, the limits and the answers are checked against that.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runtime.foreign.scripted_loop import USAGE
from seawall import Broken, Engine, Limits, Misused, Refused, Seawall
from seawall.core.events import RunStarted, StepIntended
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import Session
from seawall.team.tool import NotDone

EFFECTS = ["pay", "send"]
LIMITS = Limits(tool_calls=40, model_calls=40)
REQUESTS = 3
STORMS = 6
"""Times that all loops begin, and are interrupted."""


class Call(NamedTuple):
    """A call of a scripted reply."""

    id: str
    tool: str
    arguments: dict[str, Any]


class Interrupted(BaseException):
    """What ends a loop in the midst of a step, as Ctrl-C does."""


class World:
    """What reaches the other side: how often each effect is made, and the accidents on the way."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._lock = rng, threading.Lock()
        self.made: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.failed: set[str] = set()
        """Effects of which a person has said that they failed: a loop may give them up."""
        self.accidents = True

    def perform(self, request: str, call: Call) -> str:
        """Performs a call. It may be refused by the other side, or its caller interrupted before it is made or after."""
        with self._lock:
            self.calls[request] += 1
            accident = self._rng.random() if self.accidents else 1.0
            if accident < 0.06:
                raise Interrupted
            if accident < 0.12:
                raise NotDone("the bank is busy")
            self.made[f"{request} {call.tool} {call.arguments}"] += 1
            if accident < 0.18:
                raise Interrupted
            if accident < 0.22 and call.tool in EFFECTS:
                raise ConnectionError("reset")
        return f"{call.tool} done"


def make_script(rng: random.Random) -> list[list[Call]]:
    """Returns the calls of each reply: ids of their own, ids that come again in each reply, or none."""
    ids = rng.choice(["own", "again", "none"])
    script: list[list[Call]] = []
    for reply in range(rng.randint(1, 3)):
        calls: list[Call] = []
        for place in range(rng.randint(1, 3)):
            made = {"own": f"c{reply}-{place}", "again": f"call_{place}", "none": ""}[ids]
            calls.append(Call(made, rng.choice(["pay", "send", "look"]), {"order": 10 * reply + place}))
        script.append(calls)
    return script


class Desk:
    """One request, and a loop for it without a checkpoint. It may ask for the calls of a reply at once."""

    def __init__(self, request: str, script: list[list[Call]], world: World, *, at_once: bool) -> None:
        self.request, self.script, self.world, self.at_once = request, script, world, at_once

    def _reply(self, number: int) -> ModelResult:
        calls = [] if number == len(self.script) else self.script[number]
        written = [(call.id, call.tool, json.dumps(call.arguments)) for call in calls]
        return ModelResult("" if calls else "all done", written, usage=USAGE)

    def begin(self, engine: Engine) -> Session:
        """Begins the request, or goes on with it."""
        return engine.begin(self.request, loop="own", request_id=self.request)

    def run_sync(self, engine: Engine, begun: Callable[[Session], None] = lambda session: None) -> str:
        """Runs the loop in this thread. `begun` is given its session."""
        with self.begin(engine) as session:
            begun(session)
            messages: list[Any] = [{"role": "user", "content": self.request}]
            for number in range(len(self.script) + 1):
                asked = session.model("clerk", "test:m", messages)
                session.step_sync(asked, lambda turn, number=number: (self._reply(number), None))
                if number == len(self.script):
                    break
                told = [self._call_sync(session, call) for call in self.script[number]]
                messages += [{"role": "assistant", "reply": number}, {"role": "tool", "content": told}]
            return str(session.end_sync("all done").answer)

    def _call_sync(self, session: Session, call: Call) -> str:
        asked = session.tool("clerk", call.tool, call.arguments, call_id=call.id)
        while True:
            try:
                done = session.step_sync(asked, lambda turn: (self.world.perform(self.request, call), None))
            except NotDone:
                continue
            if done.settled.status != "error":
                return done.settled.text

    async def run(self, engine: Engine, begun: Callable[[Session], None] = lambda session: None) -> str:
        """Runs the loop on this event loop."""
        async with self.begin(engine) as session:
            begun(session)
            messages: list[Any] = [{"role": "user", "content": self.request}]
            for number in range(len(self.script) + 1):
                asked = session.model("clerk", "test:m", messages)
                await session.step(asked, lambda turn, number=number: self._reply_async(number))
                if number == len(self.script):
                    break
                calls = self.script[number]
                if self.at_once:
                    told = await asyncio.gather(*(self._call(session, call) for call in calls))
                else:
                    told = [await self._call(session, call) for call in calls]
                messages += [{"role": "assistant", "reply": number}, {"role": "tool", "content": told}]
            return str((await session.end("all done")).answer)

    async def _reply_async(self, number: int) -> Any:
        await asyncio.sleep(0)
        return self._reply(number), None

    async def _call(self, session: Session, call: Call) -> str:
        async def perform(turn: Any) -> Any:
            await asyncio.sleep(0)
            return self.world.perform(self.request, call), None

        asked = session.tool("clerk", call.tool, call.arguments, call_id=call.id)
        while True:
            try:
                done = await session.step(asked, perform)
            except NotDone:
                continue
            if done.settled.status != "error":
                return done.settled.text


async def cancel_soon(work: Any, turns: int) -> str:
    """Runs a loop, and cancels it after so many turns of the event loop."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
    task.cancel()
    return await task


class Leaver:
    """Lets go of a session from a thread of its own, at some moment: the loop may be anywhere, and goes on."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._threads: list[threading.Thread] = []

    def begin(self, session: Session) -> None:
        """A loop has this session."""
        self._threads.append(threading.Thread(target=self._leave, args=(session,)))
        self._threads[-1].start()

    def _leave(self, session: Session) -> None:
        for _ in range(self._turns):
            _ = session.is_busy  # takes a while
        with suppress(Refused, Broken, Misused):
            session.detach_sync()

    def join(self) -> None:
        """Waits until it has let go."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


async def run_beside(desk: Desk, journal: Path, turns: int) -> str:
    """Runs a loop on an engine that has no thread, and is closed with the loop."""
    async with make_engine(journal, thread=False) as engine:
        return await cancel_soon(desk.run(engine), turns)


def storm(desk: Desk, engine: Engine, journal: Path, kind: str, turns: int) -> None:
    """One invocation of a loop, however it ends."""
    with suppress(Refused, Broken, Misused, Interrupted, ConnectionError, asyncio.CancelledError):
        if kind == "thread":
            desk.run_sync(engine)
        elif kind == "task":
            asyncio.run(desk.run(engine))
        elif kind.startswith("leave"):
            leaver = Leaver(turns * 100)
            try:
                if kind == "leave thread":
                    desk.run_sync(engine, leaver.begin)
                else:
                    asyncio.run(desk.run(engine, leaver.begin))
            finally:
                leaver.join()
        elif kind == "beside":
            asyncio.run(run_beside(desk, journal, turns))
        else:
            asyncio.run(cancel_soon(desk.run(engine), turns))


async def tell_fate(sea: Seawall, held: Held, world: World) -> None:
    """The person: looks what reached the other side, and tells Seawall."""
    started, *events = await sea.journal.events(held.run)
    assert isinstance(started, RunStarted)
    intents = [each for each in events if isinstance(each, StepIntended)]
    [asked] = [each for each in intents if each.step == held.step]
    assert asked.input is not None
    [body] = (await sea.journal.bodies("", [asked.input])).values()
    effect = f"{started.request_id} {asked.name} {json.loads(body)}"
    made = world.made[effect]
    if not any(each.kind == "tool" and each.perform and each.call == asked.call for each in intents):
        await sea.decide(held.run, held.step, approve=not made, by="dana", reason="the bank has it")
    elif made:
        await sea.reconcile(held.run, step=held.step, committed="done", by="dana")
    else:
        world.failed.add(effect)
        await sea.reconcile(held.run, step=held.step, failed="the bank has none", by="dana")


def finish(desk: Desk, engine: Engine) -> str:
    """Runs a loop until it has answered; a person says what became of effects."""
    for _ in range(50):
        try:
            return desk.run_sync(engine)
        except Held as held:
            found = held
        engine.call(lambda sea, found=found: tell_fate(sea, found, desk.world))
    raise AssertionError(f"{desk.request} does not end")


def make_engine(journal: Path, *, thread: bool = True) -> Engine:
    """A process that opens the journal."""
    return Engine(journal, effects=EFFECTS, limits=LIMITS, environment={}, thread=thread)


async def take_all(sea: Seawall) -> None:
    """Takes every run from its owner, and lets it go on elsewhere."""
    for row in await sea.journal.runs():
        with suppress(Refused, Broken, Misused):
            await sea.journal.release(await sea.journal.take(row.run, force=True))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        yield pool


@pytest.mark.parametrize("seed", [*range(6), 128])
def test_each_effect_is_made_once_whatever_is_interrupted(
    tmp_path: Path, pool: ThreadPoolExecutor, seed: int
) -> None:
    rng = random.Random(seed)
    world = World(rng)
    desks = [
        Desk(f"request-{each}", make_script(rng), world, at_once=rng.random() < 0.5)
        for each in range(REQUESTS)
    ]
    journal = tmp_path / "desk.db"
    for _ in range(STORMS):
        with make_engine(journal) as engine, make_engine(journal) as other:  # two processes
            runs = [
                pool.submit(
                    storm,
                    desk,
                    rng.choice([engine, engine, other]),
                    journal,
                    rng.choice(["thread", "task", "cancel", "leave thread", "leave task", "beside"]),
                    rng.randint(0, 400),
                )
                for desk in [*desks, rng.choice(desks)]
            ]
            accident = rng.random()
            if accident < 0.3:  # an engine is closed over their heads
                engine.close()
            elif accident < 0.6:  # an operator takes the runs away from their owner
                other.call(take_all)
            for each in runs:
                each.result(60)
    world.accidents = False
    with make_engine(journal) as engine:
        answers = [finish(desk, engine) for desk in desks]
        verified = engine.call(lambda sea: sea.journal.verify())

    assert answers == ["all done"] * REQUESTS
    assert verified.ok, verified
    for desk in desks:
        assert world.calls[desk.request] <= 40
        for call in (each for calls in desk.script for each in calls if each.tool in EFFECTS):
            effect = f"{desk.request} {call.tool} {call.arguments}"
            assert world.made[effect] == 1 or (effect in world.failed and not world.made[effect]), effect
