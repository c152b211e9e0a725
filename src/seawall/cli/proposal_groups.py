"""Reads what people are asked, with many proposals of one kind from one source as one: a flood hides no other proposal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from seawall.journal.protocol import Journal, ProposalFilter
from seawall.runtime.approval_views import Approval, build_approvals, list_proposals

SHOWN_ALONE = 3
"""So many of one kind are listed one by one: two or three refunds of one customer are no flood."""


@dataclass(frozen=True)
class ApprovalEntry:
    """One line of the list: a proposal, or the oldest of many of one kind."""

    approval: Approval
    count: int = 1


@dataclass(frozen=True)
class ApprovalPage:
    """The first lines of the list."""

    entries: list[ApprovalEntry]
    cut: bool
    """There are more lines."""


async def read_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest proposals, each in a line of its own."""
    found = await list_proposals(journal, wanted, limit + 1, now)
    approvals = await build_approvals(journal, found[:limit], now)
    return ApprovalPage([ApprovalEntry(each) for each in approvals], len(found) > limit)


async def read_grouped_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest lines: proposals, and one line for more than `SHOWN_ALONE` of a kind, by its oldest."""
    groups = [(proposal, group or proposal) for proposal, group in await journal.proposal_groups(wanted)]
    counts = Counter(group for _, group in groups)
    lines: dict[str, int] = {}
    begun: set[str] = set()
    for proposal, group in groups:
        if counts[group] <= SHOWN_ALONE:
            lines[proposal] = 1
        elif group not in begun:
            begun.add(group)
            lines[proposal] = counts[group]
    shown = [await journal.proposal(proposal) for proposal in list(lines)[:limit]]
    approvals = await build_approvals(journal, shown, now)
    entries = [ApprovalEntry(each, lines[each.id]) for each in approvals]
    return ApprovalPage(entries, len(lines) > limit)
