"""`seawall runs`: the newest runs, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


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
        str | None, typer.Option("--session", "-s", metavar="NAME", help="Only this session's.")
    ] = None,
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")] = 20,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List runs, newest first: how they ended, what stopped them, what they took."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    wanted: dict[str, Any] = {"status": status, "state": state, "session": session, "tenant": tenant}
    run_async(lambda _: _runs(screen, journal, wanted, limit))


async def _runs(screen: Screen, path: Path, wanted: dict[str, Any], limit: int) -> None:
    from seawall.cli.journals import reading
    from seawall.cli.render.runs_table import checked, entry, table
    from seawall.core.clock import SystemClock

    checked(wanted["status"], wanted["state"])
    async with reading(path) as journal:
        rows = await journal.runs(**wanted, limit=limit + 1)
        cut = len(rows) > limit
        entries = [await entry(journal, row) for row in rows[:limit]]
    if screen.json:
        screen.document({"runs": [each.document() for each in entries], "cut": cut})
        return
    if not entries:
        filters = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
        screen.note(f"no runs in {path}{f' with {filters}' if filters else ''}")
        return
    lines, left_out = table(entries, screen.width, SystemClock().wall_s())
    for line in lines:
        screen.line(line)
    if cut:
        screen.note(f"the newest {limit}; there are more: --limit {limit * 5}")
    if left_out:
        screen.note(f"not shown in {screen.width} columns: {', '.join(left_out)} (--json has all)")
