"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seawall.cli.hints import at

JOURNAL_VARIABLE = "SEAWALL_JOURNAL"
DEFAULT_JOURNAL = Path("seawall.db")


def _noted(journal: Path) -> Path:
    return at(journal, DEFAULT_JOURNAL, JOURNAL_VARIABLE)


JournalOption = Annotated[
    Path,
    typer.Option(
        "--journal",
        "-j",
        envvar=JOURNAL_VARIABLE,
        metavar="FILE",
        help="The journal's file.",
        show_default=True,
        callback=_noted,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning or its end; or 'last'.")
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="MODULE:TEAM", help="The team, if not the one that is recorded with the run."
    ),
]
LimitsOption = Annotated[
    Path | None,
    typer.Option("--limits", metavar="FILE", help="A TOML file with limits, in place of the team's own."),
]
ModeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode", metavar="GUARD=MODE", help="Set a guard to off, observe or enforce. May be repeated."
    ),
]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")
]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides; it is recorded.")]
WhoOption = Annotated[
    str,
    typer.Option("--by", metavar="NAME", help="Who does it; it is recorded. Without: the system's user."),
]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; it is recorded.")]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for", metavar="DURATION", help="For so long: 90s, 30m, 1h30m, 2d. Without: until it is set anew."
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]
StepArgument = Annotated[
    int | None,
    typer.Argument(metavar="STEP", help="The step to decide on, if several wait.", show_default=False),
]
