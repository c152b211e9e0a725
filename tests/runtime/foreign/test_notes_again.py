"""What an asker was told beside a result is told again with it: otherwise the loop's next request would be another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.foreign.boss import BOSS, identify
from runtime.foreign.scripted_loop import Bank, ScriptedLoop
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine

FIND = ("find_order", {"order": 1042})
REFUND = ("refund", {"order": 1042, "amount": 5})
REPLIES = [[("c1", *FIND)], [("c2", *FIND)], [("c3", *REFUND)], "Refunded."]
"""The second look brings nothing new, so that the guard of loops advises."""


def run(engine: Engine, bank: Bank, *, fails: bool = False) -> ScriptedLoop:
    """Runs a new loop, without a checkpoint, for the same request."""

    def refund(order: int, amount: int) -> str:
        if fails:
            raise ConnectionError("cut off")
        return bank.refund(order, amount)

    loop = ScriptedLoop(REPLIES, {"find_order": lambda order: f"{order}: paid", "refund": refund})
    with engine.begin("Refund order 1042", loop="own", request_id="r-1") as session:
        session.end_sync(loop.run_sync(session, "Refund order 1042"))
    return loop


def list_told(loop: ScriptedLoop) -> list[str]:
    return [each.told for each in loop.settled]


def test_an_effect_that_a_person_has_settled_is_given_again_after_advice(tmp_path: Path) -> None:
    bank = Bank()
    with Engine(
        tmp_path / "desk.db", effects=["refund"], reads=["find_order"], authenticate=identify
    ) as engine:
        with pytest.raises(Held) as caught:
            run(engine, bank, fails=True)
        held = caught.value
        engine.call(
            lambda sea: sea.reconcile(held.run, step=held.step, committed="refund 7", credential=BOSS)
        )
        again = run(engine, bank)
    assert (again.model_calls, bank.refunds) == (1, [])
    assert list_told(again)[-2] == "refund 7"
