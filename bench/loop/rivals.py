"""Rules that others use. Each gives the index of the first call that it would not make, or None.

They are told the same of a call as the guard: canonical arguments, and the result as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from seawall.audit import RecordedCall

Calls = Sequence[RecordedCall]
Rule = Callable[[Calls], "int | None"]


def same_tool(calls: Calls, most: int = 3) -> int | None:
    """The same tool more than three times."""
    made: Counter[str] = Counter()
    for index, call in enumerate(calls):
        if made[call.tool] >= most:
            return index
        made[call.tool] += 1
    return None


def same_call(calls: Calls, most: int = 3) -> int | None:
    """The same tool with the same arguments more than three times, anywhere."""
    made: Counter[tuple[str, str]] = Counter()
    for index, call in enumerate(calls):
        asked = call.tool, call.arguments
        if made[asked] >= most:
            return index
        made[asked] += 1
    return None


def five_in_a_row(calls: Calls, most: int = 5) -> int | None:
    """The fifth identical call in a row, as Gemini CLI's loop detection."""
    row = 0
    for index, call in enumerate(calls):
        before = calls[index - 1] if index else None
        same = before is not None and (before.tool, before.arguments) == (call.tool, call.arguments)
        row = row + 1 if same else 1
        if row >= most:
            return index
    return None


def stuck(calls: Calls) -> int | None:
    """The tool part of OpenHands' stuck detector: four times the same call and result in a row, three times the same
    call with an error, or two calls in turn, three times each. The call after it is not made.
    """
    for index in range(1, len(calls)):
        if _stuck(calls[:index]):
            return index
    return None


def _stuck(done: Calls) -> bool:
    asked = [(call.tool, call.arguments) for call in done[-6:]]
    brought = [(call.tool, call.arguments, call.result) for call in done[-6:]]
    if len(brought) >= 4 and len(set(brought[-4:])) == 1:
        return True
    if len(asked) >= 3 and len(set(asked[-3:])) == 1 and all(call.failed for call in done[-3:]):
        return True
    return len(brought) == 6 and len(set(brought[::2])) == len(set(brought[1::2])) == 1


def no_news(calls: Calls, most: int = 3) -> int | None:
    """Three calls in a row whose (call, result) or (tool, error) was seen before; whatever call comes next."""
    seen: set[tuple[str, ...]] = set()
    row = 0
    for index, call in enumerate(calls):
        if row >= most:
            return index
        result = " ".join(call.result.split())
        what = (call.tool, result) if call.failed else (call.tool, call.arguments, result)
        row = row + 1 if what in seen else 0
        seen.add(what)
    return None


RIVALS: dict[str, Rule] = {
    "same tool > 3": same_tool,
    "same call > 3 anywhere": same_call,
    "5 same calls in a row": five_in_a_row,
    "stuck detector": stuck,
    "no news 3 in a row": no_news,
}
