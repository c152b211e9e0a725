"""Reads what people are asked, with many proposals of one kind from one source as one: a flood hides no other proposal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from seawall.journal.protocol import Journal, ProposalFilter
from seawall.runtime.approval_views import Approval, build_approvals, list_proposals
from seawall.runtime.older_approvals import list_older_approvals

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
    """Returns the oldest lines, each for one proposal; what older versions asked comes first."""
    older = await list_older_approvals(journal, wanted, limit + 1)
    found = [] if len(older) > limit else await list_proposals(journal, wanted, limit + 1 - len(older), now)
    approvals = [*older, *await build_approvals(journal, found, now)]
    return ApprovalPage([ApprovalEntry(each) for each in approvals[:limit]], len(approvals) > limit)


async def read_grouped_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest lines: what older versions asked, then proposals, and one line for more than `SHOWN_ALONE` of a kind, by its oldest."""
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
    older = await list_older_approvals(journal, wanted, limit + 1)
    entries = [ApprovalEntry(each) for each in older[:limit]]
    shown = [await journal.proposal(proposal) for proposal in list(lines)[: limit - len(entries)]]
    approvals = await build_approvals(journal, shown, now)
    entries += [ApprovalEntry(each, lines[each.id]) for each in approvals]
    return ApprovalPage(entries, len(older) + len(lines) > limit)
