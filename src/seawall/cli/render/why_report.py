"""Draws `seawall why`: what stopped a run, and the way back from its outcome along recorded causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from seawall.cli.journals import BodyTexts
from seawall.cli.render import wording
from seawall.cli.render.formats import (
    UNLIMITED,
    format_count,
    format_number,
    format_seconds,
    format_usd,
    shorten_text,
)
from seawall.cli.render.table import draw_field
from seawall.core.frozen import EMPTY
from seawall.history.record import RunRecord, StepRecord
from seawall.history.why import REQUEST, SPENDERS, CauseLink, Explanation
from seawall.journal.protocol import RunRow
from seawall.run.outcome import Waiting
from seawall.run.waste import Wasted, WasteKind

SHOWN_STEPS = 20
"""How many steps of the way are shown without `--full`: a screen. The others are counted."""
SHOWN_LAST = 4
"""How many of these are the steps at the end of the way."""


class WhyReport:
    """An `Explanation` as lines of at most `width` columns."""

    def __init__(
        self,
        why: Explanation,
        row: RunRow,
        record: RunRecord,
        texts: BodyTexts,
        width: int,
        *,
        waits: Sequence[Waiting] = (),
        next_steps: Sequence[str] = (),
        wasted: Mapping[WasteKind, Wasted] = EMPTY,
        full: bool = False,
    ) -> None:
        self._why = why
        self._row = row
        self._record = record
        self._texts = texts
        self._width = width
        self._waits = waits
        self._next = next_steps
        self._wasted = wasted
        self._full = full
        self._digits = len(str(max(record.steps, default=1)))

    def __repr__(self) -> str:
        return f"<WhyReport of {self._why.run}>"

    def draw_lines(self) -> Iterator[Text]:
        """Yields the whole report."""
        why = self._why
        status = wording.format_status(self._row)
        title = Text(why.run, style="bold")
        title.append("  ")
        title.append(status, style=wording.STATUS_STYLES.get(status, ""))
        if why.stopped_by is not None and (by := wording.format_stopped_by(why.stopped_by.guard)):
            title.append(f" by {by}")
        yield title
        yield from self._draw_fields()
        yield Text()
        yield from self._draw_way()
        yield self._draw_first_cause()

    # ---- what is known of the outcome

    def _draw_fields(self) -> Iterator[Text]:
        why, ended = self._why, self._record.ended
        if ended is not None and ended.answer is not None:
            yield from self._draw_field("answer", self._texts.get(ended.answer), "", lines=6)
        yield from self._draw_waits()
        if why.unsourced:
            literals = ", ".join(why.unsourced)
            text = f"{literals}: in no result and not in the request"
            yield from self._draw_field("unsourced", text, "yellow")
        if why.stopped_by is not None:
            yield from self._draw_field("stopped", why.stopped_by.reason, "red")
        for each in why.refusals:
            text = f"step {each.step}: {wording.format_verdict(each)}"
            yield from self._draw_field("authority", text, "yellow", lines=3)
        for event in self._record.planned:
            yield from self._draw_field("pruned", wording.format_pruning(event), "yellow", lines=3)
        for number in why.given_up:
            yield from self._draw_field("given up", self._format_given_up(number), "yellow", lines=3)
        if why.error and (why.stopped_by is None or why.error != why.stopped_by.reason):
            yield from self._draw_field("error", why.error, "red", lines=4)
        for wanted in why.wanted:
            arguments = wording.format_arguments(self._texts.get(wanted.call.arguments))
            call = f"{wanted.call.name}({arguments})"
            text = f"{call}, which {wanted.agent} asked for in step {wanted.step}"
            yield from self._draw_field("not made", text, "yellow", lines=3)
        yield from self._draw_repeats()
        verdicts = [each for each in why.verdicts if each.step in self._record.steps]
        if verdicts:
            steps = ", ".join(f"{each.verdict} at {each.step}" for each in verdicts)
            yield from self._draw_field("before", f"{verdicts[0].guard} said: {steps}", "", lines=3)
        if self._wasted:
            yield from self._draw_field("wasted", wording.format_wasted(self._wasted), "yellow")
        yield from self._draw_spenders()

    def _draw_waits(self) -> Iterator[Text]:
        """Yields what the run waits for, and what a person does next."""
        for each in self._waits:
            question = wording.format_question(each, UNLIMITED if self._full else 2 * self._width)
            yield from self._draw_field("waits", f"{wording.format_waiting_for(each)}: {question}", "magenta")
        for how in self._next:
            yield from self._draw_field("next", how, "yellow")

    def _draw_repeats(self) -> Iterator[Text]:
        for repeat in self._why.repeats:
            call = f"{repeat.name}({wording.format_arguments(self._texts.get(repeat.input))})"
            steps = ", ".join(map(str, repeat.steps))
            text = f"{len(repeat.steps)} times {call}, in steps {steps}"
            yield from self._draw_field("repeated", text, "yellow", lines=3)
            output = self._texts.get(repeat.output).removeprefix("Error: ")
            yield from self._draw_field("", f"= {output}", "dim", lines=2)

    def _draw_spenders(self) -> Iterator[Text]:
        spenders = self._why.spent
        for spent in spenders[: None if self._full else SPENDERS]:
            took = f"{format_number(spent.calls, 'call')}, {format_seconds(spent.duration_s)}"
            tokens = f", {format_count(spent.tokens)} tokens" if spent.tokens else ""
            usd = f", {format_usd(spent.usd)}" if spent.usd else ""
            yield from self._draw_field("used", f"{spent.agent} {spent.name}: {took}{tokens}{usd}", "")
        if len(spenders) > SPENDERS and not self._full:
            yield from self._draw_field("", f"and {len(spenders) - SPENDERS} more (--full)", "dim")

    def _format_given_up(self, number: int) -> str:
        step = self._record.steps[number]
        after = "" if step.duration_s is None else f", after {format_seconds(step.duration_s)}"
        return f"step {number}, {step.intent.kind} {step.intent.name} of {step.intent.agent}{after}"

    def _draw_field(self, label: str, text: str, style: str, *, lines: int | None = None) -> Iterator[Text]:
        return draw_field(label, text, style, self._width, lines=None if self._full else lines)

    # ---- the way back

    def _draw_way(self) -> Iterator[Text]:
        why = self._why
        by_step: dict[int | None, list[CauseLink]] = {}
        for link in why.links:
            by_step.setdefault(link.step, []).append(link)
        numbers = {link.step for link in why.links} | {link.cause for link in why.links if not link.wrote}
        steps = sorted((each for each in {*numbers, *why.starts} if each is not None), reverse=True)
        yield Text("back along the recorded causes, newest first", style="dim")
        if not why.starts:
            yield from self._draw_outcome(by_step.get(None, []))
        first_part = SHOWN_STEPS - SHOWN_LAST
        whole = self._full or len(steps) <= SHOWN_STEPS
        shown = steps if whole else [*steps[:first_part], *steps[-SHOWN_LAST:]]
        left_out = len(steps) - len(shown)
        for index, number in enumerate(shown):
            if left_out and index == first_part:
                between = f"… {format_number(left_out, 'step')} between, --full shows them"
                yield Text(f"{'':>{self._digits}}  {between}", style="dim")
            yield from self._draw_step(number, by_step.get(number, []))

    def _draw_outcome(self, links: list[CauseLink]) -> Iterator[Text]:
        """Yields what the outcome rests on, and whether the planner made it in the team's place."""
        if not self._record.steps and self._record.ended is not None:
            stopped = self._why.stopped_by
            by = "" if stopped is None else f": {stopped.guard} stopped the run before its first step"
            yield Text("outcome ").append(f"← no step was made{by}", style="cyan")
            return
        yield self._append_causes(Text("outcome"), links)
        planned = [each for each in self._record.planned if each.mode == "enforce"]
        replaced = [each for each in planned if each.action in ("fallback", "partial")]
        if replaced and replaced[-1].action == "partial":
            yield Text("        the planner made the answer of these, in the team's place", style="yellow")
        elif replaced:
            text = f"        the planner asked {replaced[-1].fallback} in the team's place"
            yield Text(text, style="yellow")

    def _draw_step(self, number: int, links: list[CauseLink]) -> Iterator[Text]:
        on_path = number in self._why.path
        line = Text(f"{number:>{self._digits}}  ", style="bold" if on_path else "dim")
        step = self._record.steps.get(number)
        room = max(24, self._width - self._digits - 2)
        if number == REQUEST or step is None:
            request = self._texts.get(self._record.started.intent)
            line.append(shorten_text(f"the request: {request}", room))
            yield line
            return
        text = "" if step.intent.kind == "model" else self._texts.get(step.intent.input)
        line.append(f"{step.intent.agent} ", style="bold" if on_path else "")
        line.append(wording.format_step(step.intent, text, max(20, room - len(step.intent.agent) - 1)))
        yield line
        indent = " " * (self._digits + 2)
        result = self._format_result(step)
        if result:
            yield Text(f"{indent}{shorten_text(result, room)}", style="dim")
        if links:
            yield self._append_causes(Text(indent), links)

    def _format_result(self, step: StepRecord) -> str:
        if step.done is None:
            return ""
        output = self._texts.get(step.done.output)
        stopped = self._why.stopped_by
        shown_above = stopped is not None and output == stopped.reason
        if ending := wording.format_ending(step.done, "" if shown_above else output):
            return ending
        if step.intent.kind == "model":
            text = wording.extract_text(output).strip()
            return f"“{text}”" if text else ""
        return f"= {output}" if output else ""

    def _append_causes(self, line: Text, links: list[CauseLink]) -> Text:
        """Appends `← value from 4, 8; written in 9; was shown 6`."""
        values = [str(link.cause) for link in links if link.tie == "value" and not link.wrote]
        wrote = [str(link.cause) for link in links if link.wrote]
        shown = [str(link.cause) for link in links if link.tie == "exposure"]
        parts = [f"value from {', '.join(values)}"] if values else []
        parts += [f"written in {', '.join(wrote)}"] if wrote else []
        parts += [f"was shown {', '.join(shown)}"] if shown else []
        gap = " " if line.plain.strip() else ""
        line.append(f"{gap}← {'; '.join(parts) or 'nothing recorded'}", style="cyan")
        return line

    def _draw_first_cause(self) -> Text:
        why = self._why
        if why.first is None:
            return Text("no recorded cause leads anywhere", style="yellow")
        line = Text("first", style="bold")
        if why.first == REQUEST:
            what = "no call lies on the way" if self._record.steps else "nothing was done for it"
            line.append(f"  the request itself: {what}")
            return line
        step = self._record.steps[why.first]
        way = " → ".join(map(str, why.path))
        tail = "" if why.starts else " → outcome"
        line.append(f"  step {why.first}, {step.intent.kind} {step.intent.name} of {step.intent.agent}")
        if len(line.plain) + len(way) + len(tail) + 8 <= self._width:
            line.append(f"   way: {way}{tail}", style="dim")
        return line
