"""A team with everything that a crash can come between: parallel tools and specialists, a nested team, a
reviewer who rejects once, an effect and one that honours its key. Its agents are functions of what they are
told, so that the same conversation gets the same reply in any process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from crash.world import World
from seawall import Agent, Guard, Limits, Price, Team, ToolContext, tool
from seawall.models.protocol import ModelRequest, System, ToolResult, Usage, User
from seawall.models.scripted import Reply, calls, say
from seawall.models.scripted import call as ask
from seawall.team.tool import Tool
from seawall.testing import ScriptedModel

REQUEST = "Order 1042 never arrived: refund it and tell the customer."
ANSWER = (
    "Order 1042 (lost on the way, see the file of 1042 and its notes) is refunded with receipt-1042; "
    "the customer knows. Dated 3 May."
)
PAID = "receipt-1042"
PRICE = Price(Decimal(1), Decimal(2))
Script = Callable[[ModelRequest], Reply]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a later deploy may have changed in the team."""

    prompt: str = ""
    model: str = "scripted"
    notify_version: str = "1"
    notify_honours: bool = True
    renamed: str = ""
    """The coordinator's new name."""
    without_agent: str = ""
    without_tool: str = ""
    limits: Limits | None = None
    guards: tuple[Guard, ...] = ()
    estimated: bool = False
    """Usage is estimated as a provider would count it; else it holds the number of the call."""


def results(request: ModelRequest, name: str) -> list[str]:
    """Returns the results of a tool in this conversation, oldest first."""
    return [m.content for m in request.messages if isinstance(m, ToolResult) and m.name == name]


def _coordinator(request: ModelRequest) -> Reply:
    found = results(request, "ask_clerk") + results(request, "ask_annex")
    if not found:
        return calls(ask("ask_clerk", task="Find out about order 1042."), ask("ask_annex", task="Read 1042."))
    paid = results(request, "ask_cashier")
    if not paid:
        return ask("ask_cashier", task="Refund order 1042.")
    text = f"Order 1042 ({found[0]}, {found[1]}) is refunded with {paid[-1]}; the customer knows."
    rejected = any(isinstance(m, User) and "date is missing" in m.content for m in request.messages)
    return say(f"{text} Dated 3 May." if rejected else text)


def _clerk(request: ModelRequest) -> Reply:
    if not results(request, "find_order"):
        return calls(
            ask("find_order", order="1042"), ask("find_order", order="1043"), ask("track", order="1042")
        )
    return say(results(request, "track")[-1])


def _archivist(request: ModelRequest) -> Reply:
    if not results(request, "open_file"):
        return calls(ask("open_file", order="1042"), ask("ask_scribe", task="Read the notes on 1042."))
    return say(f"see {results(request, 'open_file')[-1]} and {results(request, 'ask_scribe')[-1]}")


def _scribe(request: ModelRequest) -> Reply:
    return say("its notes") if results(request, "read_notes") else ask("read_notes", order="1042")


def _cashier(request: ModelRequest) -> Reply:
    paid = results(request, "pay")
    if not paid:
        return calls(ask("find_order", order="1042"), ask("pay", order="1042"), ask("notify", order="1042"))
    if "did not happen" in paid[-1]:
        return ask("pay", order="1042")
    told = results(request, "notify")
    if not told or "did not happen" in told[-1]:
        return ask("notify", order="1042")
    return say(paid[-1])


def _auditor(request: ModelRequest) -> Reply:
    fine = any(isinstance(m, User) and "Dated 3 May" in m.content for m in request.messages)
    return ask("review", approved=fine, feedback="" if fine else "the date is missing")


def _model(world: World, agent: str, script: Script, variant: Variant) -> ScriptedModel:
    def reply(request: ModelRequest) -> Reply:
        said = msgspec.json.encode([m for m in request.messages if not isinstance(m, System)])
        entry = script(request)
        size = Usage(len(said) // 4, 20)
        identity = hashlib.sha256(agent.encode() + said).hexdigest()[:16]
        tokens = size.input_tokens + size.output_tokens
        number = world.happen("model", agent, identity, tokens=tokens)
        usage = size if variant.estimated else Usage(number, 1)
        return msgspec.structs.replace(entry, usage=usage)

    return ScriptedModel(reply, name=f"{variant.model}-{agent}", price=PRICE)


def _tools(world: World, variant: Variant) -> dict[str, Tool]:
    def count(kind: str, name: str, ctx: ToolContext) -> None:
        world.happen(kind, name, ctx.key, step=ctx.step)

    @tool
    async def find_order(ctx: ToolContext, order: str) -> str:
        """Look up an order."""
        count("read", "find_order", ctx)
        await asyncio.sleep(0)
        return f"order {order}"

    @tool
    def track(ctx: ToolContext, order: str) -> str:
        """Where a parcel is."""
        count("read", "track", ctx)
        return "lost on the way"

    @tool
    async def open_file(ctx: ToolContext, order: str) -> str:
        """The file of an order."""
        count("read", "open_file", ctx)
        return f"the file of {order}"

    @tool
    def read_notes(ctx: ToolContext, order: str) -> str:
        """The notes on an order."""
        count("read", "read_notes", ctx)
        return "its notes"

    @tool(effect=True)
    async def pay(ctx: ToolContext, order: str) -> str:
        """Pay the money back."""
        count("effect", "pay", ctx)
        return f"receipt-{order}"

    honours = variant.notify_honours

    @tool(effect=True, idempotent=honours, version=variant.notify_version)
    def notify(ctx: ToolContext, order: str) -> str:
        """Tell the customer, once for each key."""
        count("effect", "notify", ctx)
        return "told"

    made = (find_order, track, open_file, read_notes, pay, notify)
    return {item.name: item for item in made if item.name != variant.without_tool}


def desk(world: World, variant: Variant | None = None) -> Team:
    """Returns the team as this deploy defines it."""
    variant = variant or Variant()
    tools = _tools(world, variant)

    def agent(name: str, script: Script, *names: str) -> Agent:
        mine: Sequence[Any] = [tools[each] for each in names if each in tools]
        model = _model(world, name, script, variant)
        return Agent(name, f"Does its part.{variant.prompt}", model=model, tools=mine, max_output_tokens=64)

    annex = Team(
        "annex",
        agent("archivist", _archivist, "open_file"),
        specialists=[agent("scribe", _scribe, "read_notes")],
    )
    staff = [
        agent("clerk", _clerk, "find_order", "track"),
        annex,
        agent("cashier", _cashier, "find_order", "pay", "notify"),
    ]
    return Team(
        "desk",
        agent(variant.renamed or "desk", _coordinator),
        specialists=[each for each in staff if each.name != variant.without_agent],
        reviewer=agent("auditor", _auditor),
        limits=variant.limits or Limits(active_s=60),
        guards=variant.guards,
    )
