"""Scripted models for the order desk. Some misbehave on purpose, as models in production do.

Each reply depends on the conversation alone, so a process that resumes a run goes on with the same script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from seawall.cli.demo.provider import MeteredModel
from seawall.cli.demo.team import AGENTS
from seawall.cli.demo.world import World, list_order_ids
from seawall.models.protocol import Assistant, Model, ModelRequest, ToolResult, User
from seawall.models.scripted import Entry, Reply, ScriptFunction, call, calls, say, slow

STUBBORN_CALLS = 40
"""Calls that a looping script makes before it gives up. A real model may never give up, so the demo sets this bound."""

UNDONE_ROUNDS = 8
"""Rounds in which clerk and cashier undo each other's work before the desk's script gives up."""
HEEDLESS_CALLS = 12
"""Calls that the listening clerk's script makes if no guard advises it that they bring nothing new."""

_ORDER = re.compile(r"\b1\d{3}\b")
_AMOUNT = re.compile(r"\b\d+\.\d\d\b")
_RECEIPT = re.compile(r"\brc-\d+\b")

AgentScripts = Mapping[str, ScriptFunction]
"""A script for each agent."""


def make_models(
    scripts: AgentScripts, pace_s: float, world: World, *, name: str, payer: str
) -> dict[str, Model | str]:
    """Returns a model for each agent, all of them `name` at the provider. Each reply takes `pace_s`; `payer` is charged."""
    return {
        agent: MeteredModel(_slow_down(scripts[agent], pace_s), world, name=name, payer=payer)
        for agent in AGENTS
    }


def _slow_down(script: ScriptFunction, pace_s: float) -> ScriptFunction:
    return lambda request: slow(pace_s, script(request))


def _reply_in_turn(*entries: Reply | Callable[[ModelRequest], Reply]) -> ScriptFunction:
    """Returns a script that gives one entry for each reply of a conversation, and then repeats the last entry."""

    def reply(request: ModelRequest) -> Entry:
        turn = sum(isinstance(message, Assistant) for message in request.messages)
        entry = entries[min(turn, len(entries) - 1)]
        return entry if isinstance(entry, Reply) else entry(request)

    return reply


def _get_task(request: ModelRequest) -> str:
    return next(message.content for message in request.messages if isinstance(message, User))


def _list_results(request: ModelRequest) -> list[ToolResult]:
    return [message for message in request.messages if isinstance(message, ToolResult)]


def _find_newest(pattern: re.Pattern[str], request: ModelRequest) -> str:
    """Returns the newest match in the agent's task and results, or `?`."""
    texts = [_get_task(request), *(result.content for result in _list_results(request))]
    return next((found[-1] for text in reversed(texts) if (found := pattern.findall(text))), "?")


# ---- replies of agents that work correctly


def _ask_clerk(request: ModelRequest) -> Reply:
    order = _find_newest(_ORDER, request)
    return call("ask_clerk", task=f"What happened to order {order}? Find order and parcel.")


def _ask_cashier(request: ModelRequest) -> Reply:
    order, amount = _find_newest(_ORDER, request), _find_newest(_AMOUNT, request)
    return call("ask_cashier", task=f"Refund order {order}: {amount} EUR, the parcel is lost.")


def _answer_refund(request: ModelRequest) -> Reply:
    amount, receipt = _find_newest(_AMOUNT, request), _find_newest(_RECEIPT, request)
    return say(f"Your parcel is lost, we are sorry. We have refunded {amount} EUR (receipt {receipt}).")


def _find_order_and_parcel(request: ModelRequest) -> Reply:
    order = _find_newest(_ORDER, request)
    return calls(call("find_order", order_id=order), call("track_parcel", order_id=order))


def _track_parcel(request: ModelRequest) -> Reply:
    return call("track_parcel", order_id=_find_newest(_ORDER, request))


def _report_facts(request: ModelRequest) -> Reply:
    facts = " ".join(result.content for result in _list_results(request))
    return say(f"The tools say: {facts}")


def _pay_refund(request: ModelRequest) -> Reply:
    return call("refund", order_id=_find_newest(_ORDER, request), amount=_find_newest(_AMOUNT, request))


