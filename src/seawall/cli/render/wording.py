"""Puts steps, verdicts, decisions and waiting runs into words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from seawall.cli.going_on import explain_going_on
from seawall.cli.hints import format_command
from seawall.cli.render.formats import (
    UNLIMITED,
    format_age,
    format_count,
    format_duration,
    format_number,
    format_seconds,
    format_usd,
    join_lines,
    shorten_text,
)
from seawall.core.event_parts import Permit
from seawall.core.events import (
    CommandTaken,
    Judged,
    LimitsRaised,
    Planned,
    RunStarted,
    StepDeferred,
    StepDone,
    StepIntended,
    StepStatus,
)
from seawall.core.limits import Limits
from seawall.core.odd_text import show_plainly
from seawall.history.record import StepRecord
from seawall.journal.protocol import Command, RunRow
from seawall.run.ledger import Ledger
from seawall.run.outcome import AboveLimit, Outcome, Waiting
from seawall.run.waste import Wasted, WasteKind
from seawall.runtime.approval_views import Approval

MARKS: dict[StepStatus, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "error": ("✗", "red"),
    "timeout": ("✗", "red"),
    "cancelled": ("-", "dim"),
    "lost": ("?", "yellow"),
    "unknown": ("?", "bold red"),
    "refused": ("⊘", "red"),
    "replaced": ("↺", "yellow"),
    "invalid": ("✗", "yellow"),
    "withdrawn": ("-", "dim"),
    "simulated": ("~", "cyan"),
}
"""A sign and a style for each way in which a step ends; all but `ok` are put into words too."""

IN_WORDS: dict[StepStatus, str] = {
    "error": "failed",
    "timeout": "timed out",
    "cancelled": "cancelled",
    "lost": "lost: no result was recorded, it counts as spent",
    "unknown": "its fate is not known",
    "refused": "not made: refused",
    "replaced": "not made: a guard answered instead",
    "invalid": "not made: invalid call",
    "withdrawn": "not made: withdrawn before it began",
    "simulated": "not made: simulated in a fork",
}

VERDICT_STYLES = {
    "advise": "yellow",
    "replace": "yellow",
    "hold": "magenta",
    "refuse": "red",
    "halt": "bold red",
}

STATUS_STYLES = {
    "completed": "green",
    "refused": "red",
    "halted": "bold red",
    "failed": "red",
    "cancelled": "dim",
    "waiting": "magenta",
    "interrupted": "yellow",
    "running": "cyan",
    "queued": "cyan",
}

# ---- runs


def format_status(row: RunRow) -> str:
    """Returns `completed`, `halted`, …, or the state of a run that has not ended."""
    return row.summary.status if row.state == "ended" and row.summary is not None else row.state


def format_stopped_by(guard: str | None) -> str:
    """Returns the name of what stopped a run; nothing for a run that was cancelled, whose status says so."""
    return "" if guard is None or guard == "cancel" else guard


def explain_lease(row: RunRow) -> str | None:
    """Returns what is known of a running run's owner; None if its process was seen to live."""
    if row.lease == "doubted":
        return (
            "whether its process lives can't be known at once, because the clocks of two machines may differ"
        )
    if row.lease == "runs":
        return f"its process is in another container of this machine, and the lease runs {math.ceil(row.lease_left_s or 0)} s more"
    return None


def format_review(reviewed: bool, pruned: Sequence[str]) -> str:
    """Returns the result of the review. If the planner left the review out for lack of time, this is not a rejection."""
    if reviewed:
        return "approved"
    answers = ("review", "answer:partial")
    skipped = any(name in answers or name.startswith("fallback:") for name in pruned)
    return "not reviewed: no time" if skipped else "not approved"


def format_usage(usage: Ledger | Outcome, time: str) -> str:
    """Returns what a run took, in one line: calls, tokens, dollars and time."""
    parts = [format_number(usage.model_calls, "model call"), format_number(usage.tool_calls, "tool call")]
    if usage.handoffs:
        parts.append(format_number(usage.handoffs, "hand-off"))
    if usage.tokens:
        parts.append(f"{format_count(usage.tokens)} tokens")
    if usage.usd:
        parts.append(format_usd(usage.usd))
    return ", ".join([*parts, time])


def format_wasted(wasted: Mapping[WasteKind, Wasted]) -> str:
    """Returns what was wasted, by kind: `2 duplicates (steps 7, 12): 1.2 s, 640 tokens`."""
    return "; ".join(_format_waste(kind, each) for kind, each in wasted.items())


def _format_waste(kind: WasteKind, wasted: Wasted) -> str:
    parts = [format_seconds(wasted.seconds)]
    if wasted.tokens:
        parts.append(f"{format_count(wasted.tokens)} tokens")
    if wasted.usd:
        parts.append(format_usd(wasted.usd))
    more = "…, " if wasted.calls > len(wasted.steps) else ""
    steps = f"{'step' if wasted.calls == 1 else 'steps'} {more}{', '.join(map(str, wasted.steps))}"
    return f"{format_number(wasted.calls, kind[:-1])} ({steps}): {', '.join(parts)}"


