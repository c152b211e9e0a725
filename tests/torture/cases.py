"""The cases that the clients bring. A case follows from the seed and its name, so that every process knows it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

from seawall import Budget, Caps, Limits

TENANTS = ("acme", "bolt", "capped")
SESSIONS = 6
BUDGET = Budget(
    tenants={"capped": Caps(model_calls=60, tool_calls=30, tokens=60_000)},
    day=Caps(usd="0.9"),
)
"""Caps that a round reaches: the tenant's for certain, the day's in a long one."""

FLAGS = {
    "p": 0.7,  # pays: an effect without a key
    "n": 0.6,  # notifies: an effect that honours its key
    "w": 0.3,  # wires: an effect that a person has to approve
    "a": 0.4,  # asks the annex, a team in the team
    "r": 0.25,  # the reviewer rejects the first answer
    "g": 0.06,  # the clerk asks the same again and again
    "d": 0.08,  # a call that takes longer than the run may
    "t": 0.15,  # limits that may not suffice
    "x": 0.05,  # the client cancels
    "f": 0.03,  # nobody decides
}
"""What a case may hold, each with how likely it is."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request of a client."""

    name: str
    flags: str
    tenant: str
    session: str | None
    limits: Limits

    @property
    def request(self) -> str:
        """The text of the request."""
        return describe(self.name, self.flags, "Serve the customer.")


def describe(name: str, flags: str, task: str) -> str:
    """Returns a task of a case as agents are told it."""
    return f"Case {name} flags={flags}: {task}"


def make_case(seed: str, name: str) -> Case:
    """Returns the case of this name."""
    rng = random.Random(f"{seed}:{name}")
    flags = "".join(flag for flag, share in FLAGS.items() if rng.random() < share) or "n"
    tenant = rng.choices(TENANTS, (4, 3, 1))[0]
    session = f"s{rng.randrange(SESSIONS)}" if rng.random() < 0.35 else None
    limits = Limits(active_s=60, tokens=100_000, usd=Decimal("0.5"))
    if "d" in flags:
        limits = Limits(active_s=1.0)
    elif "t" in flags:
        limits = Limits(
            active_s=30,
            model_calls=rng.randint(2, 12),
            tool_calls=rng.randint(1, 6),
            handoffs=rng.randint(1, 4),
            tokens=rng.randint(2_000, 20_000),
            usd=Decimal(rng.randint(3, 40)) / 1000,
        )
    return Case(name=name, flags=flags, tenant=tenant, session=session, limits=limits)
