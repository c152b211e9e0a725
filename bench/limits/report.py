"""From what the world counted to tables: pure, so that tests need no framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from limits.asked import ANSWERED, Config, Reported
from limits.cases import RECORDED, Case, Family

CONFIGS: tuple[Config, ...] = ("default", "docs", "fitted")
_LONG_S = 10.0
"""From here the seconds of a good run stand in the table: no script of one takes 10 s, so that something waited."""
_SHORT = 78
"""Characters of an ending in a table; the JSON has 160."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case, played to one system in one configuration."""

    system: str
    config: Config
    case: str
    family: Family
    model_calls: int
    """That reached the model's server, those that it answered with 503 among them."""
    failed_calls: int
    tool_calls: int
    late_calls: int
    """Of all these, the ones that came after the last run had ended."""
    usd: float
    seconds: float
    """Of the longest run, from start to end."""
    runs: int
    answered: int
    """Runs that gave the answer that the scripted model meant to give."""
    capped: str = ""
    """The benchmark's own bound, if that is what ended it: `calls` or `seconds`."""
    offered: int = 0
    """Model calls that the runs needed."""
    how: tuple[tuple[str, int], ...] = ()
    """How runs ended, and how many did, the most frequent first."""
    sources: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of recorded runs: answered and played, by recording."""
    configured: str = ""
    version: str = ""

    @property
    def harmed(self) -> int:
        """Runs that did not give their answer."""
        return self.runs - self.answered


@dataclass(frozen=True, kw_only=True)
class World:
    """What the world counted in one cell."""

    model: int
    failed: int
    tool: int
    late: int
    usd: float
    capped: bool


def row(
    system: str, config: Config, case: Case, counted: World, report: Reported | None, cap_s: float
) -> Row:
    """A row of what the world counted and the system said; `report` is None where it was ended after `cap_s`."""
    ended = report.ended if report else ()
    sources: dict[str, tuple[int, int]] = {}
    for one, source in zip(ended, case.sources, strict=False):
        answered, played = sources.get(source, (0, 0))
        sources[source] = (answered + one.answered, played + 1)
    return Row(
        system=system,
        config=config,
        case=case.name,
        family=case.family,
        model_calls=counted.model,
        failed_calls=counted.failed,
        tool_calls=counted.tool,
        late_calls=counted.late,
        usd=round(counted.usd, 4),
        seconds=round(max((one.seconds for one in ended), default=cap_s), 2),
        runs=len(case.runs),
        answered=sum(one.answered for one in ended),
        capped="" if report and not counted.capped else "calls" if counted.capped else "seconds",
        offered=case.offered,
        how=tuple(Counter(one.how for one in ended).most_common(5)),
        sources=sources,
        configured=report.configured if report else "",
        version=report.version if report else "",
    )


def calls_text(one: Row) -> str:
    """Tool calls that reached the world, marked where only the benchmark's cap ended them."""
    return f">={one.tool_calls} (cap)" if one.capped else f"{one.tool_calls}"


def usd_text(usd: float, *, capped: bool) -> str:
    """Money, to the cent."""
    return f"{'>=' if capped else ''}{usd:,.2f}"


def harm_text(one: Row | None) -> str:
    """A good run that is played once: whether it gave its answer."""
    if one is None:
        return "-"
    if one.harmed:
        return "stopped"
    return f"ok, {one.seconds:.0f} s" if one.seconds >= _LONG_S else "ok"


def share_text(harmed: int, runs: int) -> str:
    """`12/120, 10%`."""
    return f"{harmed}/{runs}, {harmed / runs:.0%}" if runs else "-"


