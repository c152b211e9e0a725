"""Roles that overlap are found, and what only looks like it is not."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Sequence

import pytest

from seawall.core.errors import Misused
from seawall.lint import overlap as subject
from seawall.lint.comparison import list_duties
from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.finding import LintFinding
from seawall.lint.overlap import OverlapOptions, find_overlaps, name_lacking, score_pairs

WORDS = OverlapOptions(meaning=False)

OTHERS = (
    ("booker", "Travel booker", "Books flights and hotels for the staff."),
    ("scribe", "Note taker", "Writes the minutes of meetings."),
    ("buyer", "Purchaser", "Orders office furniture from suppliers."),
)
"""Agents with duties of their own, so that a team has more than the two in question."""


def team(*agents: tuple[str, str, str]) -> TeamDescription:
    return TeamDescription(
        name="team",
        agents=tuple(
            AgentDescription(name=name, role=role, instructions=told) for name, role, told in agents
        ),
    )


def pairs(*agents: tuple[str, str, str]) -> list[tuple[str, ...]]:
    return [finding.agents for finding in find_overlaps(team(*agents, *OTHERS), WORDS)]


def only(*agents: tuple[str, str, str]) -> LintFinding:
    (finding,) = find_overlaps(team(*agents, *OTHERS), WORDS)
    return finding


def test_the_same_duty_of_two_agents_is_a_strong_overlap() -> None:
    finding = only(
        ("scout", "Market scout", "Researches competitors and their prices and writes the market report."),
        ("analyst", "Market analyst", "Researches the prices of competitors and writes the market report."),
    )

    assert finding.code == "SW101"
    assert finding.severity == "warning"
    assert finding.agents == ("analyst", "scout")
    assert "competitors" in finding.reason
    assert 0.7 <= finding.score < 1.0


def test_one_duty_of_several_is_a_partial_overlap() -> None:
    finding = only(
        ("clerk", "Invoice clerk", "Files contracts. Compares the totals of all invoices with the orders."),
        (
            "cashier",
            "Cashier",
            "Pays suppliers. Counts the petty cash. Makes sure that totals of invoices are right.",
        ),
    )

    assert finding.code == "SW102"
    assert finding.severity == "note"
    assert all("totals" in sentence.text for sentence in finding.sentences)


def test_a_finding_shows_both_sentences_where_they_stand() -> None:
    agents = (
        ("clerk", "Invoice clerk", "Be polite. Checks the totals of invoices each day."),
        ("cashier", "Cashier", "Counts the petty cash. Each day checks the totals of all invoices."),
    )
    told = {name: text for name, _, text in agents}
    finding = only(*agents)

    for sentence in finding.sentences:
        assert told[sentence.agent][sentence.start :].startswith(sentence.text)
        assert "invoices" in sentence.text
    assert finding.mend


@pytest.mark.parametrize("count", [2, 3, 6])
def test_agents_that_are_told_the_same_word_for_word_are_always_found(count: int) -> None:
    told = "Answers customers. Finds their orders."
    agents = [(f"agent{letter}", "Support", told) for letter in "abcdef"[:count]]

    found = find_overlaps(team(*agents), WORDS)

    assert [finding.code for finding in found] == ["SW101"] * (count * (count - 1) // 2)


NO_OVERLAP = {
    "maker and checker": (
        ("writer", "Report writer", "Writes the quarterly report from the sales figures."),
        ("checker", "Fact checker", "Checks every number of the report against the ledger and rejects it if one is wrong."),
    ),
    "writer and editor": (
        ("author", "Author", "Drafts articles on gardening with at least three sources."),
        ("editor", "Editor", "Corrects spelling and style of the draft."),
    ),
    "producer and consumer": (
        ("miner", "Data collector", "Collects customer reviews from the shop."),
        ("reader", "Sentiment analyst", "Rates the mood of the collected reviews."),
    ),
    "router and specialist": (
        ("router", "Triage", "Reads the ticket and sends it to billing or to engineering."),
        ("billing", "Billing specialist", "Explains invoices and corrects wrong charges."),
    ),
    "one form on two objects": (
        ("news_de", "Reporter, Germany", "Covers parties in Germany. Writes articles of 600 words with two named sources."),
        ("news_fr", "Reporter, France", "Covers unions in France. Writes articles of 600 words with two named sources."),
    ),
    "shards": (
        ("worker_1", "Segment 1 translator", "Translates the first extract of the transcript and returns it as a valid block."),
        ("worker_2", "Segment 2 translator", "Translates the second extract of the transcript and returns it as a valid block."),
    ),
    "equal workers on shards": (
        ("worker_1", "", "Translates the extract that it is given."),
        ("worker_2", "", "Translates the extract that it is given."),
    ),
    "judges of two criteria": (
        ("judge_a", "Judge of style", "Scores the essay from 1 to 5 on style."),
        ("judge_b", "Judge of logic", "Scores the essay from 1 to 5 on logic."),
    ),
    "sides of a debate": (
        ("bull", "Optimist", "Argues for buying the share from the analysts' reports."),
        ("bear", "Pessimist", "Argues against buying the share from the analysts' reports."),
    ),
    "general manners": (
        ("painter", "Painter", "Draws the cover. Be accurate, and deliver high quality results."),
        ("typist", "Typist", "Types letters. Be accurate, and deliver high quality results."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_OVERLAP)
def test_what_only_looks_like_an_overlap_is_not_found(kind: str) -> None:
    assert pairs(*NO_OVERLAP[kind]) == []


def test_judges_of_the_same_criterion_overlap() -> None:
    found = pairs(
        ("judge_a", "Judge, engineer", "Strict. Scores the essay from 1 to 5 on its logic."),
        ("judge_b", "Judge, investor", "Kind. Scores the essay from 1 to 5 on its logic."),
        ("judge_c", "Judge, novelist", "Calm. Scores the essay from 1 to 5 on its style."),
    )

    assert found == [("judge_a", "judge_b")]


def test_what_the_whole_team_is_about_counts_for_nothing() -> None:
    found = find_overlaps(
        team(
            ("planner", "Trip planner", "Plans the day of the trip to {city}."),
            ("cook", "Restaurant guide", "Names restaurants for the trip to {city}."),
            ("packer", "Packing adviser", "Lists clothes for the trip to {city}."),
        ),
        WORDS,
    )

    assert found == []


def test_the_order_of_the_agents_makes_no_difference() -> None:
    agents = (
        ("clerk", "Invoice clerk", "Files contracts. Checks the totals of invoices."),
        ("cashier", "Cashier", "Checks the totals of invoices. Counts the petty cash."),
        *OTHERS,
    )
    expected = find_overlaps(team(*agents), WORDS)

    assert expected
    for order in itertools.permutations(agents):
        assert find_overlaps(team(*order), WORDS) == expected


@pytest.mark.parametrize("told", ["", " ", "…", "请检查发票。", "Prüft Rechnungen und bezahlt sie."])
def test_texts_of_any_kind_are_compared_without_a_failure(told: str) -> None:
    agents = [("one", "", told), ("two", "", told + " "), ("three", "Clerk", "Checks invoices.")]

    assert len(score_pairs(team(*agents))) == 3
    assert all(0.0 <= each.score <= 1.0 for each in score_pairs(team(*agents)))


@pytest.mark.parametrize("count", [0, 1])
def test_a_team_without_pairs_has_no_overlap(count: int) -> None:
    assert find_overlaps(team(*OTHERS[:count])) == []


def test_huge_instructions_are_cut_and_compared() -> None:
    told = "check the order, pay the invoice " * 20_000
    huge = team(*[(f"agent{at}", "Clerk", f"{told} {at}") for at in range(4)])

    assert all(len(duties) <= 80 for duties in list_duties(huge))
    assert len(score_pairs(huge)) == 6


def test_no_connection_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the lint has opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert find_overlaps(team(*OTHERS, ("other", "Travel agent", "Books flights and hotels for the staff.")))


def test_without_the_extra_the_lint_works_and_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    agents = (*OTHERS, ("other", "Travel agent", "Books flights and hotels for the staff."))
    monkeypatch.setattr(subject, "load_meaning", lambda: None)

    assert find_overlaps(team(*agents)) == find_overlaps(team(*agents), WORDS) != []
    assert "seawall[lint]" in name_lacking()
    assert name_lacking(WORDS) == ""


class Nearness:
    """A fake embedding: texts are equal in meaning if they stand in one group."""

    def __init__(self, *groups: Sequence[str]) -> None:
        self._groups = groups
        self._texts: list[list[str]] = []

    def place(self, texts: Sequence[Sequence[str]]) -> Nearness:
        self._texts = [list(of_agent) for of_agent in texts]
        return self

    def find_closest(self, first: int, second: int) -> tuple[float, int, int]:
        for at, text in enumerate(self._texts[first]):
            for other, there in enumerate(self._texts[second]):
                if any(text in group and there in group for group in self._groups):
                    return 1.0, at, other
        return 0.0, 0, 0


def test_a_duty_told_in_other_words_scores_higher_by_its_meaning() -> None:
    agents = team(
        ("a", "Hotel judge", "Ranks hotels by preference"),
        ("b", "Adviser", "Names three stays with the best value"),
        *OTHERS,
    )
    near = Nearness(["Ranks hotels by preference", "Names three stays with the best value"])

    def score(meaning: Nearness) -> float:
        scored = score_pairs(agents, meaning=meaning)
        return next(each.score for each in scored if (each.pair.first, each.pair.second) == ("a", "b"))

    assert score(near) > score(Nearness())


@pytest.mark.parametrize(("partial", "strong"), [(0.0, 0.5), (0.7, 0.6), (0.5, 1.0)])
def test_thresholds_that_make_no_sense_are_misused(partial: float, strong: float) -> None:
    with pytest.raises(Misused, match="between 0 and 1"):
        OverlapOptions(partial_from=partial, strong_from=strong)


def test_a_lower_threshold_finds_more() -> None:
    agents = team(*OTHERS, ("guide", "Trip guide", "Finds hotels with a view."))

    assert len(find_overlaps(agents, OverlapOptions(partial_from=0.001, meaning=False))) > len(
        find_overlaps(agents, WORDS)
    )
