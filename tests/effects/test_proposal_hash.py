"""The hash of a proposal stands for exactly what would be performed."""

from __future__ import annotations

from itertools import combinations

from seawall.effects.proposals import compute_proposal_hash


def test_any_change_of_what_is_performed_changes_the_hash() -> None:
    same = ("tool", "refund", "v1", '{"order":"1042"}', "")
    others = [(*same[:at], same[at] + "x", *same[at + 1 :]) for at in range(len(same))]
    moved = ("toolrefund", "", "v1", '{"order":"1042"}', "")

    hashes = [compute_proposal_hash(*each) for each in (same, *others, moved)]

    assert all(a != b for a, b in combinations(hashes, 2))
    assert hashes[0] == compute_proposal_hash(*same)
    assert {len(each) for each in hashes} == {64}
