"""The options that the memory commands share, and how a change is confirmed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit
from seawall.cli.options import KEY_VARIABLE, read_credential, resolve_author
from seawall.core.errors import Misused

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen

TenantNameOption = Annotated[
    str, typer.Option("--tenant", "-t", metavar="NAME", help="Whose memory. Default: the one without a name.")
]
ScopeOption = Annotated[
    str | None,
    typer.Option(
        "--scope", "-s", metavar="SCOPE", help="Only this scope: tenant, session:ID, team:NAME, subject:NAME."
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many at most.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be done.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
PersonOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who makes the change, where nobody has a key (seawall principals). Default: the system's user.",
    ),
]


def read_person(key_file: Path | None, by: str) -> tuple[str | None, str]:
    """Returns the key, or the name, of who makes a change; without both it is the system's user."""
    if key_file is None and not by.strip() and not os.environ.get(KEY_VARIABLE, "").strip():
        by = resolve_author("")
    return read_credential(key_file, by), by


def check_answerable(screen: Screen, *, yes: bool, dry_run: bool) -> None:
    """Raises `Misused` at once if a change would have to be confirmed and nobody can be asked."""
    if yes or dry_run:
        return
    if screen.json:
        raise Misused("--json prints one document and asks nothing: add --yes, or --dry-run")
    if not sys.stdin.isatty():
        raise Misused("this changes memory: confirm with --yes, or look first with --dry-run")


def confirm_change(question: str, *, yes: bool) -> None:
    """Asks whether to go on, and ends the command if not."""
    if not yes and not typer.confirm(question, err=True):
        typer.echo("seawall: nothing was changed", err=True)
        raise typer.Exit(Exit.MISUSED)
