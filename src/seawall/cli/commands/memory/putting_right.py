"""`seawall memory resolve | rollback | gc | import | accept`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.memory_options import (
    DryRunOption,
    PersonOption,
    ScopeOption,
    TenantNameOption,
    YesOption,
    check_answerable,
    confirm_change,
    read_person,
)
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, KeyFileOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.journal.protocol import Collected, MemoryVersion
    from seawall.runtime.memory_views import MemoryItem


def resolve(
    number: Annotated[
        int,
        typer.Argument(
            metavar="N", help="A conflict, as it is listed by: seawall memory conflicts", show_default=False
        ),
    ],
    ours: Annotated[bool, typer.Option("--ours", help="Keep what the run wrote, as a new version.")] = False,
    theirs: Annotated[bool, typer.Option("--theirs", help="Keep what is in memory.")] = False,
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """End a conflict: keep what the run wrote, or what is in memory."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    if ours == theirs:
        raise Misused("which one is kept? say --ours or --theirs")
    screen, person = Screen(json=json), None if dry_run else read_person(key_file, by)
    run_async(lambda _: _resolve(screen, journal, tenant, number, ours, person))


async def _resolve(
    screen: Screen, path: Path, tenant: str, number: int, ours: bool, person: tuple[str | None, str] | None
) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import format_key, format_value

    credential, name = person or (None, "")
    async with open_seawall(path, writes=person is not None) as sea:
        found = await sea.memory(tenant).resolve(
            number, ours=ours, dry_run=person is None, credential=credential, by=name
        )
    if screen.json:
        screen.print_document(found)
        return
    kept = found.ours if ours else None if found.theirs is None else found.theirs.value
    what = "would be" if person is None else "is"
    screen.print_line(f"conflict {number} {what} resolved: {format_key(found.key)} = {format_value(kept)}")


def rollback(
    version: Annotated[
        int | None, typer.Argument(metavar="V", help="The version to go back to.", show_default=False)
    ] = None,
    scope: ScopeOption = None,
    last_reviewed: Annotated[
        bool, typer.Option("--last-reviewed", help="To the newest version whose run passed review.")
    ] = False,
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Make a new version of one scope that equals an old one. The history stays, and other scopes are not touched."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    if scope is None:
        raise Misused("which scope? give --scope, such as session:s-17; seawall memory log lists them")
    if (version is None) != last_reviewed:
        raise Misused("say where to: a version, or --last-reviewed")
    screen, person = Screen(json=json), (None, "") if dry_run else read_person(key_file, by)
    check_answerable(screen, yes=yes, dry_run=dry_run)
    would = run_async(lambda _: _rollback(journal, tenant, scope, version, None))
    if not dry_run:
        target = f"version {would.about}"
        if not yes:
            screen.print_line(f"would make {_describe_rollback(would)}")
        confirm_change(f"Make scope {scope} equal to {target}?", yes=yes)
        would = run_async(lambda _: _rollback(journal, tenant, scope, int(would.about), person))
    if screen.json:
        screen.print_document(would)
    elif dry_run:
        screen.print_line(f"would make {_describe_rollback(would)}")
    else:
        screen.print_line(f"version {would.version} is {_describe_rollback(would)}")


async def _rollback(
    path: Path, tenant: str, scope: str, version: int | None, person: tuple[str | None, str] | None
) -> MemoryVersion:
    from seawall.cli.journals import open_seawall

    credential, name = person or (None, "")
    async with open_seawall(path, writes=person is not None) as sea:
        return await sea.memory(tenant).rollback(
            scope=scope,
            version=version,
            last_reviewed=version is None,
            dry_run=person is None,
            credential=credential,
            by=name,
        )


def _describe_rollback(version: MemoryVersion) -> str:
    from seawall.cli.render.formats import format_number
    from seawall.core.odd_text import show_plainly

    written, removed = (
        format_number(each, "entry", "entries") for each in (version.written, version.removed)
    )
    kept_out = format_number(version.reverted, "entry that was", "entries that were")
    more = (
        f"; {kept_out} reverted since {'do' if version.reverted > 1 else 'does'} not come back"
        if version.reverted
        else ""
    )
    where = f"scope {show_plainly(version.scope)} as at version {version.about}"
    return f"{where}: {written} written, {removed} removed{more}"


def gc(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="AGE", help="Only versions that nothing has referred to for this long."
        ),
    ] = "30d",
    scope: ScopeOption = None,
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Remove expired entries, and old versions of entries that nothing refers to any more. What is in force stays.

    Versions that runs in flight read stay, and so does each scope's last reviewed version. Together with `seawall prune` it keeps the file small.
    """
    from seawall.cli.render.formats import parse_duration_s
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    age_s = parse_duration_s(older_than)
    if age_s is None:
        raise Misused(f"--older-than {older_than}: write a number and a unit, such as 30d, 12h, 90min or 45s")
    screen = Screen(json=json)
    check_answerable(screen, yes=yes, dry_run=dry_run)

    found = run_async(lambda _: _collect(screen, journal, tenant, scope, age_s, dry_run=True))
    if not dry_run:
        if not yes:
            screen.print_line(f"would remove {_describe_collected(found)}")
        confirm_change("Remove this for good?", yes=yes)
        found = run_async(lambda _: _collect(screen, journal, tenant, scope, age_s, dry_run=False))
    if screen.json:
        screen.print_document(found)
    else:
        screen.print_line(f"{'would remove' if dry_run else 'removed'} {_describe_collected(found)}")


async def _collect(
    screen: Screen, path: Path, tenant: str, scope: str | None, age_s: float, *, dry_run: bool
) -> Collected:
    from seawall.cli.journals import open_seawall

    async with open_seawall(path, writes=not dry_run) as sea:
        with screen.show_status("collecting"):
            return await sea.memory(tenant).gc(scope=scope, older_than_s=age_s, dry_run=dry_run)


def _describe_collected(found: Collected) -> str:
    from seawall.cli.render.formats import format_number, format_size

    expired = format_number(found.expired, "expired entry", "expired entries")
    superseded = format_number(found.superseded, "old version of an entry", "old versions of entries")
    bodies = format_number(found.bodies, "body", "bodies")
    return f"{expired}, {superseded}, {bodies} of {format_size(found.body_bytes)}"


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSON lines, or the SQLite file of LangGraph's store.", show_default=False
        ),
    ],
    scope: Annotated[
        str, typer.Option("--scope", "-s", metavar="SCOPE", help="For entries that name none.")
    ] = "tenant",
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Import entries from outside into quarantine: no agent is shown them before a person accepts them.

    A line is an object with key and value, and may have scope, labels and ttl_s. The namespace of a LangGraph store becomes the beginning of the key.
    """
    from seawall.cli.render.formats import format_number
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen, person = Screen(json=json), (None, "") if dry_run else read_person(key_file, by)
    check_answerable(screen, yes=yes, dry_run=dry_run)
    count = run_async(lambda _: _import(journal, tenant, file, scope, None))
    entries = format_number(count, "entry", "entries")
    if not dry_run and count:
        confirm_change(f"Import {entries} into quarantine?", yes=yes)
        run_async(lambda _: _import(journal, tenant, file, scope, person))
    if screen.json:
        screen.print_document({"file": str(file), "entries": count, "imported": not dry_run})
    elif dry_run:
        screen.print_line(f"would import {entries}")
    else:
        screen.print_line(f"imported {entries} into quarantine")
        _note_quarantine(screen)


