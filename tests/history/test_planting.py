"""What is planted into an answer contradicts the evidence, in one place and in a way that can be repeated."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.reviewed import ANSWER
from seawall.history.planting import KINDS, PlantKind, list_places, plant

EVIDENCE = (
    '- find_order: {"id": "A-1042", "amount": "80.0", "customer": "Ana Ferreira", "shipped": "2026-03-03"}'
)
REQUEST = "Where is my order?"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_one_thing_that_the_evidence_does_not_hold(kind: PlantKind) -> None:
    found = plant(ANSWER, EVIDENCE, REQUEST, kind, "1")

    assert found is not None
    assert found.planted not in EVIDENCE + REQUEST + ANSWER
    assert found.answer != ANSWER
    if kind == "claim":
        assert found.answer.startswith(ANSWER)
    else:
        assert ANSWER.replace(found.original, found.planted) == found.answer


def test_the_same_seed_plants_the_same_and_another_one_something_else() -> None:
    def planted(seed: str) -> str:
        found = plant(ANSWER, EVIDENCE, REQUEST, "id", seed)
        return "" if found is None else found.planted

    assert planted("1") == planted("1")
    assert len({planted(str(seed)) for seed in range(20)}) > 5


def test_what_only_the_answer_or_the_request_holds_is_no_contradiction_of_the_evidence() -> None:
    assert plant("Ticket T-77 is open.", "- look: nothing", "What of T-77?", "id", "1") is None


def test_an_answer_without_a_value_has_room_for_a_claim_only() -> None:
    kinds = {kind for kind in KINDS if plant("It was lost.", EVIDENCE, REQUEST, kind, "1")}

    assert kinds == {"claim"}


def test_an_answer_in_json_stays_json_and_gets_no_sentence() -> None:
    answer = '{"order": "A-1042", "amount": 80.00}'

    changed = plant(answer, EVIDENCE, REQUEST, "number", "1")

    assert changed is not None
    assert re.fullmatch(r'\{"order": "A-1042", "amount": [1-9]\d\.\d\d\}', changed.answer)
    assert plant(answer, EVIDENCE, REQUEST, "claim", "1") is None


def test_another_spelling_of_a_number_in_the_evidence_is_the_same_number() -> None:
    found = plant("It costs 1,200.50 in all.", '- price: {"sum": 1200.5}', "", "number", "1")

    assert found is not None
    assert found.original == "1,200.50"


def test_months_become_months_and_weekdays_weekdays() -> None:
    evidence = "- look: it came on a Tuesday in March"
    found = plant("I see it came on a Tuesday, not later.", evidence, "", "name", "1")

    assert found is not None
    assert found.planted.endswith("day")


def test_no_character_belongs_to_two_values() -> None:
    places = list_places("Order A-1042 of 2026-03-03: 80.00 for Mrs Ferreira, paid on 3 March to #4711.")

    assert sorted((each.kind) for each in places) == ["date", "date", "id", "id", "name", "number"]


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(KINDS))
def test_any_texts_can_be_planted_into(answer: str, evidence: str, kind: PlantKind) -> None:
    found = plant(answer, evidence, "", kind, "1")

    assert found is None or (found.answer != answer and found.planted not in evidence)