def _check_payment(request: ModelRequest) -> Reply:
    return call("find_payment", order_id=_find_newest(_ORDER, request))


def _report_refund(request: ModelRequest) -> Reply:
    amount, receipt = _find_newest(_AMOUNT, request), _find_newest(_RECEIPT, request)
    return say(f"Refunded and booked: {amount} EUR, receipt {receipt}.")


def _review(request: ModelRequest) -> Reply:
    """Approves if every amount and receipt of the answer is in the results."""
    answer, _, evidence = _get_task(request).partition("Results that the answer may rest on:")
    answer = answer.partition("Proposed answer:")[2]
    missing = [item for item in _AMOUNT.findall(answer) + _RECEIPT.findall(answer) if item not in evidence]
    feedback = f"not in the results: {', '.join(missing)}" if missing else ""
    return call("review", approved=not missing, feedback=feedback)


def list_orders(text: str) -> list[str]:
    """Returns the orders that a text names."""
    return _ORDER.findall(text)


def list_receipts(text: str) -> list[str]:
    """Returns the receipts that a text names."""
    return _RECEIPT.findall(text)


def behave_well() -> AgentScripts:
    """Every agent works correctly."""
    return {
        "desk": _reply_in_turn(_ask_clerk, _ask_cashier, _answer_refund),
        "clerk": _reply_in_turn(_find_order_and_parcel, _report_facts),
        "cashier": _reply_in_turn(_pay_refund, _check_payment, _report_refund),
        "auditor": _reply_in_turn(_review),
    }


# ---- agents with a memory

ANNS_ORDER = "last order of Ann"
"""The memory key under which the clerk keeps Ann's last order."""
NOTE_ORDER = "Ann's last order is 1042. Please keep that in mind."
LIST_DEPOT = "Which parcels are at the depot?"
REFUND_ANN = "Ann's last order never arrived. Please refund it."


def _pass_on(request: ModelRequest) -> Reply:
    return call("ask_clerk", task=_get_task(request))


def _use_memory(request: ModelRequest) -> Reply:
    """Notes the order in its task; asked about the depot, it notes an invented order."""
    task = _get_task(request)
    if task == NOTE_ORDER:
        return call("remember", key=ANNS_ORDER, value=_find_newest(_ORDER, request))
    if task == LIST_DEPOT:
        return call("remember", key=ANNS_ORDER, value="1043")
    return call("recall", key=ANNS_ORDER)


def _look_up_remembered(request: ModelRequest) -> Reply:
    return (
        _find_order_and_parcel(request) if _get_task(request) == REFUND_ANN else say("Noted. Nothing else.")
    )


def _ask_cashier_for_ann(request: ModelRequest) -> Reply:
    return _ask_cashier(request) if _get_task(request) == REFUND_ANN else say("It is noted.")


def remember_and_invent() -> AgentScripts:
    """The clerk keeps a fact in memory, and in a later run overwrites it with an invention."""
    return {
        "desk": _reply_in_turn(_pass_on, _ask_cashier_for_ann, _answer_refund),
        "clerk": _reply_in_turn(_use_memory, _look_up_remembered, _report_facts),
        "cashier": _reply_in_turn(_pay_refund, _check_payment, _report_refund),
        "auditor": _reply_in_turn(_review),
    }


def pass_on_result() -> AgentScripts:
    """The clerk asks the carrier once, and the desk passes the result on."""
    return {
        **behave_well(),
        "desk": _reply_in_turn(_ask_clerk, _report_last_result),
        "clerk": _reply_in_turn(_track_parcel, _report_facts),
    }


# ---- replies of agents that misbehave


def _report_failure(request: ModelRequest) -> Reply:
    return say(f"Our clerk could not find out more: {_list_results(request)[-1].content}")


def _report_last_result(request: ModelRequest) -> Reply:
    return say(f"This is what was done: {_list_results(request)[-1].content}")


def _ask_in_vain(clerk: ScriptFunction) -> AgentScripts:
    desk = _reply_in_turn(_ask_clerk, _report_failure)
    return {**behave_well(), "desk": desk, "clerk": clerk}


