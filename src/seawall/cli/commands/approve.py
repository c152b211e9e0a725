"""`seawall approve`: lets a step pass that waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    DeciderOption,
    JournalOption,
    JsonOption,
    ReasonOption,
    RunArgument,
    StepArgument,
)


def approve(
    run: RunArgument,
    step: StepArgument = None,
    *,
    by: DeciderOption,
    reason: ReasonOption = "",
    result: Annotated[
        str | None,
        typer.Option(
            "--result", metavar="TEXT", help="The receipt of an effect of unknown fate that did happen."
        ),
    ] = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Approve a step that waits for a person, or record that an effect of unknown fate did happen."""
    from seawall.cli.decisions import Decision, send_decision
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(approve=True, step=step, by=by, reason=reason, result=result)
    screen = Screen(json=json)
    run_async(lambda _: send_decision(screen, journal, run, decision))
