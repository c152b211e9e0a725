"""Progress of runs on stderr as it happens: one line for each step, and on a terminal one that moves."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from seawall.cli.journals import texts
from seawall.cli.render import formats, wording
from seawall.core.clock import SystemClock
from seawall.core.events import (
    CommandTaken,
    Event,
    GuardSet,
    Judged,
    Planned,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    StepLate,
    refs_of,
)
from seawall.history.record import RunRecord, StepRecord
from seawall.models.protocol import TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable

    from seawall.cli.render.screen import Screen
    from seawall.run.outcome import Outcome, Waiting
    from seawall.runtime.run import Run
    from seawall.runtime.seawall import Seawall

INDENTS = 6
"""Levels of hand-offs that are indented; deeper ones stand below each other."""
MAX_WIDTH = 160
"""Columns of a line of progress, however wide the terminal or the pipe is."""


class Progress:
    """What one run does, told line by line. `follow` it, and `finish` it once the run rests."""

    def __init__(
        self,
        sea: Seawall,
        run: Run,
        board: Board,
        on_text: Callable[[str], None] | None = None,
        *,
        told_before: int = 0,
    ) -> None:
        self.record: RunRecord | None = None
        self._sea = sea
        self._run = run
        self._board = board
        self._on_text = on_text
        self._inputs: dict[int, str] = {}
        self._told_before = told_before

    def __repr__(self) -> str:
        return f"<Progress {self._run.id} {self.record!r}>"

    async def follow(self) -> None:
        """Tell what happens until the run ends. Cancel it once the run rests."""
        async for event in self._run.events():
            if isinstance(event, TextDelta):
                if self._on_text is not None:
                    self._on_text(event.text)
            else:
                await self._tell(event)

    async def finish(self) -> None:
        """Tell what `follow` had not come to yet."""
        seen = -1 if self.record is None else self.record.events - 1
        for event in await self._sea.journal.events(self._run.id, after=seen):
            await self._tell(event)
        self._board.drop(self._run.id)

    async def _tell(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.record = RunRecord(event)
            behind = (
                event.session is not None
            )  # until a segment begins, it waits for the session's run before it
            self._board.status(self._run.id, "waits for its session's run before it" if behind else "begins")
            return
        told = self.record
        if told is None:
            return
        wanted = isinstance(event, StepIntended) and event.kind not in ("model", "review")
        wanted = wanted or (isinstance(event, StepDone) and event.status != "ok")
        found = (
            await texts(self._sea.journal, told.started.tenant, [event])
            if wanted and refs_of([event])
            else None
        )
        told.add(event)
        if isinstance(event, StepIntended):
            self._inputs[event.step] = found.of(event.input) if found is not None else ""
        line = self._line(
            told, event, found.of(event.output) if found and isinstance(event, StepDone) else ""
        )
        if line is not None and told.events > self._told_before:
            self._board.line(self._run.id, line)
        self._board.status(self._run.id, self._status(told))

    def _line(self, told: RunRecord, event: Event, output: str) -> Text | None:
        match event:
            case StepDone():
                step = told.steps.get(event.step)
                return None if step is None or step.done is not event else self._ended(told, step, output)
            case StepIntended(kind="handoff" | "approval"):
                style = "magenta" if event.kind == "approval" else "bold"
                return self._begun(told, event, style)
            case Judged():
                style = "dim" if event.mode == "observe" else wording.VERDICT_STYLES.get(event.verdict, "")
                step = told.steps.get(event.step)
                if step is not None and event.stage == "after" and step.done is None:
                    return None  # told with the step's end, which comes next
                below = "    " if step is None else self._below(step.intent)
                return Text(below + wording.verdict(event), style=style)
            case CommandTaken(command="decide") if event.step in told.steps:
                style = "green" if event.approved else "red"
                return Text(f"  step {event.step} {wording.decision(event)}", style=style)
            case RunTaken() if len(told.segments) > 1:
                left = formats.seconds(event.left_s)
                return Text(f"  goes on: segment {len(told.segments)}, {left} left", style="yellow")
            case GuardSet():
                return Text(f"    {event.guard} is set to {event.mode} by {event.by}", style="yellow")
            case Planned():
                return Text(
                    f"    {wording.planned(event)}", style="yellow" if event.mode == "enforce" else "dim"
                )
            case StepLate():
                return Text(
                    f"    a late result of step {event.step} was recorded and dropped", style="yellow"
                )
            case _:
                return None

    def _begun(self, told: RunRecord, intent: StepIntended, style: str) -> Text:
        mark = "‖" if intent.kind == "approval" else "→"
        return self._step_line(told, intent, mark, style, "")

    def _ended(self, told: RunRecord, step: StepRecord, output: str) -> Text | None:
        done = step.done
        assert done is not None
        if step.intent.kind == "approval" or (step.intent.kind == "handoff" and done.status == "ok"):
            return None  # the decision was told, or the hand-off's last answer
        mark, style = wording.mark(step, waits=False)
        tail: list[str] = []
        if step.intent.kind not in ("handoff", "review", "approval") and step.intent.perform:
            tail += [] if step.duration_s is None else [formats.seconds(step.duration_s)]
        if tokens := done.input_tokens + done.output_tokens:
            tail.append(f"{formats.count(tokens)} tokens")
        if done.usd:
            tail.append(formats.usd(done.usd))
        line = self._step_line(told, step.intent, mark, style, "  ".join(tail))
        if ending := wording.ending(done, output):
            line.append(f"\n{self._below(step.intent)}", style=style)
            line.append(formats.shortened(ending, max(40, self._board.width - 12)), style=style)
        for judged in step.judged:
            if judged.stage == "after":
                told_style = (
                    "dim" if judged.mode == "observe" else wording.VERDICT_STYLES.get(judged.verdict, "")
                )
                line.append(f"\n{self._below(step.intent)}{wording.verdict(judged)}", style=told_style)
        return line

    def _below(self, intent: StepIntended) -> str:
        """The indent of what is told below a step."""
        depth = intent.depth - (2 if intent.kind in ("handoff", "review") else 1)
        return "  " * (2 + max(0, min(depth, INDENTS)))

    def _step_line(self, told: RunRecord, intent: StepIntended, mark: str, style: str, tail: str) -> Text:
        line = Text(self._below(intent)[:-2])
        line.append(f"{mark} ", style=style)
        line.append(f"{intent.agent} ", style="bold")
        room = max(24, self._board.width - len(line) - len(tail) - 4)
        line.append(wording.what(intent, self._inputs.get(intent.step, ""), room))
        if tail:
            line.append(f"  {tail}", style="dim")
        return line

    def _status(self, told: RunRecord) -> str:
        """What is under way now, and what was spent."""
        under_way = [step.intent for step in told.open() if step.intent.kind in ("model", "tool")]
        if not under_way:
            return formats.many(len(told.steps), "step")
        first = under_way[0]
        more = f" and {len(under_way) - 1} more" if len(under_way) > 1 else ""
        now = wording.what(first, self._inputs.get(first.step, ""), 40)
        return f"{first.agent} {now}{more} · {formats.many(len(told.steps), 'step')}"


class Board:
    """Where the lines of one or several runs appear together."""

    def __init__(self, screen: Screen, *, moves: bool = True, prefix: bool = False) -> None:
        self._err = screen.err
        self._prefix = prefix
        self._states: dict[str, str] = {}
        self._clock = SystemClock()
        self._since = self._clock.monotonic_s()
        self._spinner = Spinner("dots", style="cyan")
        self._moves = moves and self._err.is_terminal and not self._err.is_dumb_terminal
        self._live = Live(
            get_renderable=self._moving, console=self._err, transient=True, refresh_per_second=10
        )

    def __repr__(self) -> str:
        return f"<Board {len(self._states)} runs>"

    @property
    def width(self) -> int:
        """Columns that a line has."""
        return min(self._err.width, MAX_WIDTH) - (9 if self._prefix else 0)

    def shown(self) -> AbstractContextManager[object]:
        """While this lasts, the moving line is there."""
        return self._live if self._moves else nullcontext()

    def line(self, run: str, line: Text) -> None:
        """A line that stays."""
        if self._prefix:
            line = Text(f"{run[-7:]}  ", style="dim") + line
        self._err.print(line, soft_wrap=True)

    def status(self, run: str, status: str) -> None:
        """What the run is at."""
        self._states[run] = status

    def drop(self, run: str) -> None:
        """The run rests."""
        self._states.pop(run, None)

    def _moving(self) -> RenderableType:
        states = list(self._states.values())
        if not states:
            return Text()
        several = f"{len(states)} runs · " if len(states) > 1 else ""
        since = formats.seconds(self._clock.monotonic_s() - self._since)
        text = formats.shortened(f"{since} · {several}{states[-1]}", self._err.width - 4)
        self._spinner.update(text=Text(text, style="dim"))
        return self._spinner


async def followed(
    sea: Seawall,
    run: Run,
    board: Board,
    on_text: Callable[[str], None] | None = None,
    *,
    told_before: int = 0,
) -> Outcome | Waiting:
    """The run's rest; of its first `told_before` events nothing is told. Its progress told meanwhile."""
    progress = Progress(sea, run, board, on_text, told_before=told_before)
    following = asyncio.ensure_future(progress.follow())
    try:
        rest = await run.rest()
    finally:
        following.cancel()
        await asyncio.wait([following])
        if not following.cancelled():
            following.exception()  # what broke it breaks `rest` too, or `finish` makes up for it
    await progress.finish()
    return rest
