"""The findings of one recorded run: the loop, its cost, useless calls, junk, and unsourced values.

The loop guard and the fold of waste judge the calls, the survey of a conversation finds the junk in it, and `run/sourcing.py`
finds the unsourced values of an answer: the same code as in a live run. Secrets are removed from all texts that are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec

from seawall.audit.auditing import AuditResult, audit_to_end
from seawall.audit.prices import RecordedPrices
from seawall.audit.recording import BadLine, RecordedCall, RecordedMessage, RecordedRun
from seawall.audit.tools import ToolNames
from seawall.core.persistent import Log
from seawall.core.redact import Redactor
from seawall.models.protocol import Assistant, ToolCall
from seawall.models.usage import check_usage
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.run.guard import Guard
from seawall.run.sourcing import ShownValues
from seawall.run.waste import Spent, Wasted
from seawall.team.context import encode_assistant
from seawall.team.survey import Survey

MAX_UNSOURCED = 50
"""Unsourced values of a run that are named, which is more than a person will look up. `unsourced_count` counts all."""
EXCERPT_CHARS = 300
"""Characters of an excerpt: a call with the beginning of its result, or a sentence or two of an answer."""
ARGUMENT_CHARS = 120
"""Characters of a call's arguments in an excerpt."""
ID_CHARS = 200
"""Characters of an id or of a name that are shown."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The number of some calls, and what they have cost."""

    calls: int = 0
    """The number of calls."""
    tokens: int | None = None
    """Tokens of the replies that asked for the calls; None if the recording has no counts."""
    usd: Decimal | None = None
    """US dollars at most; None if the cost is not known."""


class ToolCounts(msgspec.Struct):
    """The calls of one tool."""

    calls: int = 0
    """All calls of the tool."""
    failed: int = 0
    """Calls whose result is an error."""
    useless: int = 0
    """Calls that brought only what was known already."""