def format_above_limit(above: AboveLimit) -> str:
    """Returns what was spent above a limit, and why the limit did not prevent it."""
    spent, allowed = (
        format_usd(Decimal(each)) if above.limit == "usd" else f"{each:,}"
        for each in (above.spent, above.allowed)
    )
    return f"{above.limit} {spent} of {allowed}: {above.why}"


MEMORY_CONFLICT = (
    "not all that the run wrote is there, because another run wrote the same keys first, or what it had read was reverted; "
    "both values are kept"
)
"""The text that is printed if `Outcome.memory` is `conflict`."""


# ---- steps


def get_mark(step: StepRecord, *, waits: bool) -> tuple[str, str]:
    """Returns the sign of a step and its style. `waits`: a step without a result waits for a person."""
    if step.done is None:
        return ("‖", "magenta") if waits else ("…", "cyan")
    if step.intent.kind == "review" and step.done.approved is False:
        return "✗", "yellow"
    return MARKS[step.done.status]


def format_step(intent: StepIntended, text: str, width: int) -> str:
    """Returns what a step does, in at most `width` characters; `text` is its input."""
    match intent.kind:
        case "model":
            return shorten_text(f"asks {intent.name}", width)
        case "tool" | "memory":
            return format_call(intent.name, text, width)
        case "handoff":
            return shorten_text(f"hands to {intent.name}: {text}", width)
        case "review":
            return shorten_text(f"reviewed by {intent.name}", width)
        case "approval":
            if intent.call is None:
                return shorten_text(f"waits for a person: {intent.name}", width)
            return f"waits for a person: {format_call(intent.name, text, max(8, width - 20))}"


def format_deferred(event: StepDeferred) -> str:
    """Returns which step waits for an endpoint that is out of order, and why."""
    return f"{event.agent} wants {event.name}: {event.reason}"


def format_call(name: str, arguments: str, width: int) -> str:
    """Returns `name(a="b")` in at most `width` characters; `arguments` is JSON."""
    name = show_plainly(name)
    return f"{name}({shorten_text(format_arguments(arguments), max(4, width - len(name) - 2))})"


def format_arguments(text: str, *, short_first: bool = False) -> str:
    """Returns a call's arguments as Python would write them; text that is not a JSON object stays as it is.

    `short_first`: the shortest arguments come first, so that a long text does not push an order number out of a cut line.
    """
    try:
        value: Any = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return join_lines(text)
    if not isinstance(value, dict):
        return join_lines(text)
    table = cast("dict[str, Any]", value)
    written = [f"{key}={msgspec.json.encode(each).decode()}" for key, each in table.items()]
    return ", ".join(sorted(written, key=len) if short_first else written)


def format_ending(done: StepDone, output: str = "") -> str:
    """Returns how a step ended and what it returned; nothing for a step that went well."""
    words = IN_WORDS.get(done.status, "")
    if not words:
        return ""
    text = join_lines(output).removeprefix("Error: ")
    # their output adds nothing to the words
    if done.status in (
        "lost",
        "cancelled",
        "withdrawn",
        "simulated",
    ):
        text = ""
    if done.status == "error" and done.error and not text.startswith(done.error):
        words = f"{words} ({done.error})"
    if done.retry:
        after = "" if done.retry_after_s is None else f" after {format_duration(done.retry_after_s)}"
        words = f"{words}, tried again{after}"
    return f"{words}: {text}" if text else words


def extract_text(message: str) -> str:
    """Returns the text of an assistant's message without its calls."""
    try:
        value: Any = msgspec.json.decode(message)
    except msgspec.DecodeError:
        return message
    if not isinstance(value, dict):
        return message
    return str(cast("dict[str, Any]", value).get("content") or "")


# ---- guards and planner


def format_verdict(judged: Judged) -> str:
    """Returns a guard's verdict: `loops advises (observed, let pass): …`."""
    verb = {"advise": "advises", "replace": "replaces", "hold": "holds", "refuse": "refuses", "halt": "halts"}
    observed = " (observed, let pass)" if judged.mode == "observe" else ""
    return f"{judged.guard} {verb.get(judged.verdict, judged.verdict)}{observed}: {join_lines(judged.reason)}"


def get_verdict_style(judged: Judged) -> str:
    """Returns the style of a guard's verdict."""
    return "dim" if judged.mode == "observe" else VERDICT_STYLES.get(judged.verdict, "")


def format_raise(before: Limits, raised: LimitsRaised, now: float | None = None) -> str:
    """Returns which limits a person has changed, who that was, how long before `now`, and why."""
    changed = [
        f"{name} {_format_limit(old)} → {_format_limit(new)}"
        for name in Limits.__struct_fields__
        if (old := getattr(before, name)) != (new := getattr(raised.limits, name))
    ]
    when = "" if now is None else f", {format_age(now - raised.at)} ago"
    why = f": {raised.reason}" if raised.reason else ""
    return join_lines(f"{', '.join(changed) or 'as before'}, by {raised.by}{when}{why}")


