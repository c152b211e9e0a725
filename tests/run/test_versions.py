"""Which answers are versions of one text, and which of them say nothing new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seawall.run.traces import find_traces
from seawall.run.versions import MIN_SHINGLES, SKETCH, Told, Versions
from seawall.run.waste import MAX_VERSIONS

NOTES = (
    "The autumn release brings a faster search, a calmer start page and the report that finance has wanted since "
    "spring. Customers with older contracts keep their prices until the end of the year. Support answers on weekdays, "
    "and the status page tells of every outage within minutes."
)
OTHER = (
    "Migrating birds cross the northern valley early this season, and volunteers counted several hundred cranes near "
    "the reservoir. Farmers protect seedlings with nets, while the district council discusses whether hunting should "
    "pause until breeding pairs have settled again."
)
WORDS = st.lists(
    st.sampled_from([f"{a}{b}" for a in ("stone", "river", "copper") for b in "abcdefghijk"]), min_size=60
)


def write(*texts: str, below: set[int] | None = None) -> list[Told]:
    """Returns what each text is, written one after another by frames 10, 20, …; `below` are frames below all others."""
    versions, found = Versions(), list[Told]()
    for number, text in enumerate(texts, start=1):
        traces = find_traces(text)
        told = versions.compare(number, traces, lambda frame: frame in (below or ()))
        if told.version_of:
            versions.add(told.version_of, 10 * number, traces)
        found.append(told)
    return found


def test_the_first_answer_is_a_text_of_its_own_and_its_near_copy_a_rewrite() -> None:
    assert write(NOTES, NOTES + " Thank you.") == [(1, False), (1, True)]


def test_two_texts_about_other_things_have_nothing_to_do_with_each_other() -> None:
    assert write(NOTES, OTHER) == [(1, False), (2, False)]


def test_a_new_number_in_the_same_words_is_news() -> None:
    first, second = NOTES + " It costs 120 EUR.", NOTES + " It costs 145 EUR."

    assert write(first, second) == [(1, False), (1, False)]


def test_a_number_that_comes_back_is_no_news() -> None:
    first, second = NOTES + " It costs 120 EUR.", NOTES + " It costs 145 EUR."

    assert write(first, second, first, second) == [(1, False), (1, False), (1, True), (1, True)]


def test_a_text_in_other_words_about_the_same_is_a_text_of_its_own() -> None:
    shorter = "Search is quicker now and the opening screen is quiet. Old contracts stay as cheap as before until January. "

    assert write(NOTES, shorter * 2)[1].version_of == 2


def test_what_was_written_for_the_one_that_answers_is_passed_on_and_not_rewritten() -> None:
    assert write(NOTES, NOTES, below={10}) == [(1, False), (1, False)]


def test_a_short_answer_is_compared_with_nothing() -> None:
    assert write("It was shipped on Monday.", "It was shipped on Monday.") == [(0, False), (0, False)]


def test_only_the_newest_versions_are_remembered() -> None:
    texts = [" ".join(f"{word}{number}x" for word in OTHER.split()) for number in range(MAX_VERSIONS)]

    told = write(NOTES, *texts, NOTES)

    assert told[-1] == (len(texts) + 2, False)


def test_a_task_holds_a_text_that_stands_in_it() -> None:
    versions = Versions()
    versions.add(7, 10, find_traces(NOTES))

    assert versions.find_text(find_traces(f"Make it friendlier, and shorter: {NOTES}")) == 7
    assert versions.find_text(find_traces(f"Write something else: {OTHER}")) == 0


@given(WORDS, st.integers(1, 40))
def test_whoever_answers_in_the_words_of_a_long_text_rewrites_it(words: list[str], times: int) -> None:
    text = " ".join(words) + " " + NOTES * times
    enough = len(find_traces(text).shingles) >= MIN_SHINGLES

    assert write(text, text) == [(1, False), (1, True)] if enough else [(0, False)] * 2


@given(st.integers(3 * SKETCH, 6 * SKETCH), st.floats(0.0, 1.0))
def test_a_sample_tells_texts_with_most_in_common_from_texts_with_little(words: int, kept: float) -> None:
    one = [f"stone{number}stone" for number in range(words)]
    other = [*one[: int(kept * words)], *(f"river{number}river" for number in range(words))]
    share = find_share(" ".join(one), " ".join(other))
    told = Versions()
    told.add(1, 10, find_traces(" ".join(one)))
    is_version = told.compare(2, find_traces(" ".join(other)), lambda _: False).version_of == 1

    assert is_version or share < 0.8
    assert not is_version or share > 0.2


def find_share(one: str, other: str) -> float:
    first, second = find_traces(one).shingles, find_traces(other).shingles
    return len(first & second) / len(first | second)
