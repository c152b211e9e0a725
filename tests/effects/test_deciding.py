"""What people decide is what is paid: one by one, in another process, with sums, and while the conversation goes on."""

from __future__ import annotations

import pytest

from effects.case import Case
from effects.check import check_paid_once
from effects.desk import REQUEST, Terms, payout, refund
from effects.people import Decision

FREE = Terms(limit=None)


def test_five_effects_of_one_reply_are_five_proposals_and_those_that_are_approved_are_paid(
    case: Case,
) -> None:
    orders = [f"{case.order}-{number}" for number in range(1, 6)]
    case.asks(tuple(refund(order, "150.00") for order in orders))
    assert len(case.do("start").proposals) == 5

    decisions = tuple(
        Decision(who="alice", order=order, action="approve" if number % 2 else "reject")
        for number, order in enumerate(orders, 1)
    )
    assert set(case.do("decide", decisions=decisions).said) == {"ok"}
    report = case.do("go_on")

    assert [len(case.bank.paid(order)) for order in orders] == [1, 0, 1, 0, 1]
    booked = [row.order_id for row in case.bank.payments() if row.order_id in orders]
    assert booked == [orders[0], orders[2], orders[4]], "they are performed in their order"
    assert [rest.status for rest in report.rests] == ["completed"]
    check_paid_once(report, case.bank, orders)


def test_two_effects_of_one_run_are_decided_apart(case: Case) -> None:
    other = f"{case.order}-b"
    case.asks((refund(case.order, "150.00"), payout(other, "250.00")))
    case.do("start")
    assert case.decide("alice", tool="payout") == ["ok"]
    case.do("go_on")
    assert case.paid == []

    assert case.decide("bob", tool="refund") == ["ok"]
    case.do("go_on")
    assert (len(case.paid), len(case.bank.paid(other))) == (1, 1)


def test_what_is_shown_is_what_is_paid(case: Case) -> None:
    case.asks((refund(case.order, "150"),))  # no decimals, no note

    (shown,) = case.do("start").proposals

    assert shown.arguments == {
        "order_id": case.order,
        "amount": {"amount": "150.00", "currency": "EUR"},
        "note": "",
    }
    assert shown.preview == f"Pays 150.00 EUR for order {case.order}."
    assert case.decide("alice") == ["ok"]
    case.do("go_on")
    assert [row.amount for row in case.bank.payments(case.order)] == ["150.00"]


def test_a_rejection_holds_for_the_same_proposal_of_another_run(case: Case) -> None:
    case.asks((refund(case.order, "150.00"),))
    case.do("start")
    assert case.decide("alice", "reject") == ["ok"]

    report = case.do("start", name="second")

    assert report.proposals == ()
    case.do("go_on")
    assert case.paid == []


def test_a_rejection_that_stops_ends_the_run(case: Case) -> None:
    case.asks((refund(case.order, "150.00"),), (payout(case.order, "50.00"),))
    case.do("start")
    assert case.decide("alice", "reject", stop=True) == ["ok"]

    (rest,) = case.do("go_on").rests

    assert rest.status in ("refused", "halted")
    assert case.paid == []


def test_a_run_that_ends_leaves_no_proposal_that_could_be_approved(case: Case) -> None:
    case.asks((refund(case.order, "150.00"),))
    (shown,) = case.do("start").proposals
    case.do("cancel")

    (said,) = case.decide("alice", proposal=shown.id)
    assert said.startswith("Refused: ")
    assert case.paid == []
    case.do("start", name="second", terms=FREE)
    assert len(case.paid) == 1, "the next run may have it"


@pytest.mark.parametrize("processes_at_once", [1, 3])
def test_a_days_sum_counts_all_runs_and_asks_about_what_goes_beyond(
    case: Case, processes_at_once: int
) -> None:
    orders = [f"{case.order}-{number}" for number in range(21)]
    plans = {f"{REQUEST} for {order}.": ((refund(order, "99.00"),),) for order in orders}
    case.asks(terms=Terms(limit=None, per_day="2000"), plans=plans, at_once=7)
    shares = [tuple(plans)[first::processes_at_once] for first in range(processes_at_once)]

    begun = [case.begin("start", name=f"p{number}", requests=share) for number, share in enumerate(shares)]
    rests = [rest for each in begun for rest in case.end(each).rests]

    assert sum(len(case.bank.paid(order)) for order in orders) == 20
    assert [rest.status for rest in rests].count("waits") == 1
    assert len(case.do("look").proposals) == 1


def test_a_detached_effect_lets_the_run_complete_and_is_paid_once_it_is_approved(case: Case) -> None:
    case.asks((refund(case.order, "150.00"),), terms=Terms(detached=True), session="one")
    report = case.do("start")
    assert [rest.status for rest in report.rests] == ["completed"]
    assert len(report.proposals) == 1
    assert case.paid == []

    assert case.decide("alice") == ["ok"]
    report = case.do("go_on")
    assert len(case.paid) == 1
    check_paid_once(report, case.bank, [case.order])

    (rest,) = case.do("start", name="next", replies=()).rests
    assert rest.status == "completed"
    case.asks((refund(case.order, "150.00"),), session="one")
    case.do("start", name="again")
    assert len(case.paid) == 1


def test_the_user_may_write_again_while_a_proposal_waits(case: Case) -> None:
    other = f"{case.order}-b"
    case.asks((refund(case.order, "150.00"),), session="one")
    case.do("start")

    report = case.do("start", name="next", replies=((payout(other, "10.00"),),))
    assert report.refused == ()
    assert [rest.status for rest in report.rests] == ["completed"]
    assert (case.paid, len(case.bank.paid(other))) == ([], 1)

    assert case.decide("alice") == ["ok"]
    case.do("go_on")
    assert (len(case.paid), len(case.bank.paid(other))) == (1, 1)


def test_an_effect_is_undone_by_a_person_and_once(case: Case) -> None:
    case.asks((refund(case.order, "80.00"),), terms=Terms(limit=None, undo=True))
    case.do("start")
    for _ in range(2):
        case.do("undo", decisions=case.people("alice"))
        case.do("go_on")
        case.decide("bob")
        case.do("go_on")

    assert [row.voided for row in case.bank.payments(case.order)] == [1]
    assert case.bank.requests(case.paid[0], "void") == 1


def test_a_worker_goes_on_with_what_was_decided_elsewhere_after_its_starter_is_gone(case: Case) -> None:
    case.asks((refund(case.order, "150.00"),))
    begun = case.begin("start", app="effects.app:desk")
    case.end(begun)
    worker = case.start_worker()
    try:
        assert case.decide("alice") == ["ok"]
        (rest,) = case.do("follow", name="following").rests
    finally:
        worker.terminate()
        code = worker.wait(60)

    assert (rest.status, len(case.paid), case.bank.requests(case.order)) == ("completed", 1, 1)
    assert code >= 0, "a worker that is asked to end ends by itself"