def _format_limit(value: float | Decimal | None) -> str:
    return "unlimited" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def format_permit(permit: Permit) -> str:
    """Returns what the authority matrix says of one agent."""
    said = [
        f"{word} {', '.join(names) or 'nobody'}"
        for word, names in (("hand to", permit.hand_to), ("decide on", permit.decide))
        if names is not None
    ]
    if permit.call is not None:
        said.insert(0, f"call {', '.join(permit.call) or 'nothing'}")
    for tool, limits in permit.up_to.items():
        above = "" if permit.above == "refuse" else ", and a person is asked above it"
        said.append(f"call {tool} up to {' or '.join(map(str, limits))}{above}")
    return f"{permit.agent} may {'; '.join(said) or 'do what its team gives it'} (team {permit.team})"


def format_pruning(event: Planned) -> str:
    """Returns what was pruned, and why."""
    if event.limit:
        return f"limits: {join_lines(event.reason)}"
    observed = "observed, let pass: " if event.mode == "observe" else ""
    return f"planner: {observed}{join_lines(event.reason)}"


# ---- what a run waits for, and what a person decided


def format_waiting_for(waiting: Waiting) -> str:
    """Returns what keeps a run waiting: `step 3`, or `paused`."""
    return "paused" if waiting.kind == "pause" else f"step {waiting.step}"


def format_question(waiting: Waiting, width: int = UNLIMITED) -> str:
    """Returns the question that a person answers, with the call in at most `width` characters."""
    if waiting.kind == "pause":
        return f"{waiting.what} is {join_lines(waiting.reason)}"
    call = _format_waiting_call(waiting, width)
    if waiting.kind == "unknown":
        return f"fate not known: did {call} happen?  {explain_fate(waiting.run, waiting.step)}"
    return f"{waiting.agent} wants {call}{f': {join_lines(waiting.reason)}' if waiting.reason else ''}"


def explain_fate(run: str, step: int) -> str:
    """Returns the command with which a person records what became of an effect."""
    command = format_command(f"reconcile {run} {step}")
    return f"say it with: {command} --committed FILE (its receipt), or --failed TEXT"


def format_approval_call(approval: Approval, *, short_first: bool = False) -> str:
    """Returns the call of a proposal with every character visible."""
    if not approval.arguments_text:
        return f"{approval.kind} {show_plainly(approval.tool)}"
    arguments = format_arguments(approval.arguments_text, short_first=short_first)
    return show_plainly(f"{approval.tool}({arguments})")


def format_decided(waiting: Waiting, *, approved: bool) -> str:
    """Returns what was recorded with a person's answer."""
    call = _format_waiting_call(waiting)
    if waiting.kind == "unknown":
        return f"recorded: {call} {'DID' if approved else 'did NOT'} happen"
    return f"approved: {call} may be made" if approved else f"rejected: {call} is not made"


def format_decision(command: CommandTaken) -> str:
    """Returns a decision that the run has taken up."""
    word = "approved" if command.approved else "rejected"
    reason = f": {join_lines(command.reason)}" if command.reason else ""
    if command.proposal and not command.by:
        return f"expired{reason}"
    return f"{word} by {command.by or 'somebody'}{reason}"


def format_pending_decision(command: Command, waiting: Waiting, started: RunStarted) -> str:
    """Returns a decision that no process has taken up yet, and how the run goes on."""
    goes_on = explain_going_on(started)
    word = "approved" if command.approved else "rejected"
    if command.kind != "decide" and waiting.kind != "unknown":
        return f"what it waits for is settled; {goes_on}"
    if waiting.kind == "unknown":
        word = f"it {'DID' if command.approved else 'did NOT'} happen, recorded"
    return f"{word} by {command.by}; {goes_on}"


def format_pending_cancel(command: Command) -> str:
    """Returns a cancellation that no process has taken up yet."""
    reason = f": {command.reason}" if command.reason else ""
    return f"asked for by {command.by or 'somebody'}{reason}; the run's process has not taken it up yet"


def format_lifted(waiting: Waiting, started: RunStarted) -> str:
    """Returns how a run whose pause has ended goes on. No process drives it, or it would go on by itself."""
    return f"{waiting.what} is no longer paused; {explain_going_on(started)}"


def _format_waiting_call(waiting: Waiting, width: int = UNLIMITED) -> str:
    if waiting.arguments is None:
        return waiting.what
    return format_call(waiting.what, waiting.arguments, width)


SHOWN_JUNK = 0.1
"""The share of junk from which on a line below a model call shows it. A smaller share is not worth a line."""


def list_context(step: StepRecord) -> Iterator[str]:
    """Yields the lines about a model call's context: what was shortened before the call, and the share of junk."""
    folded = step.folded
    if folded is not None:
        why = {"budget": "for its budget", "junk": "of junk", "too_long": "as its model took no more"}
        yield f"context shortened {why[folded.trigger]}: about {folded.before:,} → {folded.after:,} tokens"
    if step.intent.junk >= SHOWN_JUNK:
        yield f"junk {step.intent.junk:.0%} of its context"
