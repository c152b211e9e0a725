"""Draws runs on stderr as they happen: a line for each step, and on a terminal a last line that moves."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from seawall.cli.journals import read_texts
from seawall.cli.render import wording
from seawall.cli.render.formats import (
    format_count,
    format_number,
    format_seconds,
    format_usd,
    shorten_text,
)
from seawall.cli.render.screen import choose_spinner, fit_text, is_width_known
from seawall.cli.render.table import wrap_line
from seawall.core.clock import SystemClock
from seawall.core.events import (
    PERFORMED,
    CommandTaken,
    Event,
    GuardSet,
    Judged,
    LimitsRaised,
    Planned,
    RunStarted,
    RunTaken,
    StepDeferred,
    StepDone,
    StepIntended,
    StepLate,
)
from seawall.core.refs import refs_of
from seawall.history.record import RunRecord, StepRecord
from seawall.models.protocol import TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from seawall.cli.render.screen import Screen
    from seawall.run.outcome import Outcome, Waiting
    from seawall.runtime.run import Run
    from seawall.runtime.seawall import Seawall

MAX_INDENTS = 6
"""How many levels of hand-offs are indented; deeper levels have the same indent."""
MAX_WIDTH = 160
"""The most columns of a line of progress, even if the terminal or the pipe is wider."""


def _describe_setting(record: RunRecord, event: LimitsRaised | GuardSet) -> str:
    """Returns what a person has changed for the run while it was under way."""
    if isinstance(event, GuardSet):
        return f"    {event.guard} is set to {event.mode} by {event.by}"
    return f"  goes on with other limits: {wording.format_raise(record.raised[-1][0], event)}"


def _describe_late(event: StepLate) -> str:
    return f"a late result of step {event.step} was recorded and dropped"


async def follow_run(
    sea: Seawall,
    run: Run,
    display: ProgressDisplay,
    on_text: Callable[[str], None] | None = None,
    *,
    shown_before: int = 0,
) -> Outcome | Waiting:
    """Shows a run's progress until it ends or waits, and returns its `Outcome` or `Waiting`.

    The run's first `shown_before` events are not shown.
    """
    progress = RunProgress(sea, run, display, on_text, shown_before=shown_before)
    following = asyncio.ensure_future(progress.follow())
    try:
        rest = await run.rest()
    finally:
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()  # `rest` raises the same error, or `finish` shows the missed events
    await progress.finish()
    return rest


class ProgressDisplay:
    """Shows the lines of one or several runs together. `prefix` puts the end of the run's id before each line."""

    def __init__(self, screen: Screen, *, moves: bool = True, prefix: bool = False) -> None:
        self._err = screen.err
        self._prefix = prefix
        self._states: dict[str, str] = {}
        self._clock = SystemClock()
        self._since = self._clock.monotonic_s()
        self._spinner = Spinner(choose_spinner(self._err), style="cyan")
        self._moves = moves and self._err.is_terminal and not self._err.is_dumb_terminal
        self._live = Live(
            get_renderable=self._draw_moving_line, console=self._err, transient=True, refresh_per_second=10
        )

    def __repr__(self) -> str:
        return f"<ProgressDisplay of {len(self._states)} runs>"

    @property
    def width(self) -> int:
        """Columns of a line."""
        return min(self._err.width, MAX_WIDTH) - (9 if self._prefix else 0)

    def show(self) -> AbstractContextManager[object]:
        """Shows the moving line as long as the context lasts."""
        return self._live if self._moves else nullcontext()

    def print_line(self, run: str, line: Text) -> None:
        """Prints a line that stays."""
        prefix = Text(f"{run[-7:]}  " if self._prefix else "", style="dim")
        for part in line.split("\n"):
            fitted = fit_text(prefix + part, self._err)
            for each in wrap_line(fitted, self._err.width) if is_width_known(self._err) else [fitted]:
                self._err.print(each, soft_wrap=True)

    def set_state(self, run: str, state: str) -> None:
        """Sets what the moving line shows of a run."""
        self._states[run] = state

    def remove(self, run: str) -> None:
        """Takes a run that has ended or waits off the moving line."""
        self._states.pop(run, None)

    def _draw_moving_line(self) -> RenderableType:
        states = list(self._states.values())
        if not states:
            return Text()
        several = f"{len(states)} runs · " if len(states) > 1 else ""
        since = format_seconds(self._clock.monotonic_s() - self._since)
        text = shorten_text(f"{since} · {several}{states[-1]}", self._err.width - 4)
        self._spinner.update(text=Text(text, style="dim"))
        return self._spinner


