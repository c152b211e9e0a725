"""`seawall reject`: refuse a step that waits for a person."""

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


def reject(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning or its end; or 'last'.")
    ],
    step: StepArgument = None,
    by: ByOption = "",
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Reject a step that waits for a person, or say that an effect of unknown fate did not happen."""
    from seawall.cli.decisions import Decision, decide
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(approve=False, step=step, by=by, reason=reason)
    screen = Screen(json=json)
    run_async(lambda _: decide(screen, journal, run, decision))
