"""Scripted models for the order desk. Some misbehave on purpose, as models in production have been seen to.

Each is a function of the conversation alone, so a process that resumes a run goes on with the same play.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from seawall.cli.demo.provider import Metered
from seawall.cli.demo.team import AGENTS
from seawall.cli.demo.world import World, order_ids
from seawall.models.protocol import Assistant, Model, ModelRequest, ToolResult, User
from seawall.models.scripted import Entry, Reply, ScriptFunction, call, calls, say, slow

STUBBORN_CALLS = 40
"""Calls that a looping script makes before it gives up. A real one may never: this is the demo's own bound."""

UNDONE_ROUNDS = 8
"""Times that clerk and cashier undo each other's work before the script's desk gives up."""
HEEDLESS_CALLS = 12
"""Calls that the heeding clerk's script makes if nobody tells it that they bring nothing new."""

_ORDER = re.compile(r"\b1\d{3}\b")
_AMOUNT = re.compile(r"\b\d+\.\d\d\b")
_RECEIPT = re.compile(r"\brc-\d+\b")

Play = Mapping[str, ScriptFunction]
"""A script for each agent."""


def cast_of(play: Play, pace_s: float, world: World, *, name: str, payer: str) -> dict[str, Model | str]:
    """The provider's model `name`, as each agent's script has it; each reply takes `pace_s`, and `payer` pays."""
    return {agent: Metered(_paced(play[agent], pace_s), world, name=name, payer=payer) for agent in AGENTS}


def _paced(script: ScriptFunction, pace_s: float) -> ScriptFunction:
    return lambda request: slow(pace_s, script(request))


def _in_turn(*entries: Reply | Callable[[ModelRequest], Reply]) -> ScriptFunction:
    """One entry for each reply of a conversation, then the last one again."""

    def reply(request: ModelRequest) -> Entry:
        turn = sum(isinstance(message, Assistant) for message in request.messages)
        entry = entries[min(turn, len(entries) - 1)]
        return entry if isinstance(entry, Reply) else entry(request)

    return reply


def _task(request: ModelRequest) -> str:
    return next(message.content for message in request.messages if isinstance(message, User))


def _results(request: ModelRequest) -> list[ToolResult]:
    return [message for message in request.messages if isinstance(message, ToolResult)]


def _found(pattern: re.Pattern[str], request: ModelRequest) -> str:
    """The newest match in what the agent was told, or `?`."""
    told = [_task(request), *(result.content for result in _results(request))]
    return next((found[-1] for text in reversed(told) if (found := pattern.findall(text))), "?")


# ---- who does what it should


def _desk_asks_clerk(request: ModelRequest) -> Reply:
    return call("ask_clerk", task=f"What happened to order {_found(_ORDER, request)}? Find order and parcel.")


def _desk_asks_cashier(request: ModelRequest) -> Reply:
    order, amount = _found(_ORDER, request), _found(_AMOUNT, request)
    return call("ask_cashier", task=f"Refund order {order}: {amount} EUR, the parcel is lost.")


def _desk_answers(request: ModelRequest) -> Reply:
    amount, receipt = _found(_AMOUNT, request), _found(_RECEIPT, request)
    return say(f"Your parcel is lost, we are sorry. We have refunded {amount} EUR (receipt {receipt}).")


def _clerk_looks(request: ModelRequest) -> Reply:
    order = _found(_ORDER, request)
    return calls(call("find_order", order_id=order), call("track_parcel", order_id=order))


def _clerk_reports(request: ModelRequest) -> Reply:
    facts = " ".join(result.content for result in _results(request))
    return say(f"The tools say: {facts}")


def _cashier_pays(request: ModelRequest) -> Reply:
    return call("refund", order_id=_found(_ORDER, request), amount=_found(_AMOUNT, request))


def _cashier_checks(request: ModelRequest) -> Reply:
    return call("find_payment", order_id=_found(_ORDER, request))


def _cashier_reports(request: ModelRequest) -> Reply:
    return say(f"Refunded and booked: {_found(_AMOUNT, request)} EUR, receipt {_found(_RECEIPT, request)}.")


def _auditor(request: ModelRequest) -> Reply:
    """Approve if every amount and receipt of the answer is in the results."""
    answer, _, evidence = _task(request).partition("Results that the answer may rest on:")
    answer = answer.partition("Proposed answer:")[2]
    missing = [item for item in _AMOUNT.findall(answer) + _RECEIPT.findall(answer) if item not in evidence]
    feedback = f"not in the results: {', '.join(missing)}" if missing else ""
    return call("review", approved=not missing, feedback=feedback)


def good() -> Play:
    """Everybody does what they should."""
    return {
        "desk": _in_turn(_desk_asks_clerk, _desk_asks_cashier, _desk_answers),
        "clerk": _in_turn(_clerk_looks, _clerk_reports),
        "cashier": _in_turn(_cashier_pays, _cashier_checks, _cashier_reports),
        "auditor": _in_turn(_auditor),
    }


# ---- who does not


