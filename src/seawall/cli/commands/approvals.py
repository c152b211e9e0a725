"""`seawall approvals`: what people are asked, and one proposal as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def approvals(
    proposal: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A proposal to show as a whole: its id, or the beginning or the end of it.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option("--role", "-r", metavar="NAME", help="Only proposals that this role may decide on."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="Only of this run: its id, or the beginning or end of it."),
    ] = None,
    tenant: TenantOption = None,
    all_: Annotated[
        bool, typer.Option("--all", help="List each one, also where many of one kind come from one source.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many lines at most.")
    ] = 20,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List what people are asked, oldest first; with an ID, show one proposal: its arguments first, and all of them.

    Decide with seawall approve and seawall reject. Nothing is ever approved because nobody answered.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    if proposal is not None:
        run_async(lambda _: _show(screen, journal, proposal))
        return
    run_async(lambda _: _list(screen, journal, role, run, tenant, all_, limit))


async def _list(
    screen: Screen,
    path: Path,
    role: str | None,
    run: str | None,
    tenant: str | None,
    all_: bool,
    limit: int,
) -> None:
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_journal
    from seawall.cli.proposal_groups import read_grouped_page, read_page
    from seawall.cli.render.approvals_table import make_approvals_table
    from seawall.cli.render.formats import format_filters
    from seawall.core.clock import SystemClock
    from seawall.journal.protocol import ProposalFilter

    async with open_journal(path) as journal:
        found_run = None if run is None else await journal.find(run)
        wanted = ProposalFilter(role=role, run=found_run, tenant=tenant)
        read = read_page if all_ or screen.json else read_grouped_page
        now = SystemClock().wall_s()
        page = await read(journal, wanted, limit, now)
    if screen.json:
        screen.print_document({"approvals": [each.approval for each in page.entries], "cut": page.cut})
        return
    if not page.entries:
        given = {"role": role, "run": run, "tenant": tenant}
        screen.print_note(f"nobody is asked for anything in {path}{format_filters(given)}")
        return
    screen.print_table(make_approvals_table(page.entries, screen.width, now))
    if page.cut:
        screen.print_note(f"the oldest {limit}; there are more: --limit {limit * 5}")
    if any(each.count > 1 for each in page.entries):
        screen.print_note("many of one kind from one source stand in one line: --all lists each")
    if any(not each.approval.hash for each in page.entries):
        screen.print_note(
            f"a run and its step, in place of a proposal: an earlier version asked. Look at it with "
            f"{format_command('show RUN')}, decide with {format_command('approve RUN STEP')}"
        )
    screen.print_note(f"look at one as a whole: {format_command('approvals ID')}")


async def _show(screen: Screen, path: Path, proposal: str) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.approval_report import draw_approval
    from seawall.core.clock import SystemClock
    from seawall.runtime.approval_views import read_approval

    async with open_journal(path) as journal:
        now = SystemClock().wall_s()
        found = await read_approval(journal, proposal, now)
    if screen.json:
        screen.print_document(found)
        return
    screen.print_lines(draw_approval(found, screen.width, now))
