"""Decisions of a person: sent to the run's inbox, wherever it runs, and awaited until its process has taken them up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seawall.cli.hints import format_command
from seawall.cli.journals import open_seawall
from seawall.cli.render.wording import explain_lease, format_decided, format_status
from seawall.core.errors import Misused
from seawall.core.events import CommandTaken
from seawall.history.recorded import read_waits
from seawall.journal.protocol import Command, Journal, RunRow
from seawall.run.commands import find_effect_in_doubt
from seawall.run.state import RunState
from seawall.runtime.seawall import Seawall

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen

TAKE_UP_S = 2.0
"""How long a live owner is given to take a command up; it looks every 50 ms."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decides on an approval step."""

    approve: bool
    step: int | None
    """The approval step; None if the run waits for one decision only."""
    by: str
    reason: str
    result: str | None = None
    """The receipt of an effect of unknown fate that did happen."""


async def send_decision(screen: Screen, path: Path, name: str, decision: Decision) -> None:
    """Sends a decision. Raises `Misused` if nobody is named, or if the run waits for no such decision."""
    if not decision.by.strip():
        raise Misused("who decides? give --by NAME; it is recorded with the decision")
    async with open_seawall(path) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if row.state == "ended":
            raise Misused(f"run {row.run} has ended already: {format_status(row)}")
        state = await sea.state(row.run)
        pending = await read_pending_decisions(sea.journal, row.run, state)
        step = _choose_step(row, state, decision, pending)
        sending = sea.decide(
            row.run,
            step,
            approve=decision.approve,
            by=decision.by,
            reason=decision.reason,
            result=decision.result,
        )
        waiting = next(each for each in await read_waits(sea.journal, row.run) if each.step == step)
        done = f"{format_decided(waiting, approved=decision.approve)} (step {step}, by {decision.by})"
        word = "approve" if decision.approve else "reject"
        await send_command(screen, sea, row, word, sending, done)


async def send_command(
    screen: Screen,
    sea: Seawall,
    row: RunRow,
    command: Literal["approve", "reject", "cancel"],
    sending: Awaitable[None],
    done: str,
) -> None:
    """Sends a command, waits `TAKE_UP_S` for a live owner to take it up, and prints how things stand."""
    before = row.events
    kind = "cancel" if command == "cancel" else "decide"
    await sending
    try:
        async with asyncio.timeout(TAKE_UP_S):
            taken = await _await_taken_up(sea, row.run, before, kind)
    except TimeoutError:
        taken = False
    now = await sea.journal.row(row.run)
    if screen.json:
        status = format_status(now) if now.state == "ended" else None
        screen.print_document(
            {"run": row.run, "command": command, "taken": taken, "state": now.state, "status": status}
        )
        return
    screen.print_line(f"{done}; run {row.run} is {format_status(now)}" if taken else done)
    if not taken and now.state == "running":
        screen.print_note(f"run {row.run} is running, and its process has not taken this up yet")
        if (lease := explain_lease(now)) is not None:
            command_line = format_command("resume --wait")
            screen.print_note(f"{now.owner}: {lease}; if it has ended, go on with: {command_line}")
    elif not taken:
        command_line = format_command(f"resume {row.run}")
        screen.print_note(f"no process drives run {row.run} now; it goes on with: {command_line}")


async def read_pending_decisions(journal: Journal, run: str, state: RunState) -> dict[int, Command]:
    """Returns the decisions in a run's inbox that no process has taken up, by their approval step."""
    pending: dict[int, Command] = {}
    for item in await journal.inbox(run, after=state.inbox):
        if item.command.kind == "decide" and item.command.step is not None:
            pending.setdefault(item.command.step, item.command)
    return pending


async def read_pending_cancel(journal: Journal, run: str, state: RunState) -> Command | None:
    """Returns the cancellation in a run's inbox that no process has taken up; None if there is none."""
    items = await journal.inbox(run, after=state.inbox)
    return next((item.command for item in items if item.command.kind == "cancel"), None)


def _choose_step(row: RunRow, state: RunState, decision: Decision, pending: Mapping[int, Command]) -> int:
    """Returns the approval step that is decided on. Raises `Misused` if there is none, or if it is not clear which."""
    waiting = [each.step for each in state.approvals]
    if not waiting:
        if state.paused:
            raise Misused(
                f"run {row.run} does not wait for a decision: {state.paused[0].what} is paused, seawall unpause lifts that"
            )
        raise Misused(f"run {row.run} does not wait for a decision: it is {row.state}")
    step = decision.step
    if step is None:
        if len(waiting) > 1:
            raise Misused(
                f"run {row.run} waits for {len(waiting)} decisions: name the step ({_join_steps(waiting)})"
            )
        step = waiting[0]
    if step not in waiting:
        raise Misused(
            f"run {row.run}: step {step} does not wait for a decision (waiting: {_join_steps(waiting)})"
        )
    if step in pending:
        decided = f"{'approved' if pending[step].approved else 'rejected'} by {pending[step].by}"
        raise Misused(
            f"run {row.run}: step {step} was {decided} already; "
            f"it goes on with: {format_command(f'resume {row.run}')}"
        )
    if decision.result is not None and find_effect_in_doubt(state, state.open[step]) is None:
        raise Misused(f"step {step} has not been made yet: --result is for an effect of unknown fate")
    return step


def _join_steps(steps: list[int]) -> str:
    return ", ".join(map(str, steps))


async def _await_taken_up(sea: Seawall, run: str, before: int, kind: str) -> bool:
    """Waits until the owner has taken up a command after event `before`; False if the run has no live owner."""
    written = asyncio.Event()
    stop = sea.journal.watch(written.set)
    try:
        while True:
            written.clear()  # before reading, so that no event is missed in between
            for event in await sea.journal.events(run, after=before - 1):
                if isinstance(event, CommandTaken) and event.command == kind:
                    return True
            if (await sea.journal.row(run)).state == "interrupted":
                return False
            await written.wait()
    finally:
        stop()
