"""The texts of the guard: to the agent, in words that help it, and to people, with values and limits."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.guards.loops.findings import Notice, Violation
from seawall.guards.loops.state import BarrenTurns
from seawall.run.step import Result, Step
from seawall.run.verdict import Advise, Halt


def write_advice(step: Step, result: Result, notices: Sequence[Notice]) -> Advise:
    """Returns advice on the most pressing notice: the one that is nearest to its limit."""
    notice = min(notices, key=lambda each: (each.limit - each.times, each.rule))
    finding, instead = _describe_finding(step, result, notice), _suggest_instead(notice)
    note = f"[{finding} {instead}{_describe_rest(notice)}]"
    return Advise(_describe_reason(step, notice), note, f"{notice.rule}={notice.limit}", notice.times)


def _describe_finding(step: Step, result: Result, notice: Notice) -> str:
    """Says what the agent knows already, and from which step.

    The result itself is not repeated: the agent has it right above, and the text of a tool must not look like the
    guard's own words.
    """
    match notice.rule:
        case "no_news" | "unfinished" if result.status != "ok":
            return f"{step.name} failed with the same error as in {_name_source(notice)}: nothing new."
        case "no_news" | "unfinished":
            return f"{step.name} returned exactly what you already know from {_name_source(notice)}: nothing new."
        case "stretch":
            return f"{step.name} returned exactly what you already know from {_name_source(notice)}, and so did each of the last {notice.times} calls."
        case "alike":
            return f"{step.name} returned what you already know from {_name_source(notice)}, except for ids or times."
        case "failures":
            return f"{step.name} failed for the same kind of reason {notice.times} times in a row, since {_name_source(notice)}."
        case "errors":
            return f"{step.name} failed in a way that is known since {_name_source(notice)}, {notice.times} times in a row."
        case "polls":
            return (
                f"{step.name} says the same for the {notice.times + 1}th time since {_name_source(notice)}."
            )
        case "again":
            return f"{step.name} was done with the same arguments in {_name_source(notice)}, and is now done {notice.times + 1} times."
        case "cycles" | "rounds":
            return f"{notice.detail} has come round {notice.times + 1} times with the same answers, since {_name_source(notice)}."
        case "delegations":
            return f"{step.name} had nearly the same task in {_name_source(notice)}, and has answered it."
        case _:
            return _describe_sameness(step, notice)


def _describe_sameness(step: Step, notice: Notice) -> str:
    match notice.rule:
        case "reworded":
            return f"{step.name} was asked in other words, and returned the same as in {_name_source(notice)}, {notice.times} times so far."
        case "same_answer":
            return f"{step.name} was asked other things, and returned the same as in {_name_source(notice)}, {notice.times} times so far."
        case "fruitless":
            return f"The last {notice.times} calls failed or returned what you already know, since {_name_source(notice)}."
        case _:
            return f"{step.name} was performed {notice.times} times in this run."


def _suggest_instead(notice: Notice) -> str:
    """Says what the agent could do instead."""
    match notice.rule:
        case "errors" | "failures":
            return "Read the error, change what it complains of, use another tool, or say what is missing."
        case "polls":
            return "Do something else in the meantime, or answer and say what is not ready yet."
        case "again":
            return "Do not do it again unless it was asked for more than once: go on with what comes next."
        case "cycles" | "rounds":
            return "The same round leads to the same answers: change something that is not in the round, or answer and say what does not work."
        case "delegations":
            return "Use that answer. If it lacks something, ask for just that, or answer and say what is missing."
        case "writes":
            return "If that is more than was asked for, stop, and say what was done."
        case _:
            return "Use what you have, try something else, or answer and say what is missing."


def _name_source(notice: Notice) -> str:
    return f"step {notice.since}" if notice.since else "an earlier run of this conversation"


def _describe_rest(notice: Notice) -> str:
    """Says how many more times this may happen before the run is halted."""
    left = max(0, notice.limit - notice.times)
    if notice.rule in ("no_news", "unfinished", "alike"):
        return f" Times that it may happen again before the run is stopped: {left}."
    return "" if left else " Once more, and the run is stopped."


def _describe_reason(step: Step, notice: Notice) -> str:
    """Returns the reason of the advice, for people."""
    since = f"known since {_name_source(notice)}"
    match notice.rule:
        case "no_news" | "unfinished":
            return f"{step.name!r} returned nothing new ({notice.times} in a row): {since}"
        case "stretch":
            return f"{notice.times} calls in a row returned nothing new; {step.name!r} is {since}"
        case "alike":
            return (
                f"{step.name!r} returned the same except for ids or times ({notice.times} in a row): {since}"
            )
        case "failures":
            return f"{step.name!r} failed for the same kind of reason ({notice.times} in a row): {since}"
        case "reworded" | "same_answer":
            asked = "in other words" if notice.rule == "reworded" else "other things"
            return f"{step.name!r} returned the same when asked {asked} ({notice.times} in a row): {since}"
        case "fruitless":
            return f"{notice.times} calls in a row failed or returned what is known, since {_name_source(notice)}"
        case "errors":
            return f"{step.name!r} failed in a known way ({notice.times} in a row): {since}"
        case "polls":
            return f"{step.name!r} said the same again ({notice.times} in a row): {since}"
        case "again":
            return f"{step.name!r} was performed again with the same arguments ({notice.times} times): first in {_name_source(notice)}"
        case "cycles" | "rounds":
            return f"{notice.detail} came round again ({notice.times} times): {since}"
        case "delegations":
            return f"{step.name!r} was handed nearly the same task again ({notice.times} times): first in {_name_source(notice)}"
        case _:
            return f"{step.name!r} was performed {notice.times} times in this run"


def write_halt(step: Step, violation: Violation) -> Halt:
    """Returns the halt that says why a call is not made."""
    limit, times, since = f"(limit {violation.limit})", violation.times, violation.since
    match violation.rule:
        case "no_news" | "unfinished":
            reason = f"tool {step.name!r} returned nothing new {times} times in a row {limit}"
        case "stretch":
            known = f"{step.name!r} would return what is known since step {since}"
            reason = f"{times} calls in a row returned nothing new {limit}, and {known}"
        case "alike":
            reason = (
                f"tool {step.name!r} returned the same except for ids or times {times} times in a row {limit}"
            )
        case "failures":
            reason = f"tool {step.name!r} failed for the same kind of reason {times} times in a row {limit}"
        case "reworded" | "same_answer":
            asked = "in other words" if violation.rule == "reworded" else "other things"
            reason = (
                f"tool {step.name!r} returned the same when asked {asked}, {times} times in a row {limit}"
            )
        case "fruitless":
            reason = f"{times} calls in a row failed or returned what is known {limit}, since step {since}"
        case "polls":
            reason = f"poll {step.name!r} returned the same {times} times in a row {limit}"
        case "again":
            reason = f"{step.name!r} was performed again with the same arguments {times} times {limit}"
        case "errors":
            reason = f"tool {step.name!r} failed in known ways {times} times in a row {limit}"
        case "cycles" | "rounds":
            reason = f"{violation.detail} came round again {times} times with the same answers {limit}"
        case "delegations":
            reason = (
                f"{step.name!r} was handed nearly the same task again {times} times {limit}: "
                f"it answered it in step {since}"
            )
        case _:
            reason = f"{step.name!r} was performed {times} times in this run {limit}"
    return Halt(reason, f"{violation.rule}={violation.limit}", times)


# ---- model calls that led to nothing


def write_turns_advice(step: Step, barren: BarrenTurns, notice: Notice) -> Advise:
    """Returns advice before a model call, on the replies before it."""
    left = max(0, notice.limit - notice.times)
    if notice.rule == "no_news" and not barren.unusable:
        told = f"What you asked for was rejected {barren.same} times in a row."
        instead = "Do not ask for it again: propose something else, or answer and say what was rejected."
    elif notice.rule == "failures":
        told = f"{barren.refused} was refused for the same kind of reason {notice.times} times in a row."
        instead = "Do without it: use another tool, or answer and say what was refused."
    elif notice.rule == "no_news":
        told = f"Your last {barren.unusable} replies could not be used: each was wrong, or made calls that can't be made."
        instead = "Read why, and change that. If you can't, answer and say what is missing."
    else:
        told = (
            f"Your last {barren.calls} replies led to nothing: no call was made, and there is no answer yet."
        )
        instead = "Do something else with what you have, or answer and say what is missing."
    rest = f"Times that it may happen again before the run is stopped: {left}."
    note = f"[{told} {instead} {rest}]"
    return Advise(_describe_turns(step, barren, notice), note, _name_limit(notice), notice.times)


def write_turns_halt(step: Step, barren: BarrenTurns, violation: Violation) -> Halt:
    """Returns the halt of a run whose agent's model calls lead to nothing."""
    reason = f"{_describe_turns(step, barren, violation)} (limit {violation.limit})"
    return Halt(reason, _name_limit(violation), violation.times)


def _describe_turns(step: Step, barren: BarrenTurns, found: Notice | Violation) -> str:
    """Returns what was counted, as a sentence for people."""
    match found.rule:
        case "replies":
            return f"{step.agent!r} gave {barren.same} replies in a row that are useless for the same reason"
        case "failures":
            return f"{barren.refused!r} was refused for the same kind of reason {found.times} times in a row"
        case "no_news" if not barren.unusable:
            return f"what {step.agent!r} asked for was rejected, and {found.times} more times in a row"
        case "no_news":
            return f"a reply of {step.agent!r} and {found.times} more in a row could not be used"
        case _:
            return f"{barren.calls} replies in a row of {step.agent!r} led to nothing"


def _name_limit(found: Notice | Violation) -> str:
    return f"{found.rule}={found.limit}"
