"""F02 and F03: kill -9 between an effect and its record, and between an approval and its execution."""

from __future__ import annotations

from itertools import count

import pytest
from msgspec.structs import replace

from crash.job import Death
from effects.case import Case
from effects.check import check_kept, check_paid_once, read_events
from effects.desk import Terms, payout, refund
from effects.world.client import Mode
from seawall.core.events import StepIntended

FREE = Terms(limit=None)
PLAIN = Terms(plain=True)
A_DAY_S = 86_400.0


def kill_while_it_pays(case: Case, mode: Mode = "late") -> None:
    """Kills the process of the run after its request has reached the bank, and before it has an answer."""
    case.bank.behave(case.order, mode)
    begun = case.begin("start")
    case.bank.wait_for(case.order)
    case.processes.kill(begun[1])
    case.bank.release(case.order)


@pytest.mark.parametrize("terms", [FREE, PLAIN], ids=["declared", "plain"])
def test_f02_killed_between_an_effect_and_its_record_it_waits_for_somebody_who_knows(
    case: Case, terms: Terms
) -> None:
    case.asks((payout(case.order, "80.00"),), terms=terms)
    kill_while_it_pays(case)

    (rest,) = case.do("go_on").rests
    assert rest.waits_for == "unknown"
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    assert case.do("reconcile", decisions=case.people("alice")).said == ("ok",)

    (rest,) = case.do("go_on").rests
    assert (rest.status, rest.effects) == ("completed", (("payout", "committed"),))
    assert case.paid[0] in (rest.answer or "")
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)


@pytest.mark.parametrize("terms", [FREE, replace(PLAIN, holds=False)], ids=["declared", "plain"])
def test_f02_killed_between_an_effect_and_its_record_it_is_asked_for_again_under_its_key(
    case: Case, terms: Terms
) -> None:
    case.asks((refund(case.order, "80.00"),), terms=terms)
    kill_while_it_pays(case)

    (rest,) = case.do("go_on").rests

    assert (rest.status, rest.effects[-1]) == ("completed", ("refund", "committed"))
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 2)


def test_f02_killed_between_an_effect_and_its_record_a_key_that_the_bank_has_forgotten_is_not_used(
    case: Case,
) -> None:
    case.asks((refund(case.order, "80.00"),), terms=FREE)
    kill_while_it_pays(case)
    case.bank.advance(A_DAY_S + 1)

    (rest,) = case.do("go_on", clock_ahead_s=A_DAY_S + 1).rests

    assert rest.waits_for == "unknown"
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)
    case.do("reconcile", decisions=case.people("alice"))
    report = case.do("go_on")
    check_paid_once(report, case.bank, [case.order])
    assert (len(case.paid), case.bank.requests(case.order)) == (1, 1)


@pytest.mark.parametrize(("mode", "state"), [("late", "committed"), ("hang", "failed")])
def test_f02_killed_between_an_effect_and_its_record_a_tool_that_can_asks_the_other_side(
    case: Case, mode: Mode, state: str
) -> None:
    case.asks((payout(case.order, "80.00"),), terms=replace(FREE, reconciles=True))
    kill_while_it_pays(case, mode)

    report = case.do("go_on")

    (rest,) = report.rests
    assert (rest.status, rest.effects[-1]) == ("completed", ("payout", state))
    assert case.bank.requests(case.order) == 1
    check_paid_once(report, case.bank, [case.order])
    (events,) = read_events(case.job)
    assert [each.reconciles for each in events if isinstance(each, StepIntended) and each.reconciles] != []


@pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "not keyed"])
def test_f03_killed_between_an_approval_and_its_execution_the_effect_is_made_once_or_not_at_all(
    case: Case, keyed: bool
) -> None:
    asked = refund(case.order, "150.00") if keyed else payout(case.order, "150.00")
    case.asks((asked,))
    case.do("start")
    decided = replace(case.job, task="decide", decisions=case.people("alice"))

    assert case.processes.run(replace(decided, death=Death(1, after=True))) is None
    for at in count(1):  # each process gets one write further than the one before, until the bank is asked
        if case.processes.run(replace(case.job, task="go_on", death=Death(at))) is not None:
            break

    report = case.do("close")
    check_kept(case.job)
    check_paid_once(report, case.bank, [case.order])
    assert [rest.status for rest in report.rests] == ["completed"]
    assert report.proposals == ()


@pytest.mark.parametrize("terms", [Terms(), PLAIN], ids=["declared", "plain"])
def test_f03_killed_before_it_was_asked_for_an_approved_payment_is_made_by_the_next_process(
    case: Case, terms: Terms
) -> None:
    case.asks((refund(case.order, "150.00"),), terms=terms)
    case.do("start")
    assert case.decide("alice") == ["ok"]
    assert case.processes.run(replace(case.job, task="go_on", death=Death(1, "world"))) is None
    assert case.paid == []

    (rest,) = case.do("go_on").rests

    assert (rest.status, len(case.paid), case.bank.requests(case.order)) == ("completed", 1, 1)
