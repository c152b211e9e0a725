"""What a workload may use of one scene in one mode while it is played."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

from seawall.cli.demo.results import DemoMode
from seawall.cli.demo.roles_team import make_roles_desk
from seawall.cli.demo.scene import PLAYED_GUARDS, Request, Scene
from seawall.cli.demo.scripts import make_models
from seawall.cli.demo.team import AGENTS, make_order_desk
from seawall.cli.demo.world import World
from seawall.core.clock import Clock
from seawall.core.errors import Broken
from seawall.core.events import Mode
from seawall.memory.options import Memory
from seawall.runtime.run import Run
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

TEAM_MODULE = "desk"
"""The module, in the demo's directory, in which `resume` and `replay` find the teams."""
POLL_S = 0.02
"""Seconds between two looks at the world's counters."""
PATIENCE_S = 100.0
"""The longest wait, in seconds, for something that takes a second or two, such as a child's start. It is long enough
for a busy machine, and shorter than the time for which the world holds a call."""


class SceneContext:
    """One scene in one mode, over its world."""

    def __init__(
        self,
        scene: Scene,
        mode: DemoMode,
        world: World,
        sea: Seawall,
        *,
        clock: Clock,
        directory: Path,
        pace_s: float,
        model: str | None,
        trouble_s: asyncio.Future[float],
    ) -> None:
        self.scene = scene
        self.mode: DemoMode = mode
        self.world = world
        self.sea = sea
        self.clock = clock
        self.directory = directory
        self.pace_s = pace_s
        self.figures: dict[str, int] = {}
        """What a workload counts, for the claims."""
        self.kill: tuple[int, int] | None = None
        """The signal that ended the killed process, and the number of calls that had reached the world."""
        self.trouble_s = trouble_s
        """Seconds that the trouble lasted in the observing mode; set once they are known."""
        self._model = model
        self._teams: dict[str, Team] = {}
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"<SceneContext {self.scene.format_label(self.mode)} {self.world!r}>"

    @property
    def session(self) -> str:
        """The conversation of a scene with one run."""
        return self.scene.format_label(self.mode)

    async def start(self, request: Request, *, session: str | None = None) -> Run:
        """Starts a run in a new session, because runs of one session would wait for each other."""
        number = next(self._numbers)
        own = f"{self.session}-{number}" if number else self.session
        return await self.sea.start(
            self.get_team(request.tenant),
            request.text,
            session=own if session is None else session,
            tenant=self.scene.format_tenant(request.tenant, self.mode),
            principal="customer:7",
            modes=self.modes,
            app=f"{TEAM_MODULE}:{format_attribute(self.scene.name, self.mode)}",
        )

    def get_team(self, tenant: str = "") -> Team:
        """Returns the team whose model calls this tenant pays for."""
        if tenant not in self._teams:
            self._teams[tenant] = make_scene_team(
                self.scene, self.mode, self.world, pace_s=self.pace_s, model=self._model, payer=tenant
            )
        return self._teams[tenant]

    @property
    def modes(self) -> dict[str, Mode]:
        """The mode of each guard that the scene sets."""
        modes: dict[str, Mode] = dict.fromkeys(PLAYED_GUARDS, self.mode)
        modes |= dict.fromkeys(self.scene.enforced, "enforce")
        if self._model is not None and self.scene.real_model:
            modes["limits"] = "enforce"  # a real model costs real money
        return modes

    async def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until the condition holds. Raises `Broken` if it does not hold after `PATIENCE_S`."""

        async def check() -> bool:
            return condition()

        await self.wait_until_recorded(check, what)

    async def wait_until_recorded(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Waits until a condition holds that asks the journal. Raises `Broken` as `wait_until` does."""
        deadline = self.clock.monotonic_s() + PATIENCE_S
        while not await condition():
            if self.clock.monotonic_s() > deadline:
                raise Broken(f"scene {self.scene.name!r}, {self.mode}: waited {PATIENCE_S:g} s for {what}")
            await self.clock.sleep(POLL_S)


def make_scene_team(
    scene: Scene, mode: DemoMode, world: World, *, pace_s: float, model: str | None, payer: str = ""
) -> Team:
    """Returns the team of a scene, played by the real `model` if there is one and the scene allows it."""
    if model is not None and scene.real_model:
        return make_order_desk(world, dict.fromkeys(AGENTS, model), scene.limits, scene.planner)
    models = make_models(scene.scripts(), pace_s, world, name=scene.format_model(mode), payer=payer)
    if scene.roles:
        name, mended = scene.format_team(mode), mode == "enforce"
        return make_roles_desk(world, models, scene.limits, name=name, mended=mended)
    return make_order_desk(
        world,
        models,
        scene.limits,
        scene.planner,
        name=scene.format_team(mode),
        refund_effect=scene.get_refund_effect(mode),
        memory=Memory(read=("tenant",), write=("tenant",)) if scene.memory else None,
    )


def format_attribute(scene: str, mode: DemoMode) -> str:
    """Returns the name of a scene's team in `TEAM_MODULE`."""
    return f"{scene.replace('-', '_')}_{mode}"
