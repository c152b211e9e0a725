"""The process that is killed: `python -m seawall.cli.demo.child DIRECTORY SCENE MODE PACE_S`.

It plays a scene over a world that never answers one call, so it does not end by itself. It also does not end while
its run waits for people.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from seawall.cli.demo.places import get_world_path
from seawall.cli.demo.results import DemoMode
from seawall.cli.demo.runner import SceneRunner
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import get_scene
from seawall.cli.demo.world import HOLD_S, World
from seawall.core.clock import SystemClock
from seawall.run.outcome import Waiting


async def play_until_killed(directory: Path, scene: Scene, mode: DemoMode, pace_s: float) -> None:
    """Plays the scene. The world does not answer the call during which this process is killed."""
    runner = SceneRunner(directory, SystemClock(), pace_s=pace_s)
    world = World(get_world_path(directory, scene, mode), hold_at=scene.kill_at)
    async with runner.open_context(scene, mode, world) as context:
        run = await context.start(scene.requests[0])
        if isinstance(await run.rest(), Waiting):
            await context.clock.sleep(HOLD_S)
    raise SystemExit("nobody killed this process")


if __name__ == "__main__":
    _, place, name, guards, pace = sys.argv
    mode: DemoMode = "enforce" if guards == "enforce" else "observe"
    asyncio.run(play_until_killed(Path(place), get_scene(name), mode, float(pace)))
