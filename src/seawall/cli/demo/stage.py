"""Plays a scene in one mode: makes its world, opens a Seawall with its options, lets it be directed, sums up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from seawall.cli.demo.act import LOOK_S, TEAMS, Act, attribute, team_over
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import scene_named
from seawall.cli.demo.take import MODES, Guarded, Kill, Played, Take, kill_of, take_of
from seawall.cli.demo.world import World
from seawall.core.clock import Clock
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

JOURNAL = "desk.db"

Watcher = Callable[[Sequence[World]], None]
"""Told about a scene's worlds every now and then, for progress."""


class Stage:
    """One directory, one journal, one world for each scene and mode."""

    def __init__(self, directory: Path, clock: Clock, *, pace_s: float, model: str | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._pace_s = pace_s
        self._model = model

    @asynccontextmanager
    async def act(
        self, scene: Scene, mode: Guarded, world: World, observed: asyncio.Future[float] | None = None
    ) -> AsyncGenerator[Act, None]:
        """The scene in this mode, with a Seawall of its own: as if each were a process of one host."""
        async with Seawall(
            self._directory / JOURNAL,
            clock=self._clock,
            admission=scene.admission if mode == "enforce" else None,
            endpoints=None if scene.endpoints is None else {"model": scene.endpoints},
            budget=scene.budget(),
        ) as sea:
            yield Act(
                scene,
                mode,
                world,
                sea,
                clock=self._clock,
                directory=self._directory,
                pace_s=self._pace_s,
                model=self._model,
                observed=observed or asyncio.get_running_loop().create_future(),
            )

    async def play(self, scene: Scene, watcher: Watcher) -> tuple[Scene, Take, Take]:
        """Play the scene in both modes, at once if they may; again with more time if the machine was too slow.

        Gives it as it was played at last. Raises `Broken` if it does not go as directed.
        """
        while True:
            observe, enforce = await self._takes(scene, watcher)
            slower = scene.slower(enforce)
            if slower is None:
                return scene, observe, enforce
            scene = slower

    async def _takes(self, scene: Scene, watcher: Watcher) -> tuple[Take, Take]:
        worlds: dict[Guarded, World] = {
            mode: World.create(world_path(self._directory, scene, mode), scene.trouble) for mode in MODES
        }
        takes: list[Take] = []
        async with self._watched(list(worlds.values()), watcher):
            if scene.apart:
                takes += [await self._take(scene, mode, world) for mode, world in worlds.items()]
            else:
                takes += await self._together(scene, worlds)
        observe, enforce = takes
        return observe, enforce

    async def _together(self, scene: Scene, worlds: Mapping[Guarded, World]) -> list[Take]:
        observed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._take(scene, *each, observed)) for each in worlds.items()]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the other take was cancelled for it
        return [task.result() for task in tasks]

    async def _take(
        self, scene: Scene, mode: Guarded, world: World, observed: asyncio.Future[float] | None = None
    ) -> Take:
        async with self.act(scene, mode, world, observed) as act:
            started = self._clock.monotonic_s()
            try:
                rests = await scene.direct(act)
                return await self._sum_up(act, rests, self._clock.monotonic_s() - started)
            finally:
                world.close()

    @asynccontextmanager
    async def _watched(self, worlds: Sequence[World], watcher: Watcher) -> AsyncGenerator[None, None]:
        async def look() -> None:
            while True:
                watcher(worlds)
                await self._clock.sleep(LOOK_S)

        task = asyncio.get_running_loop().create_task(look())
        try:
            yield
        finally:
            task.cancel()

    async def _sum_up(self, act: Act, rests: Sequence[Outcome | Waiting], seconds: float) -> Take:
        played: list[Played] = []
        for rest in rests:
            events = await act.sea.journal.events(rest.run)
            played.append(Played(fold(events), events, rest.answer if isinstance(rest, Outcome) else None))
        kill: Kill | None = None
        if act.kill is not None:
            signal, calls = act.kill
            kill = kill_of(played[0].events, act.world, signal=signal, calls=calls)
        return take_of(
            act.mode,
            played,
            act.world,
            seconds=seconds,
            priced=self._model is None or not act.scene.provider,
            figures=act.figures | act.scene.counts(act.world),
            kill=kill,
        )


def world_path(directory: Path, scene: Scene, mode: Guarded) -> Path:
    """The database of a scene's world."""
    return directory / f"world-{scene.label(mode)}.db"


def team_of(directory: Path, scene: str, mode: Guarded, model: str | None = None) -> Team:
    """The team of a scene that was played in `directory`, over its world."""
    played = scene_named(scene)
    world = World(world_path(directory, played, mode))
    return team_over(played, mode, world, pace_s=0.0, model=model)


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
            f'{attribute(scene.name, mode)} = team_of(HERE, "{scene.name}", "{mode}"{real})' for mode in MODES
        ]
    (directory / f"{TEAMS}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
