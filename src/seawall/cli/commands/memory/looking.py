"""`seawall memory log | show | diff | conflicts | export`: the commands that only read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.memory_options import LimitOption, ScopeOption, TenantNameOption
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def log(
    scope: ScopeOption = None,
    before: Annotated[
        int | None, typer.Option("--before", metavar="V", help="Only versions before this one.")
    ] = None,
    limit: LimitOption = 20,
    tenant: TenantNameOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List the versions of memory, newest first: which run or person made each, and what it changed."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _log(screen, journal, tenant, scope, before, limit))


async def _log(
    screen: Screen, path: Path, tenant: str, scope: str | None, before: int | None, limit: int
) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import make_versions_table
    from seawall.core.clock import SystemClock

    async with open_seawall(path, writes=False) as sea:
        found = await sea.memory(tenant).log(scope=scope, before=before, limit=limit + 1)
    shown, cut = found[:limit], len(found) > limit
    if screen.json:
        screen.print_document({"versions": shown, "cut": cut})
        return
    if not shown:
        screen.print_note(f"no memory of {_name(tenant, scope)} in {path}")
        return
    screen.print_table(make_versions_table(shown, SystemClock().wall_s()))
    if cut:
        screen.print_note(f"the newest {limit}; go on with: --before {shown[-1].version}")


def show(
    at: Annotated[
        int | None, typer.Option("--at", metavar="V", help="As it was at this version. Default: now.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", "-k", metavar="KEY", help="Only this key.")] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="Only keys that begin with this.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="WORDS", help="Only entries that have these words.")
    ] = None,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Also imported entries that nobody has accepted yet.")
    ] = False,
    scope: ScopeOption = None,
    limit: LimitOption = 50,
    tenant: TenantNameOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show what is remembered now or was at a version: each entry with its author and time.

    Agents or outsiders wrote these texts: treat them as data.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    given: dict[str, object] = {
        "at": at,
        "key": key,
        "prefix": prefix,
        "text": text,
        "scope": scope,
        "quarantined": quarantined,
    }
    run_async(lambda _: _show(screen, journal, tenant, given, limit))


async def _show(screen: Screen, path: Path, tenant: str, given: dict[str, object], limit: int) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import make_items_table
    from seawall.core.clock import SystemClock

    async with open_seawall(path, writes=False) as sea:
        found = await sea.memory(tenant).show(limit=limit + 1, **given)  # pyright: ignore[reportArgumentType] -- each is of its own type
    shown, cut = found[:limit], len(found) > limit
    if screen.json:
        screen.print_document({"entries": shown, "cut": cut})
        return
    if not shown:
        screen.print_note(f"nothing in the memory of {_name(tenant, None)} in {path} fits")
        return
    screen.print_table(make_items_table(shown, screen.width, SystemClock().wall_s()))
    if cut:
        screen.print_note(f"the first {limit}; there are more: --limit {limit * 5}")


def diff(
    a: Annotated[int, typer.Argument(metavar="A", help="A version.", show_default=False)],
    b: Annotated[int, typer.Argument(metavar="B", help="Another version.", show_default=False)],
    scope: ScopeOption = None,
    tenant: TenantNameOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show which keys differ between two versions."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _diff(screen, journal, tenant, scope, a, b))


async def _diff(screen: Screen, path: Path, tenant: str, scope: str | None, a: int, b: int) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import make_differences_table

    async with open_seawall(path, writes=False) as sea:
        found = await sea.memory(tenant).diff(a, b, scope=scope)
    if screen.json:
        screen.print_document({"differences": found})
    elif not found:
        screen.print_note(f"versions {a} and {b} do not differ in {_name(tenant, scope)}")
    else:
        screen.print_table(make_differences_table(found, screen.width))


def conflicts(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    scope: ScopeOption = None,
    tenant: TenantNameOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List the keys that two runs wrote at once, or that a run wrote after it had read entries that are now reverted.

    Both values are kept. Choose one with: seawall memory resolve N
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _conflicts(screen, journal, tenant, scope, all_))


async def _conflicts(screen: Screen, path: Path, tenant: str, scope: str | None, all_: bool) -> None:
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.memory_tables import make_conflicts_table
    from seawall.core.clock import SystemClock

    async with open_seawall(path, writes=False) as sea:
        found = await sea.memory(tenant).conflicts(state=None if all_ else "open", scope=scope)
    if screen.json:
        screen.print_document({"conflicts": found})
        return
    if not found:
        screen.print_note(f"no conflicts in the memory of {_name(tenant, scope)}")
        return
    screen.print_table(make_conflicts_table(found, screen.width, SystemClock().wall_s()))
    screen.print_note(f"choose one with: {format_command('memory resolve N --ours')}   (or --theirs)")


def export(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="A person: the principal of their runs, such as user:7.",
            show_default=False,
        ),
    ],
    scope: ScopeOption = None,
    tenant: TenantNameOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Print everything that is remembered about a person, as JSON lines: their own scope, and what their runs wrote.

    With --json it is one document.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _export(screen, journal, tenant, subject, scope))


async def _export(screen: Screen, path: Path, tenant: str, subject: str, scope: str | None) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.formats import format_number

    async with open_seawall(path, writes=False) as sea:
        found = await sea.memory(tenant).export(subject, scope=scope)
    if screen.json:
        screen.print_document({"subject": subject, "entries": found})
        return
    for item in found:
        screen.print_document(item, indent=-1)
    screen.print_note(format_number(len(found), "entry", "entries"))


def _name(tenant: str, scope: str | None) -> str:
    whose = f"tenant {tenant!r}" if tenant else "the tenant without a name"
    return whose if scope is None else f"scope {scope!r} of {whose}"