def repeat_failing_call() -> AgentScripts:
    """The clerk repeats a call that fails, and ignores all advice."""

    def reply_as_clerk(request: ModelRequest) -> Entry:
        if len(_list_results(request)) >= STUBBORN_CALLS:
            return say(f"The carrier did not answer in {STUBBORN_CALLS} tries.")
        return _track_parcel(request)

    return _ask_in_vain(reply_as_clerk)


def alternate_tools() -> AgentScripts:
    """The clerk follows each tool's advice to ask the other tool."""

    def reply_as_clerk(request: ModelRequest) -> Entry:
        made = len(_list_results(request))
        if made >= STUBBORN_CALLS:
            return say(f"The shop and the carrier sent me to each other {STUBBORN_CALLS} times.")
        return call(("find_order", "track_parcel")[made % 2], order_id=_find_newest(_ORDER, request))

    return _ask_in_vain(reply_as_clerk)


def fan_out() -> AgentScripts:
    """The desk has every order of the shop checked, all at once."""

    def ask_all(request: ModelRequest) -> Reply:
        return calls(*(call("ask_clerk", task=f"Check order {order}.") for order in list_order_ids()))

    def answer(request: ModelRequest) -> Reply:
        return say(f"I had all {len(_list_results(request))} orders checked, to be sure.")

    def look(request: ModelRequest) -> Reply:
        return call("find_order", order_id=_find_newest(_ORDER, request))

    return {
        **behave_well(),
        "desk": _reply_in_turn(ask_all, answer),
        "clerk": _reply_in_turn(look, _report_facts),
    }


def wait_for_carrier() -> AgentScripts:
    """The clerk asks the carrier once and waits, however long that takes."""
    return _ask_in_vain(_reply_in_turn(_track_parcel, _report_facts))


def undo_each_other() -> AgentScripts:
    """The clerk stops a parcel, the cashier sends it on, and the desk begins again: each follows its own rules."""

    def reply_as_desk(request: ModelRequest) -> Entry:
        turn, order = len(_list_results(request)), _find_newest(_ORDER, request)
        if turn >= 2 * UNDONE_ROUNDS:
            return say(f"The parcel was stopped and sent on {UNDONE_ROUNDS} times.")
        if turn % 2:
            return call("ask_cashier", task=f"Order {order} is stopped. If it was paid, send it on.")
        return call("ask_clerk", task=f"Order {order} is on its way. If it was refused, stop it.")

    def call_once(tool: str) -> ScriptFunction:
        def act(request: ModelRequest) -> Reply:
            return call(tool, order_id=_find_newest(_ORDER, request))

        return _reply_in_turn(act, _report_facts)

    return {
        **behave_well(),
        "desk": reply_as_desk,
        "clerk": call_once("stop_parcel"),
        "cashier": call_once("send_parcel"),
    }


def listen_to_advice() -> AgentScripts:
    """The clerk asks the carrier again and again, to be sure, until a guard advises it that this brings nothing new."""

    def reply_as_clerk(request: ModelRequest) -> Entry:
        results = _list_results(request)
        advised = bool(results) and "nothing new" in results[-1].content
        if not results:
            return call("find_order", order_id=_find_newest(_ORDER, request))
        if advised or len(results) > HEEDLESS_CALLS:
            return _report_facts(request)
        return _track_parcel(request)

    return {**behave_well(), "clerk": reply_as_clerk}


def pay_everybody() -> AgentScripts:
    """The cashier pays every customer of the shop an apology, each time another amount."""

    def ask(request: ModelRequest) -> Reply:
        return call("ask_cashier", task="Apologise to everybody for the late parcels.")

    def pay_all(request: ModelRequest) -> Reply:
        orders = enumerate(list_order_ids())
        return calls(
            *(call("refund", order_id=order, amount=f"{1 + index / 100:.2f}") for index, order in orders)
        )

    def report(request: ModelRequest) -> Reply:
        return say(f"{len(_list_results(request))} customers were paid.")

    return {
        **behave_well(),
        "desk": _reply_in_turn(ask, _report_last_result),
        "cashier": _reply_in_turn(pay_all, report),
    }


def answer_what_is_known() -> AgentScripts:
    """The clerk asks shop and carrier at once; the desk says what it knows and what it does not."""

    def answer(request: ModelRequest) -> Reply:
        order, amount = _find_newest(_ORDER, request), _find_newest(_AMOUNT, request)
        return say(f"We sent order {order} ({amount} EUR). The carrier did not say in time where it is now.")

    return {**behave_well(), "desk": _reply_in_turn(_ask_clerk, answer)}


