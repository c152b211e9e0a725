"""The rules of memory, without a journal."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from journal.memory_story import SCOPE, written
from seawall.core.canonical import ref_of
from seawall.journal.memory_rules import (
    follow_lineage,
    judge_write,
    list_edges,
    make_match,
    read_words,
    renew_expiry,
)
from seawall.journal.protocol import Lineage, MemoryEntry

LIVE = MemoryEntry(number=1, tenant="acme", scope=SCOPE, key=ref_of(b"k"), value=ref_of(b"one"), born=5)
GONE = replace(LIVE, died=7)
FORGOTTEN = replace(LIVE, value=None)


@pytest.mark.parametrize(
    ("newest", "value", "base", "judged"),
    [
        (None, "one", 0, "write"),
        (None, None, 0, "same"),
        (LIVE, "one", 0, "same"),
        (LIVE, "two", 5, "write"),
        (LIVE, "two", 4, "newer"),
        (LIVE, None, 5, "write"),
        (LIVE, None, 4, "newer"),
        (GONE, "two", 6, "newer"),
        (GONE, "one", 6, "newer"),
        (GONE, "two", 7, "write"),
        (GONE, None, 0, "same"),
        (FORGOTTEN, None, 0, "same"),
        (FORGOTTEN, "two", 4, "newer"),
        (replace(LIVE, expires_at=9.0), "one", 5, "write"),
        (replace(LIVE, expires_at=11.0), "one", 4, "same"),
    ],
)
def test_a_write_is_judged_by_what_its_run_saw(
    newest: MemoryEntry | None, value: str | None, base: int, judged: str
) -> None:
    assert judge_write(written("k", value, base), newest, "", 10.0) == judged


def test_what_differs_in_what_is_volatile_alone_is_the_same() -> None:
    write = written("k", "at 12:05", 0, loose="x")
    assert judge_write(write, LIVE, "x", 0.0) == "same"
    assert judge_write(write, LIVE, "y", 0.0) == "newer"
    assert judge_write(replace(write, loose=""), LIVE, "", 0.0) == "newer"


def test_an_entry_that_is_written_again_never_expires_earlier() -> None:
    until = replace(LIVE, expires_at=100.0)
    assert renew_expiry(written("k", "one", ttl_s=5.0), until, 10.0) == 100.0
    assert renew_expiry(written("k", "one", ttl_s=95.0), until, 10.0) == 105.0
    assert renew_expiry(written("k", "one"), until, 10.0) is None
    assert renew_expiry(written("k", "one", ttl_s=5.0), LIVE, 10.0) is None


def split(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text)


def test_a_search_quotes_each_word_and_looks_for_no_more_than_some() -> None:
    assert make_match(["p"], 'a "b', split) == '("pa" * "pb" *)'
    assert make_match(["p", "q"], "a", split) == '("pa" *) OR ("qa" *)'
    assert make_match(["p"], "on 2026-11-29", split) == '("pon" * "p2026 p11 p29" *)'
    assert make_match(["p"], " … -- ", split) is None
    assert (make_match(["p"], "w " * 1_000, split) or "").count('"pw"') == 64


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"plain text", "plain text"),
        (b'{"a": ["x\\ny", 1.5, false, null, {"b": "c"}]}', "a x\ny 1.5 False b c"),
        (b"[1, 2", "[1, 2"),
        (b"\xff\0x", "\\xff x"),
        (b"[" * 5_000, "[" * 5_000),
    ],
)
def test_a_value_is_searched_by_the_texts_and_numbers_in_it(body: bytes, words: str) -> None:
    assert read_words(body) == words


def test_one_exposure_on_the_way_makes_exposure_of_all_that_follows() -> None:
    edges = [("e:1", "e:2", True), ("e:2", "e:3", False), ("e:3", "e:4", True), ("e:1", "e:4", False)]
    edges += [("e:4", "e:1", True), ("e:2", "a:r", True), ("a:r", "e:5", True)]

    def follow(nodes: object) -> list[tuple[str, str, bool]]:
        return [edge for edge in edges if edge[0] in nodes]  # pyright: ignore[reportOperatorIssue] - a sequence of names

    seed = Lineage(tie="value", entry=1)
    values, touched = follow_lineage([seed], follow, exposed=False)
    assert (values, touched) == ({"e:1", "e:2", "a:r", "e:5"}, {"e:3", "e:4"})
    assert follow_lineage([seed], follow, exposed=True) == ({*values, *touched}, set())
    only = follow_lineage([replace(seed, tie="exposure")], follow, exposed=False)
    assert only == (set(), {*values, *touched})


def test_a_value_outdoes_exposure_and_nothing_is_made_of_itself() -> None:
    causes = [
        Lineage(tie="exposure", entry=1),
        Lineage(tie="value", entry=1),
        Lineage(tie="exposure", entry=1),
        Lineage(tie="value", run="r", step=3),
        Lineage(tie="exposure", run="r"),
        Lineage(tie="value", entry=2),
    ]
    assert list_edges(causes, "e:2") == {("e:1", "e:2"): True, ("s:r:3", "e:2"): True, ("a:r", "e:2"): False}
