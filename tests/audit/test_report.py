"""What is found in all runs together, and what a run has cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from seawall.audit import AuditReport, BadLine, RecordedPrices, RunFindings
from seawall.audit.findings import Cost, ToolCounts
from seawall.audit.prices import name_model
from seawall.audit.recording import RecordedMessage
from seawall.audit.report import MAX_BAD_LINES, MAX_TOOLS, OTHER_TOOLS
from seawall.cli.render.audit_html import build_page
from seawall.models.protocol import Price, Usage

COUNTED = Usage(1_000_000, 500_000)


def make_findings(number: int, **more: object) -> RunFindings:
    return RunFindings(id=f"r-{number}", **more)  # pyright: ignore[reportArgumentType] -- fields of the findings


def test_the_worst_runs_are_kept_and_all_are_counted() -> None:
    report = AuditReport(max_runs=3)
    for number in range(10):
        after = Cost(calls=number, tokens=100 * number)
        report.add(make_findings(number, halted_at=1, advised_at=(0,), after_halt=after, calls=20))
    report.add(make_findings(10, repeats=Cost(calls=99, tokens=10**6)))
    report.add(make_findings(11))

    assert [found.id for found in report.list_worst()] == ["r-9", "r-8", "r-7"]
    assert (report.summary.runs, report.summary.halted, report.remarkable) == (12, 10, 11)
    assert report.summary.after_halt == Cost(calls=45, tokens=4500)
    assert "8 more runs" in build_page(report)


def test_money_comes_before_tokens_and_a_run_that_would_be_stopped_before_one_that_would_not() -> None:
    report = AuditReport()
    report.add(make_findings(1, unsourced_count=50))
    report.add(make_findings(2, repeats=Cost(calls=3, tokens=900)))
    report.add(make_findings(3, repeats=Cost(calls=1, tokens=100, usd=Decimal("0.5"))))
    report.add(make_findings(4, halted_at=0, after_halt=Cost(calls=1)))

    assert [found.id for found in report.list_worst()] == ["r-4", "r-3", "r-2", "r-1"]


def test_tools_and_bad_lines_are_held_within_bounds() -> None:
    report = AuditReport()
    for number in range(MAX_TOOLS + 5):
        report.add(make_findings(number, tools={f"tool {number}": ToolCounts(calls=2, failed=1)}))
        report.add_bad(BadLine(f"file:{number}", "no JSON"))

    assert len(report.tools) == MAX_TOOLS + 1
    assert (report.tools[OTHER_TOOLS].calls, report.tools[OTHER_TOOLS].failed) == (10, 5)
    assert (len(report.bad_lines), report.summary.bad) == (MAX_BAD_LINES, MAX_TOOLS + 5)
    assert f"and {MAX_TOOLS + 5 - MAX_BAD_LINES} more" in build_page(report)


def test_junk_is_a_share_of_what_all_models_were_sent() -> None:
    report = AuditReport()
    report.add(make_findings(1, junk=0.5, sent_bytes=3_000))
    report.add(make_findings(2, junk=0.0, sent_bytes=1_000))
    report.add(make_findings(3))

    assert report.summary.junk == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("gpt-5.2", "openai:gpt-5.2"),
        ("openai/gpt-4o-mini", "openai:gpt-4o-mini"),
        ("openai:o3", "openai:o3"),
        ("claude-sonnet-4-5-20250929", "anthropic:claude-sonnet-4-5-20250929"),
        ("us.anthropic.claude-3", "anthropic:claude-3"),
        ("models/gemini-2.5-pro", "google:gemini-2.5-pro"),
        ("llama-3", ""),
        ("", ""),
    ],
)
def test_the_provider_of_a_model_is_read_from_its_name(model: str, named: str) -> None:
    assert name_model(model) == named


def test_a_model_without_a_price_is_named_and_costs_nothing_that_is_known() -> None:
    asked: list[str] = []

    def find(model: str, at: float) -> Price | None:
        asked.append(model)
        return Price(1, 2) if model == "openai:gpt-5.2" else None

    prices = RecordedPrices(7.0, find)

    def cost(model: str, usage: Usage | None = COUNTED) -> Decimal | None:
        return prices.compute_usd(RecordedMessage(role="assistant", model=model, usage=usage))

    assert [cost("gpt-5.2"), cost("gpt-5.2"), cost("gpt-9"), cost("ours"), cost("gpt-5.2", None)] == [
        2,
        2,
        None,
        None,
        None,
    ]
    assert cost("gpt-5.2", Usage(10**15, 0)) is None  # no call has so many
    assert asked == ["openai:gpt-5.2", "openai:gpt-9"]
    assert prices.unknown == {"gpt-9", "ours"}
