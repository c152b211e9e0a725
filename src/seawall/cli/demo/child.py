"""The process that is killed: `python -m seawall.cli.demo.child DIRECTORY SCENE MODE PACE_S`.

It runs a scene over a world that holds one call back, so it never comes to its end by itself.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import scene_named
from seawall.cli.demo.stage import Stage, world_path
from seawall.cli.demo.take import Guarded
from seawall.cli.demo.world import World
from seawall.core.clock import SystemClock


async def play_until_killed(directory: Path, scene: Scene, mode: Guarded, pace_s: float) -> None:
    """Run the scene; the world holds the call during which this process is to die."""
    stage = Stage(directory, SystemClock(), pace_s=pace_s)
    world = World(world_path(directory, scene, mode), hold_at=scene.kill_at)
    async with stage.act(scene, mode, world) as act:
        run = await act.start(scene.asks[0])
        await run.rest()
    raise SystemExit("nobody killed this process")


if __name__ == "__main__":
    _, place, name, guarded, pace = sys.argv
    asyncio.run(
        play_until_killed(
            Path(place), scene_named(name), "enforce" if guarded == "enforce" else "observe", float(pace)
        )
    )
