"""`seawall audit`: judges runs that any system has recorded: which calls would be stopped, and what was wasted."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit

if TYPE_CHECKING:
    from seawall.audit import (
        AuditReport,
        BadLine,
        RecordedRun,
        RecordingFile,
        RunAuditor,
        RunFindings,
        ToolNames,
    )
    from seawall.cli.render.screen import Screen
    from seawall.core.redact import Redactor

STDIN = Path("/dev/stdin")
FIELDS = ("tool", "arguments", "result", "error", "agent", "turn")
LISTED_NAMES = 12
LISTED_ALIKE = 3
"""How many bad lines of one file with the same problem are listed."""
MAX_REASONS = 1_000
"""How many different problems of one file are counted; a line with any further problem is listed."""
"""How many names of fields or tools a note lists: a line or two."""


def audit(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="A recording in any known format, gzipped or not, or a folder of them; - is stdin.",
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
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="PATH", help="Write the report to this file, too, as one HTML page."),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object for each run, a line each, and the sums in the last line."
        ),
    ] = False,
) -> None:
    """Judge what other systems have recorded, and report what was wasted. Nothing is installed there, or performed.

    Each call goes through the loop guard that would have judged it live. The report has loops and what was spent in them, calls whose result was known already, junk in what models were sent, values in answers that stand in no result, and the runs to look at. The format is found by its shape: OpenAI, LangChain, LangGraph, LangSmith, Pydantic AI, OpenTelemetry, Claude Code, recorded calls. Calls are counted from 0. Exit code 1 if something could not be read; the rest is audited.
    """
    from seawall.audit import AuditReport, RecordedPrices, RunAuditor, ToolNames, list_files, make_guards
    from seawall.cli.render.screen import Screen
    from seawall.core.clock import SystemClock

    screen = Screen(json=json)
    _check_paths(files, html)
    names = ToolNames(effects=tuple(effect or ()), polls=tuple(poll or ()))
    prices = RecordedPrices(SystemClock().wall_s())
    redactor = _make_redactor()
    report = AuditReport()
    reading = _AuditedFiles(screen, RunAuditor(make_guards(names), names, prices, redactor), report, redactor)
    interrupted = False
    try:
        for path in files:
            found = [STDIN] if path == Path("-") else list_files(path)
            if not found:
                reading.note_bad_folder(path)
            reading.read(found)
    except KeyboardInterrupt:
        interrupted = True
        screen.print_note(f"seawall: interrupted in {reading.where}: this is what was found so far")
        with suppress(KeyboardInterrupt):  # pressed again: open runs are left out
            reading.finish()
    report.set_unpriced(redactor.text(model) for model in prices.unknown)
    _print_report(screen, report)
    _note_patterns(screen, report, names)
    if html is not None:
        _write_page(screen, report, html)
    if interrupted:
        raise typer.Exit(Exit.INTERRUPTED)
    raise typer.Exit(Exit.BROKEN if report.summary.bad or report.summary.left_out else Exit.OK)


def _check_paths(files: Sequence[Path], html: Path | None) -> None:
    """Raises `Misused` for a file that is not there, and for a page for which there is no folder."""
    from seawall.core.errors import Misused
    from seawall.core.files import exists

    for path in files:
        if path != Path("-") and not exists(path):
            raise Misused(f"there is no file {path}")
    if html is not None and not html.parent.is_dir():
        raise Misused(f"there is no folder {html.parent} for --html")


def _make_redactor() -> Redactor:
    import os

    from seawall.core.redact import Redactor

    return Redactor.from_environment(os.environ)


class _AuditedFiles:
    """Audits the runs of files, and shows its progress."""

    def __init__(self, screen: Screen, auditor: RunAuditor, report: AuditReport, redactor: Redactor) -> None:
        self._screen, self._auditor, self._report = screen, auditor, report
        self._redactor = redactor
        self._knows_formats = self._knows_lacks = False
        self._alike: Counter[str] = Counter()
        """The number of bad lines of this file, by problem."""
        self._file: RecordingFile | None = None
        """The file that is being read."""
        self.where = "nothing"
        """The name of the file that is being read, for messages."""

    def read(self, paths: Sequence[Path]) -> None:
        """Audits the runs of files."""
        for number, path in enumerate(paths):
            self.where = str(path)
            self._alike.clear()
            for item in self._follow(path, f"{number + 1} of {len(paths)}: " if len(paths) > 1 else ""):
                self._take(item)

    def finish(self) -> None:
        """Audits the runs that were still open when the reading was interrupted."""
        if self._file is not None:
            for item in self._file.finish():
                self._take(item)

    def _take(self, item: RecordedRun | BadLine) -> None:
        from seawall.audit import BadLine

        if isinstance(item, BadLine):
            self._note_bad(item)
            return
        found = self._auditor.audit(item)
        if isinstance(found, BadLine):
            self._note_bad(found)
            return
        self._report.add(found)
        self._note_lacking(item, found)
        if self._screen.json:
            self._screen.print_document(found, indent=-1)
        if not self._screen.has_reader:
            raise typer.Exit(Exit.OK)  # `main` turns it into the code for a closed pipe

    def _follow(self, path: Path, place: str) -> Iterator[RecordedRun | BadLine]:
        """Yields the runs and bad lines of a file, and shows a moving line on a terminal."""
        from rich.text import Text

        from seawall.audit import RecordingFile
        from seawall.cli.render.formats import format_number, format_size, join_lines
        from seawall.cli.render.screen import choose_spinner

        done = 0

        def show(now: int) -> None:
            nonlocal done
            done = now
            runs = format_number(self._report.summary.runs, "run")
            of = f" of {format_size(size)}" if size else ""
            if status is not None:
                status.update(Text(f"{name}  {format_size(done)}{of}, {runs}"))

        err, name = self._screen.err, f"{place}{join_lines(str(path))}"
        moves = err.is_terminal and not (self._screen.json and self._screen.out.is_terminal)
        self._file = file = RecordingFile(path, on_bytes=show if moves else None)
        size = 0
        with suppress(OSError):
            size = path.stat().st_size
        with err.status(Text(name), spinner=choose_spinner(err)) if moves else nullcontext() as status:
            for item in chain(file.read(), file.finish()):
                yield item
                show(done)
        self._file = None

    def note_bad_folder(self, path: Path) -> None:
        """Notes a folder without a file that could be read."""
        from seawall.audit import BadLine
        from seawall.audit.reading import ENDINGS

        self._note_bad(BadLine(str(path), f"the folder has no file that ends with {', '.join(ENDINGS)}"))

    def _note_bad(self, bad: BadLine) -> None:
        bad = bad._replace(why=self._redactor.text(bad.why))
        self._report.add_bad(bad)
        if bad.why in self._alike or len(self._alike) < MAX_REASONS:
            self._alike[bad.why] += 1
        if self._alike[bad.why] > LISTED_ALIKE:
            return
        is_last = self._alike[bad.why] == LISTED_ALIKE
        more = " (further lines like it are counted, and not listed)" if is_last else ""
        self._screen.print_note(f"seawall: {_clean(str(bad))}{more}")
        if bad.is_unknown and not self._knows_formats:
            self._knows_formats = True
            from seawall.audit.formats import FORMATS

            for each in FORMATS:
                self._screen.print_note(f"seawall: known format {each.name}: {each.reads}")

    def _note_lacking(self, run: RecordedRun, found: RunFindings) -> None:
        """Warns once of fields that a run's calls lack: without a result, equal calls look like a loop."""
        if not found.lacks or self._knows_lacks:
            return
        self._knows_lacks = True
        lacks = " or ".join(repr(name) for name in found.lacks)
        known = ""
        if run.fields:
            known = f": known are {', '.join(FIELDS)}; these calls have {_list_some(run.fields)}"
        text = f"seawall: {run.file}:{run.line}: no call of the run has {lacks}, so its verdict may be wrong{known}"
        self._screen.print_note(_clean(self._redactor.text(text)))


