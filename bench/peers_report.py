"""From samples to medians, ratios, bars and tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from cell import Sample
from rich.console import Console
from rich.table import Table
from teams import SYSTEMS, Workload, script

BAR_IN_FLIGHT = 32
NOISY = 0.3
"""Spread above which a row says more about the machine: on a quiet one, two cores, most stay below 0.15."""


class Place(NamedTuple):
    """What is measured, whatever the round."""

    system: str
    workload: Workload
    in_flight: int


Round = dict[Place, Sample]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A ratio that Seawall has to reach, and what was measured."""

    what: str
    at_least: float
    ratio: float | None
    """None: a side of it was not measured."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.ratio is None:
            return "not measured"
        return "met" if self.ratio >= self.at_least else f"missed by {self.at_least / self.ratio:.2f}x"


def medians(rounds: list[Round]) -> list[dict[str, Any]]:
    """One row a place: the median of every number over the rounds, and the range of steps/s."""
    groups: dict[Place, list[Sample]] = {}
    for samples in rounds:
        for place, sample in samples.items():
            groups.setdefault(place, []).append(sample)
    systems, workloads = list(SYSTEMS), list(script.PER_RUN)
    rows: list[dict[str, Any]] = []
    for place in sorted(
        groups, key=lambda p: (workloads.index(p.workload), p.in_flight, systems.index(p.system))
    ):
        group = groups[place]
        row = asdict(group[0])
        for name, value in row.items():
            if isinstance(value, (int, float)):
                row[name] = median(getattr(sample, name) for sample in group)
        speeds = [sample.steps_per_s for sample in group]
        rows.append(row | {"rounds": len(group), "steps_per_s_range": [min(speeds), max(speeds)]})
    return rows


def speed_ratio(rounds: list[Round], above: Place, below: Place, unit: str = "steps_per_s") -> float | None:
    """How many times faster `above` is: the median of the ratios within each round.

    Within a round, because the machine's speed drifts over minutes and cancels there.
    """
    ratios = [
        getattr(samples[above], unit) / getattr(samples[below], unit)
        for samples in rounds
        if above in samples and below in samples
    ]
    return median(ratios) if ratios else None


def bars(rounds: list[Round]) -> list[Bar]:
    """A durable step under load against LangGraph, and one small durable run against in-memory peers.

    The team is the same work on both sides. The empty nodes are not: they are LangGraph's engine with no
    agent, model or tool in it, which is the hardest form of the bar.
    """
    seawall = Place("seawall", "team", BAR_IN_FLIGHT)
    found: list[Bar] = []
    workloads: tuple[tuple[Workload, str], ...] = (("team", "the same team"), ("nodes", "empty nodes"))
    for workload, words in workloads:
        for system, saver, at_least in (
            ("langgraph-sqlite", "SQLite saver", 10),
            ("langgraph", "no saver", 2),
        ):
            value = speed_ratio(rounds, seawall, Place(system, workload, BAR_IN_FLIGHT))
            what = f"durable steps/s, {BAR_IN_FLIGHT} in flight, over LangGraph, {saver}, {words}"
            found.append(Bar(what=what, at_least=at_least, ratio=value))
    single = Place("seawall", "single", 1)
    in_memory = [name for name, system in SYSTEMS.items() if system.variant == "memory"]
    speeds = {n: speed_ratio(rounds, single, Place(n, "single", 1), "runs_per_s") for n in in_memory}
    known = {name: value for name, value in speeds.items() if value is not None}
    fastest = min(known, key=lambda name: known[name]) if known else "the fastest peer"
    what = f"one durable run (2 model calls, 1 tool), over {fastest} in memory"
    return [*found, Bar(what=what, at_least=1, ratio=known.get(fastest))]


def print_report(report: dict[str, Any], checked: list[Bar], console: Console) -> None:
    """The tables, as people read them."""
    rows: list[dict[str, Any]] = report["medians"]
    for workload in script.PER_RUN:
        if chosen := [row for row in rows if row["workload"] == workload]:
            console.print(_table(workload, chosen))
    words = Table(title="What survives a crash", title_justify="left")
    for column in ("system", "version", "durability"):
        words.add_column(column, overflow="fold")
    # The order of the rows, each system once.
    for row in {row["system"]: row for row in rows}.values():
        words.add_row(row["system"], row["version"], row["durability"])
    console.print(words)
    verdicts = Table(title="Bars", title_justify="left")
    for column in ("what", "at least", "measured", "verdict"):
        verdicts.add_column(column, overflow="fold", justify="left" if column == "what" else "right")
    for bar in checked:
        measured = "-" if bar.ratio is None else f"{bar.ratio:.2f}x"
        verdicts.add_row(bar.what, f"{bar.at_least:g}x", measured, bar.verdict)
    console.print(verdicts)
    noisy = [row for row in rows if _spread(*row["steps_per_s_range"]) > NOISY]
    if noisy:
        console.print(
            f"Not to be relied on: in {len(noisy)} of {len(rows)} rows the rounds differ by more than "
            f"{NOISY:.0%}. The machine was not quiet; run it again.",
            style="yellow",
            highlight=False,
        )
    for failure in report["failures"]:
        console.print(
            f"not measured: {failure['system']}, {failure['workload']}: {failure['error']}", style="red"
        )


def _spread(slowest: float, fastest: float) -> float:
    return fastest / slowest - 1


_COLUMNS = (
    ("in flight", lambda r: f"{r['in_flight']}"),
    ("system", lambda r: r["system"]),
    ("runs/s", lambda r: f"{r['runs_per_s']:,.1f}"),
    ("steps/s", lambda r: f"{r['steps_per_s']:,.0f}"),
    ("spread", lambda r: f"{_spread(*r['steps_per_s_range']):.0%}" if r["rounds"] > 1 else "-"),
    ("p50 ms", lambda r: f"{r['p50_ms']:,.2f}"),
    ("p99 ms", lambda r: f"{r['p99_ms']:,.2f}"),
    ("CPU ms", lambda r: f"{r['cpu_ms_per_run']:,.2f}"),
    ("CPU s", lambda r: f"{r['cpu_s']:,.2f}"),
    ("MiB idle", lambda r: f"{r['idle_mib']:,.0f}"),
    ("MiB peak", lambda r: f"{r['peak_mib']:,.0f}"),
    ("KiB/run", lambda r: f"{r['disk_bytes_per_run'] / 1024:,.1f}"),
    ("runs", lambda r: f"{r['runs']:,.0f}"),
)


def _table(workload: str, rows: list[dict[str, Any]]) -> Table:
    per_run = script.PER_RUN[workload]
    what = {
        "team": f"one run of the team is {per_run.model} model calls, {per_run.tool} tool calls, "
        f"{per_run.handoff} hand-offs and {per_run.review} review",
        "single": f"one agent, {per_run.model} model calls and {per_run.tool} tool call; p50 is ms a run",
        "nodes": f"LangGraph's engine alone: {per_run.tool} nodes in a row that do nothing",
    }[workload]
    table = Table(title=f"{workload}: {what}", title_justify="left")
    for name, _ in _COLUMNS:
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=True)
    for n, row in enumerate(rows):
        table.add_row(
            *(show(row) for _, show in _COLUMNS),
            # A line between the levels of load.
            end_section=n + 1 == len(rows) or rows[n + 1]["in_flight"] != row["in_flight"],
        )
    return table
