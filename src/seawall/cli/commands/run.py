"""`seawall run`: answer one request with a team."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli import exits
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, LimitsOption, ModeOption

if TYPE_CHECKING:
    from typing import Any

    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Stop
    from seawall.runtime.run import Run
    from seawall.runtime.seawall import Seawall
    from seawall.team.team import Team


def run(
    app: Annotated[
        str,
        typer.Argument(metavar="MODULE:TEAM", help="The team, for example app:desk for `desk` in app.py."),
    ],
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="What the team is asked.")],
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", metavar="NAME", help="The conversation that it belongs to."),
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="NAME", help="On whose account.")] = "",
    principal: Annotated[str, typer.Option("--principal", "-p", metavar="NAME", help="Who asks.")] = "",
    request_id: Annotated[
        str | None, typer.Option("--request-id", metavar="ID", help="The same one again gives the same run.")
    ] = None,
    active_s: Annotated[
        float | None,
        typer.Option("--active-s", metavar="SECONDS", help="Active seconds, in place of the limit."),
    ] = None,
    limits: LimitsOption = None,
    mode: ModeOption = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the answer as it is made, before anything has checked it.")
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Answer one request: progress on stderr, the answer on stdout, the outcome as exit code.

    Ctrl-C loses nothing: the run is given up and can be resumed.
    """
    from seawall.cli.limits_file import limits as limited
    from seawall.cli.limits_file import modes
    from seawall.cli.loading import load
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    with screen.aside():
        team = load(app)
    options = {
        "session": session,
        "tenant": tenant,
        "principal": principal,
        "request_id": request_id,
        "limits": limited(team.limits, limits, active_s),
        "modes": modes(mode or ()),
        "stream": stream,
        "app": app,
    }
    with screen.aside():
        raise typer.Exit(run_async(lambda stop: _run(screen, stop, journal, team, request, options)))


async def _run(
    screen: Screen, stop: Stop, journal: Path, team: Team, request: str, options: dict[str, Any]
) -> int:
    from seawall.cli.noting import noting
    from seawall.cli.render.outcome import tell
    from seawall.cli.render.progress import Board, followed
    from seawall.runtime.seawall import Seawall

    stream = _Stream(screen)
    async with Seawall(noting(journal, stop, create=True)) as sea:
        if options["request_id"] is not None:
            await _known(screen, sea, request, options["tenant"], options["request_id"])
        run = await started(stop, sea.start(team, request, **options))
        screen.note(f"run {run.id}")
        # A moving line and streamed text do not share a terminal.
        board = Board(screen, moves=not (options["stream"] and screen.out.is_terminal))
        with board.shown():
            rest = await followed(sea, run, board, stream.piece if options["stream"] else None)
        tell(screen, rest, streamed=stream.text)
        return exits.of_rest(rest)


async def _known(screen: Screen, sea: Seawall, request: str, tenant: str, request_id: str) -> None:
    """Say that a request's id was used before. Raises `Misused` if it was for another request."""
    import os

    from seawall.cli.journals import texts
    from seawall.core.errors import Misused
    from seawall.core.events import RunStarted
    from seawall.core.redact import Redactor

    known = await sea.journal.request(tenant, request_id)
    if known is None:
        return
    first = (await sea.journal.events(known))[:1]
    asked = "[erased]"
    if first and isinstance(first[0], RunStarted):
        asked = (await texts(sea.journal, tenant, first)).of(first[0].intent)
    recorded = Redactor.from_environment(os.environ).text(request)
    if asked not in (request, recorded, "[erased]"):
        raise Misused(
            f"request id {request_id!r} was given to another request, of run {known}: {asked!r}, not {request!r}"
        )
    ended = (await sea.journal.row(known)).state == "ended"
    screen.note(f"already {'answered' if ended else 'asked'} as {known}")


async def started(stop: Stop, start: Coroutine[Any, Any, Run]) -> Run:
    """The handle that `start` gives. Stopped in the middle, the run may be recorded: then it is named all the same."""
    from seawall.cli.noting import how_to_go_on

    starting = asyncio.ensure_future(start)
    try:
        run = await asyncio.shield(starting)
    except asyncio.CancelledError:
        run = await starting
        stop.note = how_to_go_on(run.id)
        raise
    stop.note = how_to_go_on(run.id)
    return run


class _Stream:
    """Pieces of the answer, as they come."""

    def __init__(self, screen: Screen) -> None:
        self._file = screen.err.file if screen.json else screen.out.file
        self._terminal = screen.out.is_terminal
        self._json = screen.json
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """What was printed to stdout."""
        return "" if self._json else "".join(self._pieces)

    def piece(self, piece: str) -> None:
        from seawall.cli.render.formats import visible

        self._pieces.append(piece)
        self._file.write(visible(piece) if self._terminal else piece)
        self._file.flush()
