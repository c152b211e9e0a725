"""`seawall approve`: let a step pass that waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    ByOption,
    JournalOption,
    JsonOption,
    ReasonOption,
    StepArgument,
)


def approve(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning or its end; or 'last'.")
    ],
    step: StepArgument = None,
    by: ByOption = "",
    reason: ReasonOption = "",
    result: Annotated[
        str | None,
        typer.Option(
            "--result", metavar="TEXT", help="For an effect of unknown fate that happened: its receipt."
        ),
    ] = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Approve a step that waits for a person, or say that an effect of unknown fate did happen."""
    from seawall.cli.decisions import Decision, decide
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(approve=True, step=step, by=by, reason=reason, result=result)
    screen = Screen(json=json)
    run_async(lambda _: decide(screen, journal, run, decision))
