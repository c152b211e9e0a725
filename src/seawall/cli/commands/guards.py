"""`seawall guards`: lists the guards' live modes, and sets one."""

from __future__ import annotations

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
    from seawall.journal.protocol import Setting


def guards(
    set_: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="set GUARD MODE | unset GUARD",
            help="Set a guard to off, observe or enforce; or unset it, so that the mode in the code holds (MODE auto does the same). Without it: list the guards.",
            show_default=False,
        ),
    ] = None,
    for_: ForOption = None,
    by: AuthorOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """List the guards' live modes, or set one, for all runs on this journal: those in flight and later ones.

    A guard without a live mode has the mode that the code gives it. A live mode reaches every process within a second.
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
            f"{' '.join(set_)!r} is not a call: write  seawall guards set GUARD MODE  or  seawall guards unset GUARD"
        )
    _, guard, mode = set_
    if mode == AUTO and for_ is not None:
        raise Misused(
            "--for: the mode in the code has no end; set another mode for a time, and it goes back by itself"
        )
    run_async(lambda _: _set(screen, journal, guard, mode, for_, by, why))


async def _set(
    screen: Screen, path: Path, guard: str, mode: str, for_: str | None, by: str, why: str
) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.core.errors import Misused
    from seawall.runtime.modes import AUTO, MODES

    if mode not in (*MODES, AUTO):
        raise Misused(f"guard {guard!r}: mode is {mode!r}; it is one of {', '.join((*MODES, AUTO))}")
    async with open_seawall(path) as sea:
        await sea.set_guard(guard, mode, by=resolve_author(by), why=why, for_s=parse_for_s(for_))
    await _list(screen, path, only=guard)


async def _list(screen: Screen, path: Path, only: str | None = None) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.guards_table import make_guards_table
    from seawall.cli.render.json_output import build_guard_document
    from seawall.core.clock import SystemClock
    from seawall.engine.gate import BUILT_IN
    from seawall.guards.authority.guard import AuthorityGuard
    from seawall.guards.context import ContextGuard
    from seawall.guards.loops import Loops
    from seawall.guards.waste import WasteGuard
    from seawall.runtime.modes import AUTO

    async with open_journal(path) as journal:
        settings = await journal.settings()
    now = SystemClock().wall_s()
    live = {name: each for (kind, name), each in settings.items() if kind == "guard"}
    ours = {each.name for each in (Loops, WasteGuard, ContextGuard, AuthorityGuard)}
    names = [only] if only is not None else sorted({*BUILT_IN, *ours, *live})
    in_force: dict[str, Setting | None] = {}
    for name in names:
        each = live.get(name)
        holds = each is not None and each.value != AUTO and (each.until is None or each.until > now)
        in_force[name] = each if holds else None
    if screen.json:
        documents = [build_guard_document(name, each) for name, each in in_force.items()]
        screen.print_document({"guards": documents})
        return
    screen.print_table(make_guards_table(in_force, now))
