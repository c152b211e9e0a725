"""Makes findings, with the severity and the mend of their code."""

from __future__ import annotations

from seawall.lint.codes import CODES
from seawall.lint.finding import LintFinding, Sentence, Severity


def make_finding(
    code: str,
    agents: tuple[str, ...],
    reason: str,
    *,
    sentences: tuple[Sentence, ...] = (),
    tools: tuple[str, ...] = (),
    severity: Severity | None = None,
) -> LintFinding:
    """Returns a finding of a code."""
    known = CODES[code]
    return LintFinding(
        code=code,
        severity=severity or known.severity,
        agents=agents,
        tools=tools,
        reason=reason,
        mend=known.mend,
        sentences=sentences,
    )


def join_names(names: tuple[str, ...] | list[str]) -> str:
    """Returns names joined as in a sentence: "'a', 'b' and 'c'"."""
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
