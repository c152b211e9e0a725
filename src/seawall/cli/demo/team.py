"""The order desk: `desk` plans and answers, `clerk` looks things up, `cashier` pays, `auditor` reviews."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from seawall.cli.demo.world import Order, Parcel, Receipt, World
from seawall.core.limits import Limits
from seawall.effects.options import Effect
from seawall.memory.options import Memory
from seawall.models.protocol import Model
from seawall.team.agent import Agent
from seawall.team.planner import Planner
from seawall.team.team import Team
from seawall.team.tool import Tool, tool

AGENTS = ("desk", "clerk", "cashier", "auditor")
TEAM = "order-desk"
REPLY_TOKENS = 400
"""The most tokens of a reply: enough for each one here. If a halt cuts a reply off, the journal books this bound."""


def make_order_desk(
    world: World,
    models: Mapping[str, Model | str],
    limits: Limits,
    planner: Planner | None = None,
    *,
    name: str = TEAM,
    refund_effect: Effect | None = None,
    memory: Memory | None = None,
) -> Team:
    """Returns the team over `world`; `models` gives each agent's model.

    `refund_effect` is the effect that the tool `refund` declares; with None it declares only `effect=True`.
    `memory` says what the clerk may read and write.
    """
    find_order, track_parcel, refund, find_payment = make_tools(world, refund_effect or True)
    stop_parcel, send_parcel = _make_carrier_tools(world)
    return Team(
        name,
        coordinator=Agent(
            "desk",
            "You answer customers of a shop. Ask the clerk for facts and the cashier for money, "
            "then answer in one or two sentences with the figures that they gave you.",
            model=models["desk"],
            max_output_tokens=REPLY_TOKENS,
        ),
        specialists=[
            Agent(
                "clerk",
                "Finds out about orders and parcels. Reports what the tools say, nothing else.",
                tools=[find_order, track_parcel, stop_parcel],
                model=models["clerk"],
                memory=memory,
                max_output_tokens=REPLY_TOKENS,
            ),
            Agent(
                "cashier",
                "Refunds orders and checks that the refund is booked. Reports the amount and the receipt.",
                tools=[refund, find_payment, send_parcel],
                model=models["cashier"],
                max_output_tokens=REPLY_TOKENS,
            ),
        ],
        reviewer=make_auditor(models["auditor"]),
        limits=limits,
        planner=planner,
    )


def make_auditor(model: Model | str) -> Agent:
    """Returns the reviewer of every desk."""
    return Agent(
        "auditor",
        "You approve an answer if the results carry every figure in it, and reject it if not.",
        model=model,
        max_output_tokens=REPLY_TOKENS,
    )


def make_tools(world: World, refund_effect: Effect | Literal[True]) -> tuple[Tool, Tool, Tool, Tool]:
    """Returns the tools that look up an order and a parcel, pay back, and list what was paid back."""

    @tool
    def find_order(order_id: str) -> Order:
        """Look up one order: what was bought, what was paid, and its state."""
        return world.find_order(order_id)

    @tool
    def track_parcel(order_id: str) -> Parcel:
        """Ask the carrier where the parcel of an order is."""
        return world.track_parcel(order_id)

    @tool(effect=refund_effect)
    def refund(order_id: str, amount: Decimal) -> Receipt:
        """Pay money back for an order; the amount is in EUR."""
        return world.refund(order_id, amount)

    @tool
    def find_payment(order_id: str) -> list[Receipt]:
        """List what was paid back for an order."""
        return world.find_payment(order_id)

    return find_order, track_parcel, refund, find_payment


def _make_carrier_tools(world: World) -> tuple[Tool, Tool]:
    @tool(effect=True)
    def stop_parcel(order_id: str) -> Parcel:
        """Have the carrier stop the parcel of an order that was not paid."""
        return world.stop_parcel(order_id)

    @tool(effect=True)
    def send_parcel(order_id: str) -> Parcel:
        """Have the carrier send on the parcel of an order that was paid."""
        return world.send_parcel(order_id)

    return stop_parcel, send_parcel
