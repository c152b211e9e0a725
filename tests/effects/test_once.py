"""The same effect is done once: in two runs, in a re-plan, in a live fork, in many processes, and after it was pruned."""

from __future__ import annotations

import unicodedata

import pytest
from msgspec.structs import replace

from effects.case import Case
from effects.check import check_paid_once
from effects.desk import REQUEST, Ask, Terms, payout, refund

FREE = Terms(limit=None)
TWICE = (f"{REQUEST} once.", f"{REQUEST} twice.")


def test_a_second_run_that_asks_for_the_same_gets_the_receipt_of_the_first(case: Case) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    first, second = case.do("start", requests=TWICE).rests

    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    assert case.paid[0] in (first.answer or "")
    assert case.paid[0] in (second.answer or "")


def test_a_replan_that_asks_for_the_same_order_again_gets_the_receipt(case: Case) -> None:
    case.asks(
        (refund(case.order, "80.00"),),
        (refund(case.order, "80.00"),),
        (payout(case.order, "80.00"),),
        terms=FREE,
    )
    report = case.do("start")

    assert [rest.status for rest in report.rests] == ["completed"]
    assert case.bank.requests(case.order) == 2, "the two tools are two effects"
    assert sorted(effect.state for effect in report.effects) == ["committed", "committed"]


def test_two_calls_of_one_reply_that_ask_for_the_same_pay_once(case: Case) -> None:
    case.asks(
        (refund(case.order, "80.00"), refund(case.order, "80.00"), refund(case.order, "90.00")), terms=FREE
    )

    (rest,) = case.do("start").rests

    assert rest.status == "completed"
    assert len(case.paid) == 1


def test_a_live_fork_from_before_the_payment_gets_the_receipt(case: Case) -> None:
    case.asks((Ask("find_order", {"order_id": case.order}),), (refund(case.order, "80.00"),), terms=FREE)

    report = case.do("start", fork_at=2)

    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    assert len(report.effects) == 1


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        ("tenant", {"tenant": "another"}),
        ("principal", {"principal": "dave"}),
        ("session", {"session": "another"}),
        ("run", {}),
    ],
)
def test_it_is_another_effect_outside_of_its_scope(case: Case, scope: str, more: dict[str, str]) -> None:
    case.asks((refund(case.order, "80.00"),), terms=replace(FREE, scope=scope), session="one")
    case.do("start")
    case.do("start", name="same")
    within = 2 if scope == "run" else 1
    assert len(case.paid) == within

    case.do("start", name="other", **more)
    assert len(case.paid) == within + 1


@pytest.mark.parametrize("write", ["{} ", " {}", "{}\u200b", "wide", "\t{}\n"])
def test_an_order_that_is_written_in_another_way_is_no_other_order(case: Case, write: str) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    case.do("start")
    written = to_full_width(case.order) if write == "wide" else write.format(case.order)

    case.do("start", name="again", replies=((refund(written, "80.00"),),))

    paid = [row for row in case.bank.payments() if plain(row.order_id) == plain(case.order)]
    assert len(paid) == 1


def to_full_width(text: str) -> str:
    """Returns a text with the full-width forms of its characters."""
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def plain(text: str) -> str:
    """Returns what a person reads."""
    return unicodedata.normalize("NFKC", text).replace("\u200b", "").strip()


def test_an_effect_that_another_run_has_under_way_is_waited_for(case: Case) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    case.bank.behave(case.order, "late")
    first = case.begin("start")
    case.bank.wait_for(case.order)

    (second,) = case.do("start", name="second").rests
    assert second.status == "waits"
    case.bank.release(case.order)
    case.end(first)

    rests = case.do("go_on").rests
    assert [rest.status for rest in rests] == ["completed", "completed"]
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    assert all(case.paid[0] in (rest.answer or "") for rest in rests)


def test_an_effect_of_unknown_fate_is_done_by_no_other_run(case: Case) -> None:
    case.asks((payout(case.order, "80.00"),), terms=FREE)
    case.bank.behave(case.order, "drop_after")
    case.do("start")

    (second,) = case.do("start", name="second").rests
    assert second.status == "waits"
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)

    assert case.do("reconcile", decisions=case.people("alice")).said == ("ok",)
    report = case.do("go_on")
    assert [rest.status for rest in report.rests] == ["completed", "completed"]
    check_paid_once(report, case.bank, [case.order])
    assert case.bank.requests(case.order) == 1


def test_an_effect_that_did_not_happen_may_be_asked_for_again(case: Case) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    case.bank.behave(case.order, "refuses")

    report = case.do("start", requests=(TWICE[0],))
    assert [effect.state for effect in report.effects] == ["failed"]
    report = case.do("start", name="second")

    assert len(case.paid) == 1
    assert sorted(effect.state for effect in report.effects) == ["committed", "failed"]


def test_a_legitimate_second_one_needs_a_person(case: Case) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    case.do("start")
    assert case.do("allow_again", decisions=case.people("alice")).said == ("ok",)

    for name in ("second", "third"):
        case.do("start", name=name)

    assert len(case.paid) == 2, "each permission is for one"


def test_a_late_receipt_settles_an_effect_whose_run_has_ended(case: Case) -> None:
    case.asks((payout(case.order, "80.00"),), terms=FREE)
    case.bank.behave(case.order, "late")
    begun = case.begin("start")
    case.bank.wait_for(case.order)
    cancelling = case.begin("cancel", name="cancelling")
    case.end(cancelling)  # the run has ended, and its payment is under way
    case.bank.release(case.order)
    case.end(begun)

    report = case.do("look")
    # its process gave up before the answer came
    if [effect.state for effect in report.effects] == ["unknown"]:
        case.do("reconcile", decisions=case.people("alice"))
        report = case.do("look")
    check_paid_once(report, case.bank, [case.order])
    assert [effect.state for effect in report.effects] == ["committed"]


def test_an_unknown_effect_is_reconciled_after_its_run_was_pruned_and_then_gives_its_receipt(
    case: Case,
) -> None:
    case.asks((payout(case.order, "80.00"),), terms=FREE)
    case.bank.behave(case.order, "drop_after")
    case.do("start")
    case.do("cancel")
    case.command("prune", "--older-than", "0s")

    assert case.do("reconcile", decisions=case.people("alice")).said == ("ok",)
    (second,) = case.do("start", name="second").rests

    assert second.status == "completed"
    assert case.paid[0] in (second.answer or "")
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)


def test_a_storm_of_processes_over_one_order_pays_it_once(case: Case) -> None:
    again = refund(case.order, "80.00")
    case.asks((Ask("find_order", {"order_id": case.order}),), (again,), (again,), terms=FREE)
    requests = tuple(f"{REQUEST} {number}." for number in range(6))
    begun = [
        case.begin("start", name=f"storm-{number}", requests=requests, at_once=3, fork_at=2)
        for number in range(3)
    ]
    for each in begun:
        case.end(each)

    report = case.do("close")
    check_paid_once(report, case.bank, [case.order])
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    assert {rest.status for rest in report.rests} == {"completed"}
