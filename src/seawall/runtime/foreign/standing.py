"""Where one loop stands in the record of its run: what it was told of it, what it has not asked for again, and whether it goes
on from there.

Some of the record is older than the loop, or comes from another process. The recorded reply to a model's request is given
again if its frame and the meaning of the request are the same (`requests.py`), so the ids of its calls are the same; until the
loop has asked for a reply that is not recorded. If the loop says that it starts again in a frame, the frame's replies are given
again, too, as after a crash.

A loop *diverges* if its first request that is not recorded does not go on from the newest recorded reply of its frame, or if it
begins by saying the frame's task again after that reply: a framework that keeps the conversation was sent the same request
again. Then it is not known which of the recorded effects the loop may make again under other keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from seawall.core.canonical import to_canonical_bytes
from seawall.core.events import Event, StepDone, StepIntended
from seawall.run.bodies import Bodies
from seawall.run.requests import PreparedRequest
from seawall.runtime.foreign.recorded import (
    FAILED,
    Place,
    Recorded,
    RecordedStep,
    ReplyCall,
    split_key,
    write_call_key,
)


class Standing:
    """Where one loop stands in the record, which is `recorded`."""

    def __init__(self) -> None:
        self.recorded = Recorded()
        self.known = 0
        """The number of the run's events that were learned."""
        self._untold: dict[int, dict[int, RecordedStep]] = {}
        """Replies of others that the loop has not asked for again, by frame and step."""
        self._failed_requests: dict[Place, RecordedStep] = {}
        """Requests of others to models that have failed, by frame and meaning."""
        self._told: set[int] = set()
        """The replies that this loop was given or has brought."""
        self._told_failures: dict[Place, int] = {}
        """The newest attempt of whose failure this loop was told, by frame and key without the attempt."""
        self._attempted: set[str] = set()
        """Tools whose effects were attempted by others, or that the loop has begun again since."""
        self._anew: set[int] = set()
        """The frames in which this process has asked models whose recorded replies can't be given again."""
        self._diverged = False

    def __repr__(self) -> str:
        return f"<Standing in {self.recorded!r}, {sum(map(len, self._untold.values()))} replies untold>"

    # ---- learning

    def relearn(self, events: Sequence[Event]) -> None:
        """Learns all events of the run again, because events that were learned before may not have become durable. Those that
        were not are another process's, or older than the loop.
        """
        known, self.recorded = self.known, Recorded()
        for number, event in enumerate(events):
            if number < known:
                self.recorded.learn(event)
            else:
                self.learn(event, number, own=False)
        self.known = len(events)
        self._told_failures = {
            place: min(attempt, self.recorded.count_failures(*place))
            for place, attempt in self._told_failures.items()
        }

    def learn(self, event: Event, number: int, *, own: bool = True) -> None:
        """Learns an event of the run. `own`: the loop has asked for what it tells."""
        self.known = number + 1
        step = self.recorded.learn(event)
        if step is not None:
            if step.intent.kind == "model":
                self._learn_reply(step, own=own)
            elif own and step.done.status in FAILED:
                self._note_failure(step.intent.frame, step.intent.call or "")
        elif not own and isinstance(event, StepIntended) and event.effect and event.perform:
            self._attempted.add(event.name)

    def _learn_reply(self, reply: RecordedStep, *, own: bool) -> None:
        frame, step = reply.intent.frame, reply.done.step
        if reply.done.status in FAILED:
            if not own:
                self._failed_requests[frame, reply.intent.asked] = reply
        elif not own:
            self._untold.setdefault(frame, {})[step] = reply
        else:
            self._told.add(step)
            if self._untold.pop(frame, None):  # another reply in the place of a recorded one
                self._diverged = True

    # ---- calls and hand-offs

    def list_told_calls(self, frame: int, call_id: str) -> Sequence[ReplyCall]:
        """Returns the calls with this id in replies that the loop was told; if there are none, in any reply of the frame."""
        asked = self.recorded.list_calls(frame, call_id)
        return [call for call in asked if call.reply in self._told] or asked

    def find_frames(self, call_id: str) -> tuple[int, ...]:
        """Returns the frame of the newest reply that asks for this call, or the frame that the call has opened, after the
        frames above it.
        """
        asked = [(calls[-1].reply, frame) for frame, calls in self.recorded.list_calls_by_frame(call_id)]
        if not asked:
            return ()
        reply, frame = max([each for each in asked if each[0] in self._told] or asked)
        opened = self.recorded.find_frame(frame, f"handoff/{write_call_key(reply, call_id)}")
        return tuple(self.recorded.walk_up(frame if opened is None else opened))[::-1]

    def find_attempt(self, frame: int, base: str) -> int:
        """Returns the attempt that the loop asks for: the one after the newest of whose failure it was told."""
        return self._told_failures.get((frame, base), 0) + 1

    def note_told(self, frame: int, key: str) -> None:
        """Notes that the loop was told a call's recorded result. If that is a failure, the next equal call is a new attempt."""
        known = self.recorded.find(frame, key)
        if known is not None and known.done.status in FAILED:
            self._note_failure(frame, key)

    def _note_failure(self, frame: int, key: str) -> None:
        base, attempt = split_key(key)
        self._told_failures[frame, base] = max(self._told_failures.get((frame, base), 0), attempt)

    def explain_doubt(self, name: str, frame: int, key: str) -> str:
        """Returns why a new call of an effect may have been made already; "" if there is no reason to think so."""
        if name not in self._attempted:
            return ""
        if self._diverged:
            why = "the loop has taken another way since"
        elif self.recorded.has_doubt(name, frame, key):
            why = "nobody has said what became of it"
        else:
            return ""
        return f"{name!r} was attempted before this process began, and {why}: it may be the same again"

    # ---- beginning anew

    def note_anew(self, frame: int) -> None:
        """Notes that recorded replies can't be given again in a frame."""
        self._anew.add(frame)

    def is_used_up(self, frame: int) -> bool:
        """Returns whether a frame is closed and its replies can't be given again, so that its work is done in another one."""
        return frame in self._anew and self.recorded.is_closed(frame)

    def leave_frame(self, frame: int) -> None:
        """Has the work of a closed frame done anew in another one, because its replies can't be given again."""
        self._diverged = True
        self._attempted |= self.recorded.list_effects(frame)
        self.repeat_frame(frame)

    def repeat_frame(self, frame: int) -> None:
        """Has the work of a closed frame done once more in another one, as if its hand-off had failed."""
        if (opening := self.recorded.find_opening(frame)) is not None:
            self._note_failure(*opening)

    def begin_again(self, frame: int) -> None:
        """Gives the recorded replies of a frame again, up to the newest one of whose calls one has a result: the loop begins its
        work in this frame again. Later replies have done nothing, and one of them may be why, unless the frame was closed.
        """
        self.recorded.forget_idle_replies(frame)
        self._untold[frame] = {each.done.step: each for each in self.recorded.list_replies(frame)}
        self._attempted |= self.recorded.list_effects(frame)

    # ---- models

    def take_reply(
        self, frame: int, request: PreparedRequest, bodies: Bodies, *, ended: bool
    ) -> RecordedStep | None:
        """Returns a recorded reply to a request, each reply only once; None if the model must be asked.

        A model that had failed before another one has replied is asked again, and the other one's reply is kept. If the run
        has ended, the failure is returned: no model is asked any more. Nor is one in a frame that is closed: there, the
        replies come in their order, also if a request says something new, such as the time.
        """
        untold = self._untold.get(frame, {})
        for reply in untold.values():
            if reply.intent.asked == request.digest and reply.done.step not in self.recorded.forgotten:
                return self._take(untold, reply)
        failure = self._failed_requests.get((frame, request.digest))
        if self.recorded.is_closed(frame):
            return failure or self._take_next(frame, untold)
        if not untold:
            return None
        if failure is not None:
            return failure if ended else None
        recorded = self.recorded.list_replies(frame)
        if recorded and not self._goes_on(frame, request, recorded, bodies):
            self._diverged = True
        untold.clear()
        return None

    def _take(self, untold: dict[int, RecordedStep], reply: RecordedStep) -> RecordedStep:
        del untold[reply.done.step]
        self._told.add(reply.done.step)
        return reply

    def _take_next(self, frame: int, untold: dict[int, RecordedStep]) -> RecordedStep | None:
        """Returns the next reply in a frame that is closed; after the last one, the failure of a model that has ended it."""
        for reply in untold.values():
            if reply.done.step not in self.recorded.forgotten:
                return self._take(untold, reply)
        return next((each for (at, _), each in reversed(self._failed_requests.items()) if at == frame), None)

    def give_up_replies(self, frame: int, taken: RecordedStep) -> None:
        """Forgets the recorded replies of a frame that can't be given again: the model is asked again, and the loop diverges."""
        self._untold.pop(frame, None)
        self._told.discard(taken.done.step)
        self._diverged = True

    def _goes_on(
        self, frame: int, request: PreparedRequest, recorded: Sequence[RecordedStep], bodies: Bodies
    ) -> bool:
        """Returns whether a request contains the newest recorded reply.

        If earlier replies have the same id, the request must contain the id more often than those replies and the results of
        their calls do. The same holds for an answer that was given before. A loop that begins by saying the frame's task again
        does not go on.
        """
        *earlier, newest = (each.done for each in recorded)
        begins = not any(each.done.step in self._told for each in recorded)
        if begins and self._says_task_again(frame, request, newest, bodies):
            return False
        for call in newest.calls:
            quoted = _quote(call.id)
            before = len(self.recorded.list_calls(frame, call.id)) - 1
            if sum(quoted in message for message in request.messages) > 2 * before:
                return True
        if newest.calls or newest.answer is None:
            return False
        quoted = _quote(bodies.text(newest.answer))
        before = sum(quoted in bodies.text(each.output) for each in earlier)
        return sum(quoted in bodies.redact(message) for message in request.messages) > before

    def _says_task_again(
        self, frame: int, request: PreparedRequest, newest: StepDone, bodies: Bodies
    ) -> bool:
        """Returns whether a request contains the frame's task after the newest reply, and what came of its calls."""
        task = bodies.text(self.recorded.find_task(frame))
        marks = [_quote(call.id) for call in newest.calls]
        if not marks and newest.answer is not None:
            marks = [_quote(bodies.text(newest.answer))]
        messages, after = [bodies.redact(message) for message in request.messages], 0
        for number, message in enumerate(messages, 1):
            if any(mark in message for mark in marks):
                after = number
        return bool(task and after) and any(_quote(task) in message for message in messages[after:])


def _quote(text: str) -> str:
    """Returns a text as a JSON value: it is written so in the messages of a request."""
    return to_canonical_bytes(text).decode()
