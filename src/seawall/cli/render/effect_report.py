"""Draws one whole effect: its call, its key, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.hints import format_command
from seawall.cli.render.fields import draw_arguments, draw_field
from seawall.cli.render.formats import format_age
from seawall.core.odd_text import show_plainly
from seawall.runtime.approval_views import RecordedEffect


def draw_effect(effect: RecordedEffect, width: int, now: float) -> Iterator[Text]:
    """Yields the lines. Every character of them can be seen, and nothing is left out."""
    yield Text(f"{effect.id}  {show_plainly(effect.tool)}  {effect.state}", style="bold")
    yield Text()
    yield from draw_arguments(effect.arguments, effect.arguments_text, width)
    if effect.amount is not None:
        yield from draw_field("amount", str(effect.amount), width)
    yield Text()
    yield from draw_field("key", effect.key, width)
    if effect.receipt is not None:
        yield from draw_field("receipt", effect.receipt, width)
    for label, text in (("why", effect.reason), ("said by", effect.settled_by)):
        if text:
            yield from draw_field(label, text, width)
    yield Text()
    yield from draw_field("asked for", effect.requester or "somebody who is not named", width)
    for label, at in (
        ("claimed", effect.claimed_at),
        ("attempted", effect.attempted_at),
        ("settled", effect.settled_at),
    ):
        if at is not None:
            yield from draw_field(label, f"{format_age(now - at)} ago", width)
    where = f"run {effect.run}" + ("" if effect.step is None else f", step {effect.step}")
    where += f", session {effect.session}" if effect.session else ""
    yield from draw_field("in", where + (f", tenant {effect.tenant}" if effect.tenant else ""), width)
    yield from draw_field("by agent", effect.agent, width)
    for label, text in (
        ("proposal", effect.proposal),
        ("undoes", effect.undoes),
        ("again", f"allowed once more by {effect.again}" if effect.again else ""),
    ):
        if text:
            yield from draw_field(label, text, width)
    yield from draw_field("version", effect.version, width)
    if effect.state == "unknown":
        yield Text()
        say = format_command(f"reconcile {effect.id} --committed FILE")
        yield Text(f"{say}   (or --failed TEXT)", style="dim")
