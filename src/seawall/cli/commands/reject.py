"""`seawall reject`: refuses a step that waits for a person."""

from __future__ import annotations

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    DeciderOption,
    JournalOption,
    JsonOption,
    ReasonOption,
    RunArgument,
    StepArgument,
)


def reject(
    run: RunArgument,
    step: StepArgument = None,
    *,
    by: DeciderOption,
    reason: ReasonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Reject a step that waits for a person, or record that an effect of unknown fate did not happen."""
    from seawall.cli.decisions import Decision, send_decision
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    decision = Decision(approve=False, step=step, by=by, reason=reason)
    screen = Screen(json=json)
    run_async(lambda _: send_decision(screen, journal, run, decision))
