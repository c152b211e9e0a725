"""Defines a scene: a world and its trouble, requests, scripts, the workload that starts its runs, and its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seawall.cli.demo.results import MODES, CheckedClaim, DemoMode, ModeResult
from seawall.cli.demo.scripts import AgentScripts
from seawall.cli.demo.team import TEAM
from seawall.cli.demo.world import Trouble, World
from seawall.core.limits import Limits
from seawall.effects.options import Effect
from seawall.guards.budget import Budget, Caps
from seawall.guards.endpoints import EndpointOptions
from seawall.runtime.admission import Admission
from seawall.team.planner import Planner

PLENTY = Limits(tool_calls=80, model_calls=300, handoffs=100)
"""Limits above what any scene needs, so that each scene shows only its own guard."""
PLAYED_GUARDS = (
    "loops",
    "deadline",
    "limits",
    "endpoints",
    "budget",
    "planner",
    "authority",
    "waste",
)
"""The guards that observe in one mode and enforce in the other."""

Workload = Literal[
    "all_at_once", "slow_carrier", "overload", "pause", "crowd", "crash", "approval", "rogue", "lint"
]
"""The name of the workload that starts the runs of a scene and ends them; see `workloads.py`."""
Claims = Callable[[ModeResult, ModeResult], list[CheckedClaim]]
"""Checks the observed and the enforced result."""
Lesson = Callable[[ModeResult, ModeResult], str]
"""Says in one or two sentences what the figures of both modes show."""
Counts = Callable[[World], dict[str, int]]
"""Counts the further figures of a scene in its world."""


def _count_nothing(world: World) -> dict[str, int]:
    return {}


def _play_once(enforce: ModeResult) -> Scene | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request."""

    text: str
    tenant: str = ""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scene."""

    name: str
    title: str
    story: str
    script_note: str = ""
    """A sentence that is added to the story if a script plays the scene."""
    requests: tuple[Request, ...]
    """The requests; each becomes a run."""
    scripts: Callable[[], AgentScripts]
    claims: Claims
    """The claims that must be true if scripts play the scene."""
    lesson: Lesson
    trouble: Trouble = "none"
    workload: Workload = "all_at_once"
    counts: Counts = _count_nothing
    limits: Limits = PLENTY
    planner: Planner | None = None
    enforced: tuple[str, ...] = ()
    """Guards that are enforced in both modes, because the scene's guard needs them."""
    endpoints: EndpointOptions | None = None
    """Options of the model's endpoint."""
    refund_effect: Effect | None = None
    """The effect that the tool `refund` declares in the enforced mode; in the observing mode it declares only `True`.
    With None it does so in both modes."""
    memory: bool = False
    """True if the clerk reads and writes the tenant's memory."""
    roles: bool = False
    """True if the scene's team is the one in `roles_team.py`, corrected in the enforced mode."""
    caps: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """The caps of each tenant for a day."""
    admission: Admission | None = None
    """Admission in the enforced mode. Admission has no observing mode."""
    real_model: bool = False
    """True if a real model may play the scene, because its trouble, if any, is in the world."""
    kill_at: int | None = None
    """The number of the call during which the process is killed; None: it is not killed."""
    one_after_other: bool = False
    """True if the modes are played one after the other, because a setting of one mode holds for all runs on the journal."""
    attempt: int = 1
    make_slower: Callable[[ModeResult], Scene | None] = _play_once
    """Returns the scene with more time if the enforced result shows that the machine was too slow; else None."""
    may_fail: bool = False
    """True if the trouble makes some runs fail in either mode; the scene's claims say how many."""

    @property
    def request(self) -> str:
        """The text of the first request."""
        return self.requests[0].text

    def format_label(self, mode: DemoMode) -> str:
        """Returns the name of the scene's world and conversation in one mode."""
        return f"{self.name}-{mode}" if self.attempt == 1 else f"{self.name}-{mode}-{self.attempt}"

    def format_model(self, mode: DemoMode) -> str:
        """Returns the name of the scripted model. A breaker belongs to a name, so each mode has its own."""
        return f"scripted-{self.name}-{mode}"

    def format_team(self, mode: DemoMode) -> str:
        """Returns the team's name. It differs between the modes if a tool declares different effects in them."""
        return TEAM if self.refund_effect is None else f"{TEAM}-{mode}"

    def get_refund_effect(self, mode: DemoMode) -> Effect | None:
        """Returns the effect that the tool `refund` declares in one mode."""
        return self.refund_effect if mode == "enforce" else None

    def format_tenant(self, tenant: str, mode: DemoMode) -> str:
        """Returns a tenant's name. An account belongs to a name, so each mode has its own."""
        return f"{tenant}-{mode}" if tenant else ""

    def make_budget(self) -> Budget:
        """Returns the tenants' caps for both modes. A scene without caps removes those of the scene before."""
        caps = {self.format_tenant(name, mode): caps for mode in MODES for name, caps in self.caps.items()}
        return Budget(tenants_day=caps)
