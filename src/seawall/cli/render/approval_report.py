"""Draws one whole proposal: its arguments, then why a person is asked, then what the tool and the agent say of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.hints import format_command
from seawall.cli.render.approvals_table import format_deciders
from seawall.cli.render.fields import LABEL_COLUMNS, draw_arguments, draw_field
from seawall.cli.render.formats import format_age, format_until
from seawall.core.odd_text import show_plainly
from seawall.journal.protocol import CauseStep
from seawall.runtime.approval_views import Approval

_ALONE = "the tool's own words, not what is performed"
_UNTRUSTED = "the agent's words, which nobody has checked"


def draw_approval(approval: Approval, width: int, now: float) -> Iterator[Text]:
    """Yields the lines. Every character of them can be seen, and nothing is left out."""
    what = approval.tool if approval.kind == "tool" else f"{approval.kind} {approval.tool}"
    yield _draw_head(approval, what)
    yield Text()
    yield from draw_arguments(approval.arguments, approval.arguments_text, width)
    if approval.flags:
        yield from draw_field("odd text", "; ".join(approval.flags), width, "bold red")
    if approval.original is not None:
        yield from draw_field("instead of", approval.original, width, "yellow")
        yield from draw_field("edited by", approval.edited_by, width)
    if approval.amount is not None:
        yield from draw_field("amount", str(approval.amount), width)
    yield Text()
    for reason in approval.reasons:
        values = f" (value {reason.value}, limit {reason.limit})" if reason.limit is not None else ""
        yield from draw_field("held by", f"{reason.guard}: {reason.reason}{values}", width)
    yield from draw_field("decides", format_deciders(approval), width)
    for vote in approval.votes:
        said = f"{'approved' if vote.approve else 'rejected'} by {vote.principal}"
        checked = "" if vote.authenticated else " (a name that nobody has checked)"
        yield from draw_field("", f"{said}{checked}{f': {vote.reason}' if vote.reason else ''}", width)
    yield from draw_field("asked for", approval.requester or "somebody who is not named", width)
    yield from draw_field(
        "asked", f"{format_age(now - approval.created_at)} ago, by agent {approval.agent}", width
    )
    if approval.expires_at is not None and approval.state == "open":
        yield from draw_field(
            "expires", f"{format_until(approval.expires_at, now)}; nothing is done then", width
        )
    where = f"run {approval.run}, step {approval.step}"
    where += f", session {approval.session}" if approval.session else ""
    yield from draw_field("in", where + (f", tenant {approval.tenant}" if approval.tenant else ""), width)
    for cause in approval.causes:
        yield from draw_field("comes from", f"{_describe_cause(cause)} ({cause.tie})", width)
    for each in approval.reverted:
        yield from draw_field("reverted", each, width)
    yield from draw_field("version", approval.version, width)
    yield from _draw_others(approval, width)
    yield Text()
    yield Text(f"{'hash':<{LABEL_COLUMNS}}{approval.hash}")
    if approval.state == "open":
        key = " --key-file FILE" if approval.declared else ""
        approve = format_command(f"approve {approval.id} --hash {approval.hash}{key}")
        yield Text(f"{approve}   (or reject)", style="dim")


def _describe_cause(cause: CauseStep) -> str:
    match cause.kind:
        case "entry":
            return f"memory, entry {cause.name.removeprefix('#')}"
        case "answer":
            return f"the answer of run {cause.name}, earlier in the session"
        case "run":
            return f"step {cause.step} of run {cause.name}, earlier in the session"
        case "everything":
            return "any earlier step: more was shown than is indexed"
        case "request":
            return "the request, or the conversation before it"
        case _:
            return f"step {cause.step}, {cause.kind} {cause.name}"


def _draw_head(approval: Approval, what: str) -> Text:
    asks = "to be confirmed" if approval.asks == "confirm" else "to be approved"
    state = asks if approval.state == "open" else approval.state
    return Text(f"{approval.id}  {show_plainly(what)}  {state}", style="bold")


def _draw_others(approval: Approval, width: int) -> Iterator[Text]:
    """Yields what the tool and the agent say, each text below a line that names its author."""
    if approval.preview_failed:
        yield Text()
        yield Text(f"{'preview':<{LABEL_COLUMNS}}the tool's preview function failed", style="yellow")
    for label, whose, text in (
        ("preview", _ALONE, approval.preview),
        ("summary", _UNTRUSTED, approval.summary),
    ):
        if text:
            yield Text()
            yield Text(f"{label:<{LABEL_COLUMNS}}({whose})", style="yellow")
            yield from draw_field("", text, width)
