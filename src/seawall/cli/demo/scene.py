"""What a scene is: a world and its trouble, requests, a script, how it is played, and what is claimed of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seawall.cli.demo.directions import all_at_once
from seawall.cli.demo.scripts import Play
from seawall.cli.demo.take import MODES, Claim, Guarded, Take
from seawall.cli.demo.world import Trouble, World
from seawall.core.limits import Limits
from seawall.guards.budget import Budget, Caps
from seawall.guards.endpoints import EndpointOptions
from seawall.run.outcome import Outcome, Waiting
from seawall.runtime.admission import Admission
from seawall.team.planner import Planner

if TYPE_CHECKING:
    from seawall.cli.demo.act import Act

PLENTY = Limits(tool_calls=80, model_calls=300, handoffs=100)
"""More than any scene wants, so that each shows its own guard."""
WATCHED = ("loops", "deadline", "limits", "endpoints", "budget", "planner")
"""The guards that a scene plays in both modes."""

Claims = Callable[[Take, Take], list[Claim]]
Counts = Callable[[World], dict[str, int]]
"""What a scene wants to know of its world beside what is always counted."""
Direction = Callable[["Act"], Awaitable[Sequence[Outcome | Waiting]]]
"""Starts the runs of a scene, and brings them to rest."""


def _nothing_else(world: World) -> dict[str, int]:
    return {}


def _once(enforce: Take) -> Scene | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request."""

    text: str
    tenant: str = ""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scene."""

    name: str
    title: str
    story: str
    scripted: str = ""
    """What is to be told of the script, where one plays."""
    asks: tuple[Ask, ...]
    """Each is a run."""
    play: Callable[[], Play]
    claims: Claims
    """What must be so when scripts play it, of the observed and of the enforced take."""
    lesson: Callable[[Take, Take], str]
    """One sentence, made of what was measured."""
    trouble: Trouble = "none"
    direct: Direction = all_at_once
    counts: Counts = _nothing_else
    limits: Limits = PLENTY
    planner: Planner | None = None
    enforced: tuple[str, ...] = ()
    """Guards that are enforced in both takes: another one has its use only beside them."""
    endpoints: EndpointOptions | None = None
    """Of the model."""
    caps: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    """What tenants may spend in a day."""
    admission: Admission | None = None
    """Of the enforced take: this one can't be observed."""
    provider: bool = False
    """Whether a real model may play it: the trouble is in the world, or there is none."""
    kill_at: int | None = None
    """The process is killed while the call of this number is in flight."""
    apart: bool = False
    """Whether its takes are played one after the other: what one does holds for everybody on the journal."""
    attempt: int = 1
    slower: Callable[[Take], Scene | None] = _once
    """The same with more time, if this enforced take shows that the machine was too slow or too busy for it."""
    may_fail: bool = False
    """Whether the trouble is such that some runs fail, whatever guards do: how many is for the scene to claim."""

    @property
    def request(self) -> str:
        """What is asked, of several requests the first."""
        return self.asks[0].text

    def label(self, mode: Guarded) -> str:
        """The name of one take: of its world, and of its conversation."""
        return f"{self.name}-{mode}" if self.attempt == 1 else f"{self.name}-{mode}-{self.attempt}"

    def model(self, mode: Guarded) -> str:
        """The name of its scripted model: a breaker is known by it, and each take has one of its own."""
        return f"scripted-{self.name}-{mode}"

    def tenant(self, tenant: str, mode: Guarded) -> str:
        """A tenant's name: an account is known by it, and each take has one of its own."""
        return f"{tenant}-{mode}" if tenant else ""

    def budget(self) -> Budget:
        """What its tenants may spend, in either mode."""
        caps = {self.tenant(name, mode): caps for mode in MODES for name, caps in self.caps.items()}
        return Budget(tenants_day=caps)  # also without any: those of a scene before are taken back


def always(scene: Scene, takes: Sequence[Take]) -> list[Claim]:
    """What must be so of every take, whoever plays."""
    claims: list[Claim] = []
    for take in takes:
        counts = f"{take.mode}: the journal knows of every call that reached the world"
        known = take.recorded_calls - take.cut_calls <= take.calls <= take.recorded_calls
        claims.append(Claim(f"{counts} ({take.calls})", known))
        once = f"{take.mode}: nothing was paid twice ({len(take.payments)} payments)"
        claims.append(Claim(once, take.paid_again == 0))
        if take.usd is not None:
            billed = sum(take.billed.values())
            covers = f"{take.mode}: the journal's cost covers the provider's bill ({take.usd}, {billed})"
            claims.append(Claim(covers, take.usd >= billed))
        if not scene.may_fail:
            failed = f"{take.mode}: no run failed{f' ({take.error})' if take.error else ''}"
            claims.append(Claim(failed, "failed" not in take.ends))
    return claims


def stopped(take: Take, guard: str) -> list[Claim]:
    """The guard halted the run."""
    return [Claim(f"enforce: {guard} halted the run", take.state == "halted" and take.stopped_by == guard)]


def let_pass(take: Take, guard: str) -> list[Claim]:
    """The guard would have, and did not."""
    return [
        Claim("observe: the run went on to its end", take.state == "completed"),
        Claim(f"observe: the journal says that {guard} would have halted it", take.would_stop == guard),
    ]


def calls_were(take: Take, calls: int) -> list[Claim]:
    """Exactly so many tool calls reached the world."""
    return [Claim(f"{take.mode}: {calls} calls reached the world ({take.calls})", take.calls == calls)]


def calls_were_at_most(take: Take, calls: int) -> list[Claim]:
    """No more tool calls than these reached the world; fewer, if the machine was too slow to begin them in time."""
    return [
        Claim(f"{take.mode}: at most {calls} calls reached the world ({take.calls})", take.calls <= calls)
    ]


def stops(guard: str, observed: int, enforced: int) -> Claims:
    """The guard halts the enforced take after exactly so many calls."""

    def claims(observe: Take, enforce: Take) -> list[Claim]:
        return [
            *let_pass(observe, guard),
            *calls_were(observe, observed),
            *stopped(enforce, guard),
            *calls_were(enforce, enforced),
        ]

    return claims


def answered(take: Take) -> bool:
    """Whether every run came to a reviewed answer."""
    return set(take.ends) == {"completed, reviewed"} and bool(take.answer)


def fewer(observe: Take, enforce: Take) -> str:
    """The lesson of a run that was stopped."""
    if enforce.state != "halted":
        return "Whoever played found a way out in time, so the guards had nothing to stop."
    return f"{enforce.calls} calls instead of {observe.calls}: {enforce.reason}."
