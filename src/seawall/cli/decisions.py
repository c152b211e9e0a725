"""Checks and records a person's decision, sends it to the run, and waits until the run's process takes it up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from seawall.cli.going_on import explain_going_on
from seawall.cli.hints import format_command
from seawall.cli.journals import open_seawall, read_start
from seawall.cli.render.wording import (
    explain_fate,
    explain_lease,
    format_approval_call,
    format_decided,
    format_status,
)
from seawall.core.errors import Misused, Refused
from seawall.core.events import CommandTaken, StepIntended
from seawall.history.recorded import read_waits
from seawall.journal.effect_rules import format_time
from seawall.journal.protocol import Command, Journal, RunRow
from seawall.run.commands import find_effect_in_doubt, find_fate_approval
from seawall.run.state import RunState
from seawall.runtime.approval_views import Approval
from seawall.runtime.seawall import Seawall

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.team.team import Team

TAKE_UP_S = 2.0
"""How long a live owner is given to take a command up; it looks every 50 ms."""
HASH_CHARS = 64
_HASH = re.compile(rf"[0-9a-f]{{{HASH_CHARS}}}")
PROPOSAL = "p-"
"""How the id of a proposal begins. No run's id begins so."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decides."""

    approve: bool
    target: str
    """A proposal's id, or a run's id or a part of it, or `last`."""
    step: int | None = None
    """The approval step to decide on, if `target` is a run; None if only one step of the run waits."""
    hash: str = ""
    credential: str | None = None
    by: str = ""
    reason: str = ""
    edit: Path | None = None
    app: str | None = None
    stop: bool = False

    @property
    def word(self) -> Literal["approve", "reject"]:
        """The command."""
        return "approve" if self.approve else "reject"


async def send_decision(screen: Screen, path: Path, decision: Decision) -> None:
    """Sends a decision. Raises `Refused` if the decision is not valid, and `Misused` if nothing waits for it."""
    async with open_seawall(path) as sea:
        if decision.target.startswith(PROPOSAL):
            await _decide_proposal(screen, sea, decision)
        else:
            await _decide_in_run(screen, sea, decision)


async def _decide_proposal(screen: Screen, sea: Seawall, decision: Decision) -> None:
    found = await sea.journal.proposal(decision.target)
    if decision.step is not None:
        raise Misused(f"{found.id} is a proposal: it has no step {decision.step} to name")
    if not decision.hash:
        shows = format_command(f"approvals {found.id}")
        raise Misused(f"what did you look at? give --hash H, as it is shown by: {shows}")
    await _decide(screen, sea, found.id, found.run, decision.hash, decision)


async def _decide(
    screen: Screen, sea: Seawall, proposal: str, run: str, hash_: str, decision: Decision
) -> None:
    """Decides on a proposal, and prints its call and the state of its run."""
    row = await sea.journal.row(run)
    if not _HASH.fullmatch(hash_):
        shows = format_command(f"approvals {proposal}")
        raise Misused(f"--hash {hash_} is not a whole hash: copy its {HASH_CHARS} characters from: {shows}")
    if decision.approve:
        edit, team = None, None
        if decision.edit is not None:
            edit, team = _read_edit(decision.edit), await _load_team(screen, sea, run, decision.app)
        decided = await sea.approve(
            proposal,
            hash=hash_,
            credential=decision.credential,
            by=decision.by,
            edit=edit,
            team=team,
            reason=decision.reason,
        )
    else:
        decided = await sea.reject(
            proposal,
            hash=hash_,
            credential=decision.credential,
            by=decision.by,
            reason=decision.reason,
            stop=decision.stop,
        )
    by = decided.votes[-1].principal if decided.votes else decision.by
    call = format_approval_call(decided)
    what = "approved" if decision.approve else "rejected"
    if decided.state == "open":  # it needs more people
        yes = sum(vote.approve for vote in decided.votes)
        done = f"{what} by {by}, {yes} of {decided.people} people: {call} still waits ({decided.id})"
        _print_state(screen, row, decision.word, done, taken=False, decided=decided)
        return
    means = "may be made" if decision.approve else "is not made"
    done = f"{what}: {call} {means} (step {decided.step}, by {by})"
    if decision.edit is not None:
        done += f"; instead of {decided.original}"
    await _report(screen, sea, row, decision.word, done, decided, stop=decision.stop)


