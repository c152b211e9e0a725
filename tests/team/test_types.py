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

from seawall import Agent, Outcome, Run, Seawall, Team, Tool, ToolContext, Waiting, run_team, tool
from seawall.testing import ScriptedModel, call, say

MODEL = ScriptedModel(lambda _: say("Done."))
ANSWERS = ScriptedModel(lambda _: call("final_answer", id="1042", paid=12.5))


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


clerk = Agent("clerk", model=ANSWERS, output=Order)
plain = Agent("plain", model=MODEL)
desk = Team("desk", clerk, specialists=[plain])


def test_an_agent_a_team_and_an_outcome_know_the_type_of_the_output() -> None:
    async def main() -> list[Outcome]:
        async with Seawall(":memory:") as sea:
            run = await sea.start(desk, "Where is order 1042?", tenant="acme")
            assert_type(run, Run[Order])
            assert_type(await run.rest(), Outcome[Order] | Waiting)
            outcome = await run.outcome()
            assert_type(outcome.output, Order | None)
            again = await sea.resume(run.id, desk)
            assert_type(again, Run[Order])
            known = await sea.attach(run.id)  # wherever it was started: only that knows the type
            assert_type(known, Run[Any])
        of_team = await desk.run("Where is order 1042?")
        of_agent = await run_team(clerk, "Where is order 1042?")
        assert_type(of_team, Outcome[Order])
        assert_type(of_agent, Outcome[Order])
        return [outcome, of_team, of_agent]

    outcomes = asyncio.run(main())

    assert_type(clerk, Agent[Order])
    assert_type(Team(clerk), Team[Order])
    assert_type(desk, Team[Order])
    assert [outcome.output for outcome in outcomes] == [Order("1042", 12.5)] * 3


def test_without_an_output_type_there_is_no_output() -> None:
    outcome = asyncio.run(run_team(plain, "Hello"))

    assert_type(plain, Agent[None])
    assert_type(outcome, Outcome[None])
    assert_type(outcome.output, None)
    assert (outcome.answer, outcome.output) == ("Done.", None)


def test_an_output_type_that_is_no_class_is_not_known_to_checkers() -> None:
    wrapped = ScriptedModel([call("final_answer", value={"id": "1042", "paid": 12.5})])
    either = Agent("either", model=wrapped, output=Order | str)
    lists = Agent("lists", model=ANSWERS, output=list[Order])

    outcome = asyncio.run(run_team(either, "Where is order 1042?"))

    assert_type(either, Agent[Any])
    assert_type(lists, Agent[list[Order]])
    assert outcome.output == Order("1042", 12.5)


def make_team() -> Team:
    """A `Team` of any output needs no parameter in its name."""
    return desk


def make_desk() -> Team[object]:
    return desk


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

    async def misuse_outputs(sea: Seawall) -> Team[str]:
        outcome = await desk.run("Where is order 1042?")
        float(outcome.output.paid)  # pyright: ignore[reportOptionalMemberAccess] -- expected error: may be None
        if outcome.output is not None:
            int(outcome.output.id)
            len(outcome.output)  # pyright: ignore[reportArgumentType] -- expected error: an Order has no length
        nothing = await Team(plain).run("Hello")
        len(nothing.output)  # pyright: ignore[reportArgumentType] -- expected error: it is None
        await desk.run("Hello", tenants="acme")  # pyright: ignore[reportCallIssue] -- expected error: no such option
        await sea.start(desk, "Hello", tenants="acme")  # pyright: ignore[reportCallIssue] -- expected error: as above
        await sea.start(desk, "Hello", tenant=3)  # pyright: ignore[reportArgumentType] -- expected error: a str
        Agent("clerk", model=MODEL, retry=3)  # pyright: ignore[reportCallIssue] -- expected error: no such option
        return desk  # pyright: ignore[reportReturnType] -- expected error: its output is an Order
