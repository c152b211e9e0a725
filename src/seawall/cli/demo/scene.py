"""Defines a scene: a world and its trouble, requests, scripts, how its runs are started, and what is claimed of them."""

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
"""More than any scene needs, so that each shows its own guard."""
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
"""How the runs of a scene are started and brought to an end; see `workloads.py`."""
Claims = Callable[[ModeResult, ModeResult], list[CheckedClaim]]
"""Checks the observed and the enforced result."""
Lesson = Callable[[ModeResult, ModeResult], str]
"""Says in one or two sentences what the figures of both modes show."""
Counts = Callable[[World], dict[str, int]]
"""Counts what a scene needs to know of its world beside what is always counted."""


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
    """What to add to the story if a script plays it."""
    requests: tuple[Request, ...]
    """Each is a run."""
    scripts: Callable[[], AgentScripts]
    claims: Claims
    """What must be so if scripts play it."""
    lesson: Lesson
    trouble: Trouble = "none"
    workload: Workload = "all_at_once"
    counts: Counts = _count_nothing
    limits: Limits = PLENTY
    planner: Planner | None = None
    enforced: tuple[str, ...] = ()
    """Guards that are enforced in both modes: another guard is of use only beside them."""
    endpoints: EndpointOptions | None = None
    """Options of the model's endpoint."""
    refund_effect: Effect | None = None
    """What the tool `refund` declares in the enforced mode; in the other one it is a plain effect. None: in both."""
    memory: bool = False
    """Whether the clerk reads and writes the memory of the tenant."""
    roles: bool = False
    """Whether its team is the one of `roles_team.py`: mended in the enforced mode."""
    caps: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """What each tenant may spend in a day."""
    admission: Admission | None = None
    """Admission in the enforced mode; it can't be observed."""
    real_model: bool = False
    """Whether a real model may play it: the trouble is in the world, or there is none."""
    kill_at: int | None = None
    """The process is killed while the call of this number is in flight."""
    one_after_other: bool = False
    """Whether its modes are played one after the other, because a setting of one holds for everybody on the journal."""
    attempt: int = 1
    make_slower: Callable[[ModeResult], Scene | None] = _play_once
    """Returns the scene with more time if this enforced result shows that the machine was too slow or too busy."""
    may_fail: bool = False
    """Whether its trouble makes some runs fail whatever guards do; the scene claims how many."""

    @property
    def request(self) -> str:
        """The text of the first request."""
        return self.requests[0].text

    def format_label(self, mode: DemoMode) -> str:
        """Returns the name of the scene's world and conversation in one mode."""
        return f"{self.name}-{mode}" if self.attempt == 1 else f"{self.name}-{mode}-{self.attempt}"

    def format_model(self, mode: DemoMode) -> str:
        """Returns the name of its scripted model. Breakers go by it, so each mode has its own."""
        return f"scripted-{self.name}-{mode}"

    def format_team(self, mode: DemoMode) -> str:
        """Returns the name of its team. Where the modes differ in what a tool declares, each team has its own name."""
        return TEAM if self.refund_effect is None else f"{TEAM}-{mode}"

    def get_refund_effect(self, mode: DemoMode) -> Effect | None:
        """Returns what the tool `refund` declares in one mode."""
        return self.refund_effect if mode == "enforce" else None

    def format_tenant(self, tenant: str, mode: DemoMode) -> str:
        """Returns a tenant's name. Accounts go by it, so each mode has its own."""
        return f"{tenant}-{mode}" if tenant else ""

    def make_budget(self) -> Budget:
        """Returns the tenants' caps for both modes. A scene without caps removes those of the scene before."""
        caps = {self.format_tenant(name, mode): caps for mode in MODES for name, caps in self.caps.items()}
        return Budget(tenants_day=caps)