def _read_edit(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misused(f"--edit {file} can't be read: {why}") from None


async def _load_team(screen: Screen, sea: Seawall, run: str, app: str | None) -> Team:
    from seawall.cli.loading import load_recorded_team

    row, started = await read_start(sea.journal, run)
    with screen.redirect_user_prints():
        return load_recorded_team(row, started, app)


async def _decide_in_run(screen: Screen, sea: Seawall, decision: Decision) -> None:
    """Decides on the approval step that a run waits for now."""
    row = await sea.journal.row(await sea.journal.find(decision.target))
    refuse_ended(row)
    state = await sea.state(row.run)
    pending = await read_pending_decisions(sea.journal, row.run, state)
    step = _choose_step(row, state, decision.step, pending)
    if step is None:
        await _refuse_step(sea, row, state, decision.step)
    if find_effect_in_doubt(state, state.open[step]) is not None:
        raise Misused(f"step {step} asks what became of an effect; {explain_fate(row.run, step)}")
    asked = state.open[step]
    if asked.waits_for:
        raise Misused(
            f"step {step} waits for effect {asked.waits_for} of another call and goes on once that effect is settled; nobody is asked"
        )
    if asked.proposal:
        hash_ = decision.hash or (await sea.journal.proposal(asked.proposal)).hash
        await _decide(screen, sea, asked.proposal, row.run, hash_, decision)
        return
    if decision.edit is not None or decision.stop or decision.hash:
        raise Misused(f"run {row.run} was parked by an earlier version: only approve it, or reject it")
    waiting = next(each for each in await read_waits(sea.journal, row.run) if each.step == step)
    await sea.decide(
        row.run,
        step,
        approve=decision.approve,
        credential=decision.credential,
        by=decision.by,
        reason=decision.reason,
    )
    by = f", by {decision.by}" if decision.by else ""
    done = f"{format_decided(waiting, approved=decision.approve)} (step {step}{by})"
    await _report(screen, sea, row, decision.word, done)


async def send_command(
    screen: Screen,
    sea: Seawall,
    row: RunRow,
    command: Literal["cancel", "reconcile"],
    sending: Awaitable[None],
    done: str,
) -> None:
    """Sends a command, waits `TAKE_UP_S` for a live owner to take it up, and prints the state of the run."""
    await sending
    await _report(screen, sea, row, command, done)


Word = Literal["approve", "reject", "cancel", "reconcile"]


async def _report(
    screen: Screen,
    sea: Seawall,
    row: RunRow,
    command: Word,
    done: str,
    decided: Approval | None = None,
    *,
    stop: bool = False,
) -> None:
    """Waits `TAKE_UP_S` until a live owner has taken the command up, and prints the state of the run.

    `row` is the run's row from before the command. `stop`: the command ends the run.
    """
    if row.state == "ended":
        _print_state(screen, row, command, done, taken=False, decided=decided)
        return
    try:
        async with asyncio.timeout(TAKE_UP_S):
            taken = await _await_taken_up(sea, row.run, row.events, command)
    except TimeoutError:
        taken = False
    now, started = await read_start(sea.journal, row.run)
    goes_on = explain_going_on(started, ends=stop)
    _print_state(screen, now, command, done, taken=taken, decided=decided, goes_on=goes_on)


def _print_state(
    screen: Screen,
    now: RunRow,
    command: Word,
    done: str,
    *,
    taken: bool,
    decided: Approval | None,
    goes_on: str = "",
) -> None:
    if screen.json:
        status = format_status(now) if now.state == "ended" else None
        document: dict[str, object] = {
            "run": now.run,
            "command": command,
            "taken": taken,
            "state": now.state,
            "status": status,
        }
        if decided is not None:
            document["proposal"] = {
                name: getattr(decided, name) for name in ("id", "hash", "state", "people", "votes")
            }
        screen.print_document(document)
        return
    screen.print_line(f"{done}; run {now.run} is {format_status(now)}" if taken else done)
    if taken or now.state == "ended" or (decided is not None and decided.state == "open"):
        return
    if now.state == "running":
        screen.print_note(f"run {now.run} is running, and its process has not taken this up yet")
        if (lease := explain_lease(now)) is not None:
            command_line = format_command("resume --wait")
            screen.print_note(f"{now.owner}: {lease}; if it has ended, go on with: {command_line}")
    else:
        screen.print_note(f"no process drives run {now.run} now; {goes_on}")


async def read_pending_decisions(journal: Journal, run: str, state: RunState) -> dict[int, Command]:
    """Returns the decisions and findings that no process has taken up yet, by the approval step that asks for them."""
    pending: dict[int, Command] = {}
    for item in await journal.inbox(run, after=state.inbox):
        step = item.command.step
        if step is not None and item.command.kind in ("settled", "late") and step not in state.open:
            step = find_fate_approval(state, step)
        if step is not None and item.command.kind != "cancel":
            pending.setdefault(step, item.command)
    return pending


async def read_pending_cancel(journal: Journal, run: str, state: RunState) -> Command | None:
    """Returns the cancellation in a run's inbox that no process has taken up; None if there is none."""
    items = await journal.inbox(run, after=state.inbox)
    return next((item.command for item in items if item.command.kind == "cancel"), None)


def _choose_step(
    row: RunRow, state: RunState, step: int | None, pending: Mapping[int, Command]
) -> int | None:
    """Returns the approval step that is decided on; None if `step` is not a step that waits.

    Raises `Misused` if several steps wait and `step` names none, and `Refused` if nothing waits (any more).
    """
    waiting = [each.step for each in state.approvals]
    if not waiting and state.paused:
        raise Misused(
            f"run {row.run} does not wait for a decision: {state.paused[0].what} is paused, seawall unpause lifts that"
        )
    if step is None and not waiting:
        raise _refuse(
            f"run {row.run} does not wait for a decision: it is {row.state}", "a run that waits", row.state
        )
    if step is None:
        if len(waiting) > 1:
            raise Misused(
                f"run {row.run} waits for {len(waiting)} decisions: name the step ({_join_steps(waiting)})"
            )
        step = waiting[0]
    if step not in waiting:
        return None
    if step in pending:
        decided = f"{'approved' if pending[step].approved else 'rejected'} by {pending[step].by}"
        raise _refuse(
            f"run {row.run}: step {step} was {decided} already; {explain_going_on(state.started)}",
            "open",
            decided,
        )
    return step


async def _refuse_step(sea: Seawall, row: RunRow, state: RunState, step: int | None) -> NoReturn:
    """Raises `Refused` for a step that was decided already, and `Misused` for any other step."""
    waiting = _join_steps([each.step for each in state.approvals]) or "none"
    decided = ""
    for event in await sea.journal.events(row.run):
        if isinstance(event, StepIntended) and event.step == step and event.kind == "approval":
            decided = "decided already"
        elif (
            isinstance(event, CommandTaken) and event.step == step and event.command == "decide" and event.by
        ):
            what = "approved" if event.approved else "rejected"
            decided = f"{what} by {event.by} at {format_time(event.at)} already, and that stands"
    if decided:
        raise _refuse(f"run {row.run}: step {step} was {decided} (waiting: {waiting})", "open", "decided")
    raise Misused(f"run {row.run}: step {step} does not wait for a decision (waiting: {waiting})")


def refuse_ended(row: RunRow) -> None:
    """Raises `Refused` if the run has ended: what a person asks for comes too late."""
    if row.state == "ended":
        raise _refuse(f"run {row.run} has ended already: {format_status(row)}", "a run in flight", row.state)


def _refuse(problem: str, limit: object, value: object) -> Refused:
    return Refused(problem, guard="approval", limit=limit, value=value)


def _join_steps(steps: list[int]) -> str:
    return ", ".join(map(str, steps))


_KINDS: Mapping[Word, tuple[str, ...]] = {
    "approve": ("decide",),
    "reject": ("decide",),
    "cancel": ("cancel",),
    "reconcile": ("decide", "settled"),
}
"""The status with which the run records each command."""


async def _await_taken_up(sea: Seawall, run: str, before: int, command: Word) -> bool:
    """Waits until the owner has taken up a command after event `before`; False if the run has no live owner."""
    written = asyncio.Event()
    stop = sea.journal.watch(written.set)
    try:
        while True:
            written.clear()  # before reading, so that no event is missed in between
            for event in await sea.journal.events(run, after=before - 1):
                if isinstance(event, CommandTaken) and event.command in _KINDS[command]:
                    return True
            if (await sea.journal.row(run)).state == "interrupted":
                return False
            await written.wait()
    finally:
        stop()
