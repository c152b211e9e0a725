"""Finds the recorded steps of a run for a loop that asks for them again.

A framework that was interrupted goes on from its own checkpoint: the last one, an earlier one, or none. It makes new
ids, and asks again for steps that are recorded. A step is the same if these are the same:

- for a tool: its frame, the recorded reply that asked for it, and the id of the call in that reply. A call with the same
  key and other arguments is refused. For a call without an id: its frame, name and arguments, and the number of such calls
  before it. If the asker was told no result of a call without an id, the next such call is the same one.
- for a hand-off: as for a tool.
- for a model: its frame and the meaning of the request (`requests.py`), until the loop has asked for a step that is not
  recorded. The recorded reply is given again, so the ids of its calls are the same.

Calls that were not made because a limit was used up, and the last replies after them, are forgotten once the limits are
raised: the loop asks for them again. A hand-off that has ended keeps its answer.

If the loop says that it starts again in a frame, the frame's replies are given again, too, as after a crash.

A loop *diverges* if its first request that is not recorded does not go on from the newest recorded reply of its frame, or if it
begins by saying the frame's task again after that reply: a framework that keeps the conversation was sent the same request
again. Then it is not known which of the recorded effects the loop may make again under other keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from seawall.core.canonical import Ref, ref_of, to_canonical_bytes
from seawall.core.events import Event, Judged, LimitsRaised, Planned, RunStarted, StepDone, StepIntended
from seawall.run.bodies import Bodies
from seawall.run.frame import effect_state
from seawall.run.requests import PreparedRequest
from seawall.runtime.foreign.asked import HandoffAsk
from seawall.runtime.foreign.asks import ROOT, AskedRequest

_FAILED = ("error", "timeout")


class RecordedStep(NamedTuple):
    """A step and its result."""

    intent: StepIntended
    done: StepDone
    notes: tuple[Ref, ...] = ()
    """The advice of guards that the asker was given with a tool's result."""


class ReplyCall(NamedTuple):
    """A call that a recorded reply asks for."""

    reply: int
    """The step of the reply."""
    name: str
    arguments: Ref


