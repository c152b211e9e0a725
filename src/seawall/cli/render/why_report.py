"""How an explanation of a run reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from rich.text import Text

from seawall.cli.journals import Texts
from seawall.cli.render import formats, wording
from seawall.cli.render.run_header import status_of
from seawall.history.record import RunRecord, StepRecord
from seawall.history.why import REQUEST, SPENDERS, Link, Why
from seawall.journal.protocol import RunRow
from seawall.run.outcome import Waiting

SHOWN = 20
"""Steps of the way that are shown without `--full`: a screen; the ones left out are counted."""


class Explanation:
    """A `Why` as lines of at most `width` columns."""

    def __init__(
        self,
        why: Why,
        row: RunRow,
        record: RunRecord,
        texts: Texts,
        width: int,
        *,
        waits: Sequence[Waiting] = (),
        full: bool = False,
    ) -> None:
        self._why = why
        self._row = row
        self._record = record
        self._texts = texts
        self._width = width
        self._waits = waits
        self._full = full
        self._digits = len(str(max(record.steps, default=1)))

    def __repr__(self) -> str:
        return f"<Explanation of {self._why.run}>"

    def lines(self) -> Iterator[Text]:
        """All of it."""
        why = self._why
        status = status_of(self._row)
        head = Text(why.run, style="bold")
        head.append("  ")
        head.append(status, style=wording.STATUS_STYLES.get(status, ""))
        if why.stopped_by is not None:
            head.append(f" by {why.stopped_by.guard}")
        yield head
        yield from self._pairs()
        yield Text()
        yield from self._way()
        yield from self._where_to_look()

    def _pairs(self) -> Iterator[Text]:
        why, ended = self._why, self._record.ended
        if ended is not None and ended.answer is not None:
            yield from self._pair("answer", self._texts.of(ended.answer), "", lines=6)
        for each in self._waits:
            call_width = 10**9 if self._full else 2 * self._width
            yield from self._pair(
                "waits", f"{wording.asked_at(each)}: {wording.question(each, call_width)}", "magenta"
            )
        if why.unsourced:
            literals = ", ".join(why.unsourced)
            yield from self._pair("unsourced", f"{literals}: in no result and not in the request", "yellow")
        if why.stopped_by is not None:
            yield from self._pair("stopped", why.stopped_by.reason, "red")
        for event in self._record.planned:
            yield from self._pair("pruned", wording.planned(event), "yellow", lines=3)
        yield from self._given_up()
        if why.error and (why.stopped_by is None or why.error != why.stopped_by.reason):
            yield from self._pair("error", why.error, "red", lines=4)
        for wanted in why.wanted:
            arguments = wording.arguments(self._texts.of(wanted.call.arguments))
            call = f"{wanted.call.name}({arguments})"
            text = f"{call}, which {wanted.agent} asked for in step {wanted.step}"
            yield from self._pair("not made", text, "yellow", lines=3)
        for repeat in why.repeats:
            call = f"{repeat.name}({wording.arguments(self._texts.of(repeat.input))})"
            steps = ", ".join(map(str, repeat.steps))
            yield from self._pair(
                "repeated", f"{len(repeat.steps)} times {call}, in steps {steps}", "yellow", lines=3
            )
            yield from self._pair(
                "", f"= {self._texts.of(repeat.output).removeprefix('Error: ')}", "dim", lines=2
            )
        said = [each for each in why.verdicts if each.step in self._record.steps]
        if said:
            steps = ", ".join(f"{each.verdict} at {each.step}" for each in said)
            yield from self._pair("before", f"{said[0].guard} said: {steps}", "", lines=3)
        for spent in why.spent[: None if self._full else SPENDERS]:
            took = f"{formats.many(spent.calls, 'call')}, {formats.seconds(spent.duration_s)}"
            tokens = f", {formats.count(spent.tokens)} tokens" if spent.tokens else ""
            usd = f", {formats.usd(spent.usd)}" if spent.usd else ""
            yield from self._pair("used", f"{spent.agent} {spent.name}: {took}{tokens}{usd}", "")
        if len(why.spent) > SPENDERS and not self._full:
            yield from self._pair("", f"and {len(why.spent) - SPENDERS} more (--full)", "dim")

    def _given_up(self) -> Iterator[Text]:
        for number in self._why.given_up:
            step = self._record.steps[number]
            after = "" if step.duration_s is None else f", after {formats.seconds(step.duration_s)}"
            text = f"step {number}, {step.intent.kind} {step.intent.name} of {step.intent.agent}{after}"
            yield from self._pair("given up", text, "yellow", lines=3)

    def _pair(self, name: str, text: str, style: str, *, lines: int | None = None) -> Iterator[Text]:
        limit = None if self._full else lines
        for number, line in enumerate(formats.wrapped(text, self._width - 11, limit)):
            yield Text(f"{'' if number else name:<11}", style="dim") + Text(line, style=style)

    # ---- the way back

    def _way(self) -> Iterator[Text]:
        why = self._why
        by_step: dict[int | None, list[Link]] = {}
        for link in why.links:
            by_step.setdefault(link.step, []).append(link)
        numbers = {link.step for link in why.links} | {link.cause for link in why.links if not link.wrote}
        steps = sorted((each for each in {*numbers, *why.starts} if each is not None), reverse=True)
        yield Text("back along the recorded causes, newest first", style="dim")
        if not why.starts:
            yield from self._outcome(by_step.get(None, []))
        shown = steps if self._full or len(steps) <= SHOWN else [*steps[: SHOWN - 4], *steps[-4:]]
        left_out = len(steps) - len(shown)
        for place, number in enumerate(shown):
            if left_out and place == SHOWN - 4:
                yield Text(
                    f"{'':>{self._digits}}  … {formats.many(left_out, 'step')} between, --full shows them",
                    style="dim",
                )
            yield from self._node(number, by_step.get(number, []))

    def _outcome(self, links: list[Link]) -> Iterator[Text]:
        """What the outcome rests on, and whose work that is if it is not the team's."""
        if not self._record.steps and self._record.ended is not None:
            stopped = self._why.stopped_by
            by = "" if stopped is None else f": {stopped.guard} stopped the run before its first step"
            yield Text("outcome ").append(f"← no step was made{by}", style="cyan")
            return
        yield self._rests(Text("outcome"), links)
        planned = [each for each in self._record.planned if each.mode == "enforce"]
        course = [each for each in planned if each.action in ("fallback", "partial")]
        if course and course[-1].action == "partial":
            yield Text("        the planner made the answer of these, in the team's place", style="yellow")
        elif course:
            yield Text(f"        the planner asked {course[-1].fallback} in the team's place", style="yellow")

    def _node(self, number: int, links: list[Link]) -> Iterator[Text]:
        on_path = number in self._why.path
        line = Text(f"{number:>{self._digits}}  ", style="bold" if on_path else "dim")
        step = self._record.steps.get(number)
        room = max(24, self._width - self._digits - 2)
        if number == REQUEST or step is None:
            request = self._texts.of(self._record.started.intent)
            line.append(formats.shortened(f"the request: {request}", room))
            yield line
            return
        text = "" if step.intent.kind == "model" else self._texts.of(step.intent.input)
        line.append(f"{step.intent.agent} ", style="bold" if on_path else "")
        line.append(wording.what(step.intent, text, max(20, room - len(step.intent.agent) - 1)))
        yield line
        indent = " " * (self._digits + 2)
        result = self._result(step)
        if result:
            yield Text(f"{indent}{formats.shortened(result, room)}", style="dim")
        if links:
            yield self._rests(Text(indent), links)

    def _result(self, step: StepRecord) -> str:
        if step.done is None:
            return ""
        output = self._texts.of(step.done.output)
        stopped = self._why.stopped_by
        told = stopped is not None and output == stopped.reason  # above
        if ending := wording.ending(step.done, "" if told else output):
            return ending
        if step.intent.kind == "model":
            said = wording.said(output).strip()
            return f"“{said}”" if said else ""
        return f"= {output}" if output else ""

    def _rests(self, line: Text, links: list[Link]) -> Text:
        """`← 4, 8 by value; written in 9; shown 6`."""
        values = [str(link.cause) for link in links if link.tie == "value" and not link.wrote]
        wrote = [str(link.cause) for link in links if link.wrote]
        shown = [str(link.cause) for link in links if link.tie == "exposure"]
        parts = [f"value from {', '.join(values)}"] if values else []
        parts += [f"written in {', '.join(wrote)}"] if wrote else []
        parts += [f"was shown {', '.join(shown)}"] if shown else []
        gap = " " if line.plain.strip() else ""
        line.append(f"{gap}← {'; '.join(parts) or 'nothing recorded'}", style="cyan")
        return line

    def _where_to_look(self) -> Iterator[Text]:
        why = self._why
        if why.first is None:
            yield Text("no recorded cause leads anywhere", style="yellow")
            return
        line = Text("first", style="bold")
        if why.first == REQUEST:
            what = "no call lies on the way" if self._record.steps else "nothing was done for it"
            line.append(f"  the request itself: {what}")
        else:
            step = self._record.steps[why.first]
            way = " → ".join(map(str, why.path))
            tail = "" if why.starts else " → outcome"
            line.append(f"  step {why.first}, {step.intent.kind} {step.intent.name} of {step.intent.agent}")
            if len(line.plain) + len(way) + len(tail) + 8 <= self._width:
                line.append(f"   way: {way}{tail}", style="dim")
        yield line


def document(why: Why, state: str, texts: Texts) -> dict[str, Any]:
    """The explanation as JSON, with the texts that it speaks of."""
    found: dict[str, Any] = msgspec.to_builtins(why)
    found["state"] = state
    for repeat in found["repeats"]:
        repeat["input"], repeat["output"] = texts.of(repeat["input"]), texts.of(repeat["output"])
    for wanted, each in zip(found["wanted"], why.wanted, strict=True):
        wanted["call"] = {
            "id": each.call.id,
            "name": each.call.name,
            "arguments": texts.of(each.call.arguments),
        }
    for verdict, each in zip(found["verdicts"], why.verdicts, strict=True):
        verdict["note"] = texts.of(each.note) if each.note else None
    return found
