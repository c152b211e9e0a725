"""`seawall reject`: refuses what waits for a person."""

from __future__ import annotations

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


def reject(
    target: TargetArgument,
    step: StepArgument = None,
    hash_: HashOption = "",
    reason: ReasonOption = "",
    stop: Annotated[bool, typer.Option("--stop", help="End the run as well.")] = False,
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Reject what waits for a person. It is not done, and the agent is told so, with the reason.

    With a proposal's id, --hash names what you looked at. With a run, what waits in it is rejected as it is now.
    """
    from seawall.cli.decisions import Decision, send_decision
    from seawall.cli.options import read_credential
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(
        approve=False,
        target=target,
        step=step,
        hash=hash_,
        credential=read_credential(key_file, by),
        by=by,
        reason=reason,
        stop=stop,
    )
    screen = Screen(json=json)
    run_async(lambda _: send_decision(screen, journal, decision))
