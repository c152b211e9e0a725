"""Shows what `seawall audit` found, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.audit.findings import Cost, RunFindings
from seawall.audit.report import AuditReport, AuditSummary
from seawall.cli.render.formats import (
    format_count,
    format_number,
    format_usd,
    join_lines,
    shorten_text,
)
from seawall.cli.render.table import draw_field

SHOWN_RUNS = 20
"""How many runs are listed, the worst first: a screen or two. `--html` has more, and `--json` all."""
SHOWN_VALUES = 5
"""How many unsourced values of a run the list names."""
SHOWN_MODELS = 5


def describe_cost(cost: Cost) -> str:
    """Returns what calls have cost: `141 calls, 310.2k tokens, at most $1.22`."""
    parts = [format_number(cost.calls, "call")]
    if cost.tokens:
        parts.append(f"{format_count(cost.tokens)} tokens")
    if cost.usd:
        parts.append(f"at most {format_usd(cost.usd)}")
    return ", ".join(parts)


def describe_loop(found: RunFindings) -> str:
    """Returns what the loop guard says of a run; "" if it says nothing."""
    reason = found.reason or ""
    if found.halted_at is not None:
        return f"call #{found.halted_at} (from 0) of {found.calls} not made: {reason}"
    if found.advised_at:
        calls = ", ".join(f"#{index}" for index in found.advised_at[:5])
        return f"advised at {calls}{', …' if len(found.advised_at) > 5 else ''} (from 0): {reason}"
    return ""


def list_details(found: RunFindings) -> Iterator[str]:
    """Yields what else is found in a run."""
    if found.after_halt is not None:
        yield f"recorded from there on: {describe_cost(found.after_halt)}"
    if found.repeats.calls:
        yield f"repeats: {describe_cost(found.repeats)}"
    if found.duplicates.calls:
        yield f"duplicated reads: {describe_cost(found.duplicates)}"
    if found.junk:
        yield f"junk {found.junk:.0%}"
    if found.unsourced_count:
        more = found.unsourced_count - SHOWN_VALUES
        values = ", ".join(found.unsourced[:SHOWN_VALUES]) + (f", … {more} more" if more > 0 else "")
        yield f"unsourced: {values}"
    if found.lacks:
        yield f"no call has {' or '.join(found.lacks)}: this may be wrong"
    if found.left_out:
        yield f"{format_number(found.left_out, 'row')} not read: the run is too large"


def list_sums(summary: AuditSummary) -> Iterator[tuple[str, str]]:
    """Yields the sums, each with its label."""
    total = [format_number(summary.runs, "run"), format_number(summary.calls, "call")]
    if summary.replies:
        total.append(format_number(summary.replies, "reply", "replies"))
    if summary.tokens is not None:
        total.append(f"{format_count(summary.tokens)} tokens")
    if summary.usd is not None:
        total.append(f"at most {format_usd(summary.usd)}")
    read = ", ".join(f"{name}" for name in summary.formats if name)
    yield "read", " · ".join(total) + (f", as {read}" if read else "")
    loops = format_number(summary.halted, "run")
    if summary.halted:
        loops += f" stopped; recorded from there on: {describe_cost(summary.after_halt)}"
    yield "loops", f"{loops}; {format_number(summary.advised, 'run')} advised"
    yield (
        "useless",
        (
            f"{format_number(summary.repeats.calls + summary.duplicates.calls, 'call')}; "
            f"repeats: {describe_cost(summary.repeats)}; duplicated reads: {describe_cost(summary.duplicates)}"
        ),
    )
    if summary.junk is not None:
        yield "junk", f"{summary.junk:.0%} of what the models were sent"
    if summary.replies:
        values = format_number(summary.unsourced, "value")
        yield "unsourced", f"{values} in the answers of {format_number(summary.unsourced_runs, 'run')}"
    if summary.unpriced:
        some = ", ".join(summary.unpriced[:SHOWN_MODELS])
        more = ", …" if len(summary.unpriced) > SHOWN_MODELS else ""
        yield "no price", f"{some}{more}"
    missing = list(list_unread(summary))
    if missing:
        yield "not read", "; ".join(missing)


def list_unread(summary: AuditSummary) -> Iterator[str]:
    """Yields what could not be read, or may be judged wrongly."""
    if summary.bad:
        yield f"{format_number(summary.bad, 'line')} could not be read"
    if summary.left_out:
        yield f"{format_number(summary.left_out, 'row')} of runs that are too large"
    if summary.unanswered:
        yield f"{format_number(summary.unanswered, 'call')} without a result"
    if summary.lacking:
        yield f"{format_number(summary.lacking, 'run')} may be judged wrongly: see above"


def draw_report(report: AuditReport, width: int) -> Iterator[Text]:
    """Yields the lines of the report: the sums, then the runs that are worth a look."""
    for label, text in list_sums(report.summary):
        yield from draw_field(label, join_lines(text), "", width)
    worst = report.list_worst()[:SHOWN_RUNS]
    if worst:
        yield Text()
        yield Text("Runs to look at, the worst first", style="bold")
    for found in worst:
        yield Text(f"{join_lines(found.file)}:{found.line}  ", style="dim") + Text(join_lines(found.id))
        loop = describe_loop(found)
        if loop:
            style = "yellow" if found.halted_at is None else "red"
            yield Text(f"  {join_lines(loop)}", style=style)
        details = " · ".join(list_details(found))
        if details:
            yield Text(f"  {join_lines(details)}")
        if found.excerpt:
            yield Text(f"  {shorten_text(found.excerpt, max(width, 40) - 4)}", style="dim")
    more = report.remarkable - len(worst)
    if more > 0:
        yield Text(
            f"{format_number(more, 'more run', 'more runs')} with findings: --json has all", style="dim"
        )
