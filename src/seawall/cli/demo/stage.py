"""Plays a scene in one mode: makes its world, runs the team, kills what is to be killed, sums up."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from seawall.cli.demo.scenes import Scene, scene_named
from seawall.cli.demo.scripts import cast_of
from seawall.cli.demo.take import MODES, Guarded, Kill, Take, kill_of, take_of
from seawall.cli.demo.team import AGENTS, order_desk
from seawall.cli.demo.world import World
from seawall.core.clock import Clock
from seawall.core.errors import Broken
from seawall.core.events import Mode
from seawall.models.protocol import Model
from seawall.run.state import fold
from seawall.team.handle import Run
from seawall.team.outcome import Outcome, Waiting
from seawall.team.seawall import Seawall
from seawall.team.team import Team

JOURNAL = "desk.db"
TEAMS = "desk"
"""The module, in the demo's directory, by which `resume` and `replay` find the teams."""
LOOK_S = 0.02
"""How often the world is asked how far it is."""
CHILD_S = 30.0
"""How long the child may take until its call is held; it starts in well under two seconds."""

Watcher = Callable[[World], None]
"""Told about the world every now and then, for progress."""


class Stage:
    """One directory, one journal, one world for each scene and mode."""

    def __init__(
        self, sea: Seawall, directory: Path, clock: Clock, *, pace_s: float, model: str | None = None
    ) -> None:
        self._sea = sea
        self._directory = directory
        self._clock = clock
        self._pace_s = pace_s
        self._model = model

    async def start(self, scene: Scene, mode: Guarded, world: World) -> Run:
        """Start the scene's run in this process."""
        return await self._sea.start(
            self._team(scene, world),
            scene.request,
            session=f"{scene.name}-{mode}",
            principal="customer:7",
            modes=self._modes(scene, mode),
            app=f"{TEAMS}:{_attribute(scene.name, mode)}",
        )

    def _team(self, scene: Scene, world: World) -> Team:
        return _team(scene, world, self._pace_s, self._model)

    def _modes(self, scene: Scene, mode: Guarded) -> dict[str, Mode]:
        real = self._model is not None and scene.provider
        # a real model costs real money: its budget is enforced whatever else is
        return {"loops": mode, "deadline": mode, "budget": "enforce" if real else mode}

    async def play(self, scene: Scene, mode: Guarded, watcher: Watcher) -> Take:
        """Play the scene and sum it up. Raises `Broken` if the child that is to be killed ends by itself."""
        world = World.create(world_path(self._directory, scene.name, mode), scene.trouble)
        started = self._clock.monotonic_s()
        kill: tuple[int, int] | None = None
        async with self._watched(world, watcher):
            try:
                if scene.kill_at is None:
                    run = await self.start(scene, mode, world)
                else:
                    signal = await self._kill_midway(scene, mode, world)
                    kill = (signal, world.calls())
                    rows = await self._sea.journal.runs(session=f"{scene.name}-{mode}")
                    run = await self._sea.resume(rows[0].run, self._team(scene, world))
                rest = await run.rest()
                seconds = self._clock.monotonic_s() - started
                return await self._take(scene, mode, rest, world, seconds, kill)
            finally:
                world.close()

    @asynccontextmanager
    async def _watched(self, world: World, watcher: Watcher) -> AsyncGenerator[None, None]:
        async def look() -> None:
            while True:
                watcher(world)
                await self._clock.sleep(LOOK_S)

        task = asyncio.get_running_loop().create_task(look())
        try:
            yield
        finally:
            task.cancel()

    async def _kill_midway(self, scene: Scene, mode: Guarded, world: World) -> int:
        """Run the scene in a child and kill -9 it when the world holds its call; the signal it died of."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "seawall.cli.demo.child",
            *(str(self._directory), scene.name, mode, str(self._pace_s)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ends = asyncio.get_running_loop().create_task(child.communicate())
        deadline = self._clock.monotonic_s() + CHILD_S
        try:
            while not world.holds():
                if ends.done() or self._clock.monotonic_s() > deadline:
                    break
                await self._clock.sleep(LOOK_S)
        finally:
            if child.returncode is None:
                child.kill()
            said = (await ends)[1].decode(errors="replace").strip()
        if child.returncode is None or child.returncode >= 0 or not world.holds():
            last = said.splitlines()[-1] if said else "it said nothing"
            raise Broken(f"scene {scene.name!r}: the child was to be killed in call {scene.kill_at}: {last}")
        return -child.returncode

    async def _take(
        self,
        scene: Scene,
        mode: Guarded,
        rest: Outcome | Waiting,
        world: World,
        seconds: float,
        kill: tuple[int, int] | None,
    ) -> Take:
        events = await self._sea.journal.events(rest.run)
        killed: Kill | None = None
        if kill is not None:
            killed = kill_of(events, world, signal=kill[0], calls=kill[1])
        return take_of(
            mode,
            fold(events),
            events,
            world,
            answer=rest.answer if isinstance(rest, Outcome) else None,
            seconds=seconds,
            priced=self._model is None or not scene.provider,
            kill=killed,
        )


def world_path(directory: Path, scene: str, mode: Guarded) -> Path:
    """The database of a scene's world."""
    return directory / f"world-{scene}-{mode}.db"


def team_of(directory: Path, scene: str, mode: Guarded, model: str | None = None) -> Team:
    """The team of a scene that was played in `directory`, over its world."""
    return _team(scene_named(scene), World(world_path(directory, scene, mode)), 0.0, model)


def write_teams(directory: Path, scenes: Sequence[Scene], model: str | None) -> None:
    """Write a module with the teams of these scenes, so that other commands find them in `directory`."""
    lines = [
        '"""The teams of this demo. `seawall resume` and `seawall replay` find them here."""',
        "",
        "from pathlib import Path",
        "",
        f"from {team_of.__module__} import team_of",
        "",
        "HERE = Path(__file__).parent",
        "",
    ]
    for scene in scenes:
        real = f", {model!r}" if model is not None and scene.provider else ""
        lines += [
            f'{_attribute(scene.name, mode)} = team_of(HERE, "{scene.name}", "{mode}"{real})'
            for mode in MODES
        ]
    (directory / f"{TEAMS}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _attribute(scene: str, mode: Guarded) -> str:
    return f"{scene.replace('-', '_')}_{mode}"


def _team(scene: Scene, world: World, pace_s: float, model: str | None) -> Team:
    cast: Mapping[str, Model | str]
    if model is not None and scene.provider:
        cast = dict.fromkeys(AGENTS, model)
    else:
        cast = cast_of(scene.play(), pace_s)
    return order_desk(world, cast, scene.limits)
