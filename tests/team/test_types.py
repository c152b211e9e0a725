# pyright: strict
"""What a type checker knows of a team. `make check` reads this file with pyright, in strict mode.

Each line that says `expected error` must be one: a waiver that waives nothing is an error itself. What stands under
`if TYPE_CHECKING` is read and never run.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_type

from seawall import Agent, Tool, ToolContext, tool
from seawall.testing import ScriptedModel, say

MODEL = ScriptedModel([say("Done.")])


@dataclass
class Order:
    id: str
    paid: float


@tool
async def find_order(order_id: str) -> Order:
    """Look up one order."""
    return Order(order_id, 12.5)


@tool(effect=True, version="2")
def refund(context: ToolContext, order_id: str, amount: float = 1.0) -> str:
    """Pay money back."""
    return f"{context.key}: {amount} for {order_id}"


class Shop:
    def find_parcel(self, parcel_id: str) -> list[str]:
        """Look up one parcel."""
        return [parcel_id]


class Weigh:
    async def __call__(self, parcel_id: str) -> float:
        """Weigh one parcel."""
        return float(len(parcel_id))


def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


find_parcel = tool(Shop().find_parcel)
weigh = tool(name="weigh")(Weigh())
increment = tool(name="increment")(functools.partial(add, 1))
CONTEXT = ToolContext(
    run="r-1", step=3, agent="clerk", tenant="", principal="", session=None, remaining_s=1.0, key="r-1:0"
)


def test_a_tool_is_called_with_the_parameters_and_the_result_of_its_function() -> None:
    order = asyncio.run(find_order("1042"))
    paid = refund(CONTEXT, order_id="1042", amount=2)
    parcels = find_parcel("p-1")
    weight = asyncio.run(weigh(parcel_id="p-1"))
    number = increment(2)

    assert_type(order, Order)
    assert_type(paid, str)
    assert_type(parcels, list[str])
    assert_type(weight, float)
    assert_type(number, int)
    assert (order, paid, parcels, weight, number) == (
        Order("1042", 12.5), "r-1:0: 2 for 1042", ["p-1"], 3.0, 3
    )  # fmt: skip


def test_tools_of_any_signatures_make_a_list() -> None:
    tools: Sequence[Tool[..., Any]] = [find_order, refund, find_parcel, weigh, increment]
    bare: list[Tool] = [*tools]

    agent = Agent("clerk", model=MODEL, tools=[*bare, add])

    assert [item.name for item in agent.tools] == [
        "find_order", "refund", "find_parcel", "weigh", "increment", "add"
    ]  # fmt: skip


if TYPE_CHECKING:

    async def misuse_tools() -> None:
        await find_order(order_id=3)  # pyright: ignore[reportArgumentType] -- expected error: a str
        await find_order(id="3")  # pyright: ignore[reportCallIssue] -- expected error: no such parameter
        await find_order()  # pyright: ignore[reportCallIssue] -- expected error: one is missing
        await refund(CONTEXT, "1042")  # pyright: ignore[reportGeneralTypeIssues] -- expected error: it is sync
        refund("1042")  # pyright: ignore[reportCallIssue] -- expected error: no context
        refund(CONTEXT, "1042", amount="2")  # pyright: ignore[reportArgumentType] -- expected error: a float
        find_parcel(parcel_id=3)  # pyright: ignore[reportArgumentType] -- expected error: a str
        await weigh(3)  # pyright: ignore[reportArgumentType] -- expected error: a str
        increment("2")  # pyright: ignore[reportArgumentType] -- expected error: an int
        tool(retry=3)  # pyright: ignore[reportCallIssue] -- expected error: no such option
        Agent("clerk", model=MODEL, tools=[3])  # pyright: ignore[reportArgumentType] -- expected error: no tool
