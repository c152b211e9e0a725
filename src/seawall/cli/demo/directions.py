"""How the runs of a scene are started and brought to rest: together, through a crash, a storm, a brake or a crowd."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seawall.core.errors import Broken, Refused
from seawall.team.brakes import still_in_flight
from seawall.team.outcome import Outcome, Waiting

if TYPE_CHECKING:
    from seawall.cli.demo.act import Act
    from seawall.cli.demo.scene import Ask
    from seawall.team.handle import Run

Rests = Sequence[Outcome | Waiting]

BETWEEN_S = 0.008
"""Between two requests that come one after another."""
STORM_AFTER = 100
"""Model calls after which a storm begins: runs are in the middle of their work."""
STORM_S = 2.0
"""How long it lasts: longer than an agent's own tries, which wait half a second, then one."""
PAUSE_AFTER = 3
"""Refunds after which somebody puts a brake on them."""
TRIES = 100
"""Of a client that is told to come back; three or four are enough."""
REFUND = "tool:refund"


async def all_at_once(act: Act) -> Rests:
    """Every request at the same time."""
    runs = await asyncio.gather(*(act.start(ask) for ask in act.scene.asks))
    return await asyncio.gather(*(run.rest() for run in runs))


async def _one_by_one(act: Act) -> list[Run]:
    runs: list[Run] = []
    for ask in act.scene.asks:
        runs.append(await act.start(ask))
        await act.clock.sleep(BETWEEN_S)
    return runs


async def through_a_storm(act: Act) -> Rests:
    """The model's provider is overloaded for a while, in the middle of the runs."""
    world = act.world
    coming = asyncio.get_running_loop().create_task(_one_by_one(act))
    await act.until(lambda: world.replies() >= STORM_AFTER, "model calls before the storm")
    world.turn("provider_down")
    await act.clock.sleep(STORM_S)
    world.turn("none")
    rests = await asyncio.gather(*(run.rest() for run in await coming))
    breaker = act.sea.endpoints[f"model:{act.scene.model(act.mode)}"].breaker
    act.figures["closed"] = int(breaker.phase.state == "closed")
    act.figures["openings"] = breaker.phase.serial
    return rests


async def under_a_brake(act: Act) -> Rests:
    """Where guards are enforced, refunds are paused when some are paid, and go on when every run stands."""
    world, sea = act.world, act.sea
    coming = asyncio.get_running_loop().create_task(_one_by_one(act))
    await act.until(lambda: world.calls_in("none", "refund") >= PAUSE_AFTER, "the first refunds")
    if act.mode == "enforce":
        await sea.pause(REFUND, by="ops", why="the bank asked us to wait")
        flying, _ = await still_in_flight(sea.journal, [REFUND])
        act.figures["in_flight"] = len(flying)
        while flying:
            await act.clock.sleep(BETWEEN_S)
            flying, _ = await still_in_flight(sea.journal, [REFUND])
    world.turn("held")
    runs = await coming
    rests = await asyncio.gather(*(run.rest() for run in runs))
    act.figures["parked"] = sum(isinstance(rest, Waiting) and rest.kind == "pause" for rest in rests)
    world.turn("none")
    if act.mode == "enforce":
        await sea.unpause(REFUND, by="ops")
    return await asyncio.gather(*(run.outcome() for run in runs))


async def in_a_crowd(act: Act) -> Rests:
    """Everybody comes at once, and whoever is told to come back later does so."""

    async def client(ask: Ask) -> Outcome | Waiting:
        for _ in range(TRIES):
            try:
                run = await act.start(ask)
            except Refused as refused:
                if refused.retry_after_s is None:
                    raise
                act.figures["shed"] += 1
                await act.clock.sleep(refused.retry_after_s)
            else:
                return await run.rest()
        raise Broken(f"scene {act.scene.name!r}: a client was turned away {TRIES} times")

    act.figures["shed"] = 0
    return await asyncio.gather(*(client(ask) for ask in act.scene.asks))


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
