"""The order desk of the scene about roles: the first version, and the version that was corrected after `seawall lint`."""

from __future__ import annotations

from collections.abc import Mapping

from seawall.cli.demo.team import REPLY_TOKENS, make_auditor, make_tools
from seawall.cli.demo.world import World
from seawall.core.limits import Limits
from seawall.core.money import Money
from seawall.effects.options import Effect, above
from seawall.models.protocol import Model
from seawall.team.agent import Agent
from seawall.team.team import Team

REFUND_ONCE = Effect(
    unique_by=("order_id",), amount="amount", currency="EUR", approve=above(Money("200", "EUR"))
)
"""The effect of a refund: it is made once for an order, and a person decides on a large amount."""

_FAULTY = {
    "clerk": "Finds out what happened to orders and parcels. Refunds an order whose parcel is lost.",
    "cashier": "Finds out what happened to orders and parcels. Refunds an order whose parcel is lost, and books it.",
}
_MENDED = {
    "clerk": "Finds out about orders and parcels. Reports what the tools say, nothing else.",
    "cashier": "Refunds the amount that it is given, and checks that the refund is booked.",
}


def make_roles_desk(
    world: World, models: Mapping[str, Model | str], limits: Limits, *, name: str, mended: bool
) -> Team:
    """Returns the team over `world`; `models` gives each agent's model. `mended`: each duty and effect has one owner."""
    find_order, track_parcel, refund, find_payment = make_tools(world, REFUND_ONCE if mended else True)
    looks, pays = [find_order, track_parcel], [refund, find_payment]
    told, tools = (
        (_MENDED, {"clerk": looks, "cashier": pays})
        if mended
        else (_FAULTY, {"clerk": [*looks, refund], "cashier": [*looks, *pays]})
    )
    return Team(
        name,
        coordinator=Agent(
            "desk",
            "You answer customers of a shop. Ask the clerk what happened and the cashier for the refund, then answer the "
            "customer in one or two sentences.",
            model=models["desk"],
            max_output_tokens=REPLY_TOKENS,
        ),
        specialists=[
            Agent(agent, told[agent], tools=tools[agent], model=models[agent], max_output_tokens=REPLY_TOKENS)
            for agent in ("clerk", "cashier")
        ],
        reviewer=make_auditor(models["auditor"]),
        limits=limits,
    )
