"""`seawall guards`: which guards are set live, by whom and until when; and setting one."""

from __future__ import annotations

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
    from seawall.journal.protocol import Setting


def guards(
    set_: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="set GUARD MODE | unset GUARD",
            help="Set a guard to off, observe or enforce, or to auto as unset does: to what the code says. Without: list them.",
            show_default=False,
        ),
    ] = None,
    for_: ForOption = None,
    by: WhoOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List the guards' live modes, or set one: for all runs on this journal, those in flight and those to come.

    A guard that nobody has set, or no longer, is in the mode that the code says. A mode acts on every process within a second.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused
    from seawall.runtime.modes import AUTO

    screen = Screen(json=json)
    if not set_:
        run_async(lambda _: _list(screen, journal))
        return
    if len(set_) == 2 and set_[0] == "unset":
        set_ = ["set", set_[1], AUTO]
    if len(set_) != 3 or set_[0] != "set":
        raise Misused(
            f"{' '.join(set_)!r} is no call: write  seawall guards set GUARD MODE  or  seawall guards unset GUARD"
        )
    _, guard, mode = set_
    if mode == AUTO and for_ is not None:
        raise Misused("--for: what the code says lasts; set a mode for a time, and it goes back by itself")
    run_async(lambda _: _set(screen, journal, guard, mode, for_, by, why))


async def _set(
    screen: Screen, path: Path, guard: str, mode: str, for_: str | None, by: str, why: str
) -> None:
    from seawall.cli import settings
    from seawall.cli.resuming import opened
    from seawall.core.errors import Misused
    from seawall.runtime.modes import AUTO, MODES

    if mode not in (*MODES, AUTO):
        raise Misused(f"guard {guard!r}: mode is {mode!r}; it is one of {', '.join((*MODES, AUTO))}")
    async with opened(path) as sea:
        await sea.set_guard(guard, mode, by=settings.who(by), why=why, for_s=settings.for_s(for_))
    await _list(screen, path, only=guard)


async def _list(screen: Screen, path: Path, only: str | None = None) -> None:
    from seawall.cli import settings
    from seawall.cli.journals import reading
    from seawall.cli.render import formats
    from seawall.cli.render.table import columns
    from seawall.core.clock import SystemClock
    from seawall.engine.gate import BUILT_IN
    from seawall.guards.loops import Loops
    from seawall.runtime.modes import AUTO

    async with reading(path) as journal:
        found = await journal.settings()
    now = SystemClock().wall_s()
    live = {name: each for (kind, name), each in found.items() if kind == "guard"}
    names = [only] if only is not None else sorted({*BUILT_IN, Loops.name, *live})
    in_force: dict[str, Setting | None] = {}
    for name in names:
        each = live.get(name)
        holds = each is not None and each.value != AUTO and (each.until is None or each.until > now)
        in_force[name] = each if holds else None
    if screen.json:
        screen.document({"guards": [_document(name, each) for name, each in in_force.items()]})
        return
    rows = [
        (name, "as the code says", "", "", "", "")
        if each is None
        else (
            name,
            each.value,
            formats.one_line(each.by),
            f"{formats.age(now - each.at)} ago",
            settings.until(each.until, now),
            formats.one_line(each.why),
        )
        for name, each in in_force.items()
    ]
    for line in columns(("GUARD", "MODE", "BY", "SINCE", "UNTIL", "WHY"), rows):
        screen.line(line)


def _document(name: str, setting: Setting | None) -> dict[str, object]:
    """One guard as JSON; `mode` is null where the code says it."""
    if setting is None:
        return {"guard": name, "mode": None, "by": None, "why": None, "since": None, "until": None}
    return {
        "guard": name,
        "mode": setting.value,
        "by": setting.by,
        "why": setting.why,
        "since": setting.at,
        "until": setting.until,
    }
