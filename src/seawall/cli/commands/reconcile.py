"""`seawall reconcile`: says what became of an effect of unknown fate."""

from __future__ import annotations

from typing import Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    DeciderOption,
    JournalOption,
    JsonOption,
    KeyFileOption,
    ReasonOption,
    StepArgument,
)


def reconcile(
    effect: Annotated[
        str,
        typer.Argument(
            metavar="ID | RUN",
            help="An effect's id (e-…), as seawall effects lists it; or a run in which one effect's fate is asked for.",
            show_default=False,
        ),
    ],
    step: StepArgument = None,
    committed: Annotated[
        str | None,
        typer.Option(
            "--committed",
            metavar="FILE",
            help="It happened: the file with its receipt, or - to read that from stdin.",
        ),
    ] = None,
    failed: Annotated[
        str | None,
        typer.Option(
            "--failed", metavar="TEXT", help="It did not happen and will not: how you know. It is recorded."
        ),
    ] = None,
    reason: ReasonOption = "",
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Record what became of an effect whose fate is not known. First look it up in the other system: runs rely on it.

    With --committed the agent is given the receipt, and nothing is done again. With --failed it may be done again. It works also when the run has ended or was pruned.
    """
    from seawall.cli.findings import EffectFinding, read_receipt, send_finding
    from seawall.cli.options import read_credential
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    if (committed is None) == (failed is None):
        raise Misused(
            "what became of it? give --committed FILE (it happened; its receipt) or --failed TEXT (it did not), and not both"
        )
    if failed is not None and not failed.strip():
        raise Misused(
            "--failed is empty: say how you know that it did not happen and will not; it is recorded"
        )
    finding = EffectFinding(
        target=effect,
        step=step,
        committed=read_receipt(committed),
        failed=failed,
        credential=read_credential(key_file, by),
        by=by,
        reason=reason,
    )
    screen = Screen(json=json)
    run_async(lambda _: send_finding(screen, journal, finding))
