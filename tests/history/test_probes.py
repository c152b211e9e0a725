"""Which answer of a recorded run is probed, what a reviewer's task is made of, and how results are counted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from seawall import Limits
from seawall.history.probes import Judgement, Left, Probe, ProbeKind, build_report, lower_limits
from seawall.team.context import split_review_task, write_review_task


def probe(kind: ProbeKind, judgement: Judgement, *, named: bool = False) -> Probe:
    return Probe(
        run="r-2",
        origin="r-1",
        reviewer="auditor",
        kind=kind,
        original="80",
        planted="90",
        judgement=judgement,
        named=named,
        feedback="",
        model_calls=1,
        tokens=10,
        usd=Decimal("0.1"),
    )


@pytest.mark.parametrize("evidence", [[], [("find", '{"id": 1}'), ("look", "two\n\nparagraphs")]])
def test_a_review_task_is_taken_apart_as_it_was_written(evidence: list[tuple[str, str]]) -> None:
    found = split_review_task(write_review_task("Where is it?\n\nPlease.", "Here.\n\nThere.", evidence))

    assert (found.request, found.answer) == ("Where is it?\n\nPlease.", "Here.\n\nThere.")
    assert found.evidence == "\n".join(f"- {name}: {text}" for name, text in evidence)


def test_what_was_not_judged_and_the_unchanged_answer_count_in_no_share() -> None:
    probes = [
        probe("unchanged", "approved"),
        probe("number", "rejected", named=True),
        probe("number", "approved"),
        probe("date", "not judged"),
    ]

    report = build_report("desk", 0, probes, {}, 0)

    assert (report.all.judged, report.all.caught, report.all.named, report.share) == (2, 1, 1, 0.5)
    assert [each.kind for each in report.kinds] == ["number"]
    assert (report.model_calls, report.usd) == (4, Decimal("0.4"))


def test_without_anything_judged_there_is_no_share() -> None:
    assert build_report("desk", 0, [probe("date", "not judged")], {}, 0).share is None


def test_a_probe_may_use_what_is_left_beside_what_its_origin_has_used() -> None:
    limits = Limits(model_calls=10, usd=Decimal(5))

    assert lower_limits(limits, 3, Decimal(1), Left(2, Decimal("0.5"))) == Limits(
        model_calls=5, usd=Decimal("1.5")
    )
    assert lower_limits(limits, 3, Decimal(1), Left(100, Decimal(100))) == limits
    assert lower_limits(Limits(), 3, Decimal(1), Left(None, Decimal(2))).usd == Decimal(3)
    assert lower_limits(limits, 3, Decimal(1), Left(None, None)) == limits


def test_nothing_is_left_once_either_limit_is_used_up() -> None:
    assert Left(0, None).is_used_up
    assert Left(1, Decimal(0)).is_used_up
    assert not Left(None, None).is_used_up
