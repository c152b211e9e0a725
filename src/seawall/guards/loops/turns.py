"""The rules for model calls that lead to nothing: no call is performed, and the agent gives no answer.

Each reply is counted at first as one that leads to nothing. The count ends once a call of the reply is performed, or an
answer is given. So the count is right by the time the agent's model is called again, whatever the reply was: an answer
that does not validate, or calls that can't be made or that guards and people refuse.
"""

from __future__ import annotations

from msgspec.structs import replace

from seawall.core.events import REJECTED, REQUESTED, Judged, StepDone, StepIntended
from seawall.guards.loops.options import LoopOptions
from seawall.guards.loops.rules import Notice, Violation
from seawall.guards.loops.state import TURNED_AWAY, BarrenTurns, LoopState, Observation, UnmadeCalls
from seawall.run.state import RunState

_NONE = BarrenTurns()
_KNOWN_ANSWERS = ("loops", "waste", "effects")
"""Guards that answer a call with what is known already."""


def fold_intent(state: LoopState, step: StepIntended) -> LoopState:
    """Ends the count of a frame once one of its calls is performed."""
    if step.frame not in state.barren or not (step.perform and step.kind in REQUESTED):
        return state
    return _forget(state, step.frame)


def fold_verdict(state: LoopState, judged: Judged, run: RunState) -> LoopState:
    """Ends the count of a frame if a guard of the application answers one of its calls.

    Seawall's own guards only answer with what is known already: a fresh answer, or a receipt.
    """
    if judged.verdict != "replace" or judged.mode != "enforce" or judged.guard in _KNOWN_ANSWERS:
        return state
    step = run.open.get(judged.step)
    return state if step is None else _forget(state, step.frame)


def fold_done(state: LoopState, done: StepDone, run: RunState) -> LoopState:
    """Counts a model's reply, and what became of its calls."""
    if done.step in state.barren:  # it is a hand-off or review, and its frame has ended
        state = _forget(state, done.step)
    if done.step in state.unmade:
        state = replace(state, unmade={f: each for f, each in state.unmade.items() if f != done.step})
    step = run.open.get(done.step)
    return state if step is None else _count(state, step, done, run)


def _forget(state: LoopState, frame: int) -> LoopState:
    if frame not in state.barren:
        return state
    return replace(state, barren={number: each for number, each in state.barren.items() if number != frame})


def is_same_mistake(state: LoopState, observation: Observation, run: RunState) -> bool:
    """Returns whether another call of the same reply was not made for the same reason: the model had no chance to learn."""
    if observation.status not in TURNED_AWAY:
        return False
    frame, known = run.frames.get(observation.frame), state.unmade.get(observation.frame)
    if frame is None or known is None:
        return False
    return known.reply == (frame.last_reply or 0) and observation.fingerprint in known.fingerprints


def note_mistake(state: LoopState, observation: Observation, run: RunState) -> LoopState:
    """Records the reason why a call was not made."""
    frame = run.frames.get(observation.frame) if observation.status in TURNED_AWAY else None
    if frame is None:
        return state
    reply, known = frame.last_reply or 0, state.unmade.get(observation.frame)
    before = known.fingerprints if known is not None and known.reply == reply else frozenset[str]()
    unmade = UnmadeCalls(reply, before | {observation.fingerprint})
    return replace(state, unmade={**state.unmade, observation.frame: unmade})


def _count(state: LoopState, step: StepIntended, done: StepDone, run: RunState) -> LoopState:
    if step.kind == "model":
        return _count_reply(state, step.frame, done, run)
    if done.status == "simulated":  # a fork performs no effect, and goes on as if it had
        return _forget(state, step.frame)
    before = state.barren.get(step.frame)
    if before is None or step.call is None:
        return state
    if done.status == "invalid":
        return _put(state, step.frame, _compare(before, done.fingerprint or ""))
    if done.status not in ("refused", "replaced"):
        return state
    refused = step.name if done.status == "refused" else before.refused
    before = replace(before, unusable=0, refused=refused)  # it could be used, and something said no
    rejected = done.error == REJECTED and done.fingerprint is not None
    return _put(state, step.frame, _compare(before, done.fingerprint or "") if rejected else _differ(before))


def _count_reply(state: LoopState, frame: int, done: StepDone, run: RunState) -> LoopState:
    if done.answer is not None:
        return _forget(state, frame)
    if done.status != "ok" or done.retry:
        return state
    before = state.barren.get(frame, _NONE)
    if run.started.loop and before.made_calls and not before.compared:
        before = _NONE  # the framework, or the application in it, has answered the calls of the reply before by itself
    barren = replace(
        before,
        calls=before.calls + 1,
        unusable=before.unusable + 1,
        made_calls=done.problem is None,
        compared=False,
        advised=False,
        refused="",
    )
    if done.problem is not None:  # an earlier version recorded a digest of the text
        barren = _compare(barren, done.fingerprint or done.problem)
    return _put(state, frame, barren)


def _compare(barren: BarrenTurns, reason: str) -> BarrenTurns:
    """Counts whether the newest reply is wrong in the same way as the one before it."""
    if barren.compared:
        return barren
    same = barren.same + 1 if reason == barren.reason else 1
    return replace(barren, same=same, reason=reason, compared=True)


def _differ(barren: BarrenTurns) -> BarrenTurns:
    return barren if barren.compared else replace(barren, same=0, reason="", compared=True)


def note_advice(state: LoopState, frame: int) -> LoopState:
    """Notes that the agent was advised on a call of its newest reply, so that it need not be told again."""
    before = state.barren.get(frame)
    return state if before is None else _put(state, frame, replace(before, advised=True))


def _put(state: LoopState, frame: int, barren: BarrenTurns) -> LoopState:
    return replace(state, barren={**state.barren, frame: barren})


def check_model(barren: BarrenTurns, options: LoopOptions) -> Violation | None:
    """Forbids a model call after too many model calls that led to nothing."""
    most = _find_most(options)
    if not barren.made_calls and barren.same >= options.replies:
        return Violation("replies", barren.same, options.replies)
    if max(barren.same, barren.unusable) > most:
        return Violation("no_news", max(barren.same, barren.unusable) - 1, most)
    if barren.calls >= options.barren:
        return Violation("barren", barren.calls, options.barren)
    return None


def find_notice(barren: BarrenTurns, options: LoopOptions) -> Notice | None:
    """Returns a notice from the second useless reply on, and near the limit of replies that led to nothing."""
    if barren.unusable > 1 or barren.same > 1:
        return Notice("no_news", max(barren.same, barren.unusable) - 1, _find_most(options), 0)
    if barren.calls > 1 and barren.calls * 4 >= options.barren * 3:  # the last quarter
        return Notice("barren", barren.calls, options.barren, 0)
    return None


def _find_most(options: LoopOptions) -> int:
    """Returns how many useless replies in a row may follow a useless one."""
    return max(options.no_news, options.replies)
