"""`seawall approve`: lets what waits for a person be done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    DeciderOption,
    HashOption,
    JournalOption,
    JsonOption,
    KeyFileOption,
    ReasonOption,
    StepArgument,
    TargetArgument,
)


def approve(
    target: TargetArgument,
    step: StepArgument = None,
    hash_: HashOption = "",
    edit: Annotated[
        Path | None,
        typer.Option(
            "--edit",
            metavar="FILE",
            help="A JSON file with other arguments; this approval is the first vote for them. It needs --app.",
        ),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option("--app", metavar="MODULE:TEAM", help="The team whose tool checks an edit."),
    ] = None,
    reason: ReasonOption = "",
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Approve what waits for a person. It is then done, exactly as it was shown.

    With a proposal's id, --hash names what you looked at, and anything else is refused. With a run, what waits in it is approved as it is now. To record what became of an effect of unknown fate, use: seawall reconcile
    """
    from seawall.cli.decisions import Decision, send_decision
    from seawall.cli.options import read_credential
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(
        approve=True,
        target=target,
        step=step,
        hash=hash_,
        credential=read_credential(key_file, by),
        by=by,
        reason=reason,
        edit=edit,
        app=app,
    )
    screen = Screen(json=json)
    run_async(lambda _: send_decision(screen, journal, decision))
