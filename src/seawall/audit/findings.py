"""What is found in one recorded run: the loop, what it cost, useless calls, junk, and values that nobody has shown.

The loop guard and the fold of waste judge the calls, the survey of a conversation says what of it is junk, and
`run/sourcing.py` which values of an answer are unsourced: the same code as in a live run. What is shown of a run has no secrets.
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
"""Values of a run that are named: more than anybody looks up. `unsourced_count` counts all."""
EXCERPT_CHARS = 300
"""Characters of an excerpt: a call with the beginning of its result, or a sentence or two of an answer."""
ARGUMENT_CHARS = 120
"""Of those, the characters of a call's arguments."""
ID_CHARS = 200
"""Characters of an id or of a name that are shown."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What calls have taken."""

    calls: int = 0
    """How many there are."""
    tokens: int | None = None
    """Of the replies that asked for them; None: the recording has no counts."""
    usd: Decimal | None = None
    """At most; None: not known."""


class ToolCounts(msgspec.Struct):
    """The calls of one tool."""

    calls: int = 0
    """All of them."""
    failed: int = 0
    """Those whose result is an error."""
    useless: int = 0
    """Those that brought what was known."""


class RunFindings(msgspec.Struct, frozen=True, kw_only=True):
    """What is found in one run. Its calls are counted from 0."""

    id: str
    """As it was recorded; the number of the line in which a run begins that has none."""
    halted_at: int | None = None
    """The first call that would not have been made."""
    advised_at: tuple[int, ...] = ()
    """The calls whose results would have come with advice."""
    rule: str | None = None
    """The option of the guard whose limit was reached; if no call was stopped, that of the first advice."""
    reason: str | None = None
    """The guard's reason."""
    file: str = ""
    """As it was named, or found in a folder."""
    line: int = 0
    """Where to look: the line of the finding that `excerpt` shows, or else where the run begins."""
    format: str = ""
    """See above."""
    calls: int = 0
    """Those that have a result; if none has one, all."""
    replies: int = 0
    """Messages of models."""
    tokens: int | None = None
    """Of all replies; None: the recording has no counts."""
    usd: Decimal | None = None
    """Of all replies whose model has a price, at most; None: none has one."""
    after_halt: Cost | None = None
    """What was recorded from the first call on that would not have been made; None: all would have been."""
    repeats: Cost = Cost()
    """Calls whose agent knew what they brought."""
    duplicates: Cost = Cost()
    """Reads of which another agent had brought the same."""
    junk: float | None = None
    """The share of junk in what the models were sent, from 0 to 1; None: the conversation is not recorded."""
    sent_bytes: int = 0
    """What the models were sent, in all of their calls together, with prompts and tools left out."""
    tools: dict[str, ToolCounts] = {}
    """By the name of the tool."""
    loop_tool: str = ""
    """The tool of the first call that would not have been made."""
    unsourced: tuple[str, ...] = ()
    """Values in answers that no request, prompt or result before them has: the first 50."""
    unsourced_count: int = 0
    """All of them."""
    excerpt: str = ""
    """Of the gravest finding: the call with the beginning of its result, or what stands around a value."""
    lacks: tuple[str, ...] = ()
    """`arguments` or `result`, if no call has it: then the findings may be wrong."""
    unanswered: int = 0
    """Calls that are not judged, because the recording has no result of them."""
    left_out: int = 0
    """Rows that are not read, because the run is too large to be held."""

    @property
    def useless(self) -> int:
        """The calls that brought what was known."""
        return self.repeats.calls + self.duplicates.calls

    @property
    def rank(self) -> tuple[bool, Decimal, int, int, float]:
        """What sorts runs: those that would have been stopped, by what came after; then by what was in vain."""
        after = self.after_halt or Cost()
        vain = (after.tokens or 0) + (self.repeats.tokens or 0) + (self.duplicates.tokens or 0)
        usd = (
            (after.usd or Decimal(0)) + (self.repeats.usd or Decimal(0)) + (self.duplicates.usd or Decimal(0))
        )
        calls = after.calls + self.useless
        return self.halted_at is not None, usd, vain + calls, self.unsourced_count, self.junk or 0.0

    @property
    def is_remarkable(self) -> bool:
        """Whether there is a reason to look at the run."""
        return bool(self.halted_at is not None or self.advised_at or self.useless or self.unsourced_count)


class RunAuditor:
    """Finds what there is to find in recorded runs, one at a time."""

    def __init__(
        self, guards: Sequence[Guard], names: ToolNames, prices: RecordedPrices, redactor: Redactor
    ) -> None:
        self._guards, self._names, self._prices, self._redactor = guards, names, prices, redactor

    def audit(self, run: RecordedRun) -> RunFindings | BadLine:
        """Returns the findings of a run, or why it can't be judged."""
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
        """Returns the values that answers have and nothing before them has shown, and the first answer with one.

        What is looked for is what a person reads of an answer: without its secrets.
        """
        sources = {message.role for message in run.messages if message.text} - {"assistant"}
        if not sources or (run.calls and "tool" not in sources):
            return [], None  # what was asked or brought is not recorded, or stands in spans alone
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
    """Returns what the provider counted; None if it did not, or if the count can't be true."""
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
    """Returns what the call that would not have been made, and all after it, have taken."""
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
    """Returns the bytes that the models of a run were sent in all of their calls, and those of failures, repeats and
    results out of date among them.

    Prompts and tools are left out: see `team/survey.py`. Both are 0 if the conversation is not recorded.
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
    """The messages of one agent, as a survey takes them."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self._refs: Log[MessageRef] = Log()
        self._open: list[str] = []
        """The calls of the newest reply that have no result."""

    def add(self, message: RecordedMessage, bodies: Bodies) -> None:
        """Adds a message. Calls without an id get their place as one, and results go to them in order."""
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
