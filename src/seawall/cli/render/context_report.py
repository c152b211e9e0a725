"""Draws what a model was sent at one step: each message with why it is there, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.render.formats import chop_text, format_count, replace_controls, shorten_text
from seawall.cli.render.wording import format_arguments
from seawall.history.sent import SentContext, SentMessage

MIN_WIDTH = 24
"""The smallest number of columns for a message's text."""
_INDENT = "    "


def draw_context(sent: SentContext, width: int, *, full: bool) -> Iterator[Text]:
    """Yields the lines. Nothing in a message can look like a line of the report, or reach the terminal as a command."""
    yield Text(f"step {sent.step} of {sent.run}: {sent.agent} asks {sent.model}", style="bold")
    saved = sent.whole_bytes - sent.size_bytes
    size = f"{len(sent.messages)} messages, {sent.size_bytes:,} bytes"
    if saved > 0:
        size += f", of {sent.whole_bytes:,} in the record"
    if sent.input_tokens:
        size += f"; the provider counted {format_count(sent.input_tokens)} tokens"
    yield Text(f"sent   {size}")
    yield Text(f"junk   {sent.junk:.0%}", style="yellow" if sent.junk >= 0.5 else "")
    if sent.folded is not None:
        fold = sent.folded
        why = {"budget": "the budget", "junk": "junk", "too_long": "the model took no more"}[fold.trigger]
        yield Text(
            f"folded {len(fold.folded)} messages right before it ({why}): about {fold.before:,} → {fold.after:,} tokens"
        )
    if sent.read_result:
        yield Text("tools  read_result reads again what was shortened")
    yield Text()
    for number, message in enumerate(sent.messages, 1):
        yield from _draw_message(f"{number:>3} ", message, width, full=full)
    if sent.left_out:
        yield Text()
        yield Text(f"left out: {len(sent.left_out)} messages", style="bold")
        for message in sent.left_out:
            yield from _draw_message("  – ", message, width, full=full)


def _draw_message(mark: str, message: SentMessage, width: int, *, full: bool) -> Iterator[Text]:
    where = f" {message.place}" if message.place else ""
    pinned = ", pinned" if message.pinned else ""
    size = f"{message.size_bytes:,} bytes"
    if message.whole_bytes != message.size_bytes:
        size += f" for {message.whole_bytes:,}"
    head = Text(mark, style="dim")
    head.append(f"{message.role}{where}", style="bold")
    head.append(
        f"  {replace_controls(message.why)}{pinned}, {size}", style="yellow" if message.junk else "dim"
    )
    yield head
    room = max(MIN_WIDTH, width - len(_INDENT))
    texts = [message.text] if message.text.strip() else []
    texts += [f"→ {name}({format_arguments(arguments)})" for name, arguments in message.calls]
    for text in texts:
        lines = [shorten_text(text, room)]
        if full:
            raw = replace_controls(text).splitlines() or [""]
            lines = [piece for line in raw for piece in chop_text(line, room)]
        for line in lines:
            yield Text(_INDENT + line)
