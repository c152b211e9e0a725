"""Reads what people are asked, and puts many proposals of one kind from one source into one line.

So a flood of such proposals hides no other proposal.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from seawall.journal.protocol import Journal, ProposalFilter
from seawall.runtime.approval_views import Approval, build_approvals, list_proposals
from seawall.runtime.older_approvals import list_older_approvals

SHOWN_ALONE = 3
"""Up to this number, proposals of one kind are listed one by one: three refunds of one customer are not a flood."""


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
    """True if there are more lines than these."""


async def read_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest lines, one for each proposal; proposals that older versions recorded come first."""
    older = await list_older_approvals(journal, wanted, limit + 1)
    found = [] if len(older) > limit else await list_proposals(journal, wanted, limit + 1 - len(older), now)
    approvals = [*older, *await build_approvals(journal, found, now)]
    return ApprovalPage([ApprovalEntry(each) for each in approvals[:limit]], len(approvals) > limit)


async def read_grouped_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest lines: proposals that older versions recorded, then the others.

    More than `SHOWN_ALONE` proposals of one kind share one line, which shows the oldest of them.
    """
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
