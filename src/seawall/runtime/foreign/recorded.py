"""What is recorded of a run for a loop that asks for its steps again: a fold over the run's events, and nothing of the loop.

A step is kept under its frame and its key. A key names a step so that a later process finds it: a call by the recorded reply
that asks for it and the call's id, any other step by what it is (`finding.py`). `~2` after a key is the second attempt.

Calls that were not made because a limit was used up, and the last replies after them, are forgotten once the limits are
raised: the loop asks for them again. A hand-off that has ended keeps its answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from seawall.core.canonical import Ref
from seawall.core.events import Event, Judged, LimitsRaised, Planned, RunStarted, StepDone, StepIntended
from seawall.run.frame import effect_state
from seawall.runtime.foreign.asks import ROOT, AskedRequest

Place = tuple[int, str]
"""A frame and a key in it, or a frame and what else names something in it."""
FAILED = ("error", "timeout")


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
    """The steps of one run, by the keys that make them the same."""

    def __init__(self) -> None:
        self._intents: dict[int, StepIntended] = {}
        """The steps that have no result yet."""
        self._by_key: dict[Place, RecordedStep] = {}
        self._attempts: dict[Place, int] = {}
        """The number of the newest attempt that has failed, by frame and key without the attempt."""
        self._frames: dict[Place, int] = {}
        """The newest hand-off by frame and key. Its step is the number of the frame that it opens."""
        self._openings: dict[int, Place] = {}
        """The same hand-offs by the frame that they open."""
        self._placed: dict[tuple[int, str, int, str], str] = {}
        """The keys of the hand-offs of a loop that says where it makes them, by each field of `AskedFrom`."""
        self._tasks: dict[int, Ref] = {}
        """For each frame, the text of the run's request or of the hand-off."""
        self._replies: dict[int, list[RecordedStep]] = {}
        """The replies by frame, in the order in which they were recorded."""
        self._calls: dict[Place, list[ReplyCall]] = {}
        """The calls that replies ask for, by frame and id of the call, in the order in which they were recorded."""
        self._requests: dict[int, StepIntended] = {}
        """The newest request that was sent to a model, by frame."""
        self._lost: dict[Place, str] = {}
        """Keys of requests that were sent and have no recorded result, by frame and meaning."""
        self._notes: dict[Place, tuple[Ref, ...]] = {}
        """The advice on calls that have no result yet, by frame and key."""
        self._in_doubt: dict[Place, StepIntended] = {}
        """Effects that were attempted and whose fate the record does not tell, by frame and key."""
        self._arguments: dict[Place, Ref] = {}
        """The arguments with which a tool's call was asked for first, by frame and key."""
        self._left_out: set[Ref] = set()
        """The texts that replaced the results of calls which were not made because a limit was used up."""
        self.forgotten: set[int] = set()
        """The last replies that are forgotten because the limits were raised."""
        self.requests_made = 0
        """The highest number in the key of a request to a model."""

    def __repr__(self) -> str:
        replies = sum(map(len, self._replies.values()))
        return f"<Recorded {len(self._by_key)} steps, {replies} replies>"

    # ---- learning

    def learn(self, event: Event) -> RecordedStep | None:
        """Learns an event of the run. Returns the model's call, the tool's call or the hand-off that has its result by it."""
        if isinstance(event, StepIntended):
            self._learn_intent(event)
        elif isinstance(event, StepDone):
            return self._learn_done(event)
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
        return None

    def _learn_intent(self, intent: StepIntended) -> None:
        self._intents[intent.step] = intent
        if intent.call is None:
            return
        if intent.kind == "model":
            self.requests_made = max(self.requests_made, int(intent.call.partition("/")[2]))
            if intent.perform:
                self._requests[intent.frame] = intent
        elif intent.kind in ("tool", "approval") and intent.input is not None:
            self._arguments.setdefault((intent.frame, intent.call), intent.input)
        elif intent.kind == "handoff" and intent.perform:
            place = intent.frame, intent.call
            if (older := self._frames.get(place)) is not None:
                del self._openings[older]
            self._frames[place], self._openings[intent.step] = intent.step, place
            if intent.input is not None:
                self._tasks[intent.step] = intent.input
            self._note_placed(intent.frame, split_key(intent.call)[0])

    def _note_placed(self, frame: int, key: str) -> None:
        base, *places = key.rsplit("@", 2)
        for at, place in enumerate(places):
            if place:
                self._placed[frame, base, at, place] = key

    def _learn_note(self, intent: StepIntended, note: Ref | None) -> None:
        """Learns what a call's asker is told beside its result."""
        if note is not None and intent.call is not None:
            place = intent.frame, intent.call
            self._notes[place] = tuple(dict.fromkeys((*self._notes.get(place, ()), note)))

    def _learn_done(self, done: StepDone) -> RecordedStep | None:
        intent = self._intents.pop(done.step, None)
        if intent is None or intent.call is None:
            return None
        cut_off = done.status in ("lost", "withdrawn", "unknown", "cancelled") or done.retry
        if intent.kind == "model":
            return self._learn_reply(intent, done, intent.call, cut_off=cut_off)
        place = intent.frame, intent.call
        if intent.kind != "approval":
            return self._learn_call(intent, done, place, cut_off=cut_off)
        if not cut_off:
            self._learn_decision(intent, done, place)
        return None

    def _learn_reply(
        self, intent: StepIntended, done: StepDone, key: str, *, cut_off: bool
    ) -> RecordedStep | None:
        if cut_off:
            self._lost[intent.frame, intent.asked] = key
            return None
        step = RecordedStep(intent, done)
        if done.status in ("ok", "replaced"):
            self._replies.setdefault(intent.frame, []).append(step)
            for call in done.calls:
                asked = ReplyCall(done.step, call.name, call.arguments)
                self._calls.setdefault((intent.frame, call.id), []).append(asked)
        return step

    def _learn_decision(self, intent: StepIntended, done: StepDone, place: Place) -> None:
        # An approved effect is made in a later step.
        if done.status != "ok" or place in self._in_doubt:
            self._by_key[place] = RecordedStep(intent, done, self._notes.pop(place, ()))
        elif done.edit is not None:
            self._learn_note(intent, done.output)

    def _learn_call(
        self, intent: StepIntended, done: StepDone, place: Place, *, cut_off: bool
    ) -> RecordedStep | None:
        if intent.kind == "tool" and intent.effect and intent.perform:
            # a person or the other system decides what became of it, not this step
            if effect_state(done) == "unknown":
                self._in_doubt[place] = intent
                return None
            self._in_doubt.pop(place, None)
        if cut_off or intent.kind not in ("tool", "handoff"):
            return None
        step = self._by_key[place] = RecordedStep(intent, done, self._notes.pop(place, ()))
        if done.status in FAILED:
            base, attempt = split_key(place[1])
            self._attempts[place[0], base] = max(self._attempts.get((place[0], base), 0), attempt)
        return step

    def _forget_last(self) -> None:
        """Forgets the calls that were left out, in frames that are still open, because the limits were raised."""
        closed = {frame for frame in self._openings if self.is_closed(frame)}
        for place, known in list(self._by_key.items()):
            if known.done.output in self._left_out and place[0] not in closed:
                del self._by_key[place]
        for frame, replies in self._replies.items():
            if frame not in closed:
                self.forgotten.update(each.done.step for each in replies if each.intent.last)
                replies[:] = [each for each in replies if not each.intent.last]
        for calls in self._calls.values():
            calls[:] = [call for call in calls if call.reply not in self.forgotten]

    def forget_idle_replies(self, frame: int) -> None:
        """Forgets the replies of an open frame after the newest one of whose calls one has a result: they have done nothing."""
        replies = [] if self.is_closed(frame) else self._replies.get(frame, [])
        while replies and not any(
            self._is_known(frame, replies[-1].done.step, call.id) for call in replies[-1].done.calls
        ):
            replies.pop()

    # ---- steps

    def find(self, frame: int, key: str) -> RecordedStep | None:
        """Returns the step that was recorded under this key, if it has a result."""
        return self._by_key.get((frame, key))

    def count_failures(self, frame: int, base: str) -> int:
        """Returns the number of the newest attempt that has failed. `base`: the key without the attempt."""
        return self._attempts.get((frame, base), 0)

    def list_effects(self, frame: int) -> set[str]:
        """Returns the tools whose effects are recorded in a frame."""
        known = [*self._in_doubt.values(), *(each.intent for each in self._by_key.values())]
        return {each.name for each in known if each.frame == frame and each.effect}

    def has_effects(self, frame: int) -> bool:
        """Returns whether an effect is recorded in a frame or in one below it."""
        below = [opened for opened, (above, _) in self._openings.items() if above == frame]
        return bool(self.list_effects(frame)) or any(map(self.has_effects, below))

    def has_doubt(self, name: str, frame: int, key: str) -> bool:
        """Returns whether nobody has said what became of another call of this effect."""
        return any(
            doubted.name == name and place != (frame, key) and place not in self._by_key
            for place, doubted in self._in_doubt.items()
        )

    # ---- frames

    def find_frame(self, frame: int, key: str) -> int | None:
        """Returns the frame that this hand-off has opened, even if the frame is closed."""
        return self._frames.get((frame, key))

    def find_opening(self, frame: int) -> Place | None:
        """Returns the frame and the key of the hand-off that has opened a frame."""
        return self._openings.get(frame)

    def find_placed(self, frame: int, base: str, at: int, place: str) -> str | None:
        """Returns the key of the hand-off that was made at this place. `at`: the number of the field of `AskedFrom`."""
        return self._placed.get((frame, base, at, place))

    def find_task(self, frame: int) -> Ref | None:
        """Returns the text of the run's request or of the hand-off that has opened the frame."""
        return self._tasks.get(frame)

    def is_closed(self, frame: int) -> bool:
        """Returns whether the hand-off that has opened a frame has ended."""
        return self._openings.get(frame) in self._by_key

    def walk_up(self, frame: int) -> Iterator[int]:
        """Gives a frame and the frames above it."""
        yield frame
        while (opening := self._openings.get(frame)) is not None:
            frame = opening[0]
            yield frame

    # ---- models

    def list_replies(self, frame: int) -> Sequence[RecordedStep]:
        """Returns the replies of a frame, in the order in which they were recorded."""
        return self._replies.get(frame, ())

    def list_calls(self, frame: int, call_id: str) -> Sequence[ReplyCall]:
        """Returns the calls with this id for which the replies of a frame ask, in the order in which they were recorded."""
        return self._calls.get((frame, call_id), ())

    def list_calls_by_frame(self, call_id: str) -> Iterator[tuple[int, Sequence[ReplyCall]]]:
        """Gives each frame with such calls, and the calls."""
        return ((frame, calls) for (frame, each), calls in self._calls.items() if each == call_id and calls)

    def is_attempted(self, frame: int, call_id: str) -> bool:
        """Returns whether a call that a reply asks for has a result, or may have been made."""
        return any(self._is_known(frame, call.reply, call_id) for call in self.list_calls(frame, call_id))

    def _is_known(self, frame: int, reply: int, call_id: str) -> bool:
        place = frame, write_call_key(reply, call_id)
        while not self._is_begun(place):
            if place not in self._arguments:
                return False
            place = frame, _name_next(place[1])
        return True

    def _is_begun(self, place: Place) -> bool:
        """Returns whether a call has a result, or may have been made."""
        return place in self._by_key or place in self._in_doubt

    def find_key(self, frame: int, key: str, arguments: Ref) -> str:
        """Returns the key of a call with these arguments: that of the next attempt if the call was asked for with others, and
        was not begun. What a person or the loop has changed meanwhile is another call than the one that was held or withdrawn.
        """
        while self._arguments.get((frame, key), arguments) != arguments and not self._is_begun((frame, key)):
            key = _name_next(key)
        return key

    def find_request(self, frame: int) -> AskedRequest | None:
        """Returns the newest request to a model in a frame; None if there was none."""
        made = self._requests.get(frame)
        if made is None:
            return None
        return AskedRequest(made.name, made.context_bytes, max(1, made.tokens - made.context_bytes))

    def take_lost(self, frame: int, digest: str) -> str | None:
        """Returns the key of a request with this meaning that was cut off, each only once."""
        return self._lost.pop((frame, digest), None)


def write_call_key(reply: int, call_id: str) -> str:
    """Returns the key of a tool's call with an id that a reply asks for."""
    return f"{reply}/{escape(call_id)}"


def write_key(base: str, attempt: int) -> str:
    """Returns the key of an attempt, which is counted from 1."""
    return f"{base}~{attempt}" if attempt > 1 else base


def _name_next(key: str) -> str:
    base, attempt = split_key(key)
    return write_key(base, attempt + 1)


def split_key(key: str) -> tuple[str, int]:
    """Returns a key without its attempt, and the attempt."""
    base, _, attempt = key.partition("~")
    return base, int(attempt) if attempt.isdigit() else 1


def escape(name: str) -> str:
    """Returns a name without `~`, the sign before the number of the attempt."""
    return name.replace("%", "%25").replace("~", "%7E")
