"""`seawall pause` and `seawall unpause`: put a brake on, see what it holds, and lift it."""

from __future__ import annotations

from collections.abc import Sequence
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
    from seawall.guards.pauses import InFlight
    from seawall.guards.shared import Pause
    from seawall.journal.protocol import Journal
    from seawall.runtime.seawall import Seawall

TOLD_S = 0.3
"""Until every process has heard of a brake: it looks every 100 ms, and then reads. What is in flight after that
was begun before."""

NAMED = 20
"""Runs that are named, of those that wait; the others are counted."""

ToolsOption = Annotated[
    list[str] | None, typer.Option("--tool", metavar="NAME", help="A tool's calls. May be repeated, as all.")
]
AgentsOption = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="NAME", help="An agent's steps, and hand-offs and reviews to it."),
]
TenantsOption = Annotated[
    list[str] | None, typer.Option("--tenant", "-t", metavar="NAME", help="A tenant's runs.")
]
RunsOption = Annotated[
    list[str] | None, typer.Option("--run", metavar="RUN", help="A run: its id, its beginning or its end.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything.")]


def pause(
    tool: ToolsOption = None,
    agent: AgentsOption = None,
    tenant: TenantsOption = None,
    run: RunsOption = None,
    all_: AllOption = False,
    for_: ForOption = None,
    by: WhoOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Hold steps in every process on this journal, within a second; or list what is paused, without naming anything.

    Steps that are in flight go on to their end, and are listed. A run that can do nothing else is parked, its time stands still, and it goes on when the brake is lifted. New runs of a paused tenant, or of all, are refused.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    asked = _Asked(tool, agent, tenant, run, all_)
    if not asked and (for_ or why or by):
        raise Misused("what is to be paused? name it, or everything with --all")
    run_async(lambda _: _pause(screen, journal, asked, for_, by, why))


def unpause(
    tool: ToolsOption = None,
    agent: AgentsOption = None,
    tenant: TenantsOption = None,
    run: RunsOption = None,
    all_: AllOption = False,
    by: WhoOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Lift a brake. Others that hold the same steps stay on: `--all` lifts the one that was put on with `--all`.

    Runs that were parked go on in the processes that have them; those of a process that has ended with: seawall resume
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    asked = _Asked(tool, agent, tenant, run, all_)
    if not asked:
        raise Misused(
            "what is to be lifted? name it as for seawall pause, which without a name lists what is on"
        )
    run_async(lambda _: _unpause(screen, journal, asked, by, why))


class _Asked:
    """What was named on the command line."""

    def __init__(
        self,
        tools: Sequence[str] | None,
        agents: Sequence[str] | None,
        tenants: Sequence[str] | None,
        runs: Sequence[str] | None,
        all_: bool,
    ) -> None:
        self._named = [
            *(("tool", each) for each in tools or ()),
            *(("agent", each) for each in agents or ()),
            *(("tenant", each) for each in tenants or ()),
            *(("run", each) for each in runs or ()),
        ]
        self._all = all_

    def __bool__(self) -> bool:
        return bool(self._named or self._all)

    async def whats(self, journal: Journal) -> list[str]:
        """As brakes are called; runs by their whole id."""
        found = ["all"] if self._all else []
        for kind, name in self._named:
            bare = name.removeprefix(f"{kind}:")  # as brakes are listed
            found.append(f"{kind}:{await journal.find(bare) if kind == 'run' else bare}")
        return list(dict.fromkeys(found))


async def _pause(screen: Screen, path: Path, asked: _Asked, for_: str | None, by: str, why: str) -> None:
    from seawall.cli import settings
    from seawall.cli.name_check import unheard_of
    from seawall.cli.resuming import opened
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import check_target

    async with opened(path) as sea:
        whats = await asked.whats(sea.journal)
        if not whats:
            await _tell(screen, sea, await sea.pauses(), path)
            return
        for_s, who = settings.for_s(for_), settings.who(by)
        for what in whats:  # all of them before the first is put on
            check_target(what)
        for what in whats:
            await sea.pause(what, by=who, why=why, for_s=for_s)
        await SystemClock().sleep(TOLD_S)
        for warning in await unheard_of(sea.journal, whats):
            screen.note(warning)
        pauses = [each for each in await sea.pauses() if each.what in whats]
        await _tell(screen, sea, pauses, path)


async def _unpause(screen: Screen, path: Path, asked: _Asked, by: str, why: str) -> None:
    from seawall.cli import settings
    from seawall.cli.hints import hint
    from seawall.cli.name_check import parked_under
    from seawall.cli.resuming import opened
    from seawall.core.clock import SystemClock
    from seawall.core.errors import Misused
    from seawall.guards.pauses import check_target

    async with opened(path) as sea:
        whats = await asked.whats(sea.journal)
        who, on = settings.who(by), [each.what for each in await sea.pauses()]
        for what in whats:  # all of them before the first is lifted
            check_target(what)
            if what not in on:
                raise Misused(f"{what!r} is not paused (paused: {', '.join(on) or 'nothing'})")
        for what in whats:
            await sea.unpause(what, by=who, why=why)
        await SystemClock().sleep(TOLD_S)
        left = await sea.pauses()
        waiting = await parked_under(sea.journal, whats)
    if screen.json:
        screen.document({"lifted": whats, "paused": left, "waiting": waiting})
        return
    for what in whats:
        screen.line(f"lifted: {what}")
    if left:
        screen.note(f"still paused: {', '.join(each.what for each in left)}")
    if waiting:
        more = f" and {len(waiting) - NAMED:,} more" if len(waiting) > NAMED else ""
        screen.note(f"parked, and no process has taken them up: {', '.join(waiting[:NAMED])}{more}")
        screen.note(f"go on with: {hint('resume' if len(waiting) > 1 else f'resume {waiting[0]}')}")


async def _tell(screen: Screen, sea: Seawall, pauses: Sequence[Pause], path: Path) -> None:
    """What is paused, and what of it is still in flight."""
    from seawall.guards.pauses import MAX_RUNS, find_in_flight

    flying, cut = await find_in_flight(sea.journal, [each.what for each in pauses]) if pauses else ([], False)
    if screen.json:
        screen.document({"paused": pauses, "in_flight": flying, "cut": cut})
        return
    if not pauses:
        screen.note(f"nothing is paused in {path}")
        return
    _tables(screen, pauses, flying)
    if cut:
        screen.note(f"only the newest {MAX_RUNS:,} running runs were looked through")


def _tables(screen: Screen, pauses: Sequence[Pause], flying: Sequence[InFlight]) -> None:
    from seawall.cli import settings
    from seawall.cli.render import formats
    from seawall.cli.render.table import columns
    from seawall.core.clock import SystemClock

    now = SystemClock().wall_s()
    rows = [
        (
            formats.one_line(each.what),
            formats.one_line(each.by),
            f"{formats.age(now - each.since)} ago",
            settings.until(each.until, now),
            formats.one_line(each.why),
        )
        for each in pauses
    ]
    for line in columns(("PAUSED", "BY", "SINCE", "UNTIL", "WHY"), rows):
        screen.line(line)
    if not flying:
        screen.line("nothing of it is in flight")
        return
    screen.line()
    steps = [
        (
            each.run,
            str(each.step),
            f"{each.kind} {formats.one_line(each.name)}",
            formats.one_line(each.agent),
            formats.one_line(each.tenant),
            f"{formats.age(now - each.since)} ago",
        )
        for each in flying
    ]
    for line in columns(("IN FLIGHT", "STEP", "CALL", "AGENT", "TENANT", "SINCE"), steps, right={"STEP"}):
        screen.line(line)
