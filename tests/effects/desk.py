"""A desk that pays: teams whose agents ask for what a test says, with tools that ask the bank.

`Terms` says how the tools are declared, and `replies` what the agent asks for: one list of calls for each of its replies,
and after the last one it answers with what its tools have said. So the same request gets the same replies in any process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from effects.world.client import BankRefused, Teller
from seawall import ALLOW, Agent, Guard, Hold, Limits, NotDone, Team, ToolContext, tool
from seawall.core.money import Money
from seawall.effects.options import Effect, above
from seawall.models.protocol import Assistant, Message, ModelRequest, ToolResult, User
from seawall.models.scripted import Reply, calls, say
from seawall.models.scripted import call as ask
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import Verdict
from seawall.team.tool import Tool
from seawall.testing import ScriptedModel

REQUEST = "Pay what is due"
"""What every request of these tests begins with."""
HOLDING = "a payment needs a person"
EUR = "EUR"


class Ask(msgspec.Struct, frozen=True):
    """One call that the agent asks for."""

    tool: str
    arguments: dict[str, Any]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How the tools that pay are declared."""

    plain: bool = False
    """As `effect=True` alone, with a guard that holds payments: as it was before effects were declared."""
    holds: bool = True
    """The guard is there."""
    unique: bool = True
    scope: str = "tenant"
    ttl_s: float = 86_400.0
    """For so long the tool `refund` says that the bank knows its keys. The tool `payout` has none."""
    limit: str | None = "100"
    """Somebody must approve what is above it; None: nobody must."""
    roles: tuple[str, ...] = ("finance",)
    people: int = 1
    expires_s: float = 172_800.0
    confirm: bool = False
    per_run: str | None = None
    per_day: str | None = None
    detached: bool = False
    undo: bool = False
    reconciles: bool = False
    """The tools can ask the bank what became of a payment."""
    version: str = "1"
    wider: bool = False
    """Its schema has one more parameter."""
    news: str = "Order {order} never arrived."
    """What the tool `find_order` says."""
    clerk: bool = False
    """The agent that asks for all of it is a clerk, who may only look orders up; the tools that pay are the cashier's."""
    meets: int = 0
    """So many calls of the tools must have begun before any of them reaches the bank."""


def refund(order: str, amount: str, tool: str = "refund", **more: Any) -> Ask:
    """Returns the call that pays for an order."""
    return Ask(tool, {"order_id": order, "amount": {"amount": amount, "currency": EUR}, **more})


def payout(order: str, amount: str) -> Ask:
    """Returns the call that pays for an order, by the tool without keys."""
    return refund(order, amount, "payout")


class Dying:
    """Counts the calls of the tools, and kills this process before or after one of them."""

    def __init__(self, at: int = 0, *, after: bool = False, with_signal: int = signal.SIGKILL) -> None:
        self.count = 0
        self._at, self._after, self._signal = at, after, with_signal

    def begin(self) -> int:
        """Counts a call that is about to reach the bank; returns its number."""
        self.count += 1
        if self.count == self._at and not self._after:
            os.kill(os.getpid(), self._signal)
        return self.count

    def end(self, number: int) -> None:
        """Call `number` is over, with or without an answer of the bank."""
        if number == self._at and self._after:
            os.kill(os.getpid(), self._signal)


class _Held(Guard):
    """Holds every refund until a person approves it."""

    name = "held"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        return Hold(HOLDING) if (step.kind, step.name) == ("tool", "refund") else ALLOW


class Place(NamedTuple):
    """What the tools of a process work with."""

    teller: Teller
    dying: Dying
    terms: Terms


def _declare(place: Place, **more: Any) -> Callable[[Any], Tool]:
    """Returns the decorator for a tool that pays."""
    terms = place.terms
    keyed = more["ttl_s"] is not None
    if terms.plain:
        return tool(effect=True, idempotent=keyed, name=more["name"], version=terms.version)

    def preview(order_id: str, amount: Money) -> str:
        return f"Pays {amount} for order {order_id}."

    async def reconcile(key: str) -> dict[str, str]:
        receipt = await place.teller.find(key)
        if receipt is None:
            raise NotDone(f"the bank knows no payment {key}")
        return {"receipt": receipt}

    effect = Effect(
        unique_by=("order_id",) if terms.unique else (),
        scope=terms.scope if terms.unique else "tenant",  # pyright: ignore[reportArgumentType] -- jobs carry it as text
        amount="amount",
        key_ttl_s=more["ttl_s"],
        approve=()
        if terms.limit is None
        else above(
            Money(terms.limit, EUR), roles=terms.roles, people=terms.people, expires_s=terms.expires_s
        ),
        confirm=terms.confirm,
        per_run=None if terms.per_run is None else Money(terms.per_run, EUR),
        per_day=None if terms.per_day is None else Money(terms.per_day, EUR),
        preview=preview,
        reconcile=reconcile if terms.reconciles else None,
        version=terms.version,
        detached=terms.detached,
        undo=_undo(place) if terms.undo else None,
    )
    options: Any = {"effect": effect, "name": more["name"]}
    return tool(**options)


