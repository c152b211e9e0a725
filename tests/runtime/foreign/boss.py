"""The person who decides what a loop may do."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from seawall import Principal
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.seawall import Seawall
from seawall.team.team import Team

BOSS = "boss"
"""The key that the boss shows."""
FRAUD = "the order is fraud"


def identify(credential: Any) -> Principal:
    return Principal(str(credential))


async def approve(sea: Seawall, edit: dict[str, Any] | None = None, team: Team | None = None) -> int:
    """Approves all that waits, perhaps with other arguments; returns how much that was."""
    found = await sea.approvals()
    for each in found:
        await sea.approve(each.id, hash=each.hash, credential=BOSS, edit=edit, team=team)
    return len(found)


async def change(sea: Seawall, team: Team) -> None:
    await approve(sea, {"order": 1042, "amount": 3}, team)


async def reject(sea: Seawall, reason: str = FRAUD) -> None:
    for each in await sea.approvals():
        await sea.reject(each.id, hash=each.hash, credential=BOSS, reason=reason)


def wait_for_question(other: Engine, waiting: Future[Any] | None = None) -> str:
    """Returns the id of what another process sees to be decided. `waiting`: who must not have gone on before."""
    while not (found := other.call(lambda sea: sea.approvals())):
        assert waiting is None or not waiting.done(), waiting
    return found[0].id
