"""What makes a call the same after a restart: no retry, no id that comes again and no other way makes an effect twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.scripted_loop import USAGE
from seawall import Engine
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import Session
from seawall.team.tool import NotDone

EFFECTS = ["pay", "notify"]


class Bank:
    """The outside world: what was paid, after so many refusals."""

    def __init__(self, busy: int = 0) -> None:
        self.busy, self.made = busy, list[Any]()

    def perform(self, turn: Any) -> tuple[str, None]:
        """Performs any effect."""
        if self.busy:
            self.busy -= 1
            raise NotDone("the bank is busy")
        self.made.append(dict(turn.arguments))
        return f"done {len(self.made)}", None


def pay(session: Session, bank: Bank, call_id: str, tries: int = 1, frame: int = 0, **arguments: Any) -> str:
    """Asks for a payment, and again if that has failed."""
    asked = session.tool("clerk", "pay", arguments, call_id=call_id, frame=frame)
    for _ in range(tries):
        try:
            settled = session.step_sync(asked, bank.perform).settled
        except NotDone:
            continue
        if settled.status == "ok":
            return settled.text
    return "given up"


@pytest.mark.parametrize("call_id", ["", "c1"])
def test_a_retry_that_is_recorded_is_given_again(tmp_path: Path, call_id: str) -> None:
    bank = Bank(busy=2)
    told: list[str] = []
    for _ in range(2):
        with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
            session = engine.begin("Pay", loop="own", request_id="r-1")
            told.append(pay(session, bank, call_id, tries=5, order=7))
            session.detach_sync()

    assert bank.made == [{"order": 7}]
    assert told == ["done 1", "done 1"]


def test_a_hand_off_that_was_tried_again_has_its_frame_again(tmp_path: Path) -> None:
    bank = Bank()
    frames: list[int] = []
    for _ in range(2):
        with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
            session = engine.begin("Pay", loop="own", request_id="r-1")
            for failed in (True, False):
                asked = session.handoff("clerk", "bank", "pay", call_id="c1")
                frames.append(session.open_frame_sync(asked))
                pay(session, bank, "p1", frame=frames[-1], order=7)
                session.close_frame_sync(frames[-1], "paid", failed=failed)
            session.detach_sync()

    assert frames[:2] == frames[2:]
    assert len(bank.made) == 2


class Desk:
    """A loop without a checkpoint, whose model counts the calls of each reply from zero."""

    def __init__(self, bank: Bank, replies: list[tuple[str, dict[str, Any]]], call_id: str) -> None:
        self.bank, self.replies, self.call_id = bank, replies, call_id
        self.told: list[str] = []

    def run(self, session: Session, request: str, replies: int) -> None:
        """Asks for so many replies, and for their calls but those of the last one."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": request}]
        for number in range(replies):
            name, arguments = self.replies[number]
            call = (self.call_id, name, json.dumps(arguments, indent=1))
            asked = session.model("clerk", "test:m", messages)
            session.step_sync(asked, lambda turn, call=call: (ModelResult("", [call], usage=USAGE), None))
            messages.append({"role": "assistant", "calls": [{"id": self.call_id, "name": name}]})
            if number < replies - 1:
                asked = session.tool("clerk", name, arguments, call_id=self.call_id)
                settled = session.step_sync(asked, self.bank.perform).settled
                self.told.append(settled.text)
                messages.append({"role": "tool", "id": self.call_id, "content": settled.text})


@pytest.mark.parametrize("second", [("notify", {"order": 7}), ("pay", {"order": 8}), ("pay", {"order": 7})])
@pytest.mark.parametrize("replies", [2, 3])
def test_ids_that_come_again_in_each_reply_are_calls_of_their_own(
    tmp_path: Path, second: tuple[str, dict[str, Any]], replies: int
) -> None:
    bank = Bank()
    desk = Desk(bank, [("pay", {"order": 7}), second, ("notify", {})], "call_0")
    for asked in (replies, 3):
        with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
            session = engine.begin("Pay", loop="own", request_id="r-1")
            desk.run(session, "Pay", asked)
            session.detach_sync()

    assert bank.made == [{"order": 7}, second[1]]
    assert desk.told[-2:] == ["done 1", "done 2"]