def _undo(place: Place) -> Tool:
    options: Any = {"effect": Effect(unique_by=("receipt",)), "name": "void"}

    @tool(**options)
    async def void(ctx: ToolContext, receipt: dict[str, str]) -> str:
        """Voids a payment."""
        return await place.teller.void(receipt["receipt"], key=ctx.key)

    return void


def make_tools(place: Place) -> list[Tool]:
    """Returns the tools: one that reads, one whose payments the bank books once under a key, and one without keys."""
    terms, teller = place.terms, place.teller

    async def pay(
        ctx: ToolContext, order_id: str, amount: Money, *, keyed: bool, note: str = ""
    ) -> dict[str, str]:
        number = place.dying.begin()
        if terms.meets:
            await teller.meet(order_id, terms.meets)
        key = ctx.key if keyed else None
        try:
            receipt = await teller.pay(
                order_id, str(amount.amount), amount.currency, key=key, reference=note or ctx.key
            )
        except BankRefused as error:
            raise NotDone(f"{error} {note}".strip()) from error
        finally:
            place.dying.end(number)
        return {"receipt": receipt}

    @tool
    async def find_order(order_id: str) -> str:
        """What is known of an order."""
        return terms.news.format(order=order_id)

    if terms.wider:

        @_declare(place, name="refund", ttl_s=terms.ttl_s)
        async def wide(
            ctx: ToolContext, order_id: str, amount: Money, note: str = "", express: bool = False
        ) -> dict[str, str]:
            """Pays the money for an order back."""
            return await pay(ctx, order_id, amount, keyed=True, note=note)

        paying = wide
    else:

        @_declare(place, name="refund", ttl_s=terms.ttl_s)
        async def narrow(ctx: ToolContext, order_id: str, amount: Money, note: str = "") -> dict[str, str]:
            """Pays the money for an order back."""
            return await pay(ctx, order_id, amount, keyed=True, note=note)

        paying = narrow

    @_declare(place, name="payout", ttl_s=None)
    async def sending(ctx: ToolContext, order_id: str, amount: Money) -> dict[str, str]:
        """Pays for an order, by a bank that knows no keys."""
        return await pay(ctx, order_id, amount, keyed=False)

    return [find_order, paying, sending]


def _is_request(message: Message) -> bool:
    """Returns whether the user has said it. What Seawall tells an agent has the user's role, too."""
    return isinstance(message, User) and message.content.startswith(REQUEST)


def script(replies: Sequence[Sequence[Ask]], summary: str = "") -> Callable[[ModelRequest], Reply]:
    """Returns a model that plays these replies after the newest request, and then says what its tools have said."""

    def reply(request: ModelRequest) -> Reply:
        newest = max(at for at, message in enumerate(request.messages) if _is_request(message))
        since = request.messages[newest:]
        place = sum(isinstance(message, Assistant) for message in since)
        if place < len(replies):
            return calls(*(ask(each.tool, each.arguments) for each in replies[place]), text=summary or None)
        told = [message.content for message in since if isinstance(message, ToolResult)]
        return say(" | ".join(told) or "Nothing was to be done.")

    return reply


def desk(
    place: Place,
    replies: Sequence[Sequence[Ask]],
    *,
    summary: str = "",
    plans: Mapping[str, Sequence[Sequence[Ask]]] | None = None,
) -> Team:
    """Returns the team. `plans` are other replies, by the text of the request that they answer."""

    def reply(request: ModelRequest) -> Reply:
        asked = [message.content or "" for message in request.messages if _is_request(message)]
        mine = next((plans[text] for text in reversed(asked) if text in plans), replies) if plans else replies
        return script(mine, summary)(request)

    tools = make_tools(place)
    cashier = Agent("cashier", "Pays.", model=ScriptedModel(reply), tools=tools)
    clerk = Agent("clerk", "Looks orders up.", model=ScriptedModel(reply), tools=tools[:1])
    limits = Limits(active_s=60, tool_calls=100)
    guards = [_Held()] if place.terms.plain and place.terms.holds else []
    if place.terms.clerk:
        return Team("desk", clerk, specialists=[cashier], limits=limits, guards=guards)
    return Team("desk", cashier, limits=limits, guards=guards)