class Recorded:
    """The steps of one run, by the keys that make them the same. It learns from each event, recorded before or now."""

    def __init__(self) -> None:
        self._intents: dict[int, StepIntended] = {}
        self._by_key: dict[tuple[int, str], RecordedStep] = {}
        self._frames: dict[tuple[int, str], int] = {}
        """The newest hand-off by frame and key. Its step is the number of the frame that it opens."""
        self._placed: dict[tuple[int, str, int, str], str] = {}
        """The keys of the hand-offs of a loop that says where it makes them, by each field of `AskedFrom`."""
        self._models: dict[int, dict[str, deque[RecordedStep]]] = {}
        """Replies that the loop has not asked for again, by frame and meaning."""
        self._failures: dict[tuple[int, str], RecordedStep] = {}
        """Requests to models that have failed before the loop began, by frame and meaning."""
        self._asked_by: dict[tuple[int, str], list[ReplyCall]] = {}
        """The replies that have a call, by frame and id of the call, in the order in which they were recorded."""
        self._told: set[int] = set()
        """The replies that this loop was given or has brought."""
        self._replies: dict[int, list[RecordedStep]] = {}
        """The replies by frame, in the order in which they were recorded."""
        self._attempts: dict[tuple[int, str], int] = {}
        """How often a call with an id has failed for this loop, by frame and key without the attempt."""
        self._asked: dict[tuple[int, str], int] = {}
        """How often this loop has asked for a call without an id, by frame and by name and arguments."""
        self._unsettled: dict[tuple[int, str], list[str]] = {}
        """Keys of calls without an id whose asker was told no result, by frame and by name and arguments."""
        self._requests: dict[int, StepIntended] = {}
        """The newest request that was sent to a model, by frame."""
        self._left_out: set[Ref] = set()
        """The texts that replaced the results of calls which were not made because a limit was used up."""
        self._last: dict[int, int] = {}
        """The replies that were asked for as last replies, with their frames."""
        self._model_asks = 0
        self._lost: dict[tuple[int, str], str] = {}
        """Keys of requests that were sent and have no recorded result, by frame and meaning."""
        self._notes: dict[tuple[int, str], tuple[Ref, ...]] = {}
        """The advice on calls that have no result yet, by frame and key."""
        self._in_doubt: dict[tuple[int, str], StepIntended] = {}
        """Effects that were attempted and whose fate the record does not tell, by frame and key."""
        self.replays = False
        """True while events are learned that were recorded before the loop began."""
        self.attempted: set[str] = set()
        """Tools whose effects were attempted before the loop began."""
        self._tasks: dict[int, Ref] = {}
        """For each frame, the text of the run's request or of the hand-off."""
        self._anew: set[int] = set()
        """The frames in which this process has asked models whose recorded replies can't be given again."""
        self.diverged: set[int] = set()
        """The frames in which the loop has diverged."""

    def __repr__(self) -> str:
        return f"<Recorded {len(self._by_key)} steps, {sum(map(len, self._models.values()))} replies>"

    # ---- learning

    def relearn(self, events: Sequence[Event], known: int) -> None:
        """Learns all events of the run again, because events that were learned before may not have become durable.

        The first `known` events were learned before. The others were recorded by another process, or before the loop began.
        """
        told, attempts = set(self._told), dict(self._attempts)
        for learned in (
            self._attempts,
            self._intents,
            self._by_key,
            self._frames,
            self._placed,
            self._asked_by,
            self._replies,
            self._notes,
            self._in_doubt,
            self._requests,
            self._left_out,
            self._last,
        ):
            learned.clear()
        for number, event in enumerate(events):
            self.replays = number >= known
            self.learn(event)
        self.replays = False
        self._told &= told
        self._attempts = {
            place: min(number, attempts[place])
            for place, number in self._attempts.items()
            if place in attempts  # the loop was not told the others yet
        }

    def learn(self, event: Event) -> None:
        """Learns an event of the run."""
        if isinstance(event, StepIntended):
            self._learn_intent(event)
        elif isinstance(event, StepDone) and (intent := self._intents.pop(event.step, None)) is not None:
            self._learn_done(intent, event)
        elif isinstance(event, Judged):
            intent = self._intents.get(event.step)
            # a held call is judged again once it may be made, and advice is given then
            advised = event.verdict == "advise" and event.mode == "enforce"
            if advised and intent is not None and intent.kind == "tool":
                self._learn_note(intent, event.note)
        elif isinstance(event, Planned) and event.limit:
            self._left_out.update(ref for ref in (event.told, event.note) if ref is not None)
        elif isinstance(event, LimitsRaised):
            self._forget_last()
        elif isinstance(event, RunStarted):
            self._tasks[ROOT] = event.intent

    def _forget_last(self) -> None:
        """Forgets the calls that were left out, in frames that are still open, because the limits were raised."""
        ended = {frame for place, frame in self._frames.items() if place in self._by_key}
        for place, known in list(self._by_key.items()):
            if known.done.output in self._left_out and place[0] not in ended:
                del self._by_key[place]
        gone = {step for step, frame in self._last.items() if frame not in ended}
        for replies in self._replies.values():
            replies[:] = [each for each in replies if each.done.step not in gone]
        for calls in self._asked_by.values():
            calls[:] = [call for call in calls if call.reply not in gone]
        for by_digest in self._models.values():
            for digest, steps in list(by_digest.items()):
                by_digest[digest] = deque(step for step in steps if step.done.step not in gone)

    def _learn_done(self, intent: StepIntended, done: StepDone) -> None:
        if intent.call is None:
            return
        cut_off = done.status in ("lost", "withdrawn", "unknown", "cancelled") or done.retry
        if intent.kind == "model":
            self._learn_reply(intent, done, intent.call, cut_off=cut_off)
        elif intent.kind == "approval":
            self._learn_decision(intent, done, intent.call, cut_off=cut_off)
        else:
            self._learn_call(intent, done, intent.call, cut_off=cut_off)

    def _learn_reply(self, intent: StepIntended, done: StepDone, key: str, *, cut_off: bool) -> None:
        if cut_off:
            self._lost[intent.frame, intent.asked] = key
        elif self.replays and done.status in _FAILED:
            self._failures[intent.frame, intent.asked] = RecordedStep(intent, done)
        if done.status not in ("ok", "replaced") or cut_off:
            return
        for call in done.calls:
            asked = ReplyCall(done.step, call.name, call.arguments)
            self._asked_by.setdefault((intent.frame, call.id), []).append(asked)
        self._replies.setdefault(intent.frame, []).append(RecordedStep(intent, done))
        if intent.last:
            self._last[done.step] = intent.frame
        if not self.replays:
            self._told.add(done.step)
            if self._models.pop(intent.frame, None):  # another reply in the place of a recorded one
                self.diverged.add(intent.frame)
        else:
            by_digest = self._models.setdefault(intent.frame, {})
            by_digest.setdefault(intent.asked, deque()).append(RecordedStep(intent, done))

    def _learn_intent(self, intent: StepIntended) -> None:
        self._intents[intent.step] = intent
        if intent.kind == "model" and intent.perform:
            self._requests[intent.frame] = intent
        if intent.kind == "handoff" and intent.perform and intent.call is not None:
            self._frames[intent.frame, intent.call] = intent.step
            if intent.input is not None:
                self._tasks[intent.step] = intent.input
            self._note_place(intent.frame, intent.call.partition("~")[0])
        if intent.kind == "model" and self.replays and intent.call is not None:
            self._model_asks = max(self._model_asks, int(intent.call.partition("/")[2]))
        if self.replays and intent.effect and intent.perform:
            self.attempted.add(intent.name)

    def _learn_note(self, intent: StepIntended, note: Ref | None) -> None:
        """Learns what a call's asker is told beside its result."""
        if note is not None and intent.call is not None:
            place = intent.frame, intent.call
            self._notes[place] = tuple(dict.fromkeys((*self._notes.get(place, ()), note)))

    def _learn_decision(self, intent: StepIntended, done: StepDone, key: str, *, cut_off: bool) -> None:
        place = intent.frame, key
        # An approved effect is made in a later step.
        if not cut_off and (done.status != "ok" or place in self._in_doubt):
            self._by_key[place] = RecordedStep(intent, done, self._notes.pop(place, ()))
        elif not cut_off and done.edit is not None:
            self._learn_note(intent, done.output)

    def _learn_call(self, intent: StepIntended, done: StepDone, key: str, *, cut_off: bool) -> None:
        place = intent.frame, key
        if intent.kind == "tool" and intent.effect and intent.perform:
            # a person or the other system decides what became of it, not this step
            if effect_state(done) == "unknown":
                self._in_doubt[place] = intent
                return
            self._in_doubt.pop(place, None)
        if cut_off or intent.kind not in ("tool", "handoff"):
            return
        self._by_key[place] = RecordedStep(intent, done, self._notes.pop(place, ()))
        if not self.replays:
            self._note_attempt(place, done)

    # ---- keys

    def make_model_key(self, frame: int, request: PreparedRequest) -> str:
        """Returns the key of the next request to a model. Each request has a new key, unless an equal one was cut off."""
        lost = self._lost.pop((frame, request.digest), None)
        if lost is not None:
            return lost
        self._model_asks += 1
        return f"model/{self._model_asks}"

    def make_key(
        self, frame: int, name: str, call_id: str, arguments: Ref, bodies: Bodies, *, handoff: bool = False
    ) -> str:
        """Returns the key of a tool's call or a hand-off. A tool and the hand-off inside it may have the same call id.

        If the loop was told that a call with an id has failed and asks for it again, this is another attempt with a new key,
        because the framework retries.
        """
        if call_id:
            reply = self._find_reply(frame, name, call_id, arguments, bodies)
            base = f"{reply}/{_escape(call_id)}"
            base = f"handoff/{base}" if handoff else base
            attempt = self._attempts.get((frame, base), 0)
        else:
            base = f"{_escape(name)}/{arguments[:16]}"
            base = f"handoff/{base}" if handoff else base
            if keys := self._unsettled.get((frame, base)):
                return keys.pop(0)
            attempt = self._asked.get((frame, base), 0)
            self._asked[frame, base] = attempt + 1
        return f"{base}~{attempt + 1}" if attempt else base

    def _note_place(self, frame: int, key: str) -> None:
        base, *places = key.rsplit("@", 2)
        for at, place in enumerate(places):
            if place:
                self._placed[frame, base, at, place] = key

    def make_handoff_key(self, asked: HandoffAsk, task: Ref, bodies: Bodies) -> str:
        """Returns the key of a hand-off. If the loop says where it makes it, the key is the one of the recorded hand-off that was made
        there.
        """
        frame, place = asked.frame, asked.asked_from
        key = self.make_key(frame, asked.name, asked.call_id, task, bodies, handoff=True)
        if place is None:
            return key
        if (frame, key) in self._frames:  # recorded by a version that knew no places
            return key
        at = 1 if place.since_start else 0
        key = self._placed.get((frame, key, at, place[at])) or f"{key}@{place.place}@{place.since_start}"
        attempt = self._attempts.get((frame, key), 0)
        last = f"{key}~{attempt + 1}" if attempt else key
        opened = self._frames.get((frame, last))
        if opened not in self._anew or (frame, last) not in self._by_key:
            return last
        # The frame is closed, and its replies can't be given again, so the work is done again in another frame.
        self.diverged.add(opened)
        self._note_attempted(opened)
        self._attempts[frame, key] = attempt + 1
        return f"{key}~{attempt + 2}"

    def note_anew(self, frame: int) -> None:
        """Notes that recorded replies can't be given again in a frame."""
        self._anew.add(frame)

    def _find_reply(self, frame: int, name: str, call_id: str, arguments: Ref, bodies: Bodies) -> int:
        """Returns the step of the reply that asks for a call; 0 if there is none.

        Some servers number the calls of each reply from zero, so several replies may have the id. Then a reply that the loop
        was given comes first, and of those the newest one that asks for exactly this call.
        """
        asked = self._asked_by.get((frame, call_id), [])
        told = [call for call in asked if call.reply in self._told] or asked
        if len(told) < 2:
            return told[0].reply if told else 0
        same = [call for call in told if call.name == name] or told
        exact = [call for call in same if _is_written_as(arguments, bodies.text(call.arguments))]
        return (exact or same)[-1].reply

    def note_unsettled(self, frame: int, key: str) -> None:
        """Notes that a call's asker was told no result. If the call has no id, the next equal call is the same one."""
        keys = self._unsettled.setdefault((frame, key.partition("~")[0]), [])
        if key not in keys:
            keys.append(key)

    def note_given_again(self, frame: int, key: str) -> None:
        """Notes that the loop was given a call's recorded result. If that is a failure, the next equal call is a new attempt."""
        if (known := self._by_key.get((frame, key))) is not None:
            self._note_attempt((frame, key), known.done)

    def note_closed_again(self, frame: int) -> None:
        """Notes that the loop has ended a hand-off again. If the hand-off had failed, the next equal one is a new attempt."""
        for (parent, key), opened in self._frames.items():
            if opened == frame:
                self.note_given_again(parent, key)

    def _note_attempt(self, place: tuple[int, str], done: StepDone) -> None:
        if done.status in _FAILED:
            base, _, number = place[1].partition("~")
            self._attempts[place[0], base] = max(self._attempts.get((place[0], base), 0), int(number or 1))

    # ---- finding

    def find_request(self, frame: int) -> AskedRequest | None:
        """Returns the newest request to a model in a frame; None if there was none."""
        made = self._requests.get(frame)
        if made is None:
            return None
        return AskedRequest(made.name, made.context_bytes, max(1, made.tokens - made.context_bytes))

    def explain_doubt(self, name: str, frame: int, key: str) -> str:
        """Returns why a new call of an effect may have been made already; "" if there is no reason to think so."""
        if name not in self.attempted:
            return ""
        if self.diverged:
            why = "the loop has taken another way since"
        elif any(
            doubted.name == name and place != (frame, key) and place not in self._by_key
            for place, doubted in self._in_doubt.items()
        ):
            why = "nobody has said what became of it"
        else:
            return ""
        return f"{name!r} was attempted before this process began, and {why}: it may be the same again"

    def find(self, frame: int, key: str) -> RecordedStep | None:
        """Returns the step that was recorded under this key, if it has a result."""
        return self._by_key.get((frame, key))

    def find_frame(self, frame: int, key: str) -> int | None:
        """Returns the frame that this hand-off has opened, even if the frame is closed."""
        return self._frames.get((frame, key))

    def find_frames_of_call(self, call_id: str) -> tuple[int, ...]:
        """Returns the frame of the newest reply that asks for this call, or the frame that the call has opened, after the
        frames above it.
        """
        places = [(frame, calls[-1]) for (frame, each), calls in self._asked_by.items() if each == call_id]
        asked = [(call.reply, frame) for frame, call in places]
        if not asked:
            return ()
        reply, frame = max([each for each in asked if each[0] in self._told] or asked)
        frame = self._frames.get((frame, f"handoff/{reply}/{_escape(call_id)}"), frame)
        above = {opened: parent for (parent, _), opened in self._frames.items()}
        path = [frame]
        while path[-1] in above:
            path.append(above[path[-1]])
        return tuple(reversed(path))

    def take_reply(
        self, frame: int, request: PreparedRequest, bodies: Bodies, *, ended: bool
    ) -> RecordedStep | None:
        """Returns a recorded reply to a request, each reply only once; None if the model must be asked.

        A model that had failed before another one has replied is asked again, and the other one's reply is kept. If the run
        has ended, the failure is returned: no model is asked any more.
        """
        replies = self._models.get(frame)
        if not replies:
            return None
        found = replies.get(request.digest)
        if found:
            step = found.popleft()
            if not found:
                del replies[request.digest]
            self._told.add(step.done.step)
            return step
        if (failure := self._failures.get((frame, request.digest))) is not None:
            return failure if ended else None
        if (recorded := self._replies.get(frame)) and not self._goes_on(frame, request, recorded, bodies):
            self.diverged.add(frame)
        replies.clear()
        return None

    def begin_again(self, frame: int) -> None:
        """Gives the recorded replies of a frame again, up to the newest one of whose calls one has a result: the loop begins its
        work in this frame again. Later replies have done nothing, and one of them may be why, unless the frame was closed.
        """
        replies = self._replies.get(frame, [])
        closed = any(opened == frame and place in self._by_key for place, opened in self._frames.items())
        while (
            not closed
            and replies
            and not any(
                self._is_known(frame, replies[-1].done.step, call.id) for call in replies[-1].done.calls
            )
        ):
            replies.pop()
        by_digest: dict[str, deque[RecordedStep]] = {}
        for each in replies:
            by_digest.setdefault(each.intent.asked, deque()).append(each)
        self._models[frame] = by_digest
        self._asked = {place: number for place, number in self._asked.items() if place[0] != frame}
        self._note_attempted(frame)

    def _note_attempted(self, frame: int) -> None:
        known = [*self._in_doubt.values(), *(each.intent for each in self._by_key.values())]
        self.attempted.update(each.name for each in known if each.frame == frame and each.effect)

    def is_attempted(self, frame: int, call_id: str) -> bool:
        """Returns whether a call that a reply asks for has a result, or may have been made."""
        asked = self._asked_by.get((frame, call_id), [])
        return any(self._is_known(frame, call.reply, call_id) for call in asked)

    def _is_known(self, frame: int, reply: int, call_id: str) -> bool:
        place = frame, f"{reply}/{_escape(call_id)}"
        return place in self._by_key or place in self._in_doubt

    def give_up_replies(self, frame: int, taken: RecordedStep) -> None:
        """Forgets the recorded replies of a frame that can't be given again: the model is asked again, and the loop diverges."""
        self._models.pop(frame, None)
        self._told.discard(taken.done.step)
        self.diverged.add(frame)

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
            before = len(self._asked_by[frame, call.id]) - 1
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
        task, marks = bodies.text(self._tasks.get(frame)), [_quote(call.id) for call in newest.calls]
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


def _escape(name: str) -> str:
    """Returns a name without `~`, the sign before the number of the attempt."""
    return name.replace("%", "%25").replace("~", "%7E")


def _is_written_as(arguments: Ref, text: str) -> bool:
    """Returns whether these arguments equal those of the JSON text that a model has written."""
    try:
        return ref_of(to_canonical_bytes(msgspec.json.decode(text))) == arguments
    except (msgspec.MsgspecError, RecursionError):
        return False