def test_a_loop_with_a_checkpoint_finds_the_reply_that_asks_for_this(tmp_path: Path) -> None:
    bank = Bank()
    desk = Desk(bank, [("pay", {"order": 7}), ("notify", {})], "call_0")
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        desk.run(session, "Pay", 2)
        session.detach_sync()
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:  # it was saved after the first reply
        session = engine.begin("Pay", loop="own", request_id="r-1")
        told = pay(session, bank, "call_0", order=7)
        session.detach_sync()

    assert told == "done 1"
    assert bank.made == [{"order": 7}]


@pytest.mark.parametrize("call_id", ["1", "call_0"])
def test_another_way_is_seen_whatever_the_ids_are(tmp_path: Path, call_id: str) -> None:
    """The second request is another one, which has the ids of the calls in it by chance."""
    bank = Bank()
    desk = Desk(bank, [("pay", {"order": 7}), ("notify", {})], call_id)
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        desk.run(session, "Pay", 2)
        session.detach_sync()
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        with pytest.raises(Held):
            desk.run(session, f"Pay order 1, as in {call_id}", 2)

    assert bank.made == [{"order": 7}]


def test_ids_that_differ_are_calls_that_differ() -> None:
    bank = Bank()
    with Engine(effects=EFFECTS) as engine, engine.begin("Pay", loop="own") as session:
        ids = ["a~2", "a-2", "a%7E2", "a/2", "a", "a\n2", " a"]
        told = [pay(session, bank, each, order=order) for order, each in enumerate(ids)]
        session.end_sync("paid")

    assert len(set(told)) == len(bank.made) == len(ids)


def test_a_failure_that_is_recorded_is_given_again_once_before_it_is_tried_anew(tmp_path: Path) -> None:
    bank = Bank()
    asked = Session.tool("clerk", "pay", {"order": 8}, call_id="c2")
    told = list[str]()

    def refuse(turn: Any) -> tuple[str, None]:
        raise NotDone("the bank is busy")

    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        told.append(pay(session, bank, "c1", order=7))
        with pytest.raises(NotDone):
            session.step_sync(asked, refuse)
        session.detach_sync()
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        told += [pay(session, bank, "c1", order=7) for _ in range(3)]
        again = session.step_sync(asked, bank.perform).settled
        told.append(pay(session, bank, "c2", order=8))
        session.detach_sync()

    assert (again.status, again.replayed) == ("error", True)
    assert told == ["done 1"] * 4 + ["done 2"]
    assert bank.made == [{"order": 7}, {"order": 8}]


def test_what_is_recorded_is_read_once_however_many_steps_are_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, reads = Bank(), list[str]()
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        for number in range(20):
            pay(session, bank, f"c{number}", order=number)
        session.detach_sync()
    events = SqliteJournal.events

    async def read(journal: SqliteJournal, run: str) -> Any:
        reads.append(run)
        return await events(journal, run)

    monkeypatch.setattr(SqliteJournal, "events", read)
    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        for number in range(20):
            pay(session, bank, f"c{number}", order=number)
        session.detach_sync()

    assert (len(bank.made), len(reads)) == (20, 1)


def test_a_loop_that_begins_anew_is_given_again_what_its_calls_came_from(tmp_path: Path) -> None:
    bank, asked = Bank(), list[str]()

    def ask_model(session: Session, *said: str) -> None:
        def reply(turn: object) -> tuple[ModelResult, None]:
            asked.append(said[-1])
            calls = [("c1", "pay", "{}")] if len(said) == 1 else []
            return ModelResult(f"reply {len(asked)}", calls, usage=USAGE), None

        messages = [{"role": "user", "content": each} for each in said]
        session.step_sync(session.model("clerk", "test:m", messages), reply)

    with Engine(tmp_path / "desk.db", effects=EFFECTS) as engine:
        session = engine.begin("Pay", loop="own", request_id="r-1")
        for _ in range(3):
            ask_model(session, "pay")
            assert pay(session, bank, "c1") == "done 1"
            ask_model(session, "pay", "c1 is paid")
            session.begin_again(0)
        ask_model(session, "pay something else")
        with pytest.raises(Held):
            pay(session, bank, "c2", order=8)
        session.detach_sync()

    assert len(bank.made) == 1
    assert asked == ["pay", *["c1 is paid"] * 3, "pay something else"]
