"""Says what a person does next about a run that has not ended: how it goes on, and how to decide on what it waits for."""

from __future__ import annotations

from seawall.cli.hints import format_command
from seawall.core.events import RunEnded, RunStarted
from seawall.run.outcome import Waiting
from seawall.run.state import RunState
from seawall.runtime.foreign.own_loop import explain_own_loop

_OWN_LIMITS = ("limits", "deadline")
"""The guards that enforce a run's own limits. More room in a tenant's cap is given by the program."""


def explain_resume(started: RunStarted) -> str:
    """Returns the command that goes on with a run, or how the framework does it whose loop asks for its steps."""
    if started.loop:
        return explain_own_loop(started)
    app = "" if started.app else " --app MODULE:TEAM"
    return format_command(f"resume {started.run}{app}")


def explain_going_on(started: RunStarted, *, ends: bool = False) -> str:
    """Returns `explain_resume` as a sentence. `ends`: the run ends as soon as it is taken up."""
    how = explain_resume(started)
    return how if started.loop else f"it {'ends' if ends else 'goes on'} with: {how}"


def explain_raising(started: RunStarted, ended: RunEnded) -> str:
    """Returns the command that goes on with a run which a limit has halted; "" for any other run."""
    stopped, is_probe = ended.stopped_by, started.fork is not None and bool(started.fork.probe)
    if ended.status != "halted" or stopped is None or stopped.guard not in _OWN_LIMITS or is_probe:
        return ""
    app = "" if started.app or started.loop else " --app MODULE:TEAM"
    return f"{format_command(f'resume {started.run} --limits FILE{app}')} (a TOML file with more room)"


def explain_cut_off(started: RunStarted) -> str:
    """Says how a person finds out what became of an effect whose process ended while it attempted it."""
    return f"the process that attempted an effect of run {started.run} has ended; {explain_going_on(started)}"


def explain_decision(state: RunState, waiting: Waiting) -> str:
    """Returns the command that shows what a person is asked, with how to answer it; "" if nobody is asked for a yes or no."""
    step = state.open.get(waiting.step)
    if waiting.kind != "hold" or step is None:
        return ""
    if not step.proposal:  # an earlier version asked
        return f"{format_command(f'approve {waiting.run} {waiting.step} --by NAME')} (or reject)"
    return format_command(f"approvals {step.proposal}")