async def _import(
    path: Path, tenant: str, file: Path, scope: str, person: tuple[str | None, str] | None
) -> int:
    from seawall.cli.journals import open_seawall

    credential, name = person or (None, "")
    async with open_seawall(path, writes=person is not None) as sea:
        return await sea.memory(tenant).import_lines(
            file, scope=scope, dry_run=person is None, credential=credential, by=name
        )


def _note_quarantine(screen: Screen) -> None:
    from seawall.cli.hints import format_command

    screen.print_note(f"look at them: {format_command('memory show --quarantined')}")
    screen.print_note(
        f"let agents be shown them: {format_command('memory accept --all')}   (or their numbers)"
    )


def accept(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="N", help="Numbers of entries: seawall memory show --quarantined", show_default=False
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are in quarantine.")] = False,
    scope: ScopeOption = None,
    tenant: TenantNameOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    key_file: KeyFileOption = None,
    by: PersonOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Let agents be shown imported entries. They keep the label `imported`."""
    from seawall.cli.render.memory_tables import make_items_table
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.clock import SystemClock
    from seawall.core.errors import Misused

    if bool(numbers) == all_:
        raise Misused("which entries? give their numbers, or --all")
    screen, person = Screen(json=json), (None, "") if dry_run else read_person(key_file, by)
    check_answerable(screen, yes=yes, dry_run=dry_run)
    found = run_async(lambda _: _find_quarantined(journal, tenant, scope, numbers or []))
    if not found:
        screen.print_note("nothing is in quarantine")
    if found and not yes and not screen.json:
        screen.print_table(make_items_table(found, screen.width, SystemClock().wall_s()))
    versions: list[MemoryVersion] = []
    if found and not dry_run:
        confirm_change(f"Let agents be shown these {len(found)} entries?", yes=yes)
        versions = run_async(lambda _: _accept(journal, tenant, [each.number for each in found], person))
    if screen.json:
        screen.print_document({"entries": found, "versions": versions})
    elif versions:
        made = ", ".join(str(each.version) for each in versions)
        screen.print_line(f"accepted {len(found)} entries: version {made}")


async def _find_quarantined(
    path: Path, tenant: str, scope: str | None, numbers: list[int]
) -> list[MemoryItem]:
    """Returns the entries in quarantine with these numbers, or all if `numbers` is empty."""
    from seawall.cli.journals import open_seawall
    from seawall.core.errors import Misused
    from seawall.runtime.memory_import import MAX_ENTRIES

    async with open_seawall(path, writes=False) as sea:
        shown = await sea.memory(tenant).show(scope=scope, quarantined=True, limit=MAX_ENTRIES)
    found = {each.number: each for each in shown if each.quarantined}
    missing = [number for number in numbers if number not in found]
    if missing:
        raise Misused(f"entry {missing[0]} is not in quarantine")
    return [found[number] for number in numbers] if numbers else list(found.values())


async def _accept(
    path: Path, tenant: str, numbers: list[int], person: tuple[str | None, str]
) -> list[MemoryVersion]:
    from seawall.cli.journals import open_seawall

    credential, name = person
    async with open_seawall(path) as sea:
        return await sea.memory(tenant).accept(numbers, credential=credential, by=name)
