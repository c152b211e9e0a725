"""Shows what `seawall lint` found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from seawall.cli.render.formats import format_number, join_lines
from seawall.cli.render.table import Table
from seawall.lint.codes import LintCode
from seawall.lint.finding import LintFinding
from seawall.lint.linting import LintReport

_COLUMNS = ("CODE", "SEVERITY", "AGENTS", "TOOLS", "WHERE")
_STYLES = {"error": "red", "warning": "yellow", "note": ""}
MAX_AGENTS = 3
"""How many names of agents a cell has; the reason below it names all of them."""


def make_findings_table(report: LintReport, findings: Sequence[LintFinding]) -> Table:
    """Returns the table: each finding, and below it the reason, the evidence, and what to change."""
    table = Table(_COLUMNS, required=("CODE", "SEVERITY", "AGENTS"))
    for finding in findings:
        severity = Text(
            "waived" if finding.waived else finding.severity,
            style="" if finding.waived else _STYLES[finding.severity],
        )
        cells = [
            finding.code,
            severity,
            _join_some(finding.agents) or report.team,
            _join_some(finding.tools),
            _format_place(report, finding),
        ]
        table.add_row(cells, [Text(f"  └ {note}") for note in _list_notes(finding)])
    return table


def _join_some(names: Sequence[str]) -> str:
    more = f", … ({len(names)})" if len(names) > MAX_AGENTS else ""
    return join_lines(", ".join(names[:MAX_AGENTS])) + more


def _format_place(report: LintReport, finding: LintFinding) -> str:
    name = next((each for each in finding.agents if each in report.places), "")
    place = report.places.get(name)
    if place is None:
        return ""
    return join_lines(place.file) + (f":{place.line}" if place.line else "")


def _list_notes(finding: LintFinding) -> Iterator[str]:
    yield join_lines(finding.reason)
    for sentence in finding.sentences:
        yield f"{join_lines(sentence.agent)}: “{join_lines(sentence.text)}”"
    if finding.opinion:
        yield f"a model's opinion, {join_lines(finding.opinion)}"
    yield f"waived: {join_lines(finding.waived)}" if finding.waived else f"to mend: {finding.mend}"


def format_summary(report: LintReport, findings: Sequence[LintFinding]) -> str:
    """Returns one line: how many findings of each severity, and what was left out."""
    counts = [
        format_number(number, severity)
        for severity in ("error", "warning", "note")
        if (number := sum(each.severity == severity and not each.waived for each in findings))
    ]
    waived = sum(bool(each.waived) for each in findings)
    hidden = len(report.findings) - len(findings)
    parts = [", ".join(counts) or "nothing found"]
    parts += [f"{waived} waived"] if waived else []
    parts += [f"{format_number(hidden, 'finding')} below --min-severity not shown"] if hidden else []
    code = next((each.code for each in findings if not each.waived), "")
    more = f"; seawall lint --explain {code} says more" if code else ""
    return f"{report.team} ({report.form}): {'; '.join(parts)}{more}"


def list_explanation(code: LintCode, example: str) -> Iterator[str]:
    """Yields the lines that explain a code; `example` is how a finding of it is waived."""
    yield f"{code.code}: {code.title} ({code.kind}, {code.severity})"
    yield ""
    yield code.meaning
    yield ""
    yield f"Example:   {code.example}"
    yield f"To mend:   {code.mend}"
    yield f"To waive:  {example}"
