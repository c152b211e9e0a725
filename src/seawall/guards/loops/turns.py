"""The rules of model calls from which nothing came: no call was performed, and the agent gave no answer.

A reply is counted when it comes, as one from which nothing came. A call of it that is performed ends the count, and so
does an answer. So the count is right when the agent's model is to be called again, whatever the reply was: an answer
that does not validate, calls that can't be made, or that guards and people refuse.
"""

from __future__ import annotations

from msgspec.structs import replace

from seawall.core.events import CALLED, Event, StepDone, StepIntended
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.rules import Notice, Violation
from seawall.guards.loops.state import BarrenTurns, LoopState
from seawall.run.state import RunState

_NONE = BarrenTurns()


def fold(state: LoopState, event: Event, run: RunState) -> LoopState:
    """Counts replies, and ends the count of a frame of which a call is performed."""
    if isinstance(event, StepIntended):
        made = event.perform and event.kind in (*CALLED, "handoff")
        return _forget(state, event.frame) if made else state
    if not isinstance(event, StepDone):
        return state
    step = run.open.get(event.step)
    state = _forget(state, event.step)  # if it is a hand-off or review, its frame has ended
    return state if step is None else _count(state, step, event)


def _forget(state: LoopState, frame: int) -> LoopState:
    if frame not in state.barren:
        return state
    return replace(state, barren={number: each for number, each in state.barren.items() if number != frame})


def _count(state: LoopState, step: StepIntended, done: StepDone) -> LoopState:
    if step.kind == "model":
        return _count_reply(state, step.frame, done)
    if done.status == "simulated":  # a fork performs no effect, and goes on as if it had
        return _forget(state, step.frame)
    before = state.barren.get(step.frame)
    if before is None or step.call is None or done.status not in ("refused", "replaced"):
        return state
    return _put(state, step.frame, replace(before, unusable=0))  # it could be used, and something said no


def _count_reply(state: LoopState, frame: int, done: StepDone) -> LoopState:
    if done.answer is not None:
        return _forget(state, frame)
    if done.status != "ok" or done.retry:
        return state
    before = state.barren.get(frame, _NONE)
    reason, replies = "", 0
    if done.problem is not None:
        reason = done.fingerprint or done.problem  # an earlier version compared the text
        replies = before.replies + 1 if reason == before.reason else 1
    barren = BarrenTurns(before.calls + 1, before.unusable + 1, replies, reason)
    return _put(state, frame, barren)


def note_advice(state: LoopState, frame: int) -> LoopState:
    """Notes that the agent was advised on a call of its newest reply, so that it need not be told again."""
    before = state.barren.get(frame)
    return state if before is None else _put(state, frame, replace(before, advised=True))


def _put(state: LoopState, frame: int, barren: BarrenTurns) -> LoopState:
    return replace(state, barren={**state.barren, frame: barren})


def check(barren: BarrenTurns, options: LoopOptions) -> Violation | None:
    """Forbids a model call after too many from which nothing came."""
    if barren.replies >= options.replies:
        return Violation("replies", barren.replies, options.replies)
    most = max(options.no_news, options.replies)
    if barren.unusable > most:  # the first may be chance; each further one brought nothing either
        return Violation("no_news", barren.unusable - 1, most)
    if barren.calls >= options.barren:
        return Violation("barren", barren.calls, options.barren)
    return None


def find_notice(barren: BarrenTurns, options: LoopOptions) -> Notice | None:
    """Returns what the agent is to be advised of: from the second of which nothing could be used on, and halfway."""
    if barren.unusable > 1:
        return Notice("no_news", barren.unusable - 1, max(options.no_news, options.replies), 0)
    if barren.calls > 1 and barren.calls * 2 >= options.barren:
        return Notice("barren", barren.calls, options.barren, 0)
    return None
