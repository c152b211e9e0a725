"""Commands to runs that may be at work in another process: sent, and waited for until they are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from seawall.cli.hints import hint
from seawall.cli.render.run_header import pending, status_of
from seawall.cli.render.wording import answered
from seawall.cli.resuming import opened
from seawall.core.errors import Misused
from seawall.core.events import CommandTaken
from seawall.history.recorded import read_waits
from seawall.journal.protocol import Command, RunRow
from seawall.run.commands import find_effect_in_doubt
from seawall.run.state import RunState
from seawall.runtime.seawall import Seawall

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen

TAKEN_S = 2.0
"""How long a live owner is given to take a command; it looks every 50 ms."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decides on an approval step."""

    approve: bool
    step: int | None
    by: str
    reason: str
    result: str | None = None


async def decide(screen: Screen, path: Path, name: str, decision: Decision) -> None:
    """Send a decision. Raises `Misused` if it is not clear who decides on what."""
    word = "approve" if decision.approve else "reject"
    if not decision.by.strip():
        raise Misused("who decides? give --by NAME; it is recorded with the decision")
    async with opened(path) as sea:
        row = await sea.journal.row(await sea.journal.find(name))
        if row.state == "ended":
            raise Misused(f"run {row.run} has ended already: {status_of(row)}")
        state = await sea.state(row.run)
        step = _step(row, state, decision, await pending(sea.journal, row.run, state))
        sending = sea.decide(
            row.run,
            step,
            approve=decision.approve,
            by=decision.by,
            reason=decision.reason,
            result=decision.result,
        )
        asked = next(each for each in await read_waits(sea.journal, row.run) if each.step == step)
        done = f"{answered(asked, approved=decision.approve)} (step {step}, by {decision.by})"
        await deliver(screen, sea, row, word, sending, done)


def _step(row: RunRow, state: RunState, decision: Decision, decisions: Mapping[int, Command]) -> int:
    waiting = [each.step for each in state.approvals]
    if not waiting:
        if state.paused:
            raise Misused(
                f"run {row.run} waits for no decision: {state.paused[0].what} is paused, seawall unpause lifts that"
            )
        raise Misused(f"run {row.run} waits for no decision: it is {row.state}")
    step = decision.step
    if step is None:
        if len(waiting) > 1:
            raise Misused(
                f"run {row.run} waits for {len(waiting)} decisions: name the step ({_listed(waiting)})"
            )
        step = waiting[0]
    if step not in waiting:
        raise Misused(f"run {row.run}: step {step} waits for no decision (waiting: {_listed(waiting)})")
    if step in decisions:
        told = f"{'approved' if decisions[step].approved else 'rejected'} by {decisions[step].by}"
        raise Misused(
            f"run {row.run}: step {step} was {told} already; it goes on with: {hint(f'resume {row.run}')}"
        )
    if decision.result is not None and find_effect_in_doubt(state, state.open[step]) is None:
        raise Misused(f"step {step} has not been made yet: --result is for an effect of unknown fate")
    return step


def _listed(steps: list[int]) -> str:
    return ", ".join(map(str, steps))


async def deliver(
    screen: Screen,
    sea: Seawall,
    row: RunRow,
    command: Literal["approve", "reject", "cancel"],
    sending: Awaitable[None],
    done: str,
) -> None:
    """Send, wait a moment for a live owner to take it, and say where things stand."""
    before = row.events
    kind = "cancel" if command == "cancel" else "decide"
    await sending
    try:
        async with asyncio.timeout(TAKEN_S):
            taken = await _taken(sea, row.run, before, kind)
    except TimeoutError:
        taken = False
    now = await sea.journal.row(row.run)
    if screen.json:
        document = {"run": row.run, "command": command, "taken": taken, "state": now.state, "status": None}
        screen.document({**document, "status": status_of(now) if now.state == "ended" else None})
        return
    screen.line(f"{done}; run {row.run} is {status_of(now)}" if taken else done)
    if not taken and now.state == "running":
        screen.note(f"run {row.run} is running, and whoever has it has not taken this up yet")
    elif not taken:
        screen.note(f"run {row.run} is at work nowhere; it goes on with: {hint(f'resume {row.run}')}")


async def _taken(sea: Seawall, run: str, before: int, kind: str) -> bool:
    """Wait until the owner has taken a command that was not there before."""
    written = asyncio.Event()
    stop = sea.journal.watch(written.set)
    try:
        while True:
            written.clear()  # before looking, so that nothing is missed in between
            for event in await sea.journal.events(run, after=before - 1):
                if isinstance(event, CommandTaken) and event.command == kind:
                    return True
            if (await sea.journal.row(run)).state == "interrupted":
                return False
            await written.wait()
    finally:
        stop()
