"""Draws the part of `seawall why` about other runs: what came from them through memory or the conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from seawall.cli.hints import format_command
from seawall.cli.journals import BodyTexts
from seawall.cli.render.formats import join_lines, shorten_text
from seawall.core.odd_text import show_plainly
from seawall.history.origins import MAX_LINKS, OriginLink

SHOWN_LINKS = 12
"""How many links are shown without `--full`; the others are counted. Links by a value come first."""
_TEXT_WIDTH = 80


def draw_origins(
    origins: Sequence[OriginLink], texts: BodyTexts, width: int, *, full: bool
) -> Iterator[Text]:
    """Yields the lines; none if no link leads to another run. Texts from memory are data, and are shown plainly."""
    if not origins:
        return
    yield Text()
    yield Text("over other runs", style="dim")
    ordered = sorted(origins, key=lambda link: link.tie != "value")
    shown = ordered if full else ordered[:SHOWN_LINKS]
    for link in shown:
        yield _draw_link(link, texts, max(_TEXT_WIDTH, width // 2))
        if link.way:
            way = " → ".join(f"{each.step} {each.kind} {show_plainly(each.name)}" for each in link.way)
            yield Text(f"    there: {way}", style="dim")
        elif link.pruned:
            yield Text(f"    the events of run {link.from_run} were pruned: nothing leads on", style="yellow")
    if len(shown) < len(ordered):
        yield Text(f"  … and {len(ordered) - len(shown)} more, --full shows them", style="dim")
    if len(origins) == MAX_LINKS:
        yield Text(f"  the first {MAX_LINKS}: there may be more", style="dim")
    written = _find_first_step(ordered)
    if written is not None:
        command = format_command(f"memory revert {written.from_run} {written.from_step} --dry-run")
        yield Text(f"  what else descends from it: {command}", style="dim")


def _find_first_step(ordered: Sequence[OriginLink]) -> OriginLink | None:
    """Returns the oldest link of the chain that begins with the first link; None if no link leads to a step."""
    steps = [link for link in ordered if link.from_run and link.from_step and not link.reverted]
    found, ahead = None, next(iter(steps), None)
    seen: set[str] = set()
    while ahead is not None:
        found = ahead
        seen.add(found.run)
        ties = ("value",) if found.tie == "value" else ("value", "exposure")
        ahead = next(
            (
                link
                for link in steps
                if link.run == found.from_run and link.run not in seen and link.tie in ties
            ),
            None,
        )
    return found


def _draw_link(link: OriginLink, texts: BodyTexts, width: int) -> Text:
    tie = "a value from" if link.tie == "value" else "was shown"
    line = Text(f"  {link.run} ", style="bold")
    if link.entry:
        key = shorten_text(show_plainly(join_lines(texts.get(link.key))), 40)
        value = (
            shorten_text(show_plainly(join_lines(texts.get(link.value))), width)
            if link.value
            else "(forgotten)"
        )
        line.append(f"← {tie} memory {link.entry}: {key} = {value}", style="cyan")
        if link.labels:
            line.append(f" [{', '.join(map(show_plainly, link.labels))}]", style="yellow")
        where = "from outside" if not link.from_run else f"run {link.from_run}, step {link.from_step}"
        line.append(f"; written by {where}")
        if link.agent:
            line.append(f", {show_plainly(link.agent)}")
        if link.reverted:
            line.append(" (reverted since)", style="yellow")
        return line
    what = (
        "the answer"
        if link.from_step is None
        else "the request"
        if link.from_step == 0
        else f"step {link.from_step}"
    )
    line.append(f"← {tie} {what} of run {link.from_run}, in the session's conversation", style="cyan")
    return line
