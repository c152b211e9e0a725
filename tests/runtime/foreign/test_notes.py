"""What guards advise is worded once for all frameworks, as nobody would take it for the user's, and is told again with a
recorded result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.foreign.boss import change, identify
from runtime.foreign.scripted_loop import Bank, Reply, ScriptedLoop
from seawall import Effect, Engine, always
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.results import word_note

SEARCHES: Any = ([("c1", "find", {"n": 1})], [("c2", "find", {"n": 1})], "Nothing there.")
PAYS: Any = ([("c1", "pay", {"order": 1042, "amount": 5})], "Paid.")
ADAPTERS = Path(__file__).parents[3] / "src" / "seawall" / "adapters"


@pytest.mark.parametrize(
    ("note", "worded"),
    [
        ("2 of 10 calls are left.", "[Not from the user: 2 of 10 calls are left.]"),
        ("[find_order brought nothing new.]", "[Not from the user: find_order brought nothing new.]"),
        ("[Not from the user: 2 of 10 calls are left.]", "[Not from the user: 2 of 10 calls are left.]"),
    ],
)
def test_a_note_says_once_that_it_is_not_from_the_user(note: str, worded: str) -> None:
    assert word_note(note) == worded
    assert word_note(word_note(note)) == worded


def test_no_adapter_words_a_note_by_itself() -> None:
    own = [path.name for path in ADAPTERS.rglob("*.py") if "Not from the user" in path.read_text()]

    assert own == [], "they call word_note"


def test_advice_is_told_again_with_the_result(tmp_path: Path) -> None:
    made = 0
    told: list[list[str]] = []
    for _ in range(2):
        with Engine(tmp_path / "desk.db") as engine:
            loop = ScriptedLoop(SEARCHES, {"find": lambda n: "not found"})
            session = engine.begin("Find it", loop="own", request_id="r-1")
            assert loop.run_sync(session, "Find it") == "Nothing there."
            session.detach_sync()
            told.append([settled.told for settled in loop.settled])
            made += loop.model_calls

    assert told[0] == told[1]
    assert any("nothing new" in each for each in told[0])
    assert made == 3


def test_what_a_person_has_changed_is_told_again_with_the_result(tmp_path: Path) -> None:
    told: list[list[str]] = []
    for _ in range(3):
        with Engine(
            tmp_path / "desk.db", effects={"pay": Effect(approve=always())}, authenticate=identify
        ) as engine:
            loop = ScriptedLoop(PAYS, {"pay": lambda **arguments: "paid"})
            session = engine.begin("Pay", loop="own", request_id="r-1")
            if not told:
                with pytest.raises(Held):
                    loop.run_sync(session, "Pay")
                engine.call(lambda sea: change(sea, engine.make_team("clerk")))
            else:
                loop.run_sync(session, "Pay")
            session.detach_sync()
            told.append([settled.told for settled in loop.settled])

    assert told[1] == told[2]
    assert '"amount":3' in told[1][1]


def test_a_result_that_came_with_advice_is_given_again_with_it(tmp_path: Path) -> None:
    """Otherwise the next request to the model is another one, and what is recorded after it is not given again."""
    bank, told, model_calls = Bank(), [], 0
    refund = {"order": 1042, "amount": 5}
    replies: list[Reply] = [
        [("c1", "refund", refund)],
        [("c2", "refund", refund)],
        [("c3", "look", {})],
        "done",
    ]
    for _ in range(2):
        loop = ScriptedLoop(replies, {"refund": bank.refund, "look": lambda: "nothing"})
        with Engine(tmp_path / "desk.db", effects=["refund"]) as engine:
            session = engine.begin("Refund it twice.", loop="own", request_id="r-1")
            assert loop.run_sync(session, "Refund it twice.") == "done"
            session.end_sync("done")
        told.append(loop.messages)
        model_calls += loop.model_calls

    assert "is now done 2 times" in str(told[0])
    assert told[1] == told[0]
    assert (model_calls, len(bank.refunds)) == (4, 2)