class RunProgress:
    """Shows what one run does, line by line. `follow` it, and `finish` it once the run ends or waits."""

    def __init__(
        self,
        sea: Seawall,
        run: Run,
        display: ProgressDisplay,
        on_text: Callable[[str], None] | None = None,
        *,
        shown_before: int = 0,
    ) -> None:
        self.record: RunRecord | None = None
        self._sea = sea
        self._run = run
        self._display = display
        self._on_text = on_text
        self._inputs: dict[int, str] = {}
        self._shown_before = shown_before

    def __repr__(self) -> str:
        return f"<RunProgress {self._run.id} {self.record!r}>"

    async def follow(self) -> None:
        """Shows what happens until the run ends. Cancel it once the run waits."""
        async for event in self._run.events():
            if isinstance(event, TextDelta):
                if self._on_text is not None:
                    self._on_text(event.text)
            else:
                await self._show(event)

    async def finish(self) -> None:
        """Shows the events that `follow` has not shown."""
        seen = -1 if self.record is None else self.record.events - 1
        for event in await self._sea.journal.events(self._run.id, after=seen):
            await self._show(event)
        self._display.remove(self._run.id)

    async def _show(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.record = RunRecord(event)
            # A run in a session waits for the run before it, until its first segment begins.
            queued = event.session is not None
            state = "waits for its session's run before it" if queued else "begins"
            self._display.set_state(self._run.id, state)
            return
        record = self.record
        if record is None:
            return
        wanted = isinstance(event, StepIntended) and event.kind not in ("model", "review")
        wanted = wanted or (isinstance(event, StepDone) and event.status != "ok")
        texts = None
        if wanted and refs_of([event]):
            texts = await read_texts(self._sea.journal, record.started.tenant, [event])
        record.add(event)
        if isinstance(event, StepIntended):
            self._inputs[event.step] = texts.get(event.input) if texts is not None else ""
        output = texts.get(event.output) if texts is not None and isinstance(event, StepDone) else ""
        line = self._draw_event(record, event, output)
        if line is not None and record.events > self._shown_before:
            self._display.print_line(self._run.id, line)
        self._display.set_state(self._run.id, self._format_state(record))

    def _draw_event(self, record: RunRecord, event: Event, output: str) -> Text | None:
        match event:
            case StepDone():
                step = record.steps.get(event.step)
                if step is None or step.done is not event:
                    return None
                return self._draw_end(step, output)
            case StepIntended(kind="handoff"):
                return self._draw_step(event, "→", "bold")
            case StepIntended(kind="approval"):
                return self._draw_step(event, "‖", "magenta")
            case Judged():
                step = record.steps.get(event.step)
                if step is not None and event.stage == "after" and step.done is None:
                    return None  # shown with the step's end, which comes next
                indent = "    " if step is None else self._indent_below(step.intent)
                text = indent + wording.format_verdict(event)
                return Text(text, style=wording.get_verdict_style(event))
            case CommandTaken(command="decide") if event.step in record.steps:
                style = "green" if event.approved else "red"
                return Text(f"  step {event.step} {wording.format_decision(event)}", style=style)
            case RunTaken() if len(record.segments) > 1:
                left = format_seconds(event.left_s)
                return Text(f"  goes on: segment {len(record.segments)}, {left} left", style="yellow")
            case LimitsRaised() | GuardSet():
                return Text(_describe_setting(record, event), style="yellow")
            case Planned():
                style = "yellow" if event.mode == "enforce" else "dim"
                return Text(f"    {wording.format_pruning(event)}", style=style)
            case StepDeferred() | StepLate():
                text = f"    {wording.format_deferred(event) if isinstance(event, StepDeferred) else _describe_late(event)}"
                return Text(text, style="yellow")
            case _:
                return None

    def _draw_end(self, step: StepRecord, output: str) -> Text | None:
        done, intent = step.done, step.intent
        assert done is not None
        if intent.kind == "approval" or (intent.kind == "handoff" and done.status == "ok"):
            return None  # the decision was shown already, or the last answer of the hand-off
        mark, style = wording.get_mark(step, waits=False)
        figures: list[str] = []
        if intent.kind not in ("handoff", "review") and intent.perform and step.duration_s is not None:
            figures.append(format_seconds(step.duration_s))
        if tokens := done.input_tokens + done.output_tokens:
            figures.append(f"{format_count(tokens)} tokens")
        if done.usd:
            figures.append(format_usd(done.usd))
        line = self._draw_step(intent, mark, style, "  ".join(figures))
        indent = self._indent_below(intent)
        if ending := wording.format_ending(done, output):
            line.append(f"\n{indent}", style=style)
            line.append(shorten_text(ending, max(40, self._display.width - 12)), style=style)
        for judged in step.judged:
            if judged.stage == "after":
                verdict = f"\n{indent}{wording.format_verdict(judged)}"
                line.append(verdict, style=wording.get_verdict_style(judged))
        return line

    def _draw_step(self, intent: StepIntended, mark: str, style: str, figures: str = "") -> Text:
        line = Text(self._indent_below(intent)[:-2])
        line.append(f"{mark} ", style=style)
        line.append(f"{intent.agent} ", style="bold")
        room = max(24, self._display.width - len(line) - len(figures) - 4)
        line.append(wording.format_step(intent, self._inputs.get(intent.step, ""), room))
        if figures:
            line.append(f"  {figures}", style="dim")
        return line

    def _indent_below(self, intent: StepIntended) -> str:
        """Returns the indent of lines below a step."""
        depth = intent.depth - (2 if intent.kind in ("handoff", "review") else 1)
        return "  " * (2 + max(0, min(depth, MAX_INDENTS)))

    def _format_state(self, record: RunRecord) -> str:
        """Returns what is in flight now, and how many steps there were."""
        steps = format_number(len(record.steps), "step")
        in_flight = [step.intent for step in record.list_open_steps() if step.intent.kind in PERFORMED]
        if not in_flight:
            return steps
        first = in_flight[0]
        more = f" and {len(in_flight) - 1} more" if len(in_flight) > 1 else ""
        now = wording.format_step(first, self._inputs.get(first.step, ""), 40)
        return f"{first.agent} {now}{more} · {steps}"
