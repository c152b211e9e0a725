"""The options and arguments that several commands share, and how their values are read."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from seawall.cli.hints import note_journal
from seawall.cli.render.formats import parse_duration_s
from seawall.core.errors import Misused

JOURNAL_VARIABLE = "SEAWALL_JOURNAL"
DEFAULT_JOURNAL = Path("seawall.db")
KEY_VARIABLE = "SEAWALL_KEY"


def _note_journal(journal: Path) -> Path:
    return note_journal(journal, DEFAULT_JOURNAL, JOURNAL_VARIABLE)


JournalOption = Annotated[
    Path,
    typer.Option(
        "--journal",
        "-j",
        envvar=JOURNAL_VARIABLE,
        metavar="FILE",
        help="The journal's file.",
        show_default=True,
        callback=_note_journal,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, or the beginning or the end of it; or 'last'.")
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app", metavar="MODULE:TEAM", help="The team to use instead of the one recorded with the run."
    ),
]
LimitsOption = Annotated[
    Path | None,
    typer.Option("--limits", metavar="FILE", help="A TOML file with limits that replace the team's own."),
]
RaisedLimitsOption = Annotated[
    Path | None,
    typer.Option(
        "--limits",
        metavar="FILE",
        help="A TOML file with other limits for the run: it goes on although one of its limits had halted it. Limits that the file does not name stay.",
    ),
]
RaiserOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Who gives --limits, where nobody has or had a key (seawall principals); it is recorded. Default: the system's user.",
    ),
]
RaiserKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help=f"The file with the key of who gives --limits. Default: the key in {KEY_VARIABLE}, if there is one.",
    ),
]
ModeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode", metavar="GUARD=MODE", help="Set a guard to off, observe or enforce. May be repeated."
    ),
]
TenantOption = Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant.")]
DeciderOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        help="The person who decides, if nobody has or had a key (seawall principals) and no tool declares who approves. The name is recorded and not checked: anybody who can write the journal's file can do everything.",
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help=f"The file with the key of who decides. Default: the key in {KEY_VARIABLE}.",
    ),
]
HashOption = Annotated[
    str,
    typer.Option(
        "--hash", metavar="H", help="The hash of what is decided on, as seawall approvals shows it."
    ),
]
AuthorOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        help="The person who makes this change; the name is recorded. Default: the system's user.",
    ),
]
WhyOption = Annotated[
    str, typer.Option("--why", "--reason", metavar="TEXT", help="The reason for the change; it is recorded.")
]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="DURATION",
        help="How long it lasts: 90s, 30m, 1h30m, 2d. Default: until somebody changes it.",
    ),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", "--why", metavar="TEXT", help="The reason; it is recorded.")
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID | RUN",
        help="A proposal's id (p-…); or a run's, or the beginning or the end of it, or 'last', if one thing waits in it.",
        show_default=False,
    ),
]
StepArgument = Annotated[
    int | None,
    typer.Argument(metavar="STEP", help="The step to decide on, if several steps wait.", show_default=False),
]


def resolve_author(by: str) -> str:
    """Returns the name given with `--by`, or the system's user. Raises `Misused` if the system names none."""
    if by.strip():
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise Misused("who makes this change? give --by NAME; it is recorded") from None


def read_credential(key_file: Path | None, by: str) -> str | None:
    """Returns the key of the person who decides; None if only a name is given. Raises `Misused` for neither or both."""
    from seawall.effects.credentials import KEY_PREFIX

    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise Misused(f"--key-file {key_file} can't be read: {why}") from None
        if not key:
            raise Misused(f"--key-file {key_file}: there is no key in it")
    source = KEY_VARIABLE if key_file is None else "--key-file"
    if key and not key.startswith(KEY_PREFIX):
        where = source if key_file is None else f"{source} {key_file}"
        raise Misused(
            f"{where}: there is no key in it; a key of  seawall principals  begins with {KEY_PREFIX}"
        )
    if key and by:
        raise Misused(f"--by {by}: the key of {source} says who decides; leave one of both out")
    if not key and not by.strip():
        raise Misused(
            f"who decides? give --key-file FILE or a key in {KEY_VARIABLE}, or --by NAME where nobody has or had a key and "
            "no tool declares who approves; a key is made with: seawall principals add NAME"
        )
    return key or None


def name_raiser(key_file: Path | None, by: str) -> tuple[str | None, str]:
    """Returns the key and the name of the person who gives a run other limits.

    Without a key, the name is that of `--by` or else the system's user.
    """
    has_key = key_file is not None or bool(os.environ.get(KEY_VARIABLE, "").strip())
    if not has_key:
        by = resolve_author(by)
    return read_credential(key_file, by), by


def parse_for_s(text: str | None) -> float | None:
    """Returns the seconds of `--for`; None without it. Raises `Misused` if it is not a duration."""
    if text is None:
        return None
    return parse_option_s("--for", text, "90s, 30m, 1h30m or 2d")


def parse_option_s(option: str, text: str, examples: str) -> float:
    """Returns the seconds of an option's duration. Raises `Misused` if it is not a duration, or not above zero."""
    found = parse_duration_s(text)
    if not found:
        raise Misused(
            f"{option} {text}: write a number above zero and a unit, such as {examples} (100 years at most)"
        )
    return found
