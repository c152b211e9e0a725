"""Draws the step tree of a run: who called whom, what it took, how it ended, what each guard returned."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.journals import BodyTexts
from seawall.cli.render import wording
from seawall.cli.render.formats import (
    UNLIMITED,
    chop_text,
    format_count,
    format_seconds,
    format_usd,
    replace_controls,
    shorten_text,
    wrap_text,
)
from seawall.core.events import PERFORMED, REQUESTED, StepDone
from seawall.history.record import RunRecord, StepRecord
from seawall.run.ledger import describe_usage_problem, is_at_bound

MIN_WIDTH = 24
"""The smallest number of columns for a step's own text, at any depth."""
MAX_ALIGNED_WIDTH = 400
"""Up to this width numbers are aligned to the right edge; in wider output they follow the text."""


class StepTree:
    """A run's steps as lines of at most `width` columns. With `full`, texts are wrapped instead of shortened."""

    def __init__(self, record: RunRecord, texts: BodyTexts, width: int, *, full: bool = False) -> None:
        self._record = record
        self._texts = texts
        self._width = width
        self._full = full
        self._segment = 1
        self._digits = len(str(max(record.steps, default=1)))
        done = [step.done for step in record.steps.values() if step.done is not None]
        self._with_usd = any(each.usd for each in done)

    def __repr__(self) -> str:
        return f"<StepTree {self._record!r} {self._width} columns>"

    def draw_lines(self) -> Iterator[Text]:
        """Yields the whole tree."""
        yield Text(self._record.started.agent, style="bold")
        yield from self._draw_frame(0, "")
        for event in self._record.planned:
            style = "yellow" if event.mode == "enforce" else "dim"
            yield from self._draw_text("  ", f"✂ {wording.format_pruning(event)}", style, whole=True)
        for judged in self._record.unmade:
            what = f"step {judged.step} was not made" if judged.step else "the run was stopped"
            text = f"■ {what}: {wording.format_verdict(judged)}"
            style = wording.VERDICT_STYLES.get(judged.verdict, "") if judged.mode == "enforce" else "dim"
            yield from self._draw_text("  ", text, style, whole=True)
            if judged.trace and self._full:
                yield from self._draw_text("  ", self._texts.get(judged.trace), "dim", whole=True)

    def _draw_frame(self, frame: int, guide: str) -> Iterator[Text]:
        steps = self._record.list_steps(frame)
        for step in steps:
            yield from self._draw_step(step, guide, last=step is steps[-1])

    def _draw_step(self, step: StepRecord, guide: str, *, last: bool) -> Iterator[Text]:
        if step.segment != self._segment:
            self._segment = step.segment
            yield Text(f"{guide}├╴{self._format_segment(step.segment)}", style="yellow")
        yield self._draw_first_line(step, f"{guide}{'└' if last else '├'} ")
        below = f"{guide}{'  ' if last else '│ '}"
        inner = below + " " * (self._digits + 3)
        for text, style, whole in self._list_details(step):
            yield from self._draw_text(inner, text, style, whole=whole)
        yield from self._draw_frame(step.number, below)

    def _format_segment(self, number: int) -> str:
        if number == 1:
            return "segment 1 again"
        taken = self._record.segments[number - 1].taken
        return f"segment {number}: taken up by {taken.owner}, {format_seconds(taken.left_s)} left"

    def _draw_first_line(self, step: StepRecord, guide: str) -> Text:
        sign, style = wording.get_mark(step, waits=step.intent.kind == "approval")
        line = Text(guide, style="dim")
        line.append(f"{sign} ", style=style)
        line.append(f"{step.number:>{self._digits}} ", style="dim")
        numbers = self._format_numbers(step)
        room = max(MIN_WIDTH, self._width - line.cell_len - len(numbers) - 1)
        text = "" if step.intent.kind == "model" else self._texts.get(step.intent.input)
        what = wording.format_step(step.intent, text, UNLIMITED if self._full else room)
        line.append(what, style="bold" if step.intent.kind in ("handoff", "review") else "")
        if numbers.strip():
            aligned = self._width < MAX_ALIGNED_WIDTH
            line.append(" " * max(1, self._width - line.cell_len - len(numbers)) if aligned else "  ")
            line.append(numbers, style="dim")
            line.rstrip()
        return line

    def _format_numbers(self, step: StepRecord) -> str:
        """Returns time, tokens and dollars, each in its own column."""
        done, kind = step.done, step.intent.kind
        if done is None or kind not in PERFORMED or not step.intent.perform:
            return ""
        tokens = done.input_tokens + done.output_tokens
        parts = [
            f"{'' if step.duration_s is None else format_seconds(step.duration_s):>8}",
            f"{format_count(tokens) + ' tok' if tokens else '':>9}",
        ]
        if self._with_usd:
            parts.append(f"{format_usd(done.usd) if done.usd else '':>9}")
        return "".join(parts)

    def _list_details(self, step: StepRecord) -> Iterator[tuple[str, str, bool]]:
        """Yields the texts below a step (text, style, whether it is shown whole): results, verdicts, what came later."""
        for text in wording.list_context(step):
            yield text, "dim", True
        if step.done is not None:
            yield from self._list_end(step, step.done)
        if step.intent.grant is not None:
            yield f"let pass by step {step.intent.grant}", "green", True
        for judged in step.judged:
            yield wording.format_verdict(judged), wording.get_verdict_style(judged), True
            if judged.note and self._full:
                yield self._texts.get(judged.note), "dim", True
            if judged.trace and self._full:
                yield self._texts.get(judged.trace), "dim", True
        if step.decision is not None:
            style = "green" if step.decision.approved else "red"
            yield wording.format_decision(step.decision), style, True
            if step.decision.approved and step.decision.edit is not None:
                edited = wording.format_arguments(self._texts.get(step.decision.edit))
                yield f"with other arguments: {edited}", style, True
        for moved in step.moved:
            yield f"the effect is {moved.state}: {self._texts.get(moved.receipt)}", "yellow", False
        if step.late is not None:
            text = f"late: a result ({step.late.status}) came after the end of this step and was dropped"
            yield f"{text}: {self._texts.get(step.late.output)}", "yellow", False

    def _list_end(self, step: StepRecord, done: StepDone) -> Iterator[tuple[str, str, bool]]:
        for text, style in self._list_result(step, done):
            yield text, style, False
        if done.trace and self._full:
            yield self._texts.get(done.trace), "dim", True
        if problem := describe_usage_problem(step.intent, done):
            yield f"usage: {problem}", "yellow", True
        if is_at_bound(step.intent, done) and step.intent.tokens:
            usd = f", {format_usd(step.intent.usd)}" if step.intent.usd else ""
            yield f"counts as spent at its upper bound: {step.intent.tokens:,} tokens{usd}", "yellow", True

    def _list_result(self, step: StepRecord, done: StepDone) -> Iterator[tuple[str, str]]:
        output = self._texts.get(done.output)
        kind = step.intent.kind
        shown_below = kind == "approval" or any(judged.reason == output for judged in step.judged)
        ending = wording.format_ending(done, "" if shown_below else output)
        if ending:
            yield ending, wording.MARKS[done.status][1]
        elif kind == "model":
            yield from self._list_reply(step, done, output)
        elif kind == "review":
            text = "approved" if done.approved else output or "rejected"
            yield text, "green" if done.approved else "yellow"
        elif kind in REQUESTED and output:
            yield f"= {output}", "dim"

    def _list_reply(self, step: StepRecord, done: StepDone, output: str) -> Iterator[tuple[str, str]]:
        """Yields a model's text, and its calls that were not made."""
        text = wording.extract_text(output).strip()
        if done.answer is not None and not text:
            text = self._texts.get(done.answer)
        if text:
            yield f"“{text}”", "dim"
        if done.problem is not None:
            yield f"not usable: {self._texts.get(done.problem)}", "yellow"
            return
        if done.answer is not None:
            return
        for call in done.calls:
            if not self._record.has_made(step.intent.frame, call.id):
                arguments = wording.format_arguments(self._texts.get(call.arguments))
                yield f"wants {call.name}({arguments}), which was not made", "yellow"

    def _draw_text(self, guide: str, text: str, style: str, *, whole: bool = False) -> Iterator[Text]:
        """Yields a text below its step: one line that says what was left out, or (`whole`) all of it."""
        room = max(MIN_WIDTH, self._width - len(guide))
        if whole and not self._full:
            lines = wrap_text(text, room)
        elif not self._full:
            lines = [shorten_text(text, room)]
        else:
            raw = replace_controls(text).splitlines() or [""]
            lines = [piece for line in raw for piece in chop_text(line, room)]
        for line in lines:
            yield Text(guide, style="dim") + Text(line, style=style)
