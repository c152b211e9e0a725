"""Makes the tables of what people are asked, of effects, and of who may decide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from seawall.cli.proposal_groups import ApprovalEntry
from seawall.cli.render.formats import format_age, format_until, join_lines, shorten_text
from seawall.cli.render.table import Table
from seawall.cli.render.wording import format_approval_call, format_arguments
from seawall.core.odd_text import show_plainly
from seawall.journal.protocol import PrincipalRecord
from seawall.runtime.approval_views import Approval, RecordedEffect

_CALL_WIDTH = 60
"""Columns of a call in a list; `seawall approvals ID` shows the whole call."""
EFFECT_STYLES = {
    "proposed": "magenta",
    "approved": "magenta",
    "attempting": "cyan",
    "committed": "green",
    "failed": "red",
    "unknown": "bold red",
}


def make_approvals_table(entries: Sequence[ApprovalEntry], width: int, now: float) -> Table:
    """Returns the table of what people are asked."""
    table = Table(
        ("PROPOSAL", "CALL", "AMOUNT", "FOR", "DECIDES", "AGE", "EXPIRES", "RUN", "TENANT", "WHY"),
        required=("PROPOSAL", "CALL"),
        right=("AMOUNT", "AGE"),
        below=("WHY", "DECIDES"),
    )
    for entry in entries:
        approval = entry.approval
        written = format_approval_call(approval, short_first=True)
        call = Text(shorten_text(written, min(_CALL_WIDTH, max(20, width // 2))))
        if entry.count > 1:
            call = Text(
                f"{entry.count:,} × {show_plainly(approval.tool)}, the oldest of them", style="yellow"
            )
        elif approval.flags:
            call.append(" odd text!", style="bold red")
        table.add_row(
            (
                approval.id,
                call,
                "" if approval.amount is None or entry.count > 1 else str(approval.amount),
                show_plainly(approval.requester),
                format_deciders(approval),
                format_age(now - approval.created_at),
                format_until(approval.expires_at, now),
                approval.run,
                show_plainly(approval.tenant),
                join_lines("; ".join(each.reason for each in approval.reasons)),
            )
        )
    return table


def format_deciders(approval: Approval) -> str:
    """Returns who may decide, and how many still have to: `finance`, `2 of finance, 1 so far`."""
    if approval.asks == "confirm":
        return f"{show_plainly(approval.requester) or 'nobody'} confirms"
    roles = (*approval.roles, *(approval.escalate_to if approval.escalated and approval.roles else ()))
    who = " or ".join(map(show_plainly, roles)) or "anybody else"
    if approval.people == 1:
        return who
    so_far = f", {len(approval.votes)} so far" if approval.votes else ""
    return f"{approval.people} of {who}{so_far}"


def make_effects_table(effects: Sequence[RecordedEffect], width: int, now: float) -> Table:
    """Returns the table of effects."""
    table = Table(
        ("EFFECT", "STATUS", "CALL", "AMOUNT", "AGE", "RUN", "SESSION", "TENANT", "SAID BY", "WHY"),
        required=("EFFECT", "STATUS"),
        right=("AMOUNT", "AGE"),
        below=("WHY",),
    )
    for effect in effects:
        arguments = format_arguments(effect.arguments_text, short_first=True)
        call = show_plainly(f"{effect.tool}({arguments})")
        table.add_row(
            (
                effect.id,
                Text(effect.state, style=EFFECT_STYLES[effect.state]),
                shorten_text(call, min(_CALL_WIDTH, max(20, width // 2))),
                "" if effect.amount is None else str(effect.amount),
                format_age(now - effect.claimed_at),
                effect.run,
                show_plainly(effect.session or ""),
                show_plainly(effect.tenant),
                show_plainly(effect.settled_by),
                join_lines(effect.reason),
            )
        )
    return table


def make_principals_table(principals: Sequence[PrincipalRecord], now: float) -> Table:
    """Returns the table of who may decide with a key."""
    table = Table(("PRINCIPAL", "ROLES", "KIND", "SINCE"), required=("PRINCIPAL",))
    for each in principals:
        kind = "agent: decides nothing" if each.agent else "person"
        table.add_row((each.name, ", ".join(each.roles), kind, f"{format_age(now - each.created_at)} ago"))
    return table
