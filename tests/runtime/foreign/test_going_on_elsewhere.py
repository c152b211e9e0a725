"""A run goes on elsewhere between a loop's look at the record and its lease: the loop looks again."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from seawall import Engine, Seawall
from seawall.runtime.foreign.results import ModelResult
from seawall.runtime.foreign.session import Session
from seawall.team.tool import NotDone


class Bank:
    """The outside world, which is busy at first."""

    def __init__(self) -> None:
        self.busy, self.made = True, 0

    def pay(self, turn: Any) -> tuple[str, None]:
        """Performs the payment."""
        if self.busy:
            self.busy = False
            raise NotDone("the bank is busy")
        self.made += 1
        return f"payment {self.made}", None


def pay(session: Session, bank: Bank, call_id: str) -> str:
    """Asks for a payment until it is done."""
    asked = session.tool("clerk", "pay", {"order": 7}, call_id=call_id)
    while True:
        try:
            settled = session.step_sync(asked, bank.pay).settled
        except NotDone:
            continue
        if settled.status == "ok":
            return settled.text


class SlowTake:
    """Holds a process that has read what is recorded, before it takes the lease."""

    def __init__(self, sea: Seawall, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        self._take_up = sea.supervisor.take_up
        monkeypatch.setattr(sea.supervisor, "take_up", self._wait_and_take)

    async def _wait_and_take(self, *given: Any, **options: Any) -> Any:
        self.reached.set()
        await asyncio.to_thread(self.goes_on.wait, 30)
        return await self._take_up(*given, **options)


@pytest.mark.parametrize("call_id", ["", "c1"])
def test_what_was_made_meanwhile_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_id: str
) -> None:
    bank = Bank()
    journal = tmp_path / "desk.db"
    with (
        Engine(journal, effects=["pay"]) as one,
        Engine(journal, effects=["pay"]) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with one.begin("Pay", loop="own", request_id="r-1") as session:
            session.step_sync(session.tool("clerk", "look", {}), lambda turn: ("seen", None))
        slow = SlowTake(other.sea, monkeypatch)
        late = other.begin("Pay", loop="own", request_id="r-1")
        told = pool.submit(pay, late, bank, call_id)
        assert slow.reached.wait(30)
        with one.begin("Pay", loop="own", request_id="r-1") as session:
            assert pay(session, bank, call_id) == "payment 1"
        slow.goes_on.set()
        assert told.result(30) == "payment 1"
        late.end_sync("paid")

    assert bank.made == 1


class Model:
    """A model that asks for the payment first."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, turn: Any) -> tuple[ModelResult, None]:
        """Performs a request."""
        self.asked += 1
        calls = [("c1", "pay", '{"order":7}')] if self.asked == 1 else []
        return ModelResult("" if calls else "paid", calls), None


def test_replies_that_were_read_before_the_run_went_on_elsewhere_are_given_again(tmp_path: Path) -> None:
    model, bank = Model(), Bank()
    bank.busy = False
    messages = [{"role": "user", "content": "Pay order 7."}]
    journal = tmp_path / "desk.db"
    with Engine(journal, effects=["pay"]) as one, Engine(journal, effects=["pay"]) as other:
        with one.begin("Pay", loop="own", request_id="r-1") as session:
            session.step_sync(session.model("clerk", "openai:gpt-5.2", messages), model.ask)
        late = other.begin("Pay", loop="own", request_id="r-1")
        found = asyncio.run(late.find_frames("c1"))
        with one.begin("Pay", loop="own", request_id="r-1") as session:
            session.step_sync(session.model("clerk", "openai:gpt-5.2", messages), model.ask)
            assert pay(session, bank, "c1") == "payment 1"
        again = late.step_sync(late.model("clerk", "openai:gpt-5.2", messages), model.ask).settled
        paid = pay(late, bank, "c1")
        late.end_sync("paid")

    assert found == (0,)
    assert (again.replayed, model.asked) == (True, 1)
    assert (paid, bank.made) == ("payment 1", 1)