def _clean(text: str) -> str:
    from seawall.cli.render.formats import join_lines

    return join_lines(text)


def _list_some(names: Iterable[str]) -> str:
    """Returns the first `LISTED_NAMES` names as text."""
    found = sorted(names)
    more = f", … ({len(found)} in all)" if len(found) > LISTED_NAMES else ""
    return f"{', '.join(found[:LISTED_NAMES])}{more}"


def _print_report(screen: Screen, report: AuditReport) -> None:
    if screen.json:
        screen.print_document({"summary": report.summary}, indent=-1)
        return
    from seawall.cli.render.audit_report import draw_report

    screen.print_lines(draw_report(report, screen.width))


def _note_patterns(screen: Screen, report: AuditReport, names: ToolNames) -> None:
    """Notes the patterns of the command line that match no tool, because a misspelt pattern has no effect."""
    for option, patterns in (("--effect", names.effects), ("--poll", names.polls)):
        for pattern in patterns:
            if report.summary.runs and not fnmatch.filter(report.tools, pattern):
                tools = _list_some(report.tools)
                screen.print_note(f"seawall: {option} {pattern} matches no tool of these runs: {tools}")


def _write_page(screen: Screen, report: AuditReport, path: Path) -> None:
    from seawall.cli.render.audit_html import build_page
    from seawall.core.errors import Broken

    try:
        path.write_text(build_page(report), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Broken(f"the report can't be written to {path}: {error.strerror}") from error
    screen.print_note(f"the report is in {path}")
