"""`seawall memory revert | forget`: removes from memory what a bad step wrote, or what is about a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.memory_options import (
    DryRunOption,
    PersonOption,
    TenantNameOption,
    YesOption,
    check_answerable,
    confirm_change,
    read_person,
)
from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AppOption,
    JournalOption,
    JsonOption,
    KeyFileOption,
    RunArgument,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown
    from seawall.journal.protocol import Forgotten, MemoryVersion
    from seawall.runtime.memory import RevertPlan
    from seawall.runtime.seawall import Seawall
    from seawall.team.team import Team


def revert(
    run: RunArgument,
    step: Annotated[
        int,
        typer.Argument(
            metavar="STEP", help="The bad step; 0 is the request, and so the whole run.", show_default=False
        ),
    ],
    exposed: Annotated[
        bool,
        typer.Option(
            "--exposed", help="Also remove entries that were only exposed to it, instead of flagging them."
        ),
    ] = False,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun",
            help="Afterwards answer the requests of the affected runs again, as new runs whose effects wait for a person.",
        ),
    ] = False,
    app: AppOption = None,
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", "-t", metavar="NAME", help="Whose memory. Default: the run's tenant."),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Undo what a bad step wrote to memory, and what later runs derived from it.

    Entries that took a value from it are removed, entries that were only exposed to it are flagged, and the rest stays. The values from before are in force again. The history stays, too.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen, person = Screen(json=json), (None, "") if dry_run else read_person(key_file, by)
    check_answerable(screen, yes=yes, dry_run=dry_run)
    plan = run_async(
        lambda _: _plan(screen, journal, tenant, run, step, exposed=exposed, shown=not screen.json)
    )
    versions: list[MemoryVersion] = []
    again: list[object] = []
    if not dry_run and (plan.removes or plan.flags or plan.conflicts or rerun):
        confirm_change("Do this?", yes=yes)
        with screen.redirect_user_prints():
            versions, again = run_async(
                lambda shutdown: _apply(
                    screen, shutdown, journal, plan, exposed=exposed, person=person, rerun=rerun, app=app
                )
            )
    if screen.json:
        document = {**_build_document(plan), "exposed_too": exposed, "versions": versions}
        screen.print_document({**document, "again": again} if rerun else document)


async def _plan(
    screen: Screen, path: Path, tenant: str | None, run: str, step: int, *, exposed: bool, shown: bool
) -> RevertPlan:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import draw_plan

    async with open_seawall(path, writes=False) as sea:
        plan = await _make_plan(sea, tenant, run, step)
    if shown:
        screen.print_lines(draw_plan(plan, exposed=exposed))
    return plan


async def _make_plan(sea: Seawall, tenant: str | None, run: str, step: int) -> RevertPlan:
    row = await sea.journal.row(await sea.journal.find(run))
    return await sea.memory(row.tenant if tenant is None else tenant).revert(run=row.run, step=step)


async def _apply(
    screen: Screen,
    shutdown: Shutdown,
    path: Path,
    seen: RevertPlan,
    *,
    exposed: bool,
    person: tuple[str | None, str],
    rerun: bool,
    app: str | None,
) -> tuple[list[MemoryVersion], list[object]]:
    """Applies the plan that was shown. Returns the new versions, and the ends of the runs that were started again.

    Raises `Refused` if more entries descend from the step by now, and `Misused` before any change if a team can't be
    loaded.
    """
    from seawall.cli.journals import open_seawall
    from seawall.core.errors import Refused
    from seawall.core.odd_text import show_plainly

    credential, name = person
    async with open_seawall(path, shutdown) as sea:
        plan = await _make_plan(sea, None, seen.run, seen.step)
        if not plan.is_within(seen):
            raise Refused("more descends from it by now than was shown: look again", guard="memory")
        teams = await _load_teams(sea, plan, app) if rerun else []
        versions: list[MemoryVersion] = []
        if plan.removes or plan.flags or plan.conflicts:
            versions = await plan.apply(credential=credential, by=name, exposed=exposed)
        if versions and not screen.json:
            made = ", ".join(f"{each.version} of {show_plainly(each.scope)}" for each in versions)
            screen.print_line(f"done: version {made}")
        elif plan.conflicts and not screen.json:
            screen.print_line("done: the conflicts have ended")
        return versions, await _rerun(screen, sea, plan, teams) if rerun else []


async def _load_teams(sea: Seawall, plan: RevertPlan, app: str | None) -> list[Team]:
    from seawall.cli.journals import read_start
    from seawall.cli.loading import load_recorded_team

    starts = [await read_start(sea.journal, run) for run in await plan.list_affected()]
    return [load_recorded_team(row, started, app) for row, started in starts]


async def _rerun(screen: Screen, sea: Seawall, plan: RevertPlan, teams: list[Team]) -> list[object]:
    """Starts the affected requests again, and returns the `Outcome` or `Waiting` of each new run."""
    from seawall.cli.render.json_output import build_rest_document
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay, follow_run

    rests: list[object] = []
    runs = await plan.rerun(teams)
    if not runs:
        screen.print_note("no other run is affected: nothing is started again")
    for run in runs:
        screen.print_note(f"run {run.id}")
        display = ProgressDisplay(screen)
        with display.show():
            rest = await follow_run(sea, run, display)
        if not screen.json:
            print_rest(screen, rest)
        rests.append(build_rest_document(rest))
    return rests


def _build_document(plan: RevertPlan) -> dict[str, object]:
    names = ("run", "step", "removes", "flags", "keeps", "kept", "conflicts", "answers", "exposed", "running")
    return {name: getattr(plan, name) for name in names}


def forget(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="A person: the principal of their runs, such as user:7.",
            show_default=False,
        ),
    ],
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Erase a person for good: what is remembered of them, and the texts of their runs, conversations and receipts.

    The events stay on record without their content, and `seawall verify` reports the texts as erased. Nothing is erased while a run of the person goes on.
    """
    from seawall.cli.exits import Exit
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.odd_text import show_plainly

    screen, person = Screen(json=json), (None, "") if dry_run else read_person(key_file, by)
    check_answerable(screen, yes=yes, dry_run=dry_run)
    found = run_async(lambda _: _forget(screen, journal, tenant, subject, None))
    if not dry_run and not found.running:
        if not yes:
            screen.print_line(f"would erase {_describe_forgotten(found)}")
        confirm_change(f"Erase {show_plainly(subject)} for good?", yes=yes)
        found = run_async(lambda _: _forget(screen, journal, tenant, subject, person))
    erased = not dry_run and not found.running
    if screen.json:
        screen.print_document({"subject": subject, "erased": erased, "found": found})
    else:
        screen.print_line(f"{'erased' if erased else 'would erase'} {_describe_forgotten(found)}")
    if found.running:
        screen.print_note(f"nothing is erased before these runs have ended: {', '.join(found.running)}")
        if not dry_run:
            raise typer.Exit(Exit.REFUSED)


async def _forget(
    screen: Screen, path: Path, tenant: str, subject: str, person: tuple[str | None, str] | None
) -> Forgotten:
    from seawall.cli.journals import open_seawall

    credential, name = person or (None, "")
    async with open_seawall(path, writes=person is not None) as sea:
        with screen.show_status("looking" if person is None else "erasing"):
            return await sea.memory(tenant).forget(
                subject, dry_run=person is None, credential=credential, by=name
            )


def _describe_forgotten(found: Forgotten) -> str:
    from seawall.cli.render.formats import format_number

    entries, runs = format_number(found.entries, "entry", "entries"), format_number(found.runs, "run")
    kept = f"; {format_number(found.kept, 'body', 'bodies')} that others refer to stay" if found.kept else ""
    derived = f"; entries of others that took a value from theirs stay: {', '.join(map(str, found.derived))}"
    more = kept + (derived if found.derived else "")
    return f"{entries}, {runs}, {format_number(found.bodies, 'body', 'bodies')}{more}"
