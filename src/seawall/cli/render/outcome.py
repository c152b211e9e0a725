"""A run that came to rest, as text and as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from seawall.cli import settings
from seawall.cli.hints import hint
from seawall.cli.render import formats, wording
from seawall.cli.render.wording import STATUS_STYLES
from seawall.core.clock import SystemClock
from seawall.run.outcome import Outcome, Waiting

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def document(rest: Outcome | Waiting) -> dict[str, Any]:
    """What `--json` prints of it: the outcome's fields, or `status` `waiting` and what it waits for."""
    fields = {name: getattr(rest, name) for name in rest.__struct_fields__}
    if isinstance(rest, Waiting):
        return {
            "run": rest.run,
            "status": "waiting",
            "waiting": {k: v for k, v in fields.items() if k != "run"},
        }
    return fields


def tell(screen: Screen, rest: Outcome | Waiting, *, streamed: str = "") -> None:
    """The answer or what there is instead on stdout, the rest on stderr."""
    if screen.json:
        screen.document(document(rest))
        return
    if isinstance(rest, Waiting):
        screen.text(f"waiting: {wording.asked_at(rest)}, {wording.question(rest)}")
        if rest.kind == "pause":
            if rest.until is not None:
                screen.note(f"it ends by itself at {settings.until(rest.until, SystemClock().wall_s())}")
            screen.note(
                f"lift it: {hint(f'unpause {unpausing(rest.what)}')}   then: {hint(f'resume {rest.run}')}"
            )
            return
        meaning = "" if rest.kind == "unknown" else f"; {wording.answers(rest)}"
        screen.note(f"decide: {hint(f'approve {rest.run} {rest.step} --by NAME')}   (or reject){meaning}")
        return
    if rest.answer is not None:
        if streamed.strip() and streamed.rstrip().endswith(rest.answer.strip()):
            screen.text("" if streamed.endswith("\n") else "\n")
        else:
            screen.text(rest.answer)
    else:
        screen.text(str(rest))
    screen.note(summary(rest))


def unpausing(what: str) -> str:
    """The option of `seawall unpause` that names a brake: `--tool refund` for `tool:refund`."""
    kind, _, name = what.partition(":")
    return f"--{kind} {name}".strip()


def summary(outcome: Outcome) -> Text:
    """One line beside the answer: status, what it took, and where to look."""
    line = Text(outcome.status, style=STATUS_STYLES[outcome.status])
    if outcome.stopped_by is not None:
        line.append(f" by {outcome.stopped_by.guard}")
    if outcome.reviewed is not None:
        word = wording.review(outcome.reviewed, outcome.pruned)
        told = {"approved": "reviewed", "not approved": "not approved by its reviewer"}
        line.append(f" · {told.get(word, word)}")
    if outcome.unchecked_delivery:
        line.append(" · streamed before it was checked")
    for brake in outcome.paused:
        line.append(f" · stood under a brake: {brake.what}", style="yellow")
    if outcome.unverified:
        line.append(f" · {formats.many(len(outcome.unverified), 'unverified claim')}", style="yellow")
    if outcome.pruned:
        line.append(f" · pruned: {', '.join(outcome.pruned)}", style="yellow")
    for effect in outcome.effects:
        if effect.state != "committed":
            line.append(f" · effect {effect.tool} is {effect.state}", style="red")
    line.append(f" · {spent(outcome)}")
    where = "show" if outcome.status == "completed" else "why"
    line.append(f" · {hint(f'{where} {outcome.run}')}", style="dim")
    return line


def spent(outcome: Outcome) -> str:
    """What a run took."""
    parts = [formats.many(outcome.model_calls, "model call"), formats.many(outcome.tool_calls, "tool call")]
    if outcome.handoffs:
        parts.append(formats.many(outcome.handoffs, "hand-off"))
    if outcome.tokens:
        parts.append(f"{formats.count(outcome.tokens)} tokens")
    if outcome.usd:
        parts.append(formats.usd(outcome.usd))
    return ", ".join([*parts, formats.seconds(outcome.active_s)])


def plain(value: object) -> Any:
    """A struct as it is in JSON."""
    return msgspec.to_builtins(value, str_keys=True)
