"""`run_team`: one request, one outcome, for scripts and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from seawall.core.errors import Refused
from seawall.run.outcome import Outcome, Output_co, Waiting
from seawall.runtime.seawall import Seawall
from seawall.team.agent import Agent
from seawall.team.team import StartOptions, Team, as_team


async def run_team(
    team: Team[Output_co] | Agent[Output_co],
    request: str,
    *,
    journal: str | Path = ":memory:",
    **options: Unpack[StartOptions],
) -> Outcome[Output_co]:
    """Answers one request and returns its outcome: opens a `Seawall`, waits for the run, and closes it.

    The journal is in memory and gone afterwards; `journal="desk.db"` keeps it. The other options are those
    of `Seawall.start`. Raises the errors of `Seawall.start`, and `Refused` if the run waits for a person.
    """
    async with Seawall(journal) as sea:
        run = await sea.start(as_team(team), request, **options)
        rest = await run.rest()
    if isinstance(rest, Waiting):
        what = "lift the pause" if rest.kind == "pause" else "decide"
        raise Refused(
            f"run {rest.run} waits for a person to {what} on {rest.what!r} (step {rest.step}): "
            "run this team with a Seawall on a journal file, and decide there",
            guard="hold",
            value=rest.what,
        )
    return rest


Team.runner = run_team
