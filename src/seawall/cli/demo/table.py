"""Draws the demo: a table on stdout that grows scene by scene, and progress on stderr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from seawall.cli.demo.report import SCRIPTED, DemoReport, SceneResult, format_dollars
from seawall.cli.demo.results import DemoMode, ModeResult
from seawall.cli.demo.runner import Watcher
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import get_number
from seawall.cli.demo.world import ORDERS, World
from seawall.cli.render.formats import format_number
from seawall.cli.render.screen import choose_spinner, fit_text, is_width_known
from seawall.cli.render.table import wrap_line
from seawall.core.clock import Clock

WIDEST = 120
PIPED = 100
"""Columns when the output is not a terminal and no variable gives them."""
WITH_IDS = 100
"""From this width on, rows end with their run's id."""

_INDENT = "     "
_FIGURES_WIDTH = 41
"""Columns of a row without its bar, its outcome and its id."""
_OUTCOME_WIDTH = 25
_ID_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_STYLE: dict[DemoMode, str] = {"observe": "yellow", "enforce": "cyan"}
OPENING = (
    "An order desk: desk plans, clerk looks up, cashier pays, auditor reviews.",
    "{who}",
    "Each request is made twice: where guards only observe, and where they enforce.",
    f"A bar shows the calls that reached the world; a full bar is {ORDERS} calls.",
)
SCRIPTS_PLAY = "Scripts play them and misbehave; orders, journal and kill -9 are real."


class DemoTable:
    """Prints to one console, in ASCII if its encoding has nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, WIDEST) if is_width_known(console) else PIPED
        self._id_width = _ID_WIDTH if self._width >= WITH_IDS else 0
        self._bar_width = max(6, min(32, self._width - _FIGURES_WIDTH - _OUTCOME_WIDTH - self._id_width))

    def print_opening(self, who: str) -> None:
        """Prints what is about to be played, and the head of the table."""
        self._print()
        self._print(Text("  Seawall demo", "bold"))
        for line in OPENING:
            self._print_words(line.format(who=who), "  ")
        self._print()
        before = len(_INDENT) + 9 + self._bar_width
        self._print(Text(f"{'calls to':>{before + 5}}{'model':>10}", "dim"))
        scale = f"{'':<{len(_INDENT) + 9}}0{ORDERS:>{self._bar_width - 2}} "
        head = f"{scale}{'world':>5}{'cost':>10}{'time':>9}   {'outcome':<{_OUTCOME_WIDTH}}"
        self._print(Text((head + ("run" if self._id_width else "")).rstrip(), "dim"))
        self._print_rule()

    def print_scene(self, result: SceneResult) -> None:
        """Prints one scene in both modes."""
        by = "" if result.played_by == SCRIPTED else f"  (played by {result.played_by})"
        self._print(Text.assemble(f"{result.number:>3}  ", (result.title, "bold"), (by, "magenta")))
        self._print_words(result.story, _INDENT)
        for mode in (result.observe, result.enforce):
            self._print_mode(mode)
        if result.ok:
            self._print_words(result.lesson, _INDENT, ("✓ ", "bold green"), "")
        for claim in result.claims:
            if not claim.holds:
                self._print_words(f"not as claimed: {claim.text}", _INDENT, ("✗ ", "bold red"), "red")
        self._print_command(result.command, _INDENT, "dim")
        self._print()

    def print_closing(self, report: DemoReport, note: str, more: str = "") -> None:
        """Prints what was prevented, which scenes are left, where the runs are, and what to try next."""
        self._print_rule()
        self._print_words(report.saved, "  ", style="bold")
        off = [result.name for result in report.scenes if not result.ok]
        if off:
            self._print_words(f"Not as claimed: {', '.join(off)}.", "  ", style="bold red")
        self._print()
        checked = sum(len(result.claims) for result in report.scenes)
        self._print_words(f"{checked} claims checked, {report.seconds:.1f} s in all. {note}", "  ")
        if more:
            self._print_words(more, "  ")
        self._print_words("Everything is kept. Look closer:", "  ")
        self._print()
        for command in report.next:
            self._print_command(command, "    ", "green")
        self._print()

    def _print_mode(self, result: ModeResult) -> None:
        row = Text(_INDENT)
        row.append(f"{result.mode:<9}")
        row.append(self._draw_bar(result.calls), _STYLE[result.mode])
        row.append(f"{result.calls:>5}{format_dollars(result.cost):>10}{result.seconds:>7.2f} s   ")
        row.append(f"{format_outcome(result):<{_OUTCOME_WIDTH}}", _get_outcome_style(result))
        if self._id_width:
            row.append(result.run, "dim")
        row.rstrip()
        self._print(row)

    def _draw_bar(self, calls: int) -> str:
        """Returns a bar. All bars have one scale: the most calls that any scene can make fill it."""
        share = min(calls, ORDERS) / ORDERS
        eighths = max(1, round(share * self._bar_width * 8)) if calls else 0
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        return f"{bar:<{self._bar_width}}"

    def _print_words(
        self, text: str, indent: str, mark: tuple[str, str] = ("", ""), style: str = "dim"
    ) -> None:
        sign, sign_style = mark
        lines = wrap(
            text, self._width - 2 - len(indent) - len(sign), break_long_words=False, break_on_hyphens=False
        )
        for index, line in enumerate(lines):
            lead = Text(sign, sign_style) if index == 0 else Text(" " * len(sign))
            self._print(Text.assemble(indent, lead, (line, style)))

    def _print_rule(self) -> None:
        self._print(Text("  " + "─" * (self._width - 4), "dim"))

    def _print(self, text: Text | None = None) -> None:
        for part in wrap_line(fit_text(text or Text(), self._console), self._width):
            self._console.print(part, soft_wrap=True)

    def _print_command(self, command: str, indent: str, style: str) -> None:
        """Prints a command in one line, so that it can be copied."""
        self._console.print(fit_text(Text(f"{indent}{command}", style), self._console), soft_wrap=True)


def format_outcome(result: ModeResult) -> str:
    """Returns how a run ended, in a few words; of several runs how many ended in each way."""
    if result.runs == 1:
        return next(iter(result.ends))
    ends = Counter[str]()
    for end, count in result.ends.items():
        ends[end.partition(" by ")[0].partition(",")[0]] += count
    return ", ".join(f"{count} {end}" for end, count in ends.most_common())


def _get_outcome_style(result: ModeResult) -> str:
    if result.state == "waiting":
        return "magenta"
    if result.state == "halted":
        return "bold cyan"
    return "" if result.state == "completed" else "red"


class SceneProgress:
    """Shows on stderr which scene is played: a line that changes on a terminal, else one line for each scene."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def show(self, scene: Scene) -> Generator[Watcher, None, None]:
        """Shows one scene while the context lasts, and yields a watcher that shows how far its worlds are."""
        what = f"{get_number(scene.name):>3}  {scene.name}"
        if not self._console.is_terminal:
            self._console.print(what, soft_wrap=True)
            yield _ignore_worlds
            return
        started = self._clock.monotonic_s()
        with self._console.status(f"[dim]{what}[/]", spinner=choose_spinner(self._console)) as status:

            def watch(worlds: Sequence[World]) -> None:
                elapsed = self._clock.monotonic_s() - started
                reached = format_number(sum(world.count_calls() for world in worlds), "call")
                status.update(f"[dim]{what}: {reached} reached the world, {elapsed:.1f} s[/]")

            yield watch


def _ignore_worlds(worlds: Sequence[World]) -> None:
    """Shows nothing, because the output is not a terminal."""
