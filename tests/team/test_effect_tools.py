"""Tools that declare their effect: what is checked at once, what is performed, and what undoes it."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from seawall import Effect, EffectContext, Misused, Money, Tool, above, always, tool
from seawall.core.redact import MARK
from seawall.team.beside import call_preview, call_reconcile, fill_undo_arguments
from seawall.team.prepare import read_edit

COUNTER = itertools.count(1)
EUR = {"amount": "40.00", "currency": "EUR"}
CONTEXT = EffectContext(
    run="r", step=1, agent="a", tenant="", principal="", session=None, remaining_s=1.0, key="r:1"
)


class Receipt(BaseModel):
    id: str


class Line(BaseModel):
    sku: str = Field(alias="SKU")
    price: Decimal = Decimal("1.50")
    mark: uuid.UUID = Field(default_factory=lambda: uuid.UUID(int=next(COUNTER)))


class Where(TypedDict):
    shop: str


@dataclass
class Basket:
    tags: set[str] = field(default_factory=lambda: {"b", "a"})


async def refund(
    ctx: EffectContext,
    order_id: Annotated[str, Field(alias="orderId")],
    amount: Money | None,
    line: Line | None = None,
    where: Where | None = None,
    fee: float = 0.5,
    token: SecretStr = SecretStr("hidden"),  # noqa: B008 -- it is never changed
    basket: Basket = Basket(),  # noqa: B008 -- it is never changed
    extra: Any = None,
) -> str:
    return "receipt"


@tool(effect=True)
def take_back(orderId: str, receipt: Receipt, amount: Money | None = None) -> str:  # noqa: N803 -- as it is sent
    """Takes a refund back."""
    return "taken back"


def declare(**options: Any) -> Tool:
    return tool(effect=Effect(**options))(refund)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"unique_by": ("order",)}, "unique_by names 'order', which is not a parameter (there: order_id, amount"),
        ({"unique_by": ("ctx",)}, "unique_by names 'ctx', which is not a parameter"),
        ({"unique_by": ("order_id.x",)}, "unique_by names 'x' of str, which has no fields"),
        ({"unique_by": ("line.size",)}, "unique_by names 'size', which Line does not have (there: sku, price, mark)"),
        ({"unique_by": ("where.town",)}, "unique_by names 'town', which Where does not have"),
        ({"unique_by": ["order_id"]}, "it must be a tuple of names"),
        ({"unique_by": "order_id"}, "it must be a tuple of names"),
        ({"unique_by": ("fee", "fee")}, "names a parameter twice"),
        ({"scope": "run"}, "scope goes with unique_by"),
        ({"unique_by": ("fee",), "scope": "world"}, "it is one of run, session"),
        ({"amount": "total"}, "amount names 'total', which is not a parameter"),
        ({"amount": "basket"}, "which is a Basket; it must be Money"),
        ({"amount": "extra"}, "which is a Any; it must be Money"),
        ({"amount": "fee"}, "say its currency with currency='EUR'"),
        ({"amount": "amount", "currency": "EUR"}, "has its own currency"),
        ({"amount": "fee", "currency": "eur"}, "three capital letters"),
        ({"currency": "EUR"}, "currency goes with amount"),
        ({"per_day": Money("1", "EUR")}, "a limit needs an amount"),
        ({"amount": "fee", "currency": "EUR", "per_day": Money("1", "USD")}, "never compared with amounts in EUR"),
        ({"amount": "amount", "per_day": 5}, "per_day is 5; it must be Money"),
        ({"approve": "finance"}, "it must be above(…) or always(…)"),
        ({"key_ttl_s": 0}, "key_ttl_s is 0"),
        ({"key_ttl_s": float("nan")}, "key_ttl_s is nan"),
        ({"confirm": "yes"}, "confirm is 'yes'"),
        ({"version": 2}, "version is 2; it must be text"),
        ({"preview": lambda total: total}, "preview takes 'total', which it can't be given (there: order_id, amount"),
        ({"preview": "look"}, "preview is 'look'; it must be a function"),
        ({"preview": tool(effect=True, name="x")(lambda: "x")}, "it must change nothing"),
        ({"reconcile": lambda: None}, "reconcile must take 'key'"),
        ({"reconcile": lambda key, order_id: None}, "reconcile takes 'order_id', which it can't be given"),
        ({"reconcile": lambda key, /: None}, "by position only"),
        ({"undo": refund}, "it must be a tool that is an effect"),
        ({"undo": tool(name="x")(lambda: "x")}, "it must be a tool that is an effect"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_declaration_is_found_when_the_tool_is_made(options: Any, what: str) -> None:
    with pytest.raises(Misused) as caught:
        declare(**options)

    assert what in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: above("100"),  # pyright: ignore[reportArgumentType] -- what a program may write all the same
        lambda: always(people=0),
        lambda: always(people=True),
        lambda: always(roles="finance"),
        lambda: always(roles=("",)),
        lambda: always(expires_s=float("nan")),
        lambda: always(escalate_s=5.0),
        lambda: above(Money("1", "EUR"), over="week"),  # pyright: ignore[reportArgumentType] -- as above
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(Misused, match="approve"):
        make()


def test_an_undo_that_nothing_fills_is_refused() -> None:
    @tool(effect=True)
    def give_back(payment: str, receipt: str) -> str:
        return payment

    with pytest.raises(Misused, match="needs 'payment', which nothing fills"):
        declare(undo=give_back)


def test_values_are_found_by_parameter_and_in_fields() -> None:
    item = declare(unique_by=("order_id", "line.sku", "where.shop"), amount="amount")
    text = item.encode_arguments(
        {"orderId": "1042", "amount": EUR, "line": {"SKU": "x"}, "where": {"shop": "main"}}
    )
    facts = item.read_facts(item.validate_arguments(json.loads(text)))

    assert facts is not None
    assert facts.values == ('"1042"', '"x"', '"main"')
    assert facts.amount == Money("40", "EUR")


@pytest.mark.parametrize("fee", [-0.5, float("nan"), float("inf"), 0.001])
def test_an_amount_that_is_no_amount_is_refused(fee: float) -> None:
    item = declare(amount="fee", currency="EUR")

    with pytest.raises(ValueError, match="fee"):
        item.read_facts(item.validate_arguments({"orderId": "1", "amount": None, "fee": fee}))


def test_arguments_are_written_with_all_defaults_and_secrets_and_amounts_as_text() -> None:
    item = declare()
    written = item.encode_arguments(
        {"orderId": "1042", "amount": {"amount": "40", "currency": "EUR"}, "line": {"SKU": "x"}}
    )
    read = json.loads(written)

    assert list(read) == sorted(read)
    assert read["amount"] == EUR
    assert "token" not in read
    assert "hidden" in item.encode_arguments({**read, "token": "hidden"})
    assert read["basket"] == {"tags": ["a", "b"]}
    assert read["line"]["price"] == "1.50"
    assert uuid.UUID(read["line"]["mark"])
    assert item.encode_arguments(read) == written


class Hidden(BaseModel):
    note: str = Field("", exclude=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Hidden, {"note": "pay twice"}), (Annotated[int, AfterValidator(lambda cents: cents * 100)], 5), (float, float("nan")), (Any, float("inf"))],
)  # fmt: skip
def test_arguments_that_cant_be_shown_as_they_would_be_performed_are_refused(kind: Any, value: Any) -> None:
    def pay(what: Any) -> str:
        return str(what)

    pay.__annotations__["what"] = kind
    item = tool(effect=Effect())(pay)

    with pytest.raises(ValueError, match="once they are written down"):
        item.encode_arguments({"what": value})


def test_an_edit_is_validated_and_written_as_it_is_performed() -> None:
    item = declare(unique_by=("order_id",), amount="amount")
    text, amount = read_edit(item, '{"orderId": "7", "amount": {"currency": "EUR", "amount": "3"}}')

    assert amount == Money("3", "EUR")
    assert read_edit(item, text) == (text, amount)
    assert json.loads(text)["fee"] == 0.5


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"orderId": 7, "amount": null}', '{"orderId": "7", "amount": null, "x": 1}', '{"orderId": "7 ", "amount": null}'],
)  # fmt: skip
def test_an_edit_that_the_tool_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_edit(declare(unique_by=("order_id",)), text)


def test_an_edit_of_an_effect_that_declares_nothing_has_its_defaults_and_that_of_a_read_has_not() -> None:
    text = '{"receipt": {"id": "x"}, "orderId": "7"}'

    assert read_edit(take_back, text) == ('{"amount":null,"orderId":"7","receipt":{"id":"x"}}', None)
    assert read_edit(tool(take_back.function), text) == ('{"orderId":"7","receipt":{"id":"x"}}', None)


def test_an_undo_is_filled_from_the_arguments_and_the_receipt() -> None:
    item = declare(undo=take_back)
    filled = fill_undo_arguments(item, {"orderId": "1042", "amount": EUR, "fee": 0.5}, '{"id":"p-1"}')

    assert filled == {"orderId": "1042", "amount": EUR, "receipt": {"id": "p-1"}}


@pytest.mark.parametrize(
    ("kind", "receipt", "given"),
    [(str, "p-1", "p-1"), (str, "17", "17"), (int, "17", "17"), (str, '{"id":"p-1"}', '{"id":"p-1"}'), (dict[str, str], '{"id":"p-1"}', {"id": "p-1"})],
)  # fmt: skip
def test_a_receipt_is_given_as_the_undo_takes_it(kind: Any, receipt: str, given: Any) -> None:
    def undo(receipt: Any) -> str:
        return str(receipt)

    undo.__annotations__["receipt"] = kind

    assert fill_undo_arguments(declare(undo=tool(effect=True)(undo)), {}, receipt) == {"receipt": given}


def test_an_undo_is_not_made_of_what_was_redacted() -> None:
    item = declare(undo=take_back)

    with pytest.raises(ValueError, match="without its secret"):
        fill_undo_arguments(item, {"orderId": MARK}, '{"id":"p-1"}')
    with pytest.raises(ValueError, match="receipt"):
        fill_undo_arguments(item, {"orderId": "1"}, None)
    with pytest.raises(Misused, match="declares no undo"):
        fill_undo_arguments(declare(), {}, None)


def test_a_preview_and_a_reconcile_are_given_what_they_take() -> None:
    @tool
    def preview(order_id: str, context: EffectContext) -> str:
        return f"would refund {order_id} under {context.key}"

    item = declare(preview=preview, reconcile=lambda key: f"asked for {key}")

    assert call_preview(item, {"orderId": "1042", "amount": EUR}, CONTEXT) == "would refund 1042 under r:1"
    assert call_reconcile(item, CONTEXT) == "asked for r:1"


def test_a_declared_version_replaces_that_of_the_tool_and_uniqueness_is_part_of_the_digest() -> None:
    versions = {
        declare().version,
        declare(unique_by=("order_id",)).version,
        declare(unique_by=("order_id",), scope="everyone").version,
        declare(amount="amount").version,
    }

    assert len(versions) == 4
    assert declare(version="7").version.startswith("7-")


def test_versions_of_tools_that_declare_nothing_are_those_of_earlier_journals() -> None:
    def pay(order: str) -> str:
        """Pay."""
        return order

    assert tool(effect=True)(pay).version == PLAIN_VERSION


PLAIN_VERSION = "1-18ff34cb"
"""Recorded before effects could declare anything."""
