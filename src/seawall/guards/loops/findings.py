"""What a rule finds: a notice for the agent, or a violation that forbids a call."""

from __future__ import annotations

from typing import NamedTuple


class Notice(NamedTuple):
    """A rule's finding about a result, for the advice: which rule, how often, and since which step."""

    rule: str
    times: int
    limit: int
    since: int
    detail: str = ""


class Violation(NamedTuple):
    """The rule that forbids a call, and how often what it counts has happened."""

    rule: str
    times: int
    limit: int
    since: int = 0
    detail: str = ""