def _desk_passes_on(request: ModelRequest) -> Reply:
    return say(f"Our clerk could not find out more: {_results(request)[-1].content}")


def _desk_repeats(request: ModelRequest) -> Reply:
    return say(f"This is what was done: {_results(request)[-1].content}")


def _asked_in_vain(clerk: ScriptFunction) -> Play:
    desk = _in_turn(_desk_asks_clerk, _desk_passes_on)
    return {**good(), "desk": desk, "clerk": clerk}


def stubborn() -> Play:
    """The clerk repeats a call that fails, whatever it is told."""

    def clerk(request: ModelRequest) -> Entry:
        if len(_results(request)) >= STUBBORN_CALLS:
            return say(f"The carrier did not answer in {STUBBORN_CALLS} tries.")
        return call("track_parcel", order_id=_found(_ORDER, request))

    return _asked_in_vain(clerk)


def runaround() -> Play:
    """The clerk believes each tool that it should ask the other one."""

    def clerk(request: ModelRequest) -> Entry:
        made = len(_results(request))
        if made >= STUBBORN_CALLS:
            return say(f"The shop and the carrier sent me to each other {STUBBORN_CALLS} times.")
        return call(("find_order", "track_parcel")[made % 2], order_id=_found(_ORDER, request))

    return _asked_in_vain(clerk)


def greedy() -> Play:
    """The desk has every order of the shop checked, all at once."""

    def ask_all(request: ModelRequest) -> Reply:
        return calls(*(call("ask_clerk", task=f"Check order {order}.") for order in order_ids()))

    def answer(request: ModelRequest) -> Reply:
        return say(f"I had all {len(_results(request))} orders checked, to be sure.")

    def look(request: ModelRequest) -> Reply:
        return call("find_order", order_id=_found(_ORDER, request))

    return {**good(), "desk": _in_turn(ask_all, answer), "clerk": _in_turn(look, _clerk_reports)}


def patient() -> Play:
    """The clerk asks the carrier once and waits, however long that takes."""

    def look(request: ModelRequest) -> Reply:
        return call("track_parcel", order_id=_found(_ORDER, request))

    return {
        **good(),
        "desk": _in_turn(_desk_asks_clerk, _desk_passes_on),
        "clerk": _in_turn(look, _clerk_reports),
    }


def undone() -> Play:
    """The desk lets the clerk stop a parcel and the cashier send it on, and begins again: each believes the rules."""

    def desk(request: ModelRequest) -> Entry:
        turn, order = len(_results(request)), _found(_ORDER, request)
        if turn >= 2 * UNDONE_ROUNDS:
            return say(f"The parcel was stopped and sent on {UNDONE_ROUNDS} times.")
        if turn % 2:
            return call("ask_cashier", task=f"Order {order} is stopped. If it was paid, send it on.")
        return call("ask_clerk", task=f"Order {order} is on its way. If it was refused, stop it.")

    def acts(tool: str) -> ScriptFunction:
        def act(request: ModelRequest) -> Reply:
            return call(tool, order_id=_found(_ORDER, request))

        return _in_turn(act, _clerk_reports)

    return {**good(), "desk": desk, "clerk": acts("stop_parcel"), "cashier": acts("send_parcel")}


def heedful() -> Play:
    """The clerk asks the carrier again and again, to be sure, until it is told that this brings nothing new."""

    def clerk(request: ModelRequest) -> Entry:
        results = _results(request)
        told = bool(results) and "nothing new" in results[-1].content
        if not results:
            return call("find_order", order_id=_found(_ORDER, request))
        if told or len(results) > HEEDLESS_CALLS:
            return _clerk_reports(request)
        return call("track_parcel", order_id=_found(_ORDER, request))

    return {**good(), "clerk": clerk}


def generous() -> Play:
    """The cashier apologises to every customer of the shop with money, each time another amount."""

    def ask(request: ModelRequest) -> Reply:
        return call("ask_cashier", task="Apologise to everybody for the late parcels.")

    def pay_all(request: ModelRequest) -> Reply:
        orders = enumerate(order_ids())
        return calls(
            *(call("refund", order_id=order, amount=f"{1 + index / 100:.2f}") for index, order in orders)
        )

    def report(request: ModelRequest) -> Reply:
        return say(f"{len(_results(request))} customers were paid.")

    return {**good(), "desk": _in_turn(ask, _desk_repeats), "cashier": _in_turn(pay_all, report)}


def candid() -> Play:
    """The clerk asks shop and carrier at once, and the desk says what it knows and what it does not."""

    def answer(request: ModelRequest) -> Reply:
        order, amount = _found(_ORDER, request), _found(_AMOUNT, request)
        return say(f"We sent order {order} ({amount} EUR). The carrier did not say in time where it is now.")

    return {**good(), "desk": _in_turn(_desk_asks_clerk, answer)}


def plain() -> Play:
    """The clerk asks the carrier once, and the desk passes on what it says."""
    return {**patient(), "desk": _in_turn(_desk_asks_clerk, _desk_repeats)}
