"""One step in a few words: what it is, how it ended, what was said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from seawall.cli.render.formats import one_line, shortened
from seawall.core.events import CommandTaken, Judged, Planned, StepDone, StepIntended, StepStatus
from seawall.history.record import StepRecord
from seawall.run.outcome import Waiting

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
"""A sign and a style for each way in which a step ends; all but `ok` are told in words too."""

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


def mark(step: StepRecord, *, waits: bool) -> tuple[str, str]:
    """The sign of a step, and its style. One without a result is under way, or waits for a person."""
    if step.done is None:
        return ("‖", "magenta") if waits else ("…", "cyan")
    if step.intent.kind == "review" and step.done.approved is False:
        return "✗", "yellow"
    return MARKS[step.done.status]


def arguments(text: str) -> str:
    """A call's arguments as Python would write them; what is no object stays as it is."""
    try:
        value: Any = msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return one_line(text)
    if not isinstance(value, dict):
        return one_line(text)
    table = cast("dict[str, Any]", value)
    return ", ".join(f"{key}={msgspec.json.encode(each).decode()}" for key, each in table.items())


def what(intent: StepIntended, text: str, width: int) -> str:
    """What a step is, in at most `width` characters; `text` is its input."""
    match intent.kind:
        case "model":
            return shortened(f"asks {intent.name}", width)
        case "tool":
            return _call(intent.name, text, width)
        case "handoff":
            return shortened(f"hands to {intent.name}: {text}", width)
        case "review":
            return shortened(f"reviewed by {intent.name}", width)
        case "approval":
            if intent.call is None:
                return shortened(f"waits for a person: {intent.name}", width)
            return f"waits for a person: {_call(intent.name, text, max(8, width - 20))}"
        case "memory":
            return shortened(f"remembers {intent.name}", width)


def _call(name: str, text: str, width: int) -> str:
    return f"{name}({shortened(arguments(text), max(4, width - len(name) - 2))})"


def waited_for(waiting: Waiting, width: int = 10**9) -> str:
    """The call that a person decides on."""
    if waiting.arguments is None:
        return waiting.what
    return _call(waiting.what, waiting.arguments, width)


def question(waiting: Waiting, width: int = 10**9) -> str:
    """What a person is asked; the call in at most `width` characters."""
    if waiting.kind == "pause":
        return f"{waiting.what} is {one_line(waiting.reason)}"
    call = waited_for(waiting, width)
    if waiting.kind == "unknown":
        return f"fate not known: did {call} happen?  {answers(waiting)}"
    return f"{waiting.agent} wants {call}{f': {one_line(waiting.reason)}' if waiting.reason else ''}"


def asked_at(waiting: Waiting) -> str:
    """Where a run waits: at which step, or under which brake."""
    return "under a brake" if waiting.kind == "pause" else f"step {waiting.step}"


def answers(waiting: Waiting) -> str:
    """What the two answers mean: for an effect that was attempted, another thing than for a step that is held."""
    if waiting.kind == "unknown":
        return "approve = yes, it did (--result RECEIPT); reject = no"
    return "approve = it may be made; reject = it is not made"


def answered(waiting: Waiting, *, approved: bool) -> str:
    """What was recorded with an answer."""
    call = waited_for(waiting)
    if waiting.kind == "unknown":
        return f"recorded: {call} {'DID' if approved else 'did NOT'} happen"
    return f"approved: {call} may be made" if approved else f"rejected: {call} is not made"


def ending(done: StepDone, output: str = "") -> str:
    """How a step ended, in words and with what was said; nothing for one that went well."""
    words = IN_WORDS.get(done.status, "")
    if not words:
        return ""
    said = one_line(output).removeprefix("Error: ")
    if done.status in ("lost", "cancelled", "withdrawn", "simulated"):  # what they hold says no more
        said = ""
    if done.status == "error" and done.error and not said.startswith(done.error):
        words = f"{words} ({done.error})"
    if done.retry:
        after = "" if done.retry_after_s is None else f" after {done.retry_after_s:g} s"
        words = f"{words}, tried again{after}"
    return f"{words}: {said}" if said else words


def verdict(judged: Judged) -> str:
    """What a guard said: `loops advises (observed): …`."""
    verb = {"advise": "advises", "replace": "replaces", "hold": "holds", "refuse": "refuses", "halt": "halts"}
    seen = " (observed, let pass)" if judged.mode == "observe" else ""
    return f"{judged.guard} {verb.get(judged.verdict, judged.verdict)}{seen}: {one_line(judged.reason)}"


def planned(event: Planned) -> str:
    """What the planner pruned, and why."""
    seen = "observed, let pass: " if event.mode == "observe" else ""
    return f"planner: {seen}{one_line(event.reason)}"


def review(reviewed: bool, pruned: Sequence[str]) -> str:
    """What came of the review. Where time was up first, nobody said no: the planner skipped it."""
    if reviewed:
        return "approved"
    answers = ("review", "answer:partial")
    skipped = any(name in answers or name.startswith("fallback:") for name in pruned)
    return "not reviewed: no time" if skipped else "not approved"


def decision(command: CommandTaken) -> str:
    """What a person decided."""
    word = "approved" if command.approved else "rejected"
    reason = f": {one_line(command.reason)}" if command.reason else ""
    return f"{word} by {command.by or 'somebody'}{reason}"


def said(text: str) -> str:
    """What an assistant's message says beside its calls."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    if not isinstance(value, dict):
        return text
    return str(cast("dict[str, Any]", value).get("content") or "")
