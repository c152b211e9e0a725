"""Writes answers for a run whose time or limits are used up, from recorded results and the steps that they come from."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.run.bodies import Bodies
from seawall.run.plan import Finding

MAX_FINDINGS = 50
"""How many of the newest results an answer has; a reviewer is shown as many."""
MAX_CHARS = 2_000
"""The most characters of each result."""


def write_partial_answer(
    findings: Sequence[Finding], bodies: Bodies, why: str, earlier: str | None = None
) -> str:
    """Returns an answer made of recorded results alone. No agent wrote it, and it says that it is partial.

    `earlier`: what the run had answered before its limits were raised.
    """
    head = f"This answer is partial: {why} before the team could finish."
    if earlier is not None:
        head = f"{head} This was its answer before:\n{earlier}"
    if not findings:
        return head
    told = "These results were recorded:"
    return "\n".join(
        [f"{head} {told}" if earlier is None else f"{head}\n{told}", *_list_findings(findings, bodies)]
    )


def write_cut(agent: str, findings: Sequence[Finding], bodies: Bodies, why: str) -> str:
    """Returns the text for the caller of an agent that could not finish, with the results that the agent has found."""
    head = f"Not finished: {why} before {agent!r} had an answer."
    found = ["These results were recorded:", *_list_findings(findings, bodies)] if findings else []
    return "\n".join([head, *found])


def write_last_note(limit: str, part: str) -> str:
    """Returns the note for an agent's last model call.

    `limit` is the limit that is used up, such as `tool_calls=40`; `part` names the agent or team that it belongs to; ""
    for the run's.
    """
    whose = f"limit of {part}" if part else "limit of this run"
    return (
        f"[Not from the user: the {whose} on {limit.partition('=')[0]} is used up ({limit}), so this is your last reply, and "
        "you can call no tools. Answer with what you have, and say what is missing.]"
    )


def write_fallback_task(intent: str, findings: Sequence[Finding], bodies: Bodies) -> str:
    """Returns the fallback agent's task."""
    parts = [f"Request:\n{intent}"]
    if findings:
        parts.append("\n".join(["Results that are known so far:", *_list_findings(findings, bodies)]))
    parts.append(
        "There is no time left for the whole work. Answer the request now, as briefly as it allows, "
        "and say what could not be checked."
    )
    return "\n\n".join(parts)


def _list_findings(findings: Sequence[Finding], bodies: Bodies) -> list[str]:
    lines: list[str] = []
    if (more := len(findings) - MAX_FINDINGS) > 0:
        lines.append(f"({more} older results are left out)")
    for each in findings[-MAX_FINDINGS:]:
        text = bodies.text(each.output).strip()
        cut = f" […{len(text) - MAX_CHARS:,} more characters]" if len(text) > MAX_CHARS else ""
        lines.append(f"- {text[:MAX_CHARS]}{cut} ({each.name}, step {each.step})")
    return lines
