"""Finds the recorded end of a step that a loop asks for, or makes the ask for a step that is not recorded.

A framework that was interrupted goes on from its own checkpoint: the last one, an earlier one, or none. It makes new
ids, and asks again for steps that are recorded. A step is the same if it has the same frame and the same key:

- of a tool: the recorded reply that asked for it, and the id of the call in that reply. A call with the same key and other
  arguments is refused if the first one was made, or may have been; otherwise it is another attempt. Of a call without an id:
  its name and arguments, and the number of such calls before it. If the asker was told no result of a call without an id, the
  next such call is the same one.
- of a hand-off: as of a tool. If the loop says where it makes it, the place counts, too.
- of a model: a number. What is recorded is found by the meaning of the request (`standing.py`).

If the loop was told that a call with an id has failed and asks for it again, this is another attempt with a new key, because
the framework retries.
"""

from __future__ import annotations

import msgspec

from seawall.core.canonical import Ref, ref_of, to_canonical_bytes
from seawall.run.bodies import Bodies
from seawall.run.requests import PreparedRequest, RequestRedactor
from seawall.runtime.foreign.asked import OTHER_ARGUMENTS, Asked, HandoffAsk, ModelAsk, ToolAsk
from seawall.runtime.foreign.asks import Ask, Settled
from seawall.runtime.foreign.recorded import Place, RecordedStep, escape, split_key, write_call_key, write_key
from seawall.runtime.foreign.standing import Standing
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.foreign.tools import write_arguments


