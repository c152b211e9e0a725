"""How the runs of a scene are started and brought to rest: together, through a crash, a storm, a brake or a crowd."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seawall.core.errors import Broken, Refused
from seawall.run.outcome import Outcome, Waiting

if TYPE_CHECKING:
    from seawall.cli.demo.act import Act
    from seawall.cli.demo.scene import Ask
    from seawall.runtime.run import Run

Rests = Sequence[Outcome | Waiting]

BETWEEN_S = 0.008
"""Between two requests that come one after another."""
STORM_AFTER = 100
"""Model calls after which a storm begins: runs are in the middle of their work."""
STORM_FAILS = 40
"""Runs that fail in it unguarded. Of 64 at most 20 are done before it, as each takes five model calls."""
PAID_BEFORE = 3
"""Runs that have paid when the bank asks to wait."""
TRIES = 10_000
"""Of a client that is told to come back; three or four are enough, if the machine does not stand still."""
REFUND = "tool:refund"


async def all_at_once(act: Act) -> Rests:
    """Every request at the same time."""
    runs = await asyncio.gather(*(act.start(ask) for ask in act.scene.asks))
    return await asyncio.gather(*(run.rest() for run in runs))


async def before_it_answers(act: Act) -> Rests:
    """Every request at the same time, and where the deadline holds the carrier takes until all have come to rest.

    It may take less on its own, but not on a machine that stands still until a slow answer is no later than the
    deadline.
    """
    if act.modes["deadline"] == "enforce":
        act.world.hold()
    rests = await all_at_once(act)
    act.figures["unanswered"] = act.world.unanswered("track_parcel")
    return rests


async def _one_by_one(act: Act, asks: Sequence[Ask]) -> list[Run]:
    runs: list[Run] = []
    for ask in asks:
        runs.append(await act.start(ask))
        await act.clock.sleep(BETWEEN_S)
    return runs


async def through_a_storm(act: Act) -> Rests:
    """The model's provider is overloaded for a while, in the middle of the runs.

    Where guards only observe that is until so many runs have failed as surely do, and in the other take as long.
    """
    world, clock = act.world, act.clock
    world.turn("provider_down", replies=STORM_AFTER)
    coming = asyncio.get_running_loop().create_task(_one_by_one(act, act.scene.asks))
    await act.until(lambda: world.replies_in("provider_down") > 0, "the storm")
    began = clock.monotonic_s()
    runs = await coming
    if act.mode == "observe":
        resting = [asyncio.ensure_future(run.rest()) for run in runs]
        await _failed(resting, STORM_FAILS)
        act.observed.set_result(clock.monotonic_s() - began)
        world.turn("none")
        return await asyncio.gather(*resting)
    await clock.sleep(await act.observed - (clock.monotonic_s() - began))
    breaker = act.sea.endpoints[f"model:{act.scene.model(act.mode)}"].breaker
    await act.until(lambda: breaker.phase.openings > 0, "the breaker")
    act.figures["openings"] = breaker.phase.openings
    world.turn("none")
    rests = await asyncio.gather(*(run.rest() for run in runs))
    act.figures["closed"] = int(breaker.phase.state == "closed")
    return rests


async def _failed(resting: Sequence[asyncio.Future[Outcome | Waiting]], wanted: int) -> None:
    """Wait until so many runs have failed, or all have come to rest."""
    failed = 0
    for each in asyncio.as_completed(resting):
        rest = await each
        failed += isinstance(rest, Outcome) and rest.status == "failed"
        if failed == wanted:
            return


async def under_a_brake(act: Act) -> Rests:
    """Some have paid and the others are about to when the bank asks to wait, until every run has come to rest.

    Where guards are enforced somebody puts a brake on, and lifts it then. The carrier keeps those who are about
    to pay waiting until it is on.
    """
    world, sea, asks = act.world, act.sea, act.scene.asks
    first = await _one_by_one(act, asks[:PAID_BEFORE])
    await asyncio.gather(*(run.outcome() for run in first))
    world.hold()
    others = await _one_by_one(act, asks[PAID_BEFORE:])
    await act.until(lambda: world.unanswered("track_parcel") > 0, "a run that is about to pay")
    world.turn("held")
    if act.mode == "enforce":
        await sea.pause(REFUND, by="ops", why="the bank asked us to wait")
    world.let_go()
    rests = await asyncio.gather(*(run.rest() for run in others))
    act.figures["parked"] = sum(isinstance(rest, Waiting) and rest.kind == "pause" for rest in rests)
    world.turn("none")
    if act.mode == "enforce":
        await sea.unpause(REFUND, by="ops")
    return await asyncio.gather(*(run.outcome() for run in (*first, *others)))


async def in_a_crowd(act: Act) -> Rests:
    """Everybody comes at once, and whoever is told to come back later does so.

    The carrier answers nobody until all have come and, where all are let in, one was too many for it: a slow
    machine would make them come one after the other.
    """
    came = 0

    async def client(ask: Ask) -> Outcome | Waiting:
        nonlocal came
        for number in range(TRIES):
            try:
                run = await act.start(ask)
            except Refused as refused:
                if refused.retry_after_s is None:
                    raise
                act.figures["shed"] += 1
                came += number == 0
                await act.clock.sleep(refused.retry_after_s)
            else:
                came += number == 0
                return await run.rest()
        raise Broken(f"scene {act.scene.name!r}: a client was turned away {TRIES} times")

    def crowded() -> bool:
        return came == len(act.scene.asks) and (act.mode == "enforce" or act.world.turned_away() > 0)

    act.figures["shed"] = 0
    act.world.hold()
    clients = asyncio.gather(*(client(ask) for ask in act.scene.asks))
    await act.until(crowded, "a crowd")
    act.world.let_go()
    return await clients


async def through_a_crash(act: Act) -> Rests:
    """A child process plays, is killed -9 when the world holds its call, and this process goes on."""
    signal = await _kill_midway(act)
    act.kill = (signal, act.world.calls())
    rows = await act.sea.journal.runs(session=act.session)
    run = await act.sea.resume(rows[0].run, act.team())
    return [await run.rest()]


async def _kill_midway(act: Act) -> int:
    """The signal that the child died of. Raises `Broken` if it ends by itself."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "seawall.cli.demo.child",
        *(str(act.directory), act.scene.name, act.mode, str(act.pace_s)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    ends = asyncio.get_running_loop().create_task(child.communicate())
    try:
        await act.until(lambda: ends.done() or act.world.holds(), "the child's call")
    finally:
        if child.returncode is None:
            child.kill()
        said = (await ends)[1].decode(errors="replace").strip()
    if child.returncode is None or child.returncode >= 0 or not act.world.holds():
        last = said.splitlines()[-1] if said else "it said nothing"
        raise Broken(
            f"scene {act.scene.name!r}: the child was to be killed in call {act.scene.kill_at}: {last}"
        )
    return -child.returncode
