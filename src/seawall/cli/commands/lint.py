"""`seawall lint`: says what is wrong with a team before it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import JsonOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.lint.description import TeamDescription
    from seawall.lint.finding import LintFinding, Severity
    from seawall.lint.linting import LintReport


TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE:TEAM | FILE | FOLDER]",
        help="A team of Seawall; or a file or a folder with CrewAI's agents.yaml, or with a team in the plain form.",
        show_default=False,
    ),
]
SarifOption = Annotated[
    bool, typer.Option("--sarif", help="Print the findings as SARIF 2.1.0, which code hosts read.")
]
SeverityOption = Annotated[
    str,
    typer.Option(
        "--min-severity", metavar="SEVERITY", help="Leave out what is less severe: note, warning or error."
    ),
]
ExplainOption = Annotated[
    str | None,
    typer.Option("--explain", metavar="CODE", help="Say what a code means, and how to mend and waive it."),
]
OpinionOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PROVIDER:NAME",
        help="Ask a model for a second opinion on each overlap of roles. It is shown and changes nothing.",
    ),
]
MaxUsdOption = Annotated[
    str,
    typer.Option(
        "--max-usd",
        metavar="USD",
        help="What --model may spend, if the model's price is known. 20 calls at most.",
    ),
]


def lint(
    target: TargetArgument = None,
    sarif: SarifOption = False,
    min_severity: SeverityOption = "note",
    explain: ExplainOption = None,
    model: OpinionOption = None,
    max_usd: MaxUsdOption = "0.25",
    json: JsonOption = False,
) -> None:
    """Say what is wrong with a team before it is deployed: roles that overlap, authority, wiring and bounds.

    Nothing is fetched, and no model is asked unless you name one. It exits with 1 if an error or a warning is shown that
    is not waived.
    """
    from seawall.cli.render.screen import Screen
    from seawall.core.errors import Misused
    from seawall.lint.linting import RANKS

    screen = Screen(json=json)
    if explain is not None:
        _explain(screen, explain)
        return
    if target is None:
        raise Misused("give a team: module:attribute, a file, or a folder; or --explain CODE")
    if json and sarif:
        raise Misused("--json and --sarif: choose one of them")
    if min_severity not in RANKS:
        raise Misused(f"--min-severity {min_severity}: it is one of {', '.join(reversed(RANKS))}")
    severity: Severity = next(each for each in RANKS if each == min_severity)
    described = _describe(screen, target)
    report = _lint(described)
    if model is not None:
        report = _add_opinions(screen, described, report, model, _parse_usd(max_usd))
    findings = report.list_from(severity)
    _print(screen, report, findings, sarif=sarif)
    if any(each.severity != "note" and not each.waived for each in findings):
        from seawall.cli.exits import Exit

        raise typer.Exit(Exit.BROKEN)


def _describe(screen: Screen, target: str) -> TeamDescription:
    """Returns what the lint sees of a team, which `target` names as a file, a folder or `module:attribute`."""
    import sys

    from seawall.cli.loading import load_team
    from seawall.core.files import exists
    from seawall.lint.reading.files import SUFFIXES, read_team
    from seawall.lint.reading.seawall_team import describe_team

    path = Path(target)
    if (exists(path) and path.suffix != ".py") or path.suffix.lower() in SUFFIXES:
        return read_team(path)
    with screen.redirect_user_prints():
        team = load_team(target)
    file = getattr(sys.modules.get(target.partition(":")[0]), "__file__", None)
    return describe_team(team, None if file is None else _shorten(Path(file)))


def _shorten(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def _lint(described: TeamDescription) -> LintReport:
    from seawall.lint.linting import lint

    return lint(described)


def _parse_usd(text: str) -> Decimal:
    from seawall.core.errors import Misused

    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or usd < 0:
        raise Misused(f"--max-usd {text}: it must be a number of US dollars, zero or more")
    return usd


def _add_opinions(
    screen: Screen, described: TeamDescription, report: LintReport, name: str, max_usd: Decimal
) -> LintReport:
    """Returns the report with a model's opinion on overlaps, and notes what was not asked."""
    from msgspec.structs import replace

    from seawall.cli.render.formats import format_number
    from seawall.cli.signals import run_async
    from seawall.core.clock import SystemClock
    from seawall.lint.opinions import ask_opinions
    from seawall.models.prices import find_price
    from seawall.models.providers import find_base_url, resolve

    resolve(name)  # raises for a wrong name or a missing key, even if there are no overlaps
    price = find_price(name, at=SystemClock().wall_s(), base_url=find_base_url(name))
    with screen.show_status(f"asking {name}"):
        opinions = run_async(
            lambda _: ask_opinions(described, report.findings, name, price=price, max_usd=max_usd)
        )
    if opinions.problem:
        screen.print_note(f"{name} could not be asked: {' '.join(opinions.problem.split())}")
    if opinions.left_out:
        screen.print_note(
            f"{name} was not asked about {opinions.left_out} of the overlaps: calls or money were used up"
        )
    if price is None and opinions.asked:
        screen.print_note(
            f"the price of {name} is not known, so --max-usd bounded nothing ({format_number(opinions.asked, 'call')})"
        )
    return replace(report, findings=opinions.findings)


def _print(screen: Screen, report: LintReport, findings: Sequence[LintFinding], *, sarif: bool) -> None:
    from seawall import __version__
    from seawall.cli.render.lint_report import format_summary, make_findings_table
    from seawall.lint.sarif import make_sarif

    if sarif:
        screen.print_document(make_sarif(report, findings, __version__))
    elif screen.json:
        document = {
            "team": report.team,
            "form": report.form,
            "findings": [_build_finding(report, each) for each in findings],
            "lacking": report.lacking,
        }
        screen.print_document(document)
    elif findings:
        screen.print_table(make_findings_table(report, findings))
    if report.lacking:
        screen.print_note(report.lacking)
    screen.print_note(format_summary(report, findings))


def _build_finding(report: LintReport, finding: LintFinding) -> dict[str, object]:
    import msgspec

    places = [report.places.get(name) for name in finding.agents or ("",)]
    found = msgspec.to_builtins(finding)
    return {**found, "places": [None if each is None else msgspec.to_builtins(each) for each in places]}


def _explain(screen: Screen, code: str) -> None:
    from seawall.cli.render.lint_report import list_explanation
    from seawall.core.errors import Misused
    from seawall.lint.codes import CODES

    known = CODES.get(code.upper())
    if known is None:
        raise Misused(f"--explain {code}: there is no such code; there are {', '.join(CODES)}")
    if screen.json:
        screen.print_document(known)
        return
    waiver = f'Team(…, waive={{"{known.code} NAME": "the reason"}}), or the key waive in the plain form'
    screen.print_lines(list_explanation(known, waiver))
