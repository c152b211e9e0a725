"""What every system plays: the same replies, the same tools, and one count of both.

A team request, 15 steps: the coordinator hands to the clerk (two tool calls at once, then a report), hands
to the cashier (the same), answers, and the reviewer approves. That is 8 model calls, 4 tool calls, 2
hand-offs and 1 review. Replies follow from the agent and from how many tool results it has seen, so a
scripted model holds no state of its own and any number of runs share it.

Every text names the order, and so differs from run to run: nothing is stored once for many runs that
would not be with real traffic.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

PROMPTS = {
    "desk": (
        "You are the desk of a shop. Plan what must be known before the customer is answered, ask the clerk "
        "for facts about orders and the cashier for what may be paid back, and answer in two sentences. "
        "Never state an amount that the cashier has not quoted."
    ),
    "clerk": (
        "You are the clerk. Look up each order that you are asked about, together with the parcel that "
        "replaced it if there is one, and report what was bought, where it is and when it was last seen."
    ),
    "cashier": (
        "You are the cashier. Quote what the rules allow to pay back for each reason that applies, and name "
        "the rule. You quote, you do not pay."
    ),
    "auditor": (
        "You are the auditor. Reject an answer whose facts or amounts are not carried by the evidence. "
        'Reply with JSON: {"approved": true or false, "reason": "..."}.'
    ),
}
INPUT_TOKENS = 600
OUTPUT_TOKENS = 60
_ORDER = re.compile(r"order (\d+)")
_FIRST_ORDER = 100_000


class Call(NamedTuple):
    """A tool call that the scripted model asks for."""

    id: str
    name: str
    arguments: dict[str, str]


class Reply(NamedTuple):
    """What the scripted model says."""

    text: str
    calls: tuple[Call, ...] = ()


@dataclass
class Counts:
    """What really happened, counted where it happened: in the models and in the tools."""

    model: int = 0
    tool: int = 0
    handoff: int = 0
    review: int = 0

    @property
    def steps(self) -> int:
        """All of them: the unit of the tables."""
        return self.model + self.tool + self.handoff + self.review


PER_RUN: dict[str, Counts] = {
    "team": Counts(model=8, tool=4, handoff=2, review=1),
    "single": Counts(model=2, tool=1),
    "nodes": Counts(tool=8),
}

Delegate = Callable[[str, str], tuple[str, dict[str, str]]]
ToolFunction = Callable[..., Awaitable[str]]


def ask(agent: str, task: str) -> tuple[str, dict[str, str]]:
    """How a coordinator's model hands `task` to `agent`, unless a system has its own form."""
    return f"ask_{agent}", {"task": task}


def request(number: int) -> str:
    """What the user of request `number` wants."""
    return (
        f"My order {_FIRST_ORDER + number} was sent three weeks ago and never arrived. "
        "The replacement did not arrive either. What can you do?"
    )


def answer(number: int) -> str:
    """What the team must answer to request `number`."""
    return _answer(str(_FIRST_ORDER + number))


def _answer(order: str) -> str:
    return (
        f"Your order {order} and its replacement are both lost with the carrier. "
        "We can pay back 42.50 EUR for the goods and 4.90 EUR for the delivery."
    )


def review_task(number_text: str, draft: str) -> str:
    """What the reviewer is given."""
    return f"Request: {number_text}\n\nDraft answer: {draft}"


@dataclass
class Script:
    """The replies of all agents, and the counters."""

    delegate: Delegate = ask
    counts: Counts = field(default_factory=Counts)

    async def reply(self, agent: str, results_seen: int, first_user_text: str) -> Reply:
        """The next reply of `agent` after `results_seen` tool results.

        Yields to the event loop once, as any call over a network does.
        """
        self.counts.model += 1
        if results_seen == 0:
            self.counts.handoff += agent in ("clerk", "cashier")
            self.counts.review += agent == "auditor"
        await asyncio.sleep(0)
        found = _ORDER.search(first_user_text)
        if found is None:
            raise AssertionError(f"{agent} was asked about no order: {first_user_text!r}")
        return self._say(agent, results_seen, found[1])

    def _say(self, agent: str, seen: int, order: str) -> Reply:
        match agent, seen:
            case "desk", 0:
                return self._hand("clerk", f"Find order {order} and its replacement: where are they?")
            case "desk", 1:
                return self._hand("cashier", f"Quote what may be paid back for order {order}, lost and late.")
            case "desk", 2:
                return Reply(_answer(order))
            case "clerk", 0:
                return Reply("", (_find(order, 0), _find(f"{order}-R", 1)))
            case "clerk", 2:
                return Reply(
                    f"Order {order}: one lamp, 42.50 EUR, last seen at the hub on 2 May. "
                    f"Replacement {order}-R: last seen at the hub on 16 May. Both are overdue."
                )
            case "cashier", 0:
                return Reply("", (_quote(order, "lost", 0), _quote(order, "late", 1)))
            case "cashier", 2:
                return Reply(f"For order {order}: 42.50 EUR (rule R7, lost), 4.90 EUR (rule R9, late).")
            case "auditor", 0:
                return Reply(f'{{"approved": true, "reason": "The evidence on order {order} carries it."}}')
            case "lookup", 0:
                return Reply("", (_find(order, 0),))
            case "lookup", 1:
                return Reply(_answer(order))
            case _:
                raise AssertionError(f"the script has no reply of {agent!r} after {seen} tool results")

    def _hand(self, agent: str, task: str) -> Reply:
        name, arguments = self.delegate(agent, task)
        return Reply("", (Call(f"call_{agent}", name, arguments),))

    def tools(self) -> dict[str, ToolFunction]:
        """The specialists' tools by agent; both only read."""

        async def find_order(order_id: str) -> str:
            """Look up one order: what was bought, and where it is."""
            self.counts.tool += 1
            return json.dumps(
                {
                    "order_id": order_id,
                    "items": [{"sku": "lamp-04", "title": "Desk lamp, brass", "quantity": 1}],
                    "total": "42.50",
                    "currency": "EUR",
                    "delivery": {"carrier": "Parcel & Sons", "status": "overdue", "last_seen": "hub 7"},
                }
            )

        async def quote_refund(order_id: str, reason: str) -> str:
            """Quote what the rules allow to pay back for one order and one reason."""
            self.counts.tool += 1
            amount, rule = ("42.50", "R7") if reason == "lost" else ("4.90", "R9")
            return json.dumps({"order_id": order_id, "reason": reason, "amount": amount, "rule": rule})

        return {"clerk": find_order, "cashier": quote_refund, "lookup": find_order}

    def check(self, workload: str, runs: int) -> None:
        """Raise `AssertionError` unless exactly the work of `runs` requests was done."""
        expected = {kind: count * runs for kind, count in asdict(PER_RUN[workload]).items()}
        if asdict(self.counts) != expected:
            raise AssertionError(f"{runs} runs of {workload} did {asdict(self.counts)}, not {expected}")


def approved(verdict: str) -> bool:
    """Whether the reviewer's reply approves."""
    return bool(json.loads(verdict)["approved"])


def _find(order: str, n: int) -> Call:
    return Call(f"call_find_{n}", "find_order", {"order_id": order})


def _quote(order: str, reason: str, n: int) -> Call:
    return Call(f"call_quote_{n}", "quote_refund", {"order_id": order, "reason": reason})