class RunFindings(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one run. Its calls are counted from 0."""

    id: str
    """The recorded id; for a run without an id, the number of the line in which it begins."""
    halted_at: int | None = None
    """The first call that would not have been made."""
    advised_at: tuple[int, ...] = ()
    """The calls whose results would have come with advice."""
    rule: str | None = None
    """The guard's option whose limit was reached; if no call was stopped, the option that led to the first advice."""
    reason: str | None = None
    """The guard's reason."""
    file: str = ""
    """The path of the recording, as it was given or found in a folder."""
    line: int = 0
    """The line of the finding that `excerpt` shows; without a finding, the line in which the run begins."""
    format: str = ""
    """The name of the format that the run was read as."""
    calls: int = 0
    """The calls that have a result; if none has one, all calls."""
    replies: int = 0
    """Messages that models have written."""
    tokens: int | None = None
    """Tokens of all replies; None if the recording has no counts."""
    usd: Decimal | None = None
    """US dollars, at most, of all replies whose model has a price; None if no model has one."""
    after_halt: Cost | None = None
    """The cost from the first call that would not have been made to the end; None if all calls would have been made."""
    repeats: Cost = Cost()
    """Calls that brought only what their own agent knew already."""
    duplicates: Cost = Cost()
    """Reads that brought only what another agent had read already."""
    junk: float | None = None
    """The share of junk in the messages that the models were sent, from 0 to 1; None if the conversation is not recorded."""
    sent_bytes: int = 0
    """Bytes of the messages that the models were sent in all calls together, without prompts and tools."""
    tools: dict[str, ToolCounts] = {}
    """The counts of each tool, by its name."""
    loop_tool: str = ""
    """The tool of the first call that would not have been made."""
    unsourced: tuple[str, ...] = ()
    """The first 50 values in answers that are in no request, prompt or result before them."""
    unsourced_count: int = 0
    """The number of all unsourced values."""
    excerpt: str = ""
    """An excerpt of the gravest finding: the call with the beginning of its result, or the text around a value."""
    lacks: tuple[str, ...] = ()
    """`arguments` or `result`, if no call has this field. Then the findings may be wrong."""
    unanswered: int = 0
    """Calls that are not judged, because the recording has no result for them."""
    left_out: int = 0
    """Rows that are not read, because the run is too large to be held in memory."""

    @property
    def useless(self) -> int:
        """The number of calls that brought only what was known already."""
        return self.repeats.calls + self.duplicates.calls

    @property
    def rank(self) -> tuple[bool, Decimal, int, int, float]:
        """A key that sorts runs, the worst last: whether a call would not have been made, then the US dollars of the calls from
        there on and of useless calls, then their tokens and number, then unsourced values, then junk.
        """
        after = self.after_halt or Cost()
        vain = (after.tokens or 0) + (self.repeats.tokens or 0) + (self.duplicates.tokens or 0)
        usd = (
            (after.usd or Decimal(0)) + (self.repeats.usd or Decimal(0)) + (self.duplicates.usd or Decimal(0))
        )
        calls = after.calls + self.useless
        return self.halted_at is not None, usd, vain + calls, self.unsourced_count, self.junk or 0.0

    @property
    def is_remarkable(self) -> bool:
        """Whether the run has a finding that is worth a look."""
        return bool(self.halted_at is not None or self.advised_at or self.useless or self.unsourced_count)


class RunAuditor:
    """Makes the findings of recorded runs, one at a time."""

    def __init__(
        self, guards: Sequence[Guard], names: ToolNames, prices: RecordedPrices, redactor: Redactor
    ) -> None:
        self._guards, self._names, self._prices, self._redactor = guards, names, prices, redactor

    def audit(self, run: RecordedRun) -> RunFindings | BadLine:
        """Returns the findings of a run, or a `BadLine` that says why it can't be judged."""
        try:
            return self._audit(run)
        except RecursionError:
            return BadLine(f"{run.file}:{run.line}", f"run {run.id!r} has a value that is nested too deeply")

    def _audit(self, run: RecordedRun) -> RunFindings:
        bodies = Bodies(self._redactor)
        replies = {at: each for at, each in enumerate(run.messages) if each.role == "assistant"}
        usd = {at: self._prices.compute_usd(each) for at, each in replies.items()}
        tokens = {at: _count_tokens(each) for at, each in replies.items()}
        spent = {at: Spent(tokens[at] or 0, usd[at] or Decimal(0)) for at in replies}
        full = audit_to_end(run, self._guards, self._names, bodies, spent)
        knows = any(each is not None for each in tokens.values())
        priced = any(each is not None for each in usd.values())
        unsourced, in_answer = self._find_unsourced(run)
        judged = full.judged
        sent, junk = measure_junk(run, bodies, self._names)
        line, excerpt = self._quote(run, judged, in_answer, unsourced, min(full.useless, default=None))
        waste = {kind: _convert_waste(each, knows, priced) for kind, each in full.waste.wasted.items()}
        return RunFindings(
            id=self._shorten(run.id, ID_CHARS),
            halted_at=judged.halted_at,
            advised_at=judged.advised_at,
            rule=judged.rule,
            reason=None if judged.reason is None else self._redactor.text(judged.reason),
            file=run.file,
            line=line,
            format=run.format,
            calls=len(run.calls),
            replies=len(replies),
            tokens=sum(each or 0 for each in tokens.values()) if knows else None,
            usd=sum((each or Decimal(0) for each in usd.values()), Decimal(0)) if priced else None,
            after_halt=_sum_after(run, judged.halted_at, spent, knows, priced),
            repeats=waste.get("repeats", Cost()),
            duplicates=waste.get("duplicates", Cost()),
            junk=round(junk / sent, 4) if sent else None,
            sent_bytes=sent,
            tools=self._count_tools(run, full.useless),
            loop_tool=""
            if judged.halted_at is None
            else self._shorten(run.calls[judged.halted_at].tool, ID_CHARS),
            unsourced=tuple(unsourced[:MAX_UNSOURCED]),
            unsourced_count=len(unsourced),
            excerpt=excerpt,
            lacks=run.lacks if len(run.calls) > 1 else (),
            unanswered=run.unanswered,
            left_out=run.left_out,
        )

    def _count_tools(self, run: RecordedRun, useless: Collection[int]) -> dict[str, ToolCounts]:
        counts: dict[str, ToolCounts] = {}
        for at, call in enumerate(run.calls):
            each = counts.setdefault(self._shorten(call.tool, ID_CHARS), ToolCounts())
            each.calls += 1
            each.failed += call.failed
            each.useless += at in useless
        return counts

    def _find_unsourced(self, run: RecordedRun) -> tuple[list[str], RecordedMessage | None]:
        """Returns the values in answers that are in nothing before them, and the first answer with such a value.

        Secrets are removed from answers before, so that none of them is named.
        """
        sources = {message.role for message in run.messages if message.text} - {"assistant"}
        if not sources or (run.calls and "tool" not in sources):
            return [], None  # requests or results are not recorded, or only as spans
        answers = {
            at: self._redactor.text(message.text)
            for at, message in enumerate(run.messages)
            if message.role == "assistant" and message.text and not message.calls
        }
        shown = ShownValues()
        found: dict[str, None] = {}
        first: RecordedMessage | None = None
        for at, message in enumerate(run.messages[: max(answers, default=-1) + 1]):
            if message.role != "assistant":
                shown.learn(message.text)
            elif at in answers:
                new = shown.find_unsourced(answers[at])
                first = first or (message if new else None)
                found |= dict.fromkeys(new)
        return list(found), first

    def _quote(
        self,
        run: RecordedRun,
        judged: AuditResult,
        answer: RecordedMessage | None,
        unsourced: Sequence[str],
        useless: int | None,
    ) -> tuple[int, str]:
        """Returns the line of the gravest finding, and an excerpt of it."""
        at = judged.halted_at
        if at is None and judged.advised_at:
            at = judged.advised_at[0]
        if at is None:
            at = useless
        if at is not None:
            call = run.calls[at]
            return call.line or run.line, self._quote_call(call)
        if answer is not None:
            return answer.line or run.line, self._quote_around(answer.text, unsourced[0])
        return run.line, ""

    def _quote_call(self, call: RecordedCall) -> str:
        arguments = self._shorten(self._redactor.json(call.arguments), ARGUMENT_CHARS)
        tool = self._shorten(call.tool, ID_CHARS)
        begin = f"{tool}({arguments}) → "
        failed = "failed: " if call.failed else ""
        return begin + self._shorten(
            failed + self._redactor.json(call.result), max(20, EXCERPT_CHARS - len(begin))
        )

    def _quote_around(self, text: str, value: str) -> str:
        text = self._redactor.text(text)
        at = max(0, text.find(value) - EXCERPT_CHARS // 2)
        return ("…" if at else "") + self._shorten(text[at:], EXCERPT_CHARS)

    def _shorten(self, text: str, most: int) -> str:
        line = " ".join(self._redactor.text(text).split())
        return line if len(line) <= most else f"{line[: most - 1]}…"


def _count_tokens(reply: RecordedMessage) -> int | None:
    """Returns the tokens that the provider counted; None if it did not count, or if the count can't be true."""
    if reply.usage is None:
        return None
    usage, _ = check_usage(reply.usage, None)
    return None if usage.problem else usage.input_tokens + usage.output_tokens


def _convert_waste(wasted: Wasted, knows: bool, priced: bool) -> Cost:
    return Cost(
        calls=wasted.calls, tokens=wasted.tokens if knows else None, usd=wasted.usd if priced else None
    )


def _sum_after(
    run: RecordedRun, halted_at: int | None, spent: dict[int, Spent], knows: bool, priced: bool
) -> Cost | None:
    """Returns the cost of the call that would not have been made and of all calls after it; None if there is no such call."""
    if halted_at is None:
        return None
    first = run.calls[halted_at].reply
    after = Spent()
    for at, each in spent.items():
        if first is not None and at >= first:
            after = after.add(each)
    known = first is not None
    return Cost(
        calls=len(run.calls) - halted_at,
        tokens=after.tokens if knows and known else None,
        usd=after.usd if priced and known else None,
    )


def measure_junk(run: RecordedRun, bodies: Bodies, names: ToolNames) -> tuple[int, int]:
    """Returns the bytes that the models of a run were sent in all of their calls, and how many of these were junk: failures,
    repeats and results out of date.

    Prompts and tools are left out: see `team/survey.py`. Both numbers are 0 if the conversation is not recorded.
    """
    if not any(message.role == "tool" for message in run.messages):
        return 0, 0
    effects = {call.tool for call in run.calls if names.is_effect(call)}
    conversations: dict[str, _SurveyedAgent] = {}
    sent = junk = 0
    for message in run.messages:
        conversation = conversations.get(message.agent)
        if conversation is None:
            conversation = conversations[message.agent] = _SurveyedAgent(Survey(bodies, run.id, {}, effects))
        if message.role == "assistant":
            sent += conversation.survey.size
            junk += conversation.survey.junk_size
        conversation.add(message, bodies)
    return sent, junk


class _SurveyedAgent:
    """The messages of one agent, in the form that a survey takes."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self._refs: Log[MessageRef] = Log()
        self._open: list[str] = []
        """The calls of the newest reply that have no result."""

    def add(self, message: RecordedMessage, bodies: Bodies) -> None:
        """Adds a message. A call without an id gets its index as the id, and results go to such calls in order."""
        if message.role == "system":
            return
        if message.role == "assistant":
            ids = [call.id or f"#{place}" for place, call in enumerate(message.calls)]
            asked = zip(ids, message.calls, strict=True)
            calls = tuple(ToolCall(name, call.tool, call.arguments) for name, call in asked)
            self._open = ids
            text = bodies.put(encode_assistant(Assistant(message.text or None, calls)))
            ref = MessageRef("assistant", text)
        elif message.role == "tool":
            call = message.call_id if message.call_id in self._open else next(iter(self._open), "")
            self._open = [each for each in self._open if each != call]
            text = bodies.put(message.text)
            ref = MessageRef("tool", text, 0, call, message.tool, failed=message.failed)
        else:
            ref = MessageRef("user", bodies.put(message.text))
        self._refs = self._refs.append(ref)
        self.survey.add(self._refs)
