"""`seawall audit`: recorded calls, from anywhere: what would have been advised on, what stopped, and where."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit

if TYPE_CHECKING:
    from seawall.audit import Audited, RecordedRun
    from seawall.cli.render.screen import Screen

STDIN = Path("/dev/stdin")
FIELDS = ("tool", "arguments", "result", "error", "agent", "turn")
SOME = 12
"""Names of fields, or of tools, that a note lists: a line or two."""
REASON_CHARS = 110
"""Of a reason in the table; `--json` has all of it."""


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
            "--effect", metavar="TOOL", help="A tool that writes (send_*, …); then all others read."
        ),
    ] = None,
    poll: Annotated[
        list[str] | None,
        typer.Option("--poll", metavar="TOOL", help="A tool that is asked until something has happened."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a run, a line each, instead of text.")
    ] = False,
) -> None:
    """Send recorded calls through the loop guard: which would have been advised on, and which not made.

    Calls are counted from 0. With --json one JSON object a run and line. Exit code 1 if a line could not be read; the others are audited.
    """
    from seawall.audit import BadLine, ToolNames, guards, read
    from seawall.audit import audit as judged
    from seawall.cli.render.screen import Screen
    from seawall.core.errors import Misused

    screen = Screen(json=json)
    for path in files:
        if path != Path("-") and not path.exists():
            raise Misused(f"there is no file {path}")
    names = ToolNames(effects=tuple(effect or ()), polls=tuple(poll or ()))
    loops = guards(names)
    total = _Total()
    for path in files:
        for item in read(STDIN if path == Path("-") else path):
            if isinstance(item, BadLine):
                total.bad += 1
                screen.note(f"seawall: {item}")
                continue
            one = judged(item, loops, names)
            total.count(one)
            total.tools.update(call.tool for call in item.calls)
            if item.lacks and len(item.calls) > 1:
                total.lacking += 1
                if total.lacking == 1:
                    screen.note(_lacking(f"{path}:{item.line}", item))
            _tell(screen, item, one)
    screen.note(total.sentence())
    for option, patterns in (("--effect", names.effects), ("--poll", names.polls)):
        for pattern in patterns:
            if total.runs and not fnmatch.filter(total.tools, pattern):
                screen.note(
                    f"seawall: {option} {pattern} matches no tool of these runs: {_some(total.tools)}"
                )
    raise typer.Exit(Exit.BROKEN if total.bad else Exit.OK)


class _Total:
    """What the summary tells."""

    def __init__(self) -> None:
        self.runs = self.halted = self.advised = self.bad = self.lacking = 0
        self.tools: set[str] = set()

    def count(self, one: Audited) -> None:
        self.runs += 1
        self.halted += one.halted_at is not None
        self.advised += bool(one.advised_at)

    def sentence(self) -> str:
        from seawall.cli.render.formats import many

        bad = f"; {many(self.bad, 'line')} could not be read" if self.bad else ""
        lacking = f"; {many(self.lacking, 'run')} may be judged wrongly: see above" if self.lacking else ""
        return f"{many(self.runs, 'run')}: {self.halted} stopped, {self.advised} advised{lacking}{bad}"


def _lacking(where: str, run: RecordedRun) -> str:
    """What the calls of a run do not have: equal calls without a result all look as if they had brought nothing new."""
    lacks = " or ".join(repr(name) for name in run.lacks)
    return (
        f"seawall: {where}: no call of the run has {lacks}, so what is said of it may be "
        f"false: known are {', '.join(FIELDS)}; these calls have {_some(run.fields)}"
    )


def _some(names: Iterable[str]) -> str:
    """The first few of them."""
    found = sorted(names)
    more = f", … ({len(found)} in all)" if len(found) > SOME else ""
    return f"{', '.join(found[:SOME])}{more}"


def _tell(screen: Screen, run: RecordedRun, one: Audited) -> None:
    if screen.json:
        import msgspec

        screen.text(msgspec.json.encode(one).decode())
        return
    from seawall.cli.render.formats import visible

    what = "goes on"
    if one.halted_at is not None:
        what = f"call #{one.halted_at} (from 0) of {len(run.calls)} not made"
    elif one.advised_at:
        calls = ", ".join(f"#{index}" for index in one.advised_at[:5])
        what = f"advised at {calls}{', …' if len(one.advised_at) > 5 else ''} (from 0)"
    reason = one.reason or ""
    reason = f"{reason[: REASON_CHARS - 1]}…" if len(reason) > REASON_CHARS else reason
    screen.line(visible(f"{one.id[:40]:<40}  {what:<31}  {one.rule or '':<11}  {reason}".rstrip()))
