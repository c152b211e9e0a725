"""`seawall breakers`: shows the breakers of the endpoints that runs call, and sets them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    AuthorOption,
    ForOption,
    JournalOption,
    JsonOption,
    WhyOption,
    parse_for_s,
    resolve_author,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.guards.endpoints.manual import BreakerSetting
    from seawall.journal.protocol import Journal


@dataclass(frozen=True, kw_only=True)
class BreakerChange:
    """The change of breakers that a person asks for."""

    endpoints: list[str]
    value: BreakerSetting
    option: str
    """The name of the option, for errors."""
    by: str
    why: str
    for_s: float | None
    unseen: bool
    """Whether an endpoint that no run has called may be set."""


def breakers(
    open_: Annotated[
        list[str] | None,
        typer.Option("--open", metavar="ENDPOINT", help="Open its breaker now; it recovers by itself."),
    ] = None,
    close: Annotated[
        list[str] | None,
        typer.Option("--close", metavar="ENDPOINT", help="Keep its breaker closed, whatever calls return."),
    ] = None,
    isolate: Annotated[
        list[str] | None,
        typer.Option(
            "--isolate",
            metavar="ENDPOINT",
            help="Let no run call it. May be repeated, like the other options.",
        ),
    ] = None,
    auto: Annotated[
        list[str] | None,
        typer.Option("--auto", metavar="ENDPOINT", help="Let its calls decide again."),
    ] = None,
    for_: ForOption = None,
    by: AuthorOption = "",
    why: WhyOption = "",
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Set it also if no run has called this endpoint yet.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show the breaker of every tool and model that runs have called, or set one, in all processes.

    An endpoint is written tool:NAME or model:NAME; NAME alone is enough where only one endpoint has it.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    values: dict[str, tuple[list[str] | None, BreakerSetting]] = {
        "--open": (open_, "open"),
        "--close": (close, "closed"),
        "--isolate": (isolate, "isolated"),
        "--auto": (auto, "auto"),
    }
    given = [option for option, (names, _) in values.items() if names]
    if len(given) > 1:
        raise Misused(f"{' and '.join(given)}: set one of them at a time")
    if not given and (for_ is not None or by or why or unseen):
        raise Misused("--for, --by, --why and --unseen go with --open, --close, --isolate or --auto")
    for_s = parse_for_s(for_)
    if auto and for_s is not None:
        raise Misused(
            "--for: --auto has no end; set another state for a time, and it goes back to auto by itself"
        )
    change = None
    if given:
        names, value = values[given[0]]
        change = BreakerChange(
            endpoints=names or [],
            value=value,
            option=given[0],
            by=resolve_author(by),
            why=why,
            for_s=for_s,
            unseen=unseen,
        )
    screen = Screen(json=json)
    run_async(lambda _: _breakers(screen, journal, change))


async def _breakers(screen: Screen, path: Path, change: BreakerChange | None) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.breakers_table import make_breakers_table
    from seawall.core.clock import SystemClock
    from seawall.guards.endpoints.manual import read_rows

    clock = SystemClock()
    async with open_journal(path, writes=change is not None) as journal:
        found = await read_rows(journal, clock.wall_s())
        if change is not None:
            names = await _set(journal, change, [each.endpoint for each in found], clock.wall_s())
            found = [each for each in await read_rows(journal, clock.wall_s()) if each.endpoint in names]
    if screen.json:
        screen.print_document({"breakers": found})
        return
    if not found:
        if change is None:
            screen.print_note(f"no run on {path} has called a tool or a model yet")
        return
    screen.print_table(make_breakers_table(found, clock.wall_s()))


async def _set(journal: Journal, change: BreakerChange, known: list[str], now: float) -> list[str]:
    from seawall.guards.endpoints.manual import set_breaker

    names = [_resolve_endpoint(change, endpoint, known) for endpoint in change.endpoints]  # before any is set
    for name in names:
        await set_breaker(
            journal, name, change.value, by=change.by, why=change.why, at=now, for_s=change.for_s
        )
    return names


def _resolve_endpoint(change: BreakerChange, name: str, known: list[str]) -> str:
    """Returns the endpoint that is meant. Raises `Misused`, which names the endpoints that exist."""
    from seawall.core.errors import Misused

    if name in known:
        return name
    alike = [each for each in known if each.partition(":")[2] == name]
    if len(alike) == 1:
        return alike[0]
    there = ", ".join(alike or known) or "none was called yet"
    kind, _, rest = name.partition(":")
    if kind not in ("tool", "model") or not rest:
        raise Misused(
            f"{change.option} {name}: an endpoint is written tool:NAME or model:NAME; there are: {there}"
        )
    if change.unseen:
        return name
    raise Misused(
        f"{change.option} {name}: no run has called it; there are: {there}. To set it all the same add --unseen"
    )
