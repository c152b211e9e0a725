"""What the guard says: to the agent, in words that help it, and to people, with values and limits."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.guards.loops.rules import Lesson, Violation
from seawall.run.step import Result, Step
from seawall.run.verdict import Advise, Halt


def write_advice(step: Step, result: Result, lessons: Sequence[Lesson]) -> Advise:
    """A note on the most pressing of what there is to say of a result: what comes nearest to its limit."""
    lesson = min(lessons, key=lambda each: (each.limit - each.times, each.rule))
    note = f"[{_known(step, result, lesson)} {_instead(lesson)}{_left(lesson)}]"
    return Advise(_reason(step, lesson), note, f"{lesson.rule}={lesson.limit}", lesson.times)


def _known(step: Step, result: Result, lesson: Lesson) -> str:
    """What the agent knows already, by the step that it knows it from.

    The result itself is not told again: it stands right above, and what a tool returned must not speak with the
    guard's voice.
    """
    match lesson.rule:
        case "no_news" if result.status != "ok":
            return f"{step.name} failed with the same error as in {_since(lesson)}: nothing new."
        case "no_news":
            return f"{step.name} brought exactly what you already know from {_since(lesson)}: nothing new."
        case "stretch":
            return f"{step.name} brought exactly what you already know from {_since(lesson)}, and so did each of the last {lesson.times} calls."
        case "errors":
            return f"{step.name} failed in a way that is known since {_since(lesson)}, {lesson.times} times in a row."
        case "polls":
            return f"{step.name} says the same for the {lesson.times + 1}th time since {_since(lesson)}."
        case "again":
            return f"{step.name} was done with the same arguments in {_since(lesson)}, and is now done {lesson.times + 1} times."
        case "cycles":
            return f"{lesson.detail} has come round {lesson.times + 1} times with the same answers, since {_since(lesson)}."
        case "delegations":
            return f"{step.name} had nearly the same task in {_since(lesson)}, and has answered it."
        case _:
            return f"{step.name} was performed {lesson.times} times in this run."


def _instead(lesson: Lesson) -> str:
    """What it could do."""
    match lesson.rule:
        case "errors":
            return "Read the error, change what it complains of, use another tool, or say what is missing."
        case "polls":
            return "Do something else meanwhile, or answer and say what is not ready yet."
        case "again":
            return "Do not do it again unless it was asked for more than once: go on with what comes next."
        case "cycles":
            return "Going round brings the same again: change something that is not in the round, or answer and say what does not work."
        case "delegations":
            return "Use that answer. If it lacks something, ask for just that, or answer and say what is missing."
        case "writes":
            return "If that is more than was asked for, stop, and say what was done."
        case _:
            return "Use what you have, try something else, or answer and say what is missing."


def _since(lesson: Lesson) -> str:
    return f"step {lesson.since}" if lesson.since else "an earlier run of this conversation"


def _left(lesson: Lesson) -> str:
    left = max(0, lesson.limit - lesson.times)
    if lesson.rule == "no_news":
        return f" Times that it may come again before the run is stopped: {left}."
    return "" if left else " Once more, and the run is stopped."


def _reason(step: Step, lesson: Lesson) -> str:
    since = f"known since {_since(lesson)}"
    match lesson.rule:
        case "no_news":
            return f"{step.name!r} returned nothing new ({lesson.times} in a row): {since}"
        case "stretch":
            return f"nothing new came of {lesson.times} calls in a row; {step.name!r} is {since}"
        case "errors":
            return f"{step.name!r} failed in a known way ({lesson.times} in a row): {since}"
        case "polls":
            return f"{step.name!r} said the same again ({lesson.times} in a row): {since}"
        case "again":
            return f"{step.name!r} was performed again with the same arguments ({lesson.times} times): first in {_since(lesson)}"
        case "cycles":
            return f"{lesson.detail} came round again ({lesson.times} times): {since}"
        case "delegations":
            return f"{step.name!r} was handed nearly the same task again ({lesson.times} times): first in {_since(lesson)}"
        case _:
            return f"{step.name!r} was performed {lesson.times} times in this run"


def write_halt(step: Step, stop: Violation) -> Halt:
    """Why a call is not made."""
    limit = f"(limit {stop.limit})"
    match stop.rule:
        case "no_news":
            reason = f"tool {step.name!r} returned nothing new {stop.value} times in a row {limit}"
        case "stretch":
            known = f"{step.name!r} would bring what is known since step {stop.since}"
            reason = f"nothing new came of {stop.value} calls in a row {limit}, and {known}"
        case "polls":
            reason = f"poll {step.name!r} returned the same {stop.value} times in a row {limit}"
        case "again":
            reason = f"{step.name!r} was performed again with the same arguments {stop.value} times {limit}"
        case "errors":
            reason = f"tool {step.name!r} failed in known ways {stop.value} times in a row {limit}"
        case "cycles":
            reason = f"{stop.detail} came round again {stop.value} times with the same answers {limit}"
        case "delegations":
            reason = (
                f"{step.name!r} was handed nearly the same task again {stop.value} times {limit}: "
                f"it answered it in step {stop.since}"
            )
        case _:
            reason = f"{step.name!r} was performed {stop.value} times in this run {limit}"
    return Halt(reason, f"{stop.rule}={stop.limit}", stop.value)
