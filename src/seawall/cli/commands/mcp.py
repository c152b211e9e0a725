"""`seawall mcp …`: shows pinned tools of MCP servers and their changes, and lets people decide on the changes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seawall.cli.help_text import HelpfulCommand
from seawall.cli.options import (
    DEFAULT_JOURNAL,
    DeciderOption,
    JournalOption,
    JsonOption,
    KeyFileOption,
    ReasonOption,
)

if TYPE_CHECKING:
    from seawall.adapters.mcp.pins import Pin
    from seawall.cli.render.screen import Screen

mcp = typer.Typer(
    help="Look at the tools of MCP servers, and decide on those that have changed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ToolArgument = Annotated[
    str,
    typer.Argument(metavar="SERVER.TOOL", help="A tool, as seawall mcp list shows it.", show_default=False),
]
DescriptionHashOption = Annotated[
    str,
    typer.Option("--hash", metavar="H", help="The hash of the description, as seawall mcp diff shows it."),
]


def list_(
    server: Annotated[
        str | None,
        typer.Argument(metavar="SERVER", help="Only the tools of this server.", show_default=False),
    ] = None,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List the tools that are pinned, quarantined or rejected on this journal."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _list(screen, journal, server))


def diff(tool: ToolArgument, journal: JournalOption = DEFAULT_JOURNAL, json: JsonOption = False) -> None:
    """Show a quarantined tool's description as it is now, beside the accepted one. Invisible characters are escaped.

    It exits with 1 if something waits for a decision.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _diff(screen, journal, tool))


def accept(
    tool: ToolArgument,
    hash_: DescriptionHashOption = "",
    reason: ReasonOption = "",
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Accept a tool's description as it is now. Every process on this journal may then call the tool.

    --hash names what you looked at, as seawall mcp diff shows it; anything else is not accepted. A running program keeps the description that its agents were shown, and calls the tool again after a restart.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _decide(screen, journal, tool, hash_, reason, key_file, by, accepts=True))


def reject(
    tool: ToolArgument,
    hash_: DescriptionHashOption = "",
    reason: ReasonOption = "",
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Reject a tool's description as it is now. The accepted one stays in force, and this one is not asked about again."""
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _decide(screen, journal, tool, hash_, reason, key_file, by, accepts=False))


def pin(
    servers: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file with mcpServers.", show_default=False)
    ],
    key_file: KeyFileOption = None,
    by: DeciderOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Connect to servers and pin their tools, before a program uses them for the first time.

    A tool that is pinned already is compared and not pinned again. A tool whose description hides something waits for a separate decision. It exits with 1 if a tool waits.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _pin(screen, journal, servers, key_file, by))


for command in (list_, diff, accept, reject, pin):
    mcp.command(command.__name__.rstrip("_"), cls=HelpfulCommand)(command)


async def _list(screen: Screen, path: Path, server: str | None) -> None:
    from seawall.adapters.mcp.deciding import list_pins
    from seawall.cli.journals import open_seawall

    async with open_seawall(path, writes=False) as sea:
        pins = await list_pins(sea, server)
    _print_pins(screen, path, pins)


def _print_pins(screen: Screen, path: Path, pins: list[Pin]) -> None:
    from seawall.cli.hints import format_command
    from seawall.cli.render.pins_table import make_pins_table
    from seawall.core.clock import SystemClock

    if screen.json:
        screen.print_document({"tools": [_build_document(pin) for pin in pins]})
        return
    if not pins:
        screen.print_note(f"no tools of MCP servers in {path}")
        return
    screen.print_table(make_pins_table(pins, SystemClock().wall_s()))
    waiting = next((pin for pin in pins if pin.waiting), None)
    if waiting is not None:
        name = shlex.quote(f"{waiting.server}.{waiting.tool}")
        screen.print_note(f"look with: {format_command(f'mcp diff {name}')}")


async def _diff(screen: Screen, path: Path, name: str) -> None:
    from seawall.adapters.mcp.deciding import find_pin
    from seawall.adapters.mcp.definitions import make_diff
    from seawall.adapters.mcp.pins import LEAST_HASH_CHARS
    from seawall.cli.exits import Exit
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_seawall
    from seawall.core.odd_text import show_plainly

    async with open_seawall(path, writes=False) as sea:
        found = await find_pin(sea, name)
    lines = make_diff(found.definition or None, found.offered or None) if found.waiting else []
    if screen.json:
        screen.print_document({**_build_document(found), "diff": lines})
    elif not found.waiting:
        screen.print_note(f"nothing of {name} waits for a decision: it is {found.state}")
    else:
        screen.print_lines([*(show_plainly(f"{name}: {reason}") for reason in found.reasons), *lines])
        decide = f"{shlex.quote(name)} --hash {found.waiting[:LEAST_HASH_CHARS]} --by NAME"
        screen.print_note(f"to let it be called like this:  {format_command(f'mcp accept {decide}')}")
        screen.print_note(f"to keep what was accepted:      {format_command(f'mcp reject {decide}')}")
    if found.waiting:
        raise typer.Exit(Exit.BROKEN)


async def _decide(
    screen: Screen,
    path: Path,
    name: str,
    hash_: str,
    reason: str,
    key_file: Path | None,
    by: str,
    *,
    accepts: bool,
) -> None:
    from seawall.adapters.mcp.deciding import accept_tool, reject_tool
    from seawall.cli.journals import open_seawall
    from seawall.cli.options import read_credential

    credential = read_credential(key_file, by)
    send = accept_tool if accepts else reject_tool
    async with open_seawall(path) as sea:
        found = await send(sea, name, hash=hash_, credential=credential, by=by, reason=reason)
    if screen.json:
        screen.print_document(_build_document(found))
        return
    done = "accepted" if accepts else "rejected"
    screen.print_line(f"{done}: {name} is {found.state}")


async def _pin(screen: Screen, path: Path, servers: Path, key_file: Path | None, by: str) -> None:
    from seawall.adapters.mcp.deciding import pin_tools
    from seawall.cli.exits import Exit
    from seawall.cli.journals import open_seawall
    from seawall.cli.options import read_credential

    credential = read_credential(key_file, by)
    async with open_seawall(path, create=True) as sea:
        pins = await pin_tools(sea, servers, credential=credential, by=by)
    _print_pins(screen, path, pins)
    if any(each.waiting for each in pins):
        raise typer.Exit(Exit.BROKEN)


def _build_document(found: Pin) -> dict[str, Any]:
    return {
        "server": found.server,
        "tool": found.tool,
        "state": found.state,
        "accepted": {
            "hash": found.digest,
            "by": found.by,
            "at": found.at,
            "why": found.why,
            "definition": found.definition,
        }
        if found.digest
        else None,
        "waiting": {
            "hash": found.waiting,
            "at": found.offered_at,
            "reasons": found.reasons,
            "definition": found.offered,
        }
        if found.waiting
        else None,
        "rejected": {"hash": found.rejected, "by": found.rejected_by, "why": found.rejected_why}
        if found.rejected
        else None,
    }
