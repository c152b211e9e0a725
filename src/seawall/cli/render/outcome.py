"""Prints a run that has ended or waits: the answer on stdout, a summary line on stderr."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.text import Text

from seawall.cli.hints import format_command
from seawall.cli.render import wording
from seawall.cli.render.formats import format_number, format_seconds, format_until
from seawall.cli.render.json_output import build_rest_document
from seawall.core.clock import SystemClock
from seawall.journal.protocol.effects import make_proposal_id
from seawall.run.outcome import Outcome, Waiting

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.resuming import Resumed


MAX_USAGE_PROBLEMS = 2
"""How many problems with reported usage the summary line names; `seawall show` names each at its step."""


def print_rest(screen: Screen, rest: Outcome | Waiting, *, streamed: str = "") -> None:
    """Prints the outcome, or what the run waits for. `streamed`: text that is on stdout already."""
    if screen.json:
        screen.print_document(build_rest_document(rest))
    elif isinstance(rest, Waiting):
        _print_waiting(screen, rest)
    else:
        _print_outcome(screen, rest, streamed)


def draw_resumed(resumed: Resumed) -> Text:
    """Returns what became of a run that was resumed with others, in one line."""
    line = Text(f"{resumed.run}  ")
    rest = resumed.rest
    if rest is None and resumed.problem is None:
        line.append("another process was quicker, and goes on with it")
        return line
    if rest is None:
        line.append(f"could not go on: {resumed.problem}", style="red")
        return line
    status = "waiting" if isinstance(rest, Waiting) else rest.status
    line.append(status, style=wording.STATUS_STYLES[status])
    if isinstance(rest, Waiting):
        line.append(f", {wording.format_waiting_for(rest)}: {wording.format_question(rest)}")
    elif rest.stopped_by is not None:
        by = wording.format_stopped_by(rest.stopped_by.guard)
        line.append(f"{f' by {by}' if by else ''}: {rest.stopped_by.reason}")
    return line


def _print_waiting(screen: Screen, waiting: Waiting) -> None:
    screen.print_line(f"waiting: {wording.format_waiting_for(waiting)}, {wording.format_question(waiting)}")
    if waiting.kind == "pause":
        if waiting.until is not None:
            until = format_until(waiting.until, SystemClock().wall_s())
            screen.print_note(f"it ends by itself at {until}")
        lift = format_command(f"unpause {format_unpause_option(waiting.what)}")
        screen.print_note(f"lift it: {lift}   then: {format_command(f'resume {waiting.run}')}")
        return
    if waiting.kind == "hold":
        proposal = make_proposal_id(waiting.run, waiting.step)
        screen.print_note(f"look at it as a whole: {format_command(f'approvals {proposal}')}")
        approve = format_command(f"approve {waiting.run} {waiting.step} --key-file FILE")
        screen.print_note(
            f"decide: {approve}   (or reject); approve = it may be made; reject = it is not made; "
            "--by NAME instead of a key where only a guard asks and nobody has a key"
        )


def format_unpause_option(what: str) -> str:
    """Returns the option of `seawall unpause` that names a pause: `--tool refund` for `tool:refund`."""
    kind, _, name = what.partition(":")
    return f"--{kind} {shlex.quote(name)}" if name else f"--{kind}"


def _print_outcome(screen: Screen, outcome: Outcome, streamed: str) -> None:
    if outcome.answer is None:
        screen.print_line(str(outcome))
    elif streamed.strip() and streamed.rstrip().endswith(outcome.answer.strip()):
        screen.print_text("" if streamed.endswith("\n") else "\n")
    else:
        screen.print_text(outcome.answer)
    screen.print_note(_draw_summary(outcome))
    if outcome.memory == "conflict":
        look = format_command("memory conflicts")
        screen.print_note(f"memory: {wording.MEMORY_CONFLICT}: {look}")


def _draw_summary(outcome: Outcome) -> Text:
    """Returns the summary line: status, what the run took, and the command that shows more."""
    line = Text(outcome.status, style=wording.STATUS_STYLES[outcome.status])
    if outcome.stopped_by is not None and (by := wording.format_stopped_by(outcome.stopped_by.guard)):
        line.append(f" by {by}")
    if outcome.reviewed is not None:
        review = wording.format_review(outcome.reviewed, outcome.pruned)
        longer = {"approved": "reviewed", "not approved": "not approved by its reviewer"}
        line.append(f" · {longer.get(review, review)}")
    if outcome.unchecked_delivery:
        line.append(" · streamed before it was checked")
    for pause in outcome.paused:
        line.append(f" · was paused: {pause.what}", style="yellow")
    if outcome.unverified:
        line.append(f" · {format_number(len(outcome.unverified), 'unverified claim')}", style="yellow")
    if outcome.pruned:
        line.append(f" · pruned: {', '.join(outcome.pruned)}", style="yellow")
    for problem in outcome.usage_problems[:MAX_USAGE_PROBLEMS]:
        line.append(f" · usage: {problem}", style="yellow")
    if (more := len(outcome.usage_problems) - MAX_USAGE_PROBLEMS) > 0:
        line.append(f" · {format_number(more, 'further problem')} of usage", style="yellow")
    for each in outcome.above_limits:
        line.append(f" · above its limit: {wording.format_above_limit(each)}", style="red")
    for effect in outcome.effects:
        if effect.state != "committed":
            line.append(f" · effect {effect.tool} is {effect.state}", style="red")
    line.append(f" · {wording.format_usage(outcome, format_seconds(outcome.active_s))}")
    command = "show" if outcome.status == "completed" else "why"
    line.append(f" · {format_command(f'{command} {outcome.run}')}", style="dim")
    return line
