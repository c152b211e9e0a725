"""What guards advise is worded once for all frameworks, as nobody would take it for the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.foreign.scripted_loop import Bank, Reply, ScriptedLoop
from seawall import Engine
from seawall.runtime.foreign.results import word_note

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