def how_text(one: Row) -> str:
    """How most runs ended, in few words."""
    if one.capped == "seconds":
        return f"did not end; killed after {one.seconds:g} s"
    if one.capped:
        return "did not end; this benchmark's cap on calls did"
    if not one.how:
        return "-"
    text, count = one.how[0]
    text = text.removeprefix("RuntimeError: ")
    short = escape(text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…")
    return short if one.runs == 1 else f"{count}x {short}"


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as they are written."""
    return [asdict(one) for one in rows]


class Report:
    """All rows, in the order of the tables."""

    def __init__(self, rows: Sequence[Row], cases: Sequence[Case], systems: Sequence[str]) -> None:
        self._rows = {(one.system, one.config, one.case): one for one in rows}
        self._cases = cases
        self._lines = [
            (system, config)
            for system in systems
            for config in CONFIGS
            if any((one.system, one.config) == (system, config) for one in rows)
        ]

    def tables(self) -> list[Table]:
        """Every table that has rows."""
        made = [self._loops(), self._recorded(), *self._money(), *self._storm(), *self._slow()]
        made += [self._configured(), self._what()]
        return [table for table in made if table.row_count]

    def print(self, console: Console) -> None:
        """The tables, as people read them."""
        for table in self.tables():
            console.print(table)

    def _of(self, family: Family) -> list[Case]:
        return [case for case in self._cases if case.family == family]

    def _loops(self) -> Table:
        """What a configuration lets through of the loops, beside what it takes away of the good runs."""
        loops, good = self._of("loop"), [case for case in self._of("good") if case.name != RECORDED]
        table = _table(
            "Loops: tool calls that reached the world, and the good runs that the same limits stop"
        )
        for name in ("system", "limits", *(case.name for case in loops), "$ of all", "s at most"):
            justify = "left" if name in ("system", "limits") else "right"
            table.add_column(name, justify=justify, no_wrap=name == "system")
        for case in good:
            table.add_column(case.name, justify="right")
        table.add_column("recorded good runs stopped", justify="right")
        for system, config in self._lines:
            rows = [self._rows.get((system, config, case.name)) for case in loops]
            known = [one for one in rows if one is not None]
            recorded = self._rows.get((system, config, RECORDED))
            goods = [self._rows.get((system, config, case.name)) for case in good]
            if not known and recorded is None and not any(goods):
                continue
            capped = any(one.capped for one in known)
            table.add_row(
                system,
                config,
                *("-" if one is None else calls_text(one) for one in rows),
                usd_text(sum(one.usd for one in known), capped=capped) if known else "-",
                f"{max(one.seconds for one in known):.1f}" if known else "-",
                *map(harm_text, goods),
                "-" if recorded is None else share_text(recorded.harmed, recorded.runs),
            )
        return table

    def _recorded(self) -> Table:
        """The same good runs, by recording, and how most of those that were stopped ended."""
        found = {line: self._rows[*line, RECORDED] for line in self._lines if (*line, RECORDED) in self._rows}
        names = list(dict.fromkeys(name for one in found.values() for name in one.sources))
        table = _table("Recorded good runs stopped, by recording")
        for name in ("system", "limits", *names, "most of them"):
            table.add_column(
                name, justify="left" if name in ("system", "limits", "most of them") else "right"
            )
        for (system, config), one in found.items():
            shares = [one.sources.get(name, (0, 0)) for name in names]
            ends = [how_text(replace(one, how=(how,))) for how in one.how if how[0] != ANSWERED]
            texts = [share_text(played - answered, played) for answered, played in shares]
            table.add_row(system, config, *texts, ends[0] if ends else "-")
        return table

    def _each(self, family: Family, columns: Sequence[tuple[str, Callable[[Row], str]]]) -> list[Table]:
        tables: list[Table] = []
        for case in self._of(family):
            table = _table(f"{case.name}: {case.what}")
            for name in ("system", "limits", *(name for name, _ in columns)):
                table.add_column(name, justify="left" if name in ("system", "limits", "ended") else "right")
            for system, config in self._lines:
                if (one := self._rows.get((system, config, case.name))) is not None:
                    table.add_row(system, config, *(show(one) for _, show in columns))
            tables.append(table)
        return tables

    def _money(self) -> list[Table]:
        return self._each(
            "overspend",
            (
                ("model calls", lambda one: f"{one.model_calls}"),
                ("$ by the server's count", lambda one: usd_text(one.usd, capped=bool(one.capped))),
                ("s", lambda one: f"{one.seconds:.1f}"),
                ("ended", how_text),
            ),
        )

    def _storm(self) -> list[Table]:
        return self._each(
            "storm",
            (
                ("model calls", lambda one: f"{one.model_calls}"),
                ("answered 503", lambda one: f"{one.failed_calls}"),
                ("calls / needed", lambda one: f"{one.model_calls / one.offered:.2f}x"),
                ("runs answered", lambda one: f"{one.answered}/{one.runs}"),
                ("s of the longest", lambda one: f"{one.seconds:.1f}"),
                ("ended", how_text),
            ),
        )

    def _slow(self) -> list[Table]:
        return self._each(
            "slow",
            (
                ("s until it stopped", lambda one: f"{one.seconds:.2f}"),
                ("tool calls", lambda one: f"{one.tool_calls}"),
                ("calls after its end", lambda one: f"{one.late_calls}"),
                ("ended", how_text),
            ),
        )

    def _configured(self) -> Table:
        table = _table("What was configured")
        for name in ("system", "limits", "in", "configured"):
            table.add_column(name, overflow="fold")
        families: tuple[Family, ...] = ("loop", "overspend", "storm", "slow", "good")
        for system, config in self._lines:
            words: dict[str, list[str]] = {}
            for family in families:
                found = (self._rows.get((system, config, case.name)) for case in self._of(family))
                text = next((one.configured for one in found if one is not None and one.configured), "")
                if text:
                    words.setdefault(text, []).append(family)
            for text, where in words.items():
                table.add_row(system, config, ", ".join(where), text)
        return table

    def _what(self) -> Table:
        table = _table("Cases")
        for name in ("case", "what"):
            table.add_column(name, overflow="fold")
        for case in self._cases:
            table.add_row(case.name, case.what)
        return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left")