class StepFinder:
    """Finds the steps that one loop asks for in the record."""

    def __init__(self, team: ForeignTeam, standing: Standing, *, waits: bool) -> None:
        """`waits`: see `BeginOptions`."""
        self._team, self._asks, self._standing, self._waits = team, team.asks, standing, waits
        self._redactor = RequestRedactor()
        self._requests_made = 0
        """The highest number in the key of a request to a model."""
        self._asked: dict[Place, int] = {}
        """How often this loop has asked for a call without an id, by frame and by name and arguments."""
        self._unsettled: dict[Place, list[str]] = {}
        """Keys of calls without an id whose asker was told no result, by frame and by name and arguments."""

    def __repr__(self) -> str:
        return f"<StepFinder for {self._standing!r}>"

    def note_unsettled(self, ask: Ask) -> None:
        """Notes that a call's asker was told no result. If the call has no id, the next equal call is the same one."""
        keys = self._unsettled.setdefault((ask.frame, split_key(ask.key)[0]), [])
        if ask.key not in keys:
            keys.append(ask.key)

    def begin_again(self, frame: int) -> None:
        """Has the loop begin its work in a frame anew: see `Standing.begin_again`."""
        self._asked = {place: number for place, number in self._asked.items() if place[0] != frame}
        self._standing.begin_again(frame)

    # ---- ends that are recorded

    def find(self, asked: Asked, within: int, key: str | None, *, ended: bool) -> Settled | Ask:
        """Returns the recorded end of a step, or the ask for the step.

        `key` is the key under which the step was asked for before, if it was. `ended`: the run has ended.
        """
        bodies = self._asks.bodies
        assert bodies is not None
        match asked:
            case ModelAsk():
                return self._find_reply(asked, within, key, bodies, ended=ended)
            case ToolAsk():
                return self._find_result(asked, within, key, bodies)
            case HandoffAsk():
                return self._find_frame(asked, within, key, bodies)

    def _find_reply(
        self, asked: ModelAsk, within: int, key: str | None, bodies: Bodies, *, ended: bool
    ) -> Settled | Ask:
        frame, standing = asked.frame, self._standing
        if asked.anew:
            standing.note_anew(frame)
        request = self._redactor.redact(asked.name, asked.request, bodies)
        known = standing.take_reply(frame, request, bodies, ended=ended)
        if known is not None:
            settled = self._give_again(known)
            if not (asked.anew or settled.is_redacted):
                return settled
            standing.give_up_replies(frame, known)
        key = key or self._make_model_key(frame, request)
        return Ask(asked, key, waits=self._waits, within=within, request=request)

    def _find_result(self, asked: ToolAsk, within: int, key: str | None, bodies: Bodies) -> Settled | Ask:
        frame, name, standing = asked.frame, asked.name, self._standing
        text = write_arguments(name, asked.arguments)
        ref, _ = bodies.put_arguments(self._asks.run, text)
        if key is None:
            key = self._make_key(frame, name, asked.call_id, ref, bodies)
            if asked.call_id and not asked.edits:
                key = standing.recorded.find_key(frame, key, ref)
        known = standing.recorded.find(frame, key)
        if known is not None:
            if known.intent.name != name or (known.intent.grant is None and known.intent.input != ref):
                return Settled(step=known.done.step, status="refused", text=OTHER_ARGUMENTS, replayed=True)
            standing.note_told(frame, key)
            return self._give_again(known)
        doubt = standing.explain_doubt(name, frame, key)
        tool = self._team.find_declarations(frame).find_tool(name)
        return Ask(asked, key, waits=self._waits, within=within, text=text, tool=tool, doubt=doubt)

    def _find_frame(self, asked: HandoffAsk, within: int, key: str | None, bodies: Bodies) -> Settled | Ask:
        key = key or self._make_handoff_key(asked, bodies.put(asked.task), bodies)
        frame = self._standing.recorded.find_frame(asked.frame, key)
        if frame is None:
            return Ask(asked, key, waits=self._waits, within=within, text=asked.task)
        self._asks.note_frame(frame, asked, within)
        return Settled(step=frame, status="ok", replayed=True)

    def _give_again(self, known: RecordedStep) -> Settled:
        notes = tuple([self._asks.read(note) for note in known.notes])
        return msgspec.structs.replace(self._asks.describe(known.done, notes), replayed=True)

    # ---- keys

    def _make_model_key(self, frame: int, request: PreparedRequest) -> str:
        """Returns the key of the next request to a model. Each request has a new key, unless an equal one was cut off."""
        recorded = self._standing.recorded
        lost = recorded.take_lost(frame, request.digest)
        if lost is not None:
            return lost
        self._requests_made = max(self._requests_made, recorded.requests_made) + 1
        return f"model/{self._requests_made}"

    def _make_key(
        self, frame: int, name: str, call_id: str, arguments: Ref, bodies: Bodies, *, prefix: str = ""
    ) -> str:
        """Returns the key of a tool's call or a hand-off. A tool and the hand-off inside it may have the same call id."""
        if call_id:
            reply = self._find_asking(frame, name, call_id, arguments, bodies)
            base = prefix + write_call_key(reply, call_id)
            return write_key(base, self._standing.find_attempt(frame, base))
        base = f"{prefix}{escape(name)}/{arguments[:16]}"
        if keys := self._unsettled.get((frame, base)):
            return keys.pop(0)
        attempt = self._asked[frame, base] = self._asked.get((frame, base), 0) + 1
        return write_key(base, attempt)

    def _find_asking(self, frame: int, name: str, call_id: str, arguments: Ref, bodies: Bodies) -> int:
        """Returns the step of the reply that asks for a call; 0 if there is none.

        Some servers number the calls of each reply from zero, so several replies may have the id. Then a reply that the loop
        was given comes first, and of those the newest one that asks for exactly this call.
        """
        told = self._standing.list_told_calls(frame, call_id)
        if len(told) < 2:
            return told[0].reply if told else 0
        same = [call for call in told if call.name == name] or told
        exact = [call for call in same if _is_written_as(arguments, bodies.text(call.arguments))]
        return (exact or same)[-1].reply

    def _make_handoff_key(self, asked: HandoffAsk, task: Ref, bodies: Bodies) -> str:
        """Returns the key of a hand-off. If the loop says where it makes it, the key is the one of the recorded hand-off that was made
        there.
        """
        frame, place, standing = asked.frame, asked.asked_from, self._standing
        recorded = standing.recorded
        base = self._make_key(frame, asked.name, asked.call_id, task, bodies, prefix="handoff/")
        if place is None:
            return base
        if recorded.find_frame(frame, base) is not None:  # by a version that knew no places
            return base
        at, where = (1, place.since_start) if place.since_start else (0, place.place)
        placed = recorded.find_placed(frame, base, at, where)
        base = placed or f"{base}@{place.place}@{place.since_start}"
        key = write_key(base, standing.find_attempt(frame, base))
        opened = recorded.find_frame(frame, key)
        if opened is None or not recorded.is_closed(opened):
            return key
        if standing.is_used_up(opened):
            standing.leave_frame(opened)
        elif place.repeats and not recorded.has_effects(opened):
            standing.repeat_frame(opened)
        else:
            return key
        return write_key(base, standing.find_attempt(frame, base))


def _is_written_as(arguments: Ref, text: str) -> bool:
    """Returns whether these arguments equal those of the JSON text that a model has written."""
    try:
        return ref_of(to_canonical_bytes(msgspec.json.decode(text))) == arguments
    except (msgspec.MsgspecError, RecursionError):
        return False
