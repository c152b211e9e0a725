"""Reads what people are asked, with many proposals of one kind from one source as one: a flood hides no other proposal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from msgspec.structs import replace

from seawall.journal.protocol import Journal, Proposal, ProposalFilter
from seawall.runtime.approval_views import Approval, build_approvals, has_expired, list_proposals

PAGE = 1_000
"""Proposals that one query reads."""
MAX_COUNTED = 10_000
"""Proposals that are gone through for the counts: a tenth of a second. More are not counted, and that is said."""
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
    uncounted: bool = False
    """There are more proposals than were counted."""


async def read_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest proposals, each in a line of its own."""
    found = await list_proposals(journal, wanted, limit + 1, now)
    approvals = await build_approvals(journal, found[:limit], now)
    return ApprovalPage([ApprovalEntry(each) for each in approvals], len(found) > limit)


async def read_grouped_page(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> ApprovalPage:
    """Returns the oldest lines: proposals, and one line for more than `SHOWN_ALONE` of a kind, by its oldest."""
    groups: dict[str, list[Proposal]] = {}
    counts: dict[str, int] = {}
    read = 0
    async for proposal in _iterate(journal, wanted):
        read += 1
        if has_expired(proposal, now):
            continue
        key = proposal.group or proposal.id
        counts[key] = counts.get(key, 0) + 1
        kept = groups.setdefault(key, [])
        if len(kept) < SHOWN_ALONE:
            kept.append(proposal)
    lines = [
        (proposal, 1 if counts[key] <= SHOWN_ALONE else counts[key])
        for key, kept in groups.items()
        for proposal in (kept if counts[key] <= SHOWN_ALONE else kept[:1])
    ]
    lines.sort(key=lambda line: line[0].created_at)
    shown = lines[:limit]
    approvals = await build_approvals(journal, [proposal for proposal, _ in shown], now)
    entries = [ApprovalEntry(each, count) for each, (_, count) in zip(approvals, shown, strict=True)]
    return ApprovalPage(entries, len(lines) > limit, uncounted=read > MAX_COUNTED)


async def _iterate(journal: Journal, wanted: ProposalFilter) -> AsyncIterator[Proposal]:
    read = 0
    while read <= MAX_COUNTED:
        page = await journal.proposals(wanted, limit=PAGE)
        for each in page:
            yield each
        read += len(page)
        if len(page) < PAGE:
            return
        wanted = replace(wanted, after=page[-1].id)
