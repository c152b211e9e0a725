"""`seawall runs`: lists the newest runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption
from seawall.core.errors import Misused
from seawall.core.events import Status

if TYPE_CHECKING:
    from seawall.cli.render.runs_table import RunEntry
    from seawall.cli.render.screen import Screen
    from seawall.journal.protocol import Journal, RunFilter, RunRow

STATES = ("running", "interrupted", "waiting", "queued", "ended")


def runs(
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="completed, refused, halted, failed or cancelled."),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="running, interrupted, waiting, queued or ended."),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="NAME", help="Only this session.")
    ] = None,
    tenant: TenantOption = None,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Only this team.")] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", "-p", metavar="NAME", help="Only what this person asked.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="TEXT",
            help="Only requests that hold this text, as they are recorded. Upper and lower case are the same.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only runs that started then or later: 2h, 3d or 1h30m ago, 2026-11-29, 2026-11-29T14:05. Without a zone (Z, +01:00) it is this machine's time.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Only runs that started before that time; a date alone means its whole day.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")] = 20,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List runs, newest first: how they ended, what stopped them, what they took.

    Several options list the runs that fit all of them. A run that was pruned has no text and no principal any more.
    """
    from seawall.cli.render.formats import format_filters
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    given = {
        "status": status,
        "state": state,
        "session": session,
        "tenant": tenant,
        "team": team,
        "principal": principal,
        "since": since,
        "until": until,
        "text": text,
    }
    wanted = _make_filter(given)
    run_async(lambda _: _runs(screen, journal, wanted, format_filters(given), limit))


def _make_filter(given: dict[str, str | None]) -> RunFilter:
    """Returns which runs are wanted. Raises `Misused` for a value that fits no run."""
    from seawall.cli.times import parse_time
    from seawall.core.canonical import check_recordable
    from seawall.core.clock import SystemClock
    from seawall.journal.protocol import RunFilter

    check_recordable(**{f"--{name}": value for name, value in given.items()})
    _check_filters(given["status"], given["state"])
    if given["text"] == "":
        raise Misused("--text is empty: every request holds that")
    now = SystemClock().wall_s()
    since, until = given["since"], given["until"]
    since_s = None if since is None else parse_time("--since", since, now)
    until_s = None if until is None else parse_time("--until", until, now, whole_day=True)
    if since_s is not None and until_s is not None and since_s >= until_s:
        raise Misused(f"--since {since} is not before --until {until}")
    names = {
        name: given[name] for name in ("status", "state", "session", "tenant", "team", "principal", "text")
    }
    return RunFilter(**names, since=since_s, until=until_s)


async def _runs(screen: Screen, path: Path, wanted: RunFilter, filters: str, limit: int) -> None:
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_journal
    from seawall.cli.render.json_output import build_entry_document
    from seawall.cli.render.runs_table import make_runs_table
    from seawall.core.clock import SystemClock

    async with open_journal(path) as journal:
        rows = await journal.runs(wanted, limit=limit + 1)
        cut = len(rows) > limit
        entries = [await _read_entry(journal, row) for row in rows[:limit]]
    if screen.json:
        screen.print_document({"runs": [build_entry_document(each) for each in entries], "cut": cut})
        return
    if not entries:
        screen.print_note(f"no runs in {path}{filters}")
        return
    screen.print_table(make_runs_table(entries, screen.width, SystemClock().wall_s()))
    if cut:
        screen.print_note(f"the newest {limit}; there are more: --limit {limit * 5}")
    if any(each.waits is not None and each.waits.kind == "hold" and not each.decision for each in entries):
        screen.print_note(f"look at what waits for a decision, and decide: {format_command('approvals')}")
    if any(each.row.state == "interrupted" for each in entries):
        screen.print_note(f"go on with what is interrupted: {format_command('resume')}")
    if doubted := [each.row.run for each in entries if each.row.lease == "doubted"]:
        screen.print_note(
            f"{len(doubted)} of the running may be interrupted, which can't be known from this machine: {', '.join(doubted)}"
        )


def _check_filters(status: str | None, state: str | None) -> None:
    """Raises `Misused` for a status or state that does not exist."""
    statuses: tuple[str, ...] = get_args(Status)
    for name, value, known in (("status", status, statuses), ("state", state, STATES)):
        if value is not None and value not in known:
            raise Misused(f"--{name} {value}: it is one of {', '.join(known)}")


async def _read_entry(journal: Journal, row: RunRow) -> RunEntry:
    """Returns a run of the list; one that has not ended is completed from its events."""
    from seawall.cli.decisions import read_pending_cancel, read_pending_decisions
    from seawall.cli.journals import read_texts
    from seawall.cli.render.run_header import compute_active_s
    from seawall.cli.render.runs_table import RunEntry
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import read_pauses
    from seawall.history.record import build_record
    from seawall.journal.protocol import Summary
    from seawall.run.fold import fold
    from seawall.run.outcome import list_waits

    if row.state == "ended" and row.summary is not None:
        return RunEntry(row=row, spent=row.summary)
    events = await journal.events(row.run)
    state = fold(events)
    ledger = state.ledger
    spent = Summary(
        status="completed",
        usd=str(ledger.usd),
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        active_s=round(compute_active_s(state, build_record(events)), 6),
    )
    waits, decision, lifted = None, None, False
    if row.state == "waiting" and state.waits:
        texts = await read_texts(journal, row.tenant, state.approvals)
        waits = list_waits(state, events, texts.get)[0]
        decision = (await read_pending_decisions(journal, row.run, state)).get(waits.step)
        if waits.kind == "pause":
            lifted = waits.what not in await read_pauses(journal, SystemClock().wall_s())
    cancel = await read_pending_cancel(journal, row.run, state)
    return RunEntry(
        row=row,
        spent=spent,
        started=state.started,
        waits=waits,
        decision=decision,
        cancel=cancel,
        deferred=next(iter(state.deferred.values()), None),
        lifted=lifted,
    )
