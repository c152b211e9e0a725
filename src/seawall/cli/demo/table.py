"""How the demo looks: a table on stdout that grows scene by scene, and progress on stderr."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from seawall.cli.demo.report import Report, Result, dollars
from seawall.cli.demo.stage import Watcher
from seawall.cli.demo.take import Guarded, Take
from seawall.cli.demo.world import ORDERS, World
from seawall.cli.render.formats import format_number
from seawall.core.clock import Clock

WIDEST = 120
PIPED = 100
"""Columns where nobody says how many there are."""
WITH_IDS = 100
"""From this width on, rows end with their run's id."""

_INDENT = "     "
_FIGURES = 41
"""What a row takes beside its bar, its outcome and its id."""
_OUTCOME = 24
_ID = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_STYLE: dict[Guarded, str] = {"observe": "yellow", "enforce": "cyan"}
_ASCII = str.maketrans(
    {"─": "-", "█": "#", "✓": "+", "✗": "x", "–": "-", "…": "."} | dict.fromkeys("▏▎▍▌▋▊▉", "#")
)

OPENING = (
    "An order desk: desk plans, clerk looks up, cashier pays, auditor reviews.",
    "{who}",
    "Each request is made twice at once: where guards only observe, and where they enforce.",
)
SCRIPTED = "Scripts play them and misbehave; orders, journal and kill -9 are real."


class Table:
    """Prints to one console; falls back to ASCII where that is all it can show."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = console.options.ascii_only
        known = console.is_terminal or "COLUMNS" in os.environ
        self._width = min(console.width, WIDEST) if known else PIPED
        self._ids = _ID if self._width >= WITH_IDS else 0
        self._bar = max(6, min(32, self._width - _FIGURES - _OUTCOME - self._ids))

    def opening(self, who: str) -> None:
        """What is about to be seen, and the head of the table."""
        self._line()
        self._line(Text("  Seawall demo", "bold"))
        for line in OPENING:
            self._words(line.format(who=who), "  ")
        self._line()
        before = len(_INDENT) + 9 + self._bar
        self._line(Text(f"{'calls to':>{before + 5}}{'model':>10}", "dim"))
        head = f"{'the world':>{before + 5}}{'cost':>10}{'time':>9}   {'outcome':<{_OUTCOME}}"
        self._line(Text((head + ("run" if self._ids else "")).rstrip(), "dim"))
        self._line(Text("  " + "─" * (self._width - 4), "dim"))

    def scene(self, number: int, result: Result) -> None:
        """One scene, both ways."""
        by = "" if result.played_by == "scripted" else f"  (played by {result.played_by})"
        self._line(Text.assemble(f"  {number}  ", (result.title, "bold"), (by, "magenta")))
        self._words(result.story, _INDENT)
        for take in (result.observe, result.enforce):
            self._take(take)
        if result.ok:
            self._words(result.lesson, _INDENT, ("✓ ", "bold green"), "")
        for claim in result.claims:
            if not claim.holds:
                self._words(f"not as claimed: {claim.text}", _INDENT, ("✗ ", "bold red"), "red")
        self._line(Text(f"{_INDENT}{result.command}", "dim"))
        self._line()

    def closing(self, report: Report, note: str) -> None:
        """What was saved, where it lies, and what to try next."""
        self._line(Text("  " + "─" * (self._width - 4), "dim"))
        self._words(report.saved, "  ", style="bold")
        off = [result.name for result in report.scenes if not result.ok]
        if off:
            self._words(f"Not as claimed: {', '.join(off)}.", "  ", style="bold red")
        self._line()
        checked = sum(len(result.claims) for result in report.scenes)
        self._words(f"{checked} claims checked, {report.seconds:.1f} s in all. {note}", "  ")
        self._words("Everything is kept. Look closer:", "  ")
        self._line()
        for command in report.next:
            self._line(Text(f"    {command}", "green"))
        self._line()

    def _take(self, take: Take) -> None:
        style = _STYLE[take.mode]
        row = Text(_INDENT)
        row.append(f"{take.mode:<9}")
        row.append(self._bar_of(take.calls), style)
        row.append(f"{take.calls:>5}{dollars(take.cost):>10}{take.seconds:>7.2f} s   ")
        row.append(f"{outcome(take):<{_OUTCOME}}", _outcome_style(take))
        if self._ids:
            row.append(take.run, "dim")
        row.rstrip()
        self._line(row)

    def _bar_of(self, calls: int) -> str:
        """All bars have one scale: the most calls that any scene can make fill it."""
        eighths = max(1, round(min(calls, ORDERS) / ORDERS * self._bar * 8)) if calls else 0
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        return f"{bar:<{self._bar}}"

    def _words(self, text: str, indent: str, mark: tuple[str, str] = ("", ""), style: str = "dim") -> None:
        sign, sign_style = mark
        lines = wrap(
            text, self._width - 2 - len(indent) - len(sign), break_long_words=False, break_on_hyphens=False
        )
        for index, line in enumerate(lines):
            lead = Text(sign, sign_style) if index == 0 else Text(" " * len(sign))
            self._line(Text.assemble(indent, lead, (line, style)))

    def _line(self, text: Text | None = None) -> None:
        text = text or Text()
        if self._ascii:
            text.plain = text.plain.translate(_ASCII)
        self._console.print(text, soft_wrap=True)


def outcome(take: Take) -> str:
    """How a take ended, in a few words; of several runs how each did."""
    if take.runs == 1:
        return next(iter(take.ends))
    ends = Counter[str]()
    for end, count in take.ends.items():
        ends[end.partition(" by ")[0].partition(",")[0]] += count
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


def _outcome_style(take: Take) -> str:
    if take.state == "waiting":
        return "magenta"
    if take.state == "halted":
        return "bold cyan"
    return "" if take.state == "completed" else "red"


class Progress:
    """What is being played, on stderr: a line that changes on a terminal, else one line a scene."""

    def __init__(self, console: Console, clock: Clock, scenes: int) -> None:
        self._console = console
        self._clock = clock
        self._scenes = scenes
        self._played = 0

    @contextmanager
    def scene(self, scene: str) -> Generator[Watcher, None, None]:
        """While one scene is played; what it gives is told how far its worlds are."""
        self._played += 1
        what = f"{self._played}/{self._scenes}  {scene}"
        if not self._console.is_terminal:
            self._console.print(what, soft_wrap=True)
            yield _unwatched
            return
        started = self._clock.monotonic_s()
        with self._console.status(
            f"[dim]{what}[/]", spinner="line" if self._console.options.ascii_only else "dots"
        ) as status:

            def watch(worlds: Sequence[World]) -> None:
                elapsed = self._clock.monotonic_s() - started
                reached = format_number(sum(world.calls() for world in worlds), "call")
                status.update(f"[dim]{what}: {reached} reached the world, {elapsed:.1f} s[/]")

            yield watch


def _unwatched(worlds: Sequence[World]) -> None:
    """Nobody looks."""
