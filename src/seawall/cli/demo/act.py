"""One take while it is played: what a direction may use."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from seawall.cli.demo.scene import WATCHED, Ask, Scene
from seawall.cli.demo.scripts import cast_of
from seawall.cli.demo.take import Guarded
from seawall.cli.demo.team import AGENTS, order_desk
from seawall.cli.demo.world import World
from seawall.core.clock import Clock
from seawall.core.errors import Broken
from seawall.core.events import Mode
from seawall.runtime.run import Run
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

TEAMS = "desk"
"""The module, in the demo's directory, by which `resume` and `replay` find the teams."""
LOOK_S = 0.02
"""How often the world is asked how far it is."""
PATIENCE_S = 100.0
"""How long something may take that comes within a second or two; also a child's start. For a busy machine, and below
what the world holds a call for."""


class Act:
    """One scene in one mode, over its world."""

    def __init__(
        self,
        scene: Scene,
        mode: Guarded,
        world: World,
        sea: Seawall,
        *,
        clock: Clock,
        directory: Path,
        pace_s: float,
        model: str | None,
        observed: asyncio.Future[float],
    ) -> None:
        self.scene = scene
        self.mode: Guarded = mode
        self.world = world
        self.sea = sea
        self.clock = clock
        self.directory = directory
        self.pace_s = pace_s
        self.figures: dict[str, int] = {}
        """What a direction counts, for the claims."""
        self.kill: tuple[int, int] | None = None
        """The signal that a process died of, and the calls that had reached the world."""
        self.observed = observed
        """Seconds that the trouble lasted in the take that only observes, once that is known."""
        self._model = model
        self._teams: dict[str, Team] = {}
        self._numbers = itertools.count()

    @property
    def session(self) -> str:
        """The conversation of a scene with one run."""
        return self.scene.label(self.mode)

    async def start(self, ask: Ask) -> Run:
        """Start a run. Each has a session of its own: those of one would wait for each other."""
        number = next(self._numbers)
        return await self.sea.start(
            self.team(ask.tenant),
            ask.text,
            session=f"{self.session}-{number}" if number else self.session,
            tenant=self.scene.tenant(ask.tenant, self.mode),
            principal="customer:7",
            modes=self.modes,
            app=f"{TEAMS}:{attribute(self.scene.name, self.mode)}",
        )

    def team(self, tenant: str = "") -> Team:
        """The team, at this tenant's cost."""
        if tenant not in self._teams:
            self._teams[tenant] = team_over(
                self.scene, self.mode, self.world, pace_s=self.pace_s, model=self._model, payer=tenant
            )
        return self._teams[tenant]

    @property
    def modes(self) -> dict[str, Mode]:
        """Of the guards that are not as they are by themselves."""
        modes: dict[str, Mode] = dict.fromkeys(WATCHED, self.mode)
        modes |= dict.fromkeys(self.scene.enforced, "enforce")
        if self._model is not None and self.scene.provider:
            modes["limits"] = "enforce"  # a real model costs real money
        return modes

    async def until(self, so: Callable[[], bool], what: str) -> None:
        """Wait until something is so. Raises `Broken` if it does not come to be."""
        deadline = self.clock.monotonic_s() + PATIENCE_S
        while not so():
            if self.clock.monotonic_s() > deadline:
                raise Broken(f"scene {self.scene.name!r}, {self.mode}: waited {PATIENCE_S:g} s for {what}")
            await self.clock.sleep(LOOK_S)


def team_over(
    scene: Scene, mode: Guarded, world: World, *, pace_s: float, model: str | None, payer: str = ""
) -> Team:
    """The team of a scene; a real `model` plays it where the scene lets it."""
    if model is not None and scene.provider:
        return order_desk(world, dict.fromkeys(AGENTS, model), scene.limits, scene.planner)
    cast = cast_of(scene.play(), pace_s, world, name=scene.model(mode), payer=payer)
    return order_desk(world, cast, scene.limits, scene.planner)


def attribute(scene: str, mode: Guarded) -> str:
    """The name of a team in the module `TEAMS`."""
    return f"{scene.replace('-', '_')}_{mode}"
