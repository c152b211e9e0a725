"""`seawall run`: answers one request with a team."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import get_rest_code
from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, LimitsOption, ModeOption

if TYPE_CHECKING:
    from typing import Any

    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown
    from seawall.runtime.seawall import Seawall
    from seawall.team.team import Team

RequestArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="REQUEST", help="What the team is asked; - reads it from stdin.", show_default=False
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read the request from this file, in UTF-8."),
]


def run(
    app: Annotated[
        str,
        typer.Argument(metavar="MODULE:TEAM", help="The team, for example app:desk for `desk` in app.py."),
    ],
    request: RequestArgument = None,
    file: FileOption = None,
    session: Annotated[
        str | None,
        typer.Option("--session", "-s", metavar="NAME", help="The conversation that the request belongs to."),
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", "-t", metavar="NAME", help="The tenant who pays for it.")
    ] = "",
    principal: Annotated[
        str, typer.Option("--principal", "-p", metavar="NAME", help="The person who asks.")
    ] = "",
    request_id: Annotated[
        str | None,
        typer.Option("--request-id", metavar="ID", help="The same id again gives the run that exists."),
    ] = None,
    active_s: Annotated[
        float | None,
        typer.Option(
            "--active-s", metavar="SECONDS", help="Active seconds that the run may take; replaces the limit."
        ),
    ] = None,
    limits: LimitsOption = None,
    mode: ModeOption = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Print the answer while the model writes it, before any check."),
    ] = False,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Answer one request: progress on stderr, the answer on stdout, the outcome as exit code.

    The request is REQUEST, or what stdin holds if that is -, or what --file holds: one of them is required. It has 1,000,000 characters at most.

    Ctrl-C loses nothing: the run stops and can be resumed.
    """
    from seawall.cli.limits_file import parse_modes, read_limits
    from seawall.cli.loading import load_team
    from seawall.cli.render.screen import Screen
    from seawall.cli.request_text import read_request
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    asked = read_request(request, file)
    with screen.redirect_user_prints():
        team = load_team(app)
    asking = sorted(
        {each.name for member in team.members.values() for each in member.agent.tools if each.options.confirm}
    )
    if asking and not principal.strip():
        screen.print_note(f"nobody can confirm {', '.join(asking)}: --principal NAME says who asks for it")
    options = {
        "session": session,
        "tenant": tenant,
        "principal": principal,
        "request_id": request_id,
        "limits": read_limits(team.limits, limits, active_s),
        "modes": parse_modes(mode or ()),
        "stream": stream,
        "app": app,
    }
    with screen.redirect_user_prints():
        raise typer.Exit(run_async(lambda shutdown: _run(screen, shutdown, journal, team, asked, options)))


async def _run(
    screen: Screen, shutdown: Shutdown, journal: Path, team: Team, request: str, options: dict[str, Any]
) -> int:
    from seawall.cli.journals import open_seawall
    from seawall.cli.render.outcome import print_rest
    from seawall.cli.render.progress import ProgressDisplay, follow_run
    from seawall.cli.signals import await_start
    from seawall.run.outcome import Outcome

    stream = _StreamedAnswer(screen)
    async with open_seawall(journal, shutdown, create=True) as sea:
        if options["request_id"] is not None:
            await _note_known_request(screen, sea, options["tenant"], options["request_id"])
        run = await await_start(shutdown, sea.start(team, request, **options))
        screen.print_note(f"run {run.id}")
        # A moving line and streamed text do not share a terminal.
        display = ProgressDisplay(screen, moves=not (options["stream"] and screen.out.is_terminal))
        with display.show():
            rest = await follow_run(sea, run, display, stream.print_piece if options["stream"] else None)
        if isinstance(rest, Outcome):  # also if the request id gave an earlier run
            shutdown.note_end(run.id, rest.status)
        print_rest(screen, rest, streamed=stream.text)
        return get_rest_code(rest)


async def _note_known_request(screen: Screen, sea: Seawall, tenant: str, request_id: str) -> None:
    """Notes that a request id was used before."""
    known = await sea.journal.run_of_request(tenant, request_id)
    if known is not None:
        ended = (await sea.journal.row(known)).state == "ended"
        screen.print_note(f"already {'answered' if ended else 'asked'} as {known}")


class _StreamedAnswer:
    """Prints the pieces of the answer as they come: to stdout, or with `--json` to stderr."""

    def __init__(self, screen: Screen) -> None:
        self._file = screen.err.file if screen.json else screen.out.file
        self._terminal = screen.out.is_terminal
        self._json = screen.json
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """What was printed to stdout."""
        return "" if self._json else "".join(self._pieces)

    def print_piece(self, piece: str) -> None:
        from seawall.cli.render.formats import replace_controls

        self._pieces.append(piece)
        self._file.write(replace_controls(piece) if self._terminal else piece)
        self._file.flush()
