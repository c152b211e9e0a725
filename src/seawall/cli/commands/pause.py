"""`seawall pause` and `seawall unpause`: hold steps, show what is held, and let them go on."""

from __future__ import annotations

from collections.abc import Sequence
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
    from seawall.guards.shared import Pause
    from seawall.journal.protocol import Journal
    from seawall.runtime.seawall import Seawall

REACHED_S = 0.3
"""Seconds until a pause has reached every process: each process looks every 100 ms, and then reads. A step that is in
flight after that had begun before the pause."""

NAMED_RUNS = 20
"""How many waiting runs are named; the others are counted."""

ToolsOption = Annotated[
    list[str] | None,
    typer.Option("--tool", metavar="NAME", help="Calls of a tool. May be repeated, like the other options."),
]
AgentsOption = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="NAME", help="Steps of an agent, and hand-offs and reviews to it."),
]
TenantsOption = Annotated[
    list[str] | None, typer.Option("--tenant", "-t", metavar="NAME", help="Runs of a tenant.")
]
RunsOption = Annotated[
    list[str] | None,
    typer.Option("--run", metavar="RUN", help="A run: its id, or the beginning or the end of it."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything.")]


def pause(
    tool: ToolsOption = None,
    agent: AgentsOption = None,
    tenant: TenantsOption = None,
    run: RunsOption = None,
    all_: AllOption = False,
    for_: ForOption = None,
    by: AuthorOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Pause steps in every process on this journal, within a second. Without a name, list what is paused.

    Steps that are in flight go on to their end, and are listed. A run that can do nothing else is parked: its time stands still, and it goes on when the pause is lifted. New runs of a paused tenant, or of all, are refused.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    targets = PauseTargets(tool, agent, tenant, run, all_)
    if not targets and (for_ or why or by):
        raise Misused("what is to be paused? name it, or everything with --all")
    run_async(lambda _: _pause(screen, journal, targets, for_, by, why))


def unpause(
    tool: ToolsOption = None,
    agent: AgentsOption = None,
    tenant: TenantsOption = None,
    run: RunsOption = None,
    all_: AllOption = False,
    by: AuthorOption = "",
    why: WhyOption = "",
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Lift a pause. Other pauses of the same steps stay: `--all` lifts only the one that was set with `--all`.

    Parked runs go on in the processes that have them; those of a process that has ended go on with: seawall resume
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    targets = PauseTargets(tool, agent, tenant, run, all_)
    if not targets:
        raise Misused(
            "what is to be lifted? name it as for seawall pause, which without a name lists what is paused"
        )
    run_async(lambda _: _unpause(screen, journal, targets, by, why))


class PauseTargets:
    """The targets of a pause that the command line names."""

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

    async def resolve(self, journal: Journal) -> list[str]:
        """Returns the targets as `tool:NAME`, with the whole ids of runs."""
        found = ["all"] if self._all else []
        for kind, name in self._named:
            bare = name.removeprefix(f"{kind}:")  # a name may be given as it is listed
            found.append(f"{kind}:{await journal.find(bare) if kind == 'run' else bare}")
        return list(dict.fromkeys(found))


async def _pause(
    screen: Screen, path: Path, targets: PauseTargets, for_: str | None, by: str, why: str
) -> None:
    from seawall.cli.journals import open_seawall
    from seawall.cli.name_check import warn_of_unknown_names
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import check_target

    async with open_seawall(path, writes=bool(targets)) as sea:
        whats = await targets.resolve(sea.journal)
        if not whats:
            await _print_pauses(screen, sea, await sea.pauses(), path)
            return
        for_s, author = parse_for_s(for_), resolve_author(by)
        for what in whats:  # check all of them before the first is paused
            check_target(what)
        for what in whats:
            await sea.pause(what, by=author, why=why, for_s=for_s)
        await SystemClock().sleep(REACHED_S)
        for warning in await warn_of_unknown_names(sea.journal, whats):
            screen.print_note(warning)
        pauses = [each for each in await sea.pauses() if each.what in whats]
        await _print_pauses(screen, sea, pauses, path)


async def _unpause(screen: Screen, path: Path, targets: PauseTargets, by: str, why: str) -> None:
    from seawall.cli.hints import format_command
    from seawall.cli.journals import open_seawall
    from seawall.cli.name_check import find_parked_runs
    from seawall.core.clock import SystemClock
    from seawall.core.errors import Misused
    from seawall.guards.pauses import check_target

    async with open_seawall(path) as sea:
        whats = await targets.resolve(sea.journal)
        author, paused = resolve_author(by), [each.what for each in await sea.pauses()]
        for what in whats:  # check all of them before the first is lifted
            check_target(what)
            if what not in paused:
                raise Misused(f"{what!r} is not paused (paused: {', '.join(paused) or 'nothing'})")
        for what in whats:
            await sea.unpause(what, by=author, why=why)
        await SystemClock().sleep(REACHED_S)
        left = await sea.pauses()
        waiting = await find_parked_runs(sea.journal, whats)
    if screen.json:
        screen.print_document({"lifted": whats, "paused": left, "waiting": waiting})
        return
    for what in whats:
        screen.print_line(f"lifted: {what}")
    if left:
        screen.print_note(f"still paused: {', '.join(each.what for each in left)}")
    if waiting:
        more = f" and {len(waiting) - NAMED_RUNS:,} more" if len(waiting) > NAMED_RUNS else ""
        named = ", ".join(waiting[:NAMED_RUNS])
        screen.print_note(f"parked, and no process has taken them up: {named}{more}")
        command = format_command("resume" if len(waiting) > 1 else f"resume {waiting[0]}")
        screen.print_note(f"go on with: {command}")


async def _print_pauses(screen: Screen, sea: Seawall, pauses: Sequence[Pause], path: Path) -> None:
    """Prints what is paused, and which of its steps are still in flight."""
    from seawall.cli.render.pauses_table import make_in_flight_table, make_pauses_table
    from seawall.core.clock import SystemClock
    from seawall.guards.pauses import MAX_RUNS, find_in_flight

    steps, cut = await find_in_flight(sea.journal, [each.what for each in pauses]) if pauses else ([], False)
    if screen.json:
        screen.print_document({"paused": pauses, "in_flight": steps, "cut": cut})
        return
    if not pauses:
        screen.print_note(f"nothing is paused in {path}")
        return
    now = SystemClock().wall_s()
    screen.print_table(make_pauses_table(pauses, now))
    if steps:
        screen.print_line()
        screen.print_table(make_in_flight_table(steps, now))
    else:
        screen.print_line("nothing of it is in flight")
    if cut:
        screen.print_note(f"only the newest {MAX_RUNS:,} running runs were searched")
