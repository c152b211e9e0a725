"""Draws one proposal as a whole: its arguments first, then why it is asked about, then what others say of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text

from seawall.cli.hints import format_command
from seawall.cli.render.approvals_table import format_deciders
from seawall.cli.render.formats import chop_text, format_age, format_until
from seawall.core.odd_text import show_plainly
from seawall.runtime.approval_views import Approval

_LABEL = 12
"""Columns of a label."""
_LABEL_MAX = 30
"""Columns of the names of arguments; a longer name moves its own value to the right."""
_ALONE = "the tool's own words, not what is performed"
_UNTRUSTED = "the agent's words, which nobody has checked"


def draw_approval(approval: Approval, width: int, now: float) -> Iterator[Text]:
    """Yields the lines. Every character of them can be seen, and nothing is left out."""
    what = approval.tool if approval.kind == "tool" else f"{approval.kind} {approval.tool}"
    yield _draw_head(approval, what)
    yield Text()
    yield from _draw_arguments(approval, width)
    if approval.flags:
        yield from _draw("odd text", "; ".join(approval.flags), width, "bold red")
    if approval.original is not None:
        yield from _draw("instead of", approval.original, width, "yellow")
        yield from _draw("edited by", approval.edited_by, width)
    if approval.amount is not None:
        yield from _draw("amount", str(approval.amount), width)
    yield Text()
    for reason in approval.reasons:
        values = f" (value {reason.value}, limit {reason.limit})" if reason.limit is not None else ""
        yield from _draw("held by", f"{reason.guard}: {reason.reason}{values}", width)
    yield from _draw("decides", format_deciders(approval), width)
    for vote in approval.votes:
        said = f"{'approved' if vote.approve else 'rejected'} by {vote.principal}"
        checked = "" if vote.authenticated else " (a name that nobody has checked)"
        yield from _draw("", f"{said}{checked}{f': {vote.reason}' if vote.reason else ''}", width)
    yield from _draw("asked for", approval.requester or "somebody who is not named", width)
    yield from _draw(
        "asked", f"{format_age(now - approval.created_at)} ago, by agent {approval.agent}", width
    )
    if approval.expires_at is not None and approval.state == "open":
        yield from _draw("expires", f"{format_until(approval.expires_at, now)}; nothing is done then", width)
    where = f"run {approval.run}, step {approval.step}"
    where += f", session {approval.session}" if approval.session else ""
    yield from _draw("in", where + (f", tenant {approval.tenant}" if approval.tenant else ""), width)
    for cause in approval.causes:
        yield from _draw("comes from", f"step {cause.step}, {cause.kind} {cause.name} ({cause.tie})", width)
    yield from _draw("version", approval.version, width)
    yield from _draw_others(approval, width)
    yield Text()
    yield Text(f"{'hash':<{_LABEL}}{approval.hash}")
    if approval.state == "open":
        key = " --key-file FILE" if approval.declared else ""
        approve = format_command(f"approve {approval.id} --hash {approval.hash}{key}")
        yield Text(f"{approve}   (or reject)", style="dim")


def _draw_head(approval: Approval, what: str) -> Text:
    asks = "to be confirmed" if approval.asks == "confirm" else "to be approved"
    state = asks if approval.state == "open" else approval.state
    return Text(f"{approval.id}  {show_plainly(what)}  {state}", style="bold")


def _draw_arguments(approval: Approval, width: int) -> Iterator[Text]:
    """Yields what is performed, one line or more for each argument."""
    if not approval.arguments:
        yield from _draw("arguments", approval.arguments_text or "none", width)
        return
    yield Text("arguments")
    labels = {name: f"  {show_plainly(name)}" for name in approval.arguments}
    column = min(max(len(label) + 2 for label in labels.values()), _LABEL_MAX)
    for name, value in approval.arguments.items():
        yield from _draw(labels[name], msgspec.json.encode(value).decode(), width, column=column)


def _draw_others(approval: Approval, width: int) -> Iterator[Text]:
    """Yields what the tool and the agent say: each below a line that says whose words they are."""
    if approval.preview_failed:
        yield Text()
        yield Text(f"{'preview':<{_LABEL}}the tool's preview function failed", style="yellow")
    for label, whose, text in (
        ("preview", _ALONE, approval.preview),
        ("summary", _UNTRUSTED, approval.summary),
    ):
        if text:
            yield Text()
            yield Text(f"{label:<{_LABEL}}({whose})", style="yellow")
            yield from _draw("", text, width)


def _draw(label: str, text: str, width: int, style: str = "", *, column: int = 0) -> Iterator[Text]:
    """Yields a label and its whole text, in as many lines as it takes."""
    column = max(column, _LABEL, len(label) + 2)
    for number, line in enumerate(chop_text(show_plainly(text), max(20, width - column))):
        yield Text(f"{'' if number else label:<{column}}", style="dim") + Text(line, style=style)
