"""Plays a scene in both modes: makes its worlds, opens a Seawall for each, starts its runs, and sums up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from seawall.cli.demo.context import (
    POLL_S,
    TEAM_MODULE,
    SceneContext,
    format_attribute,
    make_scene_team,
)
from seawall.cli.demo.places import JOURNAL, get_world_path
from seawall.cli.demo.results import (
    MODES,
    DemoMode,
    Kill,
    ModeResult,
    PlayedRun,
    compare_with_kill,
    sum_up,
)
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import get_scene
from seawall.cli.demo.workloads import run_workload
from seawall.cli.demo.world import World
from seawall.core.clock import Clock
from seawall.run.fold import fold
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

Watcher = Callable[[Sequence[World]], None]
"""Called with a scene's worlds every `POLL_S`, to show progress."""


class SceneRunner:
    """Plays scenes in one directory, on one journal, with a world for each scene and mode."""

    def __init__(self, directory: Path, clock: Clock, *, pace_s: float, model: str | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._pace_s = pace_s
        self._model = model

    def __repr__(self) -> str:
        return f"<SceneRunner in {self._directory}>"

    async def play(self, scene: Scene, watcher: Watcher) -> tuple[Scene, ModeResult, ModeResult]:
        """Plays the scene in both modes, and again with more time if the machine was too slow.

        Returns the scene as it was played last, and the results. Raises `Broken` if something that the scene waits for
        does not happen.
        """
        while True:
            observe, enforce = await self._play_both(scene, watcher)
            slower = scene.make_slower(enforce)
            if slower is None:
                return scene, observe, enforce
            scene = slower

    @asynccontextmanager
    async def open_context(
        self, scene: Scene, mode: DemoMode, world: World, trouble_s: asyncio.Future[float] | None = None
    ) -> AsyncGenerator[SceneContext, None]:
        """Opens the scene in one mode with its own `Seawall`, as if each mode were a process of one host."""
        async with Seawall(
            self._directory / JOURNAL,
            clock=self._clock,
            admission=scene.admission if mode == "enforce" else None,
            endpoints=None if scene.endpoints is None else {"model": scene.endpoints},
            budget=scene.make_budget(),
        ) as sea:
            yield SceneContext(
                scene,
                mode,
                world,
                sea,
                clock=self._clock,
                directory=self._directory,
                pace_s=self._pace_s,
                model=self._model,
                trouble_s=trouble_s or asyncio.get_running_loop().create_future(),
            )

    async def _play_both(self, scene: Scene, watcher: Watcher) -> tuple[ModeResult, ModeResult]:
        worlds: dict[DemoMode, World] = {
            mode: World.create(get_world_path(self._directory, scene, mode), scene.trouble) for mode in MODES
        }
        results: list[ModeResult] = []
        async with self._watch(list(worlds.values()), watcher):
            if scene.one_after_other:
                results += [await self._play_mode(scene, mode, world) for mode, world in worlds.items()]
            else:
                results += await self._play_together(scene, worlds)
        observe, enforce = results
        return observe, enforce

    async def _play_together(self, scene: Scene, worlds: Mapping[DemoMode, World]) -> list[ModeResult]:
        trouble_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._play_mode(scene, mode, world, trouble_s))
                    for mode, world in worlds.items()
                ]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the group has cancelled the other mode
        return [task.result() for task in tasks]

    async def _play_mode(
        self, scene: Scene, mode: DemoMode, world: World, trouble_s: asyncio.Future[float] | None = None
    ) -> ModeResult:
        async with self.open_context(scene, mode, world, trouble_s) as context:
            started = self._clock.monotonic_s()
            try:
                rests = await run_workload(context)
                return await self._sum_up(context, rests, self._clock.monotonic_s() - started)
            finally:
                world.close()

    @asynccontextmanager
    async def _watch(self, worlds: Sequence[World], watcher: Watcher) -> AsyncGenerator[None, None]:
        async def look() -> None:
            while True:
                watcher(worlds)
                await self._clock.sleep(POLL_S)

        task = asyncio.get_running_loop().create_task(look())
        try:
            yield
        finally:
            task.cancel()

    async def _sum_up(
        self, context: SceneContext, rests: Sequence[Outcome | Waiting], seconds: float
    ) -> ModeResult:
        played: list[PlayedRun] = []
        for rest in rests:
            events = await context.sea.journal.events(rest.run)
            answer = rest.answer if isinstance(rest, Outcome) else None
            played.append(PlayedRun(fold(events), events, answer))
        kill: Kill | None = None
        if context.kill is not None:
            signal, calls = context.kill
            kill = compare_with_kill(played[0].events, context.world, signal=signal, calls=calls)
        return sum_up(
            context.mode,
            played,
            context.world,
            seconds=seconds,
            priced=self._model is None or not context.scene.real_model,
            figures=context.figures | context.scene.counts(context.world),
            kill=kill,
        )


def make_played_team(directory: Path, scene: str, mode: DemoMode, model: str | None = None) -> Team:
    """Returns the team of a scene that was played in `directory`, over its world."""
    played = get_scene(scene)
    world = World(get_world_path(directory, played, mode))
    return make_scene_team(played, mode, world, pace_s=0.0, model=model)


def write_team_module(directory: Path, scenes: Sequence[Scene], model: str | None) -> None:
    """Writes a module with the teams of these scenes, so that other commands find them in `directory`."""
    function = make_played_team.__name__
    lines = [
        '"""The teams of this demo. `seawall resume` and `seawall replay` find them here."""',
        "",
        "from pathlib import Path",
        "",
        f"from {make_played_team.__module__} import {function}",
        "",
        "HERE = Path(__file__).parent",
        "",
    ]
    for scene in scenes:
        real = f", {model!r}" if model is not None and scene.real_model else ""
        lines += [
            f'{format_attribute(scene.name, mode)} = {function}(HERE, "{scene.name}", "{mode}"{real})'
            for mode in MODES
        ]
    (directory / f"{TEAM_MODULE}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
