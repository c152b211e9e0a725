"""Waivers: findings that a team's authors accept, each with the reason. Waived findings are listed, not hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from seawall.lint.codes import CODES
from seawall.lint.finding import LintFinding
from seawall.lint.rules.making import make_finding


def apply_waivers(
    findings: Sequence[LintFinding], waived: Sequence[tuple[str, str]]
) -> tuple[list[LintFinding], list[LintFinding]]:
    """Returns the findings, the waived ones with their reason, and the findings about the waivers themselves.

    A waiver is a code, followed by names of agents or tools that the finding must be about.
    """
    used = set[str]()
    judged: list[LintFinding] = []
    for finding in findings:
        reasons = {
            waiver: reason for waiver, reason in waived if reason.strip() and _is_about(waiver, finding)
        }
        used |= set(reasons)
        first = next(iter(reasons.values()), "")
        judged.append(replace(finding, waived=" ".join(first.split())) if reasons else finding)
    return judged, list(_judge_waivers(waived, used))


def _is_about(waiver: str, finding: LintFinding) -> bool:
    code, *names = waiver.split() or [""]
    return code == finding.code and set(names) <= {*finding.agents, *finding.tools}


def _judge_waivers(waived: Sequence[tuple[str, str]], used: set[str]) -> Iterator[LintFinding]:
    for waiver, reason in waived:
        code = (waiver.split() or [""])[0]
        if not reason.strip():
            yield make_finding("SW002", (), f"the waiver {waiver!r} has no reason, so it waives nothing")
        elif code not in CODES:
            known = f"{min(CODES)} to {max(CODES)}"
            yield make_finding("SW001", (), f"the waiver {waiver!r} names no code (there are {known})")
        elif waiver not in used:
            yield make_finding("SW001", (), f"the waiver {waiver!r} waives nothing: it matches no finding")
