"""The people of these tests, and what they do: they look at proposals and decide, and they ask the bank what happened.

A credential is `key of NAME`. Carol asks for refunds; the others have roles.
"""

from __future__ import annotations

import importlib
from typing import Any

import msgspec

from effects.world.client import Teller
from seawall import SeawallError, Team, Waiting

REQUESTER = "carol"
LINK_KEY = b"a key of thirty-two bytes, or so."
ROLES: dict[str, tuple[str, ...]] = {
    "alice": ("finance",),
    "bob": ("finance", "lead"),
    "dave": ("lead",),
    "erin": (),
    "carol": ("finance",),
    "robot": ("finance",),
}


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What one person does with the proposals that they see; each field that is set narrows down which."""

    who: str
    action: str = "approve"
    """`approve`, `reject`, `edit`, or `link`: they follow a link, and follow it once more."""
    order: str | None = None
    tool: str | None = None
    proposal: str | None = None
    hash: str | None = None
    """Another hash than that of the proposal as it is now."""
    edit: dict[str, Any] | None = None
    reason: str = ""
    stop: bool = False


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal, as these tests look at it."""

    id: str
    hash: str
    state: str
    run: str
    tool: str
    arguments: dict[str, Any] | None
    text: str
    preview: str | None
    flags: tuple[str, ...]
    guards: tuple[str, ...]
    causes: tuple[str, ...]
    agent: str
    roles: tuple[str, ...]
    voters: tuple[str, ...]
    group: str
    effect: str


def credential(name: str) -> str:
    """Returns the credential of a person."""
    return f"key of {name}"


def authenticate(given: object) -> Any:
    """Returns the principal of a credential, as a program that embeds Seawall does; None for a wrong one."""
    name = str(given).removeprefix("key of ")
    if given != credential(name) or name not in ROLES:
        return None
    principal: Any = importlib.import_module("seawall.effects.credentials").Principal
    return principal(name=name, roles=ROLES[name], agent=name == "robot")


def show(approval: Any) -> Shown:
    """Returns what these tests look at."""
    return Shown(
        id=approval.id,
        hash=approval.hash,
        state=approval.state,
        run=approval.run,
        tool=approval.tool,
        arguments=approval.arguments,
        text=approval.arguments_text,
        preview=approval.preview,
        flags=tuple(approval.flags),
        guards=tuple(reason.guard for reason in approval.reasons),
        causes=tuple(cause.name for cause in approval.causes),
        agent=approval.agent,
        roles=tuple(approval.roles),
        voters=tuple(vote.principal for vote in approval.votes),
        group=approval.group,
        effect=approval.effect,
    )


def fits(approval: Any, decision: Decision) -> bool:
    """Returns whether somebody decides on a proposal."""
    arguments = approval.arguments or {}
    return (
        decision.order in (None, arguments.get("order_id"))
        and decision.tool in (None, approval.tool)
        and decision.proposal in (None, approval.id)
    )


async def decide(sea: Any, decision: Decision, team: Team | None = None) -> list[str]:
    """Decides on every proposal that fits; returns what came of each: `ok`, or the error."""
    return [
        await decide_one(sea, approval, decision, team)
        for approval in await list_approvals(sea, decision.proposal)
        if fits(approval, decision)
    ]


async def list_approvals(sea: Any, proposal: str | None) -> list[Any]:
    """Returns the proposals that nobody has decided, also those that have expired, or the one with this id."""
    if proposal is not None:
        return [await sea.approval(proposal)]
    found = await sea.approvals(state=None, limit=1_000)
    return [approval for approval in found if approval.state in ("open", "expired")]


async def decide_one(sea: Any, approval: Any, decision: Decision, team: Team | None = None) -> str:
    """Decides on one proposal; returns `ok`, or the error. `team` has the tools, for an edit."""
    common = {
        "hash": decision.hash or approval.hash,
        "credential": credential(decision.who),
        "reason": decision.reason or f"{decision.who} has looked",
    }
    try:
        if decision.action == "reject":
            await sea.reject(approval.id, stop=decision.stop, **common)
        elif decision.action == "link":
            token = await sea.make_link(approval.id, authenticate(credential(decision.who)))
            await sea.decide_by_link(token, approve=True)
            await sea.decide_by_link(token, approve=True)
        elif decision.action == "edit":
            edited = {**(approval.arguments or {}), **(decision.edit or {})}
            await sea.approve(approval.id, edit=edited, team=team, **common)
        else:
            await sea.approve(approval.id, **common)
    except SeawallError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


async def reconcile(sea: Any, teller: Teller, who: str) -> list[str]:
    """Says of each effect of unknown fate what the bank says; returns what came of it."""
    said: list[str] = []
    for effect in await sea.effects(status="unknown"):
        receipt = await teller.find(effect.key)
        known: dict[str, Any] = (
            {"failed": "the bank has no such payment"} if receipt is None else {"committed": receipt}
        )
        try:
            await sea.reconcile(effect.id, credential=credential(who), **known)
            said.append("ok")
        except SeawallError as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


async def decide_plainly(sea: Any, teller: Teller, waiting: Waiting, who: str) -> str:
    """Decides what a run waits for where no tool declares anything; returns `ok`, or the error."""
    paid = await teller.paid(msgspec.json.decode(waiting.arguments or "{}")["order_id"])
    known: dict[str, Any] = {"committed": paid[-1]} if paid else {"failed": "the bank has no such payment"}
    try:
        if waiting.kind == "hold":
            await sea.decide(waiting.run, waiting.step, approve=True, by=who)
        elif hasattr(sea, "reconcile"):
            await sea.reconcile(waiting.run, step=waiting.step, by=who, **known)
        else:  # as it was before there were records of effects
            receipt = known.get("committed")
            await sea.decide(waiting.run, waiting.step, approve=bool(paid), by=who, result=receipt)
    except SeawallError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"
