"""`seawall breakers`: the endpoints that runs call, and what a person sets of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import (
    DEFAULT_JOURNAL,
    ForOption,
    JournalOption,
    JsonOption,
    WhoOption,
    WhyOption,
)

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.guards.endpoints.manual import Row, Value
    from seawall.journal.protocol import Journal


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be set."""

    endpoints: list[str]
    value: Value
    option: str
    by: str
    why: str
    for_s: float | None
    unseen: bool


def breakers(
    open_: Annotated[
        list[str] | None,
        typer.Option("--open", metavar="ENDPOINT", help="Open it now; it recovers by itself."),
    ] = None,
    close: Annotated[
        list[str] | None,
        typer.Option("--close", metavar="ENDPOINT", help="Keep it closed, whatever its calls bring."),
    ] = None,
    isolate: Annotated[
        list[str] | None,
        typer.Option("--isolate", metavar="ENDPOINT", help="Let nobody call it. May be repeated, as all."),
    ] = None,
    auto: Annotated[
        list[str] | None, typer.Option("--auto", metavar="ENDPOINT", help="Go by its calls again.")
    ] = None,
    for_: ForOption = None,
    by: WhoOption = "",
    why: WhyOption = "",
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Set it also if no run has called this endpoint yet.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show the breaker of every tool and model that runs have called, or set one, in all processes.

    An endpoint is written tool:NAME or model:NAME; the NAME alone will do where it is the only one.
    """
    from seawall.cli import settings
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    values: dict[str, tuple[list[str] | None, Value]] = {
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
    for_s = settings.for_s(for_)
    if auto and for_s is not None:
        raise Misused("--for: --auto lasts; set another state for a time, and it goes back to auto by itself")
    wish = None
    if given:
        names, value = values[given[0]]
        wish = Wish(
            endpoints=names or [],
            value=value,
            option=given[0],
            by=settings.who(by),
            why=why,
            for_s=for_s,
            unseen=unseen,
        )
    screen = Screen(json=json)
    run_async(lambda _: _breakers(screen, journal, wish))


async def _breakers(screen: Screen, path: Path, wish: Wish | None) -> None:
    from seawall.cli.journals import reading
    from seawall.core.clock import SystemClock
    from seawall.guards.endpoints.manual import read_rows

    clock = SystemClock()
    async with reading(path) as journal:
        found = await read_rows(journal, clock.wall_s())
        if wish is not None:
            names = await _set(journal, wish, [each.endpoint for each in found], clock.wall_s())
            found = [each for each in await read_rows(journal, clock.wall_s()) if each.endpoint in names]
    if screen.json:
        screen.document({"breakers": found})
        return
    if wish is None and not found:
        screen.note(f"no run on {path} has called a tool or a model yet")
        return
    for line in _table(found, clock.wall_s()):
        screen.line(line)


async def _set(journal: Journal, wish: Wish, known: list[str], now: float) -> list[str]:
    from seawall.guards.endpoints.manual import set_breaker

    names = [_named(wish, endpoint, known) for endpoint in wish.endpoints]  # all before the first is set
    for name in names:
        await set_breaker(journal, name, wish.value, by=wish.by, why=wish.why, at=now, for_s=wish.for_s)
    return names


def _named(wish: Wish, name: str, known: list[str]) -> str:
    """The endpoint that is meant. Raises `Misused`, naming those that there are."""
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
            f"{wish.option} {name}: an endpoint is written tool:NAME or model:NAME; there are: {there}"
        )
    if wish.unseen:
        return name
    raise Misused(
        f"{wish.option} {name}: no run has called it; there are: {there}. To set it all the same add --unseen"
    )


_RIGHT = {"CALLS", "FAILED", "SLOW", "IN FLIGHT"}


def _table(rows: list[Row], now: float) -> list[str]:
    cells = [_cells(row, now) for row in rows]
    if not cells:
        return []
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}

    def line(row: dict[str, str]) -> str:
        parts = [
            text.rjust(widths[name]) if name in _RIGHT else text.ljust(widths[name])
            for name, text in row.items()
        ]
        return "  ".join(parts).rstrip()

    lines = [line({name: name for name in widths})]
    for row, each in zip(rows, cells, strict=True):
        lines.append(line(each))
        lines += [f"  └ {note}" for note in _notes(row, now)]
    return lines


def _cells(row: Row, now: float) -> dict[str, str]:
    from seawall.cli.render import formats

    probe = ""
    if row.next_probe_s is not None:
        probe = f"in {formats.seconds(row.next_probe_s)}" if row.next_probe_s else "at the next call"
    elif row.state == "half_open":
        probe = "now"
    return {
        "ENDPOINT": formats.one_line(row.endpoint),
        "STATE": row.state.replace("_", " "),
        "SINCE": "" if row.since is None else formats.age(now - row.since),
        "CALLS": str(row.calls),
        "FAILED": str(row.failed),
        "SLOW": str(row.slow),
        "IN FLIGHT": str(sum(row.in_flight.values())),
        "NEXT PROBE": probe,
    }


_CAUSES = {
    "failed": "opened because too many calls failed",
    "slow": "opened because too many calls were slow",
    "spend_limit": "opened because its provider says that the money is used up",
}


def _notes(row: Row, now: float) -> list[str]:
    from seawall.cli import settings
    from seawall.cli.render import formats

    notes: list[str] = []
    why = f": {formats.one_line(row.why)}" if row.why else ""
    if row.set_to is not None:
        until = "" if row.until is None else f" until {settings.until(row.until, now)}"
        notes.append(f"kept {row.set_to} by {formats.one_line(row.by or '')}{until}{why}")
    elif row.state != "closed" and row.cause == "person":
        notes.append(f"opened by {formats.one_line(row.by or '')}{why}")
    elif row.state != "closed" and row.cause in _CAUSES:
        notes.append(_CAUSES[row.cause])
    if row.left_alone_s is not None:
        notes.append(f"asked to be left alone for {formats.seconds(row.left_alone_s)} more (Retry-After)")
    notes += [
        f"{count} in flight in {formats.one_line(owner)}" for owner, count in sorted(row.in_flight.items())
    ]
    return notes
