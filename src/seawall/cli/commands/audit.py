"""`seawall audit`: judges recorded calls, from anywhere: which would have been advised on, and which not made."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit

if TYPE_CHECKING:
    from seawall.audit import AuditResult, RecordedRun
    from seawall.cli.render.screen import Screen

STDIN = Path("/dev/stdin")
FIELDS = ("tool", "arguments", "result", "error", "agent", "turn")
LISTED_NAMES = 12
"""Names of fields, or of tools, that a note lists: a line or two."""
REASON_CHARS = 110
"""Characters of a reason in the table; `--json` has all of it."""


def audit(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="JSON lines of recorded runs, gzipped or not; - is stdin.",
            show_default=False,
        ),
    ],
    effect: Annotated[
        list[str] | None,
        typer.Option(
            "--effect", metavar="TOOL", help="A tool that writes (send_*, …); all others then only read."
        ),
    ] = None,
    poll: Annotated[
        list[str] | None,
        typer.Option("--poll", metavar="TOOL", help="A tool that is called until something has happened."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each run, a line each, instead of text.")
    ] = False,
) -> None:
    """Send recorded calls through the loop guard: which would have been advised on, and which not made.

    Calls are counted from 0. With --json it prints one JSON object for each run. Exit code 1 if a line could not be read; the other lines are audited.
    """
    from seawall.audit import BadLine, ToolNames, make_guards, read_runs
    from seawall.audit import audit as audit_run
    from seawall.cli.render.screen import Screen
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    for path in files:
        if path != Path("-") and not path.exists():
            raise Misused(f"there is no file {path}")
    names = ToolNames(effects=tuple(effect or ()), polls=tuple(poll or ()))
    loops = make_guards(names)
    totals = AuditTotals()
    for path in files:
        for item in read_runs(STDIN if path == Path("-") else path):
            if isinstance(item, BadLine):
                totals.bad += 1
                screen.print_note(f"seawall: {item}")
                continue
            audited = audit_run(item, loops, names)
            totals.count(audited)
            totals.tools.update(call.tool for call in item.calls)
            if item.lacks and len(item.calls) > 1:
                totals.lacking += 1
                if totals.lacking == 1:
                    screen.print_note(_format_lacking(f"{path}:{item.line}", item))
            _print_audited(screen, item, audited)
            if not screen.has_reader:
                raise typer.Exit(Exit.OK)  # `main` makes of it what it is
    screen.print_note(totals.format_summary())
    for option, patterns in (("--effect", names.effects), ("--poll", names.polls)):
        for pattern in patterns:
            if totals.runs and not fnmatch.filter(totals.tools, pattern):
                tools = _list_some(totals.tools)
                screen.print_note(f"seawall: {option} {pattern} matches no tool of these runs: {tools}")
    raise typer.Exit(Exit.BROKEN if totals.bad else Exit.OK)


class AuditTotals:
    """What the summary counts."""

    def __init__(self) -> None:
        self.runs = self.halted = self.advised = self.bad = self.lacking = 0
        self.tools: set[str] = set()

    def count(self, audited: AuditResult) -> None:
        """Counts a run."""
        self.runs += 1
        self.halted += audited.halted_at is not None
        self.advised += bool(audited.advised_at)

    def format_summary(self) -> str:
        """Returns the summary, in one line."""
        from seawall.cli.render.formats import format_number

        bad = f"; {format_number(self.bad, 'line')} could not be read" if self.bad else ""
        lacking = ""
        if self.lacking:
            lacking = f"; {format_number(self.lacking, 'run')} may be judged wrongly: see above"
        return (
            f"{format_number(self.runs, 'run')}: {self.halted} stopped, {self.advised} advised{lacking}{bad}"
        )


def _format_lacking(where: str, run: RecordedRun) -> str:
    """Returns a warning of the fields that a run's calls lack: without a result, equal calls look like a loop."""
    lacks = " or ".join(repr(name) for name in run.lacks)
    return (
        f"seawall: {where}: no call of the run has {lacks}, so its verdict may be wrong: "
        f"known are {', '.join(FIELDS)}; these calls have {_list_some(run.fields)}"
    )


def _list_some(names: Iterable[str]) -> str:
    """Returns the first `LISTED_NAMES` of them."""
    found = sorted(names)
    more = f", … ({len(found)} in all)" if len(found) > LISTED_NAMES else ""
    return f"{', '.join(found[:LISTED_NAMES])}{more}"


def _print_audited(screen: Screen, run: RecordedRun, audited: AuditResult) -> None:
    if screen.json:
        import msgspec

        screen.print_json(msgspec.json.encode(audited).decode())
        return
    from seawall.cli.render.formats import replace_controls

    what = "goes on"
    if audited.halted_at is not None:
        what = f"call #{audited.halted_at} (from 0) of {len(run.calls)} not made"
    elif audited.advised_at:
        calls = ", ".join(f"#{index}" for index in audited.advised_at[:5])
        what = f"advised at {calls}{', …' if len(audited.advised_at) > 5 else ''} (from 0)"
    reason = audited.reason or ""
    reason = f"{reason[: REASON_CHARS - 1]}…" if len(reason) > REASON_CHARS else reason
    line = replace_controls(f"{audited.id:<40}  {what:<31}  {audited.rule or '':<11}  {reason}".rstrip())
    if screen.out.is_terminal:
        screen.print_lines([line])
    else:  # other programs read it: one line for each run
        screen.print_text(line)
