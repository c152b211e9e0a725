"""Instructions are split into duties: verb, object and what it is done from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.lint.duties import (
    LONGEST_CHARS,
    LONGEST_SENTENCE_CHARS,
    MOST_DUTIES,
    Duty,
    find_duties,
    split_sentences,
)
from seawall.lint.vocabulary import group_of, stem_word


def told(instructions: str) -> list[tuple[str, str]]:
    return [(duty.verb, duty.text) for duty in find_duties(instructions)]


def only(instructions: str) -> Duty:
    (duty,) = find_duties(instructions)
    return duty


@pytest.mark.parametrize(
    "text",
    [
        "Collects invoices and checks the totals.",
        "Collect invoices and check the totals.",
        "You collect invoices and check the totals.",
        "You must always collect invoices, then check the totals.",
        "You are responsible for collecting invoices and checking the totals.",
        "Your job is to collect invoices and to check the totals.",
    ],
)
def test_a_duty_begins_at_each_verb_in_whatever_form_it_is_told(text: str) -> None:
    duties = [duty for duty in find_duties(text) if duty.verb]

    assert [duty.kind for duty in duties] == ["gather", "check"]
    assert [duty.objects[0] for duty in duties] == [stem_word("invoices"), stem_word("totals")]


def test_verbs_that_are_joined_have_the_same_object() -> None:
    first, second = find_duties("Validates and refines the hypothesis.")

    assert first.objects == second.objects == (stem_word("hypothesis"),)


def test_a_pronoun_stands_for_the_object_before_it() -> None:
    first, second = find_duties("Drafts the contract and sends it.")

    assert first.objects == second.objects


def test_what_a_duty_works_from_is_no_object_of_it() -> None:
    duty = only("Writes the report from the findings of the analyst.")

    assert duty.objects == (stem_word("report"),)
    assert stem_word("findings") in duty.inputs


@pytest.mark.parametrize("text", ["No data analysis.", "Never issue refunds.", "Do not answer customers."])
def test_what_an_agent_is_told_not_to_do_is_no_duty(text: str) -> None:
    assert find_duties(text) == []


def test_a_list_of_nouns_is_one_object() -> None:
    duty = only("Scores the range, accuracy and variety of vocabulary.")

    assert {stem_word(word) for word in ("range", "accuracy", "variety", "vocabulary")} <= set(duty.objects)


def test_items_of_a_list_are_duties() -> None:
    assert told("- Check invoices\n- Write reports\n2. Send mail to customers\n") == [
        ("check", "Check invoices"),
        ("write", "Write reports"),
        ("send", "Send mail to customers"),
    ]


def test_a_sentence_knows_where_it_stands() -> None:
    text = "  Reads the mail. Then answers customers!\n* Books rooms"

    for start, sentence in split_sentences(text):
        assert text[start : start + len(sentence)] == sentence
    assert [sentence for _, sentence in split_sentences(text)] == [
        "Reads the mail.",
        "Then answers customers!",
        "Books rooms",
    ]


@pytest.mark.parametrize("text", ["", " \n", "...", "1.", "!?;"])
def test_a_text_without_words_has_no_duties(text: str) -> None:
    assert find_duties(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Sie prüfen Rechnungen. Dann schreiben Sie Berichte.",
        "请检查发票。然后写报告。",
        "تحقق من الفواتير. اكتب التقارير.",
    ],
)
def test_text_of_another_language_is_a_duty_a_sentence(text: str) -> None:
    duties = find_duties(text)

    assert len(duties) == 2
    assert all(duty.objects for duty in duties)


def test_a_long_text_has_a_bounded_number_of_duties_and_no_long_sentence() -> None:
    duties = find_duties("check the order, pay the invoice, " * 20_000)

    assert len(duties) == MOST_DUTIES
    assert all(len(duty.sentence) <= LONGEST_SENTENCE_CHARS for duty in duties)


def test_what_stands_behind_the_bound_is_not_read() -> None:
    text = "x" * LONGEST_CHARS + ". Check invoices."

    assert all(duty.verb != "check" for duty in find_duties(text))


@given(st.text(max_size=400))
def test_any_text_is_split_the_same_way_each_time(text: str) -> None:
    duties = find_duties(text)

    assert duties == find_duties(text)
    assert all(text[duty.start :].startswith(duty.sentence) for duty in duties)


@pytest.mark.parametrize(
    "words",
    [
        "analyse analyses analyst analysing analyze analysis",
        "verify verifies verified verification",
        "optimise optimize optimised optimization",
        "gather gathers gathering gathered",
        "strategy strategies strategist",
        "write writes writer writing written",
    ],
)
def test_forms_of_a_word_have_one_stem(words: str) -> None:
    assert len({stem_word(word) for word in words.split()}) == 1


def test_words_of_one_meaning_are_near_each_other() -> None:
    assert stem_word("customers") in group_of(stem_word("client"))
    assert group_of("zyxw") == ()