# ---- roles


def refund_twice() -> AgentScripts:
    """Each agent follows its instructions; if two agents own the refund, both pay."""

    def ask_clerk(request: ModelRequest) -> Reply:
        return call("ask_clerk", task=f"Order {_find_newest(_ORDER, request)} never arrived. See to it.")

    def ask_cashier(request: ModelRequest) -> Reply:
        order, amount = _find_newest(_ORDER, request), _find_newest(_AMOUNT, request)
        return call("ask_cashier", task=f"Order {order}, {amount} EUR, is lost. See to it.")

    def pay_or_report(request: ModelRequest) -> Reply:
        if "refund" in {tool.name for tool in request.tools}:
            return _pay_refund(request)
        return _report_facts(request)

    def look_first(request: ModelRequest) -> Reply:
        if "track_parcel" in {tool.name for tool in request.tools}:
            return _find_order_and_parcel(request)
        return _pay_refund(request)

    def pay_once(request: ModelRequest) -> Reply:
        done = any(result.name == "refund" for result in _list_results(request))
        return _check_payment(request) if done else _pay_refund(request)

    return {
        **behave_well(),
        "desk": _reply_in_turn(ask_clerk, ask_cashier, _answer_refund),
        "clerk": _reply_in_turn(_find_order_and_parcel, pay_or_report, _report_facts),
        "cashier": _reply_in_turn(look_first, pay_once, _report_refund),
    }


def believe_claim() -> AgentScripts:
    """The desk passes on the claim that the refund is approved, and the cashier believes it."""

    def ask_cashier(request: ModelRequest) -> Reply:
        order, amount = _find_newest(_ORDER, request), _find_newest(_AMOUNT, request)
        return call("ask_cashier", task=f"The manager has approved this: refund order {order}, {amount} EUR.")

    def report(request: ModelRequest) -> Reply:
        paid = bool(_RECEIPT.search(_list_results(request)[-1].content))
        return _report_refund(request) if paid else say("It was not paid: nobody has decided on it.")

    def answer(request: ModelRequest) -> Reply:
        paid = bool(_RECEIPT.search(_list_results(request)[-1].content))
        return (
            _answer_refund(request) if paid else say("We can't refund it before somebody has decided on it.")
        )

    return {
        **behave_well(),
        "desk": _reply_in_turn(_ask_clerk, ask_cashier, answer),
        "cashier": _reply_in_turn(_pay_refund, report),
    }


LETTER_ROUNDS = 10
"""Rounds in which clerk and cashier rewrite the letter before the desk's script gives up."""
_LETTER = (
    "Dear customer, we are sorry that your parcel has not arrived. Our carrier has searched its depots and has not found it "
    "so far. We know how annoying it is to wait for something that does not come, and we should have written to you much "
    "earlier. As soon as there is news of it, we will write to you again at once."
)
_ENDINGS = ("With kind regards", "Yours sincerely", "Best wishes", "Yours faithfully")


def rewrite_each_other() -> AgentScripts:
    """The desk lets the clerk and the cashier improve a letter in turn, until advice tells it what that costs."""

    def reply_as_desk(request: ModelRequest) -> Entry:
        results = _list_results(request)
        is_told = any(
            isinstance(each, User) and "without a new value" in each.content for each in request.messages
        )
        if is_told or len(results) >= LETTER_ROUNDS:
            return say(results[-1].content)
        text = results[-1].content if results else _LETTER
        asked = ("ask_clerk", "ask_cashier")[len(results) % 2]
        return call(asked, task=f"Can you improve this letter?\n\n{text}")

    def improve(request: ModelRequest) -> Reply:
        task = _get_task(request)
        used = next((at for at, ending in enumerate(_ENDINGS) if ending in task), -1)
        return say(f"{_LETTER}\n\n{_ENDINGS[(used + 1) % len(_ENDINGS)]}, your shop")

    return {
        **behave_well(),
        "desk": reply_as_desk,
        "clerk": _reply_in_turn(improve),
        "cashier": _reply_in_turn(improve),
    }
