"""`seawall principals`: who may decide with a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.journal.protocol import PrincipalRecord


NOBODY_LEFT = "no principal has a key now, and a name alone can't decide any more: add one with  seawall principals add NAME"


def principals(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="add NAME | remove NAME",
            help="Give somebody a key, which is printed once; or take it away. Without it: list them.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", "-r", metavar="NAME", help="A role of the new principal. May be repeated."),
    ] = None,
    agent: Annotated[
        bool, typer.Option("--agent", help="The new principal is an agent, which may decide nothing.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List who may decide with a key, give somebody one, or take it away.

    Once a first principal is added, a name alone decides nothing, even after all principals are removed: then add another one. Only the hash of a key is stored. A person who can write the journal's file can do everything, so the people who decide must not have write access to it.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused
    from seawall.journal.sqlite.identity import find_size

    screen = Screen(json=json)
    match words or []:
        case [] if role or agent:
            raise Misused("who gets a key? write  seawall principals add NAME")
        case []:
            run_async(lambda _: _list(screen, journal))
        case ["add", name]:
            is_new = find_size(str(journal)) is None  # keys may be given before the first run
            run_async(lambda _: _add(screen, journal, name, role or [], agent))
            if is_new:
                screen.print_note(f"the journal {journal} was not there, and was made")
        case ["remove", name] if not role and not agent:
            run_async(lambda _: _remove(screen, journal, name))
        case _:
            raise Misused(
                f"{' '.join(words or [])!r} is not a call: write  seawall principals add NAME --role ROLE  or  seawall principals remove NAME"
            )


async def _list(screen: Screen, path: Path) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.approvals_table import make_principals_table
    from seawall.core.clock import SystemClock

    async with open_journal(path) as journal:
        known = await journal.principals()
    found = [each for each in known if each.removed_at is None]
    if screen.json:
        screen.print_document({"principals": [_build_document(each) for each in found]})
    elif not found and known:
        screen.print_note(NOBODY_LEFT)
    elif not found:
        screen.print_note(
            f"no principals in {path}: anybody who can open it decides with --by NAME, except where a tool declares who approves"
        )
    else:
        screen.print_table(make_principals_table(found, SystemClock().wall_s()))


async def _add(screen: Screen, path: Path, name: str, roles: list[str], agent: bool) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.options import KEY_VARIABLE
    from seawall.core.clock import SystemClock
    from seawall.effects.credentials import make_principal

    record, key = make_principal(name, roles, agent=agent, now=SystemClock().wall_s())
    async with open_seawall(path, create=True) as sea:
        await sea.journal.put_principal(record, new=True)
    if screen.json:
        screen.print_document({**_build_document(record), "key": key})
        return
    screen.print_line(key)
    screen.print_note(
        f"the key of {name}, which is shown this once: keep it in a file for --key-file, or in {KEY_VARIABLE}"
    )


async def _remove(screen: Screen, path: Path, name: str) -> None:
    from msgspec.structs import replace

    from seawall.cli.journals import open_journal
    from seawall.core.clock import SystemClock
    from seawall.core.errors import Misused

    async with open_journal(path, writes=True) as journal:
        found = [each for each in await journal.principals() if each.removed_at is None]
        one = next((each for each in found if each.name == name), None)
        if one is None:
            there = ", ".join(each.name for each in found) or "none"
            raise Misused(f"there is no principal {name!r} (there are: {there})")
        await journal.put_principal(replace(one, removed_at=SystemClock().wall_s()))
    if screen.json:
        screen.print_document({**_build_document(one), "removed": True})
    else:
        screen.print_line(f"removed {name}: the key decides nothing any more")
        if len(found) == 1:
            screen.print_note(NOBODY_LEFT)


def _build_document(record: PrincipalRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "roles": record.roles,
        "agent": record.agent,
        "created_at": record.created_at,
    }
