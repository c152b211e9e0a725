"""The step tree of a run: who called whom, what it took, how it ended, what each guard said."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.journals import Texts
from seawall.cli.render import formats, wording
from seawall.core.events import StepDone
from seawall.history.record import RunRecord, StepRecord

MIN_ROOM = 24
"""Columns that a step's own words have at least, however deep it is."""


class Tree:
    """A run's steps as lines of at most `width` columns. With `full`, texts are not shortened but wrapped."""

    def __init__(self, record: RunRecord, texts: Texts, width: int, *, full: bool = False) -> None:
        self._record = record
        self._texts = texts
        self._width = width
        self._full = full
        self._segment = 1
        self._digits = len(str(max(record.steps, default=1)))
        done = [step.done for step in record.steps.values() if step.done is not None]
        self._with_usd = any(each.usd for each in done)

    def __repr__(self) -> str:
        return f"<Tree {self._record!r} {self._width} columns>"

    def lines(self) -> Iterator[Text]:
        """The whole tree."""
        yield Text(self._record.started.agent, style="bold")
        yield from self._frame(0, "")
        for event in self._record.planned:
            style = "yellow" if event.mode == "enforce" else "dim"
            yield from self._wrapped("  ", f"✂ {wording.planned(event)}", style, whole=True)
        for judged in self._record.unmade:
            what = f"step {judged.step} was not made" if judged.step else "the run was stopped"
            style = wording.VERDICT_STYLES.get(judged.verdict, "") if judged.mode == "enforce" else "dim"
            yield from self._wrapped("  ", f"■ {what}: {wording.verdict(judged)}", style, whole=True)

    def _frame(self, frame: int, guide: str) -> Iterator[Text]:
        steps = self._record.children(frame)
        for step in steps:
            yield from self._step(step, guide, last=step is steps[-1])

    def _step(self, step: StepRecord, guide: str, *, last: bool) -> Iterator[Text]:
        if step.segment != self._segment:
            self._segment = step.segment
            yield Text(f"{guide}├╴{self._segment_words(step.segment)}", style="yellow")
        yield self._head(step, f"{guide}{'└' if last else '├'} ")
        below = f"{guide}{'  ' if last else '│ '}"
        inner = below + " " * (self._digits + 3)
        for text, style, whole in self._details(step):
            yield from self._wrapped(inner, text, style, whole=whole)
        yield from self._frame(step.number, below)

    def _segment_words(self, number: int) -> str:
        segment = self._record.segments[number - 1]
        if number == 1:
            return "segment 1 again"
        return f"segment {number}: taken up by {segment.taken.owner}, {formats.seconds(segment.taken.left_s)} left"

    def _head(self, step: StepRecord, guide: str) -> Text:
        waits = step.intent.kind == "approval"
        sign, style = wording.mark(step, waits=waits)
        line = Text(guide, style="dim")
        line.append(f"{sign} ", style=style)
        line.append(f"{step.number:>{self._digits}} ", style="dim")
        numbers = self._numbers(step)
        room = max(MIN_ROOM, self._width - line.cell_len - len(numbers) - 1)
        text = "" if step.intent.kind == "model" else self._texts.of(step.intent.input)
        what = wording.what(step.intent, text, 10**9 if self._full else room)
        line.append(what, style="bold" if step.intent.kind in ("handoff", "review") else "")
        if numbers.strip():
            line.append(
                " " * max(1, self._width - line.cell_len - len(numbers)) if self._width < 400 else "  "
            )
            line.append(numbers, style="dim")
            line.rstrip()
        return line

    def _numbers(self, step: StepRecord) -> str:
        """Time, tokens and dollars, each in a column of its own."""
        done, kind = step.done, step.intent.kind
        if done is None or kind not in ("model", "tool") or not step.intent.perform:
            return ""
        tokens = done.input_tokens + done.output_tokens
        parts = [
            f"{'' if step.duration_s is None else formats.seconds(step.duration_s):>8}",
            f"{formats.count(tokens) + ' tok' if tokens else '':>9}",
        ]
        if self._with_usd:
            parts.append(f"{formats.usd(done.usd) if done.usd else '':>9}")
        return "".join(parts)

    def _details(self, step: StepRecord) -> Iterator[tuple[str, str, bool]]:
        """What is told below a step (text, style, whether it is told whole): results, verdicts, what came later."""
        if step.done is not None:
            for text, style in self._result(step, step.done):
                yield text, style, False
        if step.intent.grant is not None:
            yield f"let pass by step {step.intent.grant}", "green", True
        for judged in step.judged:
            style = "dim" if judged.mode == "observe" else wording.VERDICT_STYLES.get(judged.verdict, "")
            yield wording.verdict(judged), style, True
            if judged.note and self._full:
                yield self._texts.of(judged.note), "dim", True
        if step.decision is not None:
            yield wording.decision(step.decision), "green" if step.decision.approved else "red", True
        for moved in step.moved:
            yield f"the effect is {moved.state}: {self._texts.of(moved.receipt)}", "yellow", False
        if step.late is not None:
            text = f"late: a result ({step.late.status}) came after the end of this step and was dropped"
            yield f"{text}: {self._texts.of(step.late.output)}", "yellow", False

    def _result(self, step: StepRecord, done: StepDone) -> Iterator[tuple[str, str]]:
        output = self._texts.of(done.output)
        kind = step.intent.kind
        known = kind == "approval" or any(judged.reason == output for judged in step.judged)  # told below
        ending = wording.ending(done, "" if known else output)
        if ending:
            yield ending, wording.MARKS[done.status][1]
        elif kind == "model":
            yield from self._reply(step, done, output)
        elif kind == "review":
            yield (
                ("approved" if done.approved else output or "rejected"),
                "green" if done.approved else "yellow",
            )
        elif kind in ("tool", "handoff") and output:
            yield f"= {output}", "dim"

    def _reply(self, step: StepRecord, done: StepDone, output: str) -> Iterator[tuple[str, str]]:
        said = wording.said(output).strip()
        if done.answer is not None and not said:
            said = self._texts.of(done.answer)
        if said:
            yield f"“{said}”", "dim"
        if done.problem is not None:
            yield f"no use: {self._texts.of(done.problem)}", "yellow"
            return
        if done.answer is not None:
            return
        made = {each.intent.call for each in self._record.children(step.intent.frame)}
        for call in done.calls:
            if call.id not in made:
                arguments = wording.arguments(self._texts.of(call.arguments))
                yield f"wants {call.name}({arguments}), which was not made", "yellow"

    def _wrapped(self, guide: str, text: str, style: str, *, whole: bool = False) -> Iterator[Text]:
        """A text below its step: one line that says what was left out, or (`whole`) all of it."""
        room = max(MIN_ROOM, self._width - len(guide))
        if whole and not self._full:
            lines = formats.wrapped(text, room)
        elif not self._full:
            lines = [formats.shortened(text, room)]
        else:
            raw = formats.visible(text).splitlines() or [""]
            lines = [line[at : at + room] for line in raw for at in range(0, max(1, len(line)), room)]
        for line in lines:
            yield Text(guide, style="dim") + Text(line, style=style)
