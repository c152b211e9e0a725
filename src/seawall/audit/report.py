"""The findings of all runs of an audit together, within bounds: sums, tools, and the runs that are worth a look."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from seawall.audit.findings import Cost, RunFindings
from seawall.audit.recording import BadLine

MAX_KEPT_RUNS = 200
"""The worst runs that are kept for the report, which is more than a person will look at. With `--json` all are printed."""
MAX_TOOLS = 1_000
"""Tools that are counted separately, which is more than any application has. Calls of further tools are counted together."""
MAX_BAD_LINES = 200
"""Lines that could not be read and whose reason is in the report. All such lines are counted."""
OTHER_TOOLS = "(others)"


class ToolSums(msgspec.Struct):
    """The sums of one tool over all runs."""

    tool: str
    calls: int = 0
    failed: int = 0
    useless: int = 0
    loops: int = 0
    """Runs in which the first call that would not have been made is a call of this tool."""


class AuditSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of all runs."""

    runs: int = 0
    """All runs that were read."""
    halted: int = 0
    """Runs with a call that would not have been made."""
    advised: int = 0
    """Runs with a call whose result would have come with advice."""
    calls: int = 0
    """Calls of all runs."""
    replies: int = 0
    """Messages that models have written."""
    tokens: int | None = None
    """Tokens of all replies; None if no recording has counts."""
    usd: Decimal | None = None
    """US dollars at most; None if no price is known."""
    after_halt: Cost = Cost()
    """The cost in the halted runs from the first call that would not have been made."""
    repeats: Cost = Cost()
    """Calls that brought only what their own agent knew already."""
    duplicates: Cost = Cost()
    """Reads that brought only what another agent had read already."""
    junk: float | None = None
    """The share of junk in the messages that all models were sent, from 0 to 1."""
    unsourced: int = 0
    """Values in answers that are in no request, prompt or result before them."""
    unsourced_runs: int = 0
    """Runs with an unsourced value."""
    lacking: int = 0
    """Runs whose findings may be wrong, because their calls lack arguments or results."""
    unanswered: int = 0
    """Calls that are not judged, because they have no result."""
    left_out: int = 0
    """Rows that are not read, because their run is too large."""
    bad: int = 0
    """Lines and files that could not be read."""
    formats: dict[str, int] = {}
    """The number of runs of each format."""
    unpriced: tuple[str, ...] = ()
    """Models without a price."""


class AuditReport:
    """Adds up the findings of runs, and keeps the worst runs."""

    def __init__(self, max_runs: int = MAX_KEPT_RUNS) -> None:
        self._max = max_runs
        self.summary = AuditSummary()
        self.tools: dict[str, ToolSums] = {}
        self.bad_lines: list[BadLine] = []
        self._worst: list[tuple[tuple[object, ...], int, RunFindings]] = []
        self._added = 0
        self.remarkable = 0
        """The number of runs that are worth a look."""
        self._junk_bytes = self._sent_bytes = 0.0

    def __repr__(self) -> str:
        return f"<AuditReport of {self.summary.runs} runs>"

    def add(self, found: RunFindings) -> None:
        """Adds a run."""
        before = self.summary
        self._sent_bytes += found.sent_bytes
        self._junk_bytes += found.sent_bytes * (found.junk or 0.0)
        self.summary = msgspec.structs.replace(
            before,
            runs=before.runs + 1,
            halted=before.halted + (found.halted_at is not None),
            advised=before.advised + bool(found.advised_at),
            calls=before.calls + found.calls,
            replies=before.replies + found.replies,
            tokens=_add_tokens(before.tokens, found.tokens),
            usd=_add_usd(before.usd, found.usd),
            after_halt=_add_cost(before.after_halt, found.after_halt),
            repeats=_add_cost(before.repeats, found.repeats),
            duplicates=_add_cost(before.duplicates, found.duplicates),
            junk=round(self._junk_bytes / self._sent_bytes, 4) if self._sent_bytes else None,
            unsourced=before.unsourced + found.unsourced_count,
            unsourced_runs=before.unsourced_runs + bool(found.unsourced_count),
            lacking=before.lacking + bool(found.lacks),
            unanswered=before.unanswered + found.unanswered,
            left_out=before.left_out + found.left_out,
            formats={**before.formats, found.format: before.formats.get(found.format, 0) + 1},
        )
        self._add_tools(found)
        if found.is_remarkable:
            self.remarkable += 1
            self._added += 1
            entry = (found.rank, -self._added, found)
            if len(self._worst) < self._max:
                heapq.heappush(self._worst, entry)
            else:
                heapq.heappushpop(self._worst, entry)

    def _add_tools(self, found: RunFindings) -> None:
        for tool, counts in found.tools.items():
            sums = self._find_tool(tool)
            sums.calls += counts.calls
            sums.failed += counts.failed
            sums.useless += counts.useless
        if found.halted_at is not None:
            self._find_tool(found.loop_tool).loops += 1

    def _find_tool(self, tool: str) -> ToolSums:
        if tool not in self.tools and len(self.tools) >= MAX_TOOLS:
            tool = OTHER_TOOLS
        return self.tools.setdefault(tool, ToolSums(tool))

    def add_bad(self, bad: BadLine) -> None:
        """Adds a line that could not be read."""
        self.summary = msgspec.structs.replace(self.summary, bad=self.summary.bad + 1)
        if len(self.bad_lines) < MAX_BAD_LINES:
            self.bad_lines.append(bad)

    def set_unpriced(self, models: Iterable[str]) -> None:
        """Sets the models that have no price."""
        self.summary = msgspec.structs.replace(self.summary, unpriced=tuple(sorted(models)))

    def list_worst(self) -> list[RunFindings]:
        """Returns the runs that are worth a look, the worst first."""
        return [found for _, _, found in sorted(self._worst, key=lambda entry: entry[:2], reverse=True)]

    def list_tools(self) -> list[ToolSums]:
        """Returns the tools. Those with the most useless calls come first."""
        return sorted(
            self.tools.values(), key=lambda each: (-each.loops, -each.useless, -each.calls, each.tool)
        )


def _add_tokens(one: int | None, other: int | None) -> int | None:
    return one if other is None else (one or 0) + other


def _add_usd(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return one if other is None else (one or Decimal(0)) + other


def _add_cost(one: Cost, other: Cost | None) -> Cost:
    if other is None:
        return one
    return Cost(
        calls=one.calls + other.calls,
        tokens=_add_tokens(one.tokens, other.tokens),
        usd=_add_usd(one.usd, other.usd),
    )
