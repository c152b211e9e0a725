"""Makes the tables of `seawall roles`."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.render.formats import format_count, format_seconds, format_usd, join_lines
from seawall.cli.render.table import Table
from seawall.history.roles import AgentRole, ReviewerRole, Roles

_AGENTS = ("AGENT", "TEAM", "RUNS", "CALLS", "TOKENS", "COST", "SHARE", "ASKED", "ERRORS", "REFUSED", "TOOLS")
_REVIEWERS = ("REVIEWER", "TEAM", "REVIEWS", "APPROVED", "95%", "ROUNDS", "NAMED", "LOOKED UP", "WORDS", "TOOK", "WROTE", "READ")  # fmt: skip  # one line is the table's head
_SHOWN_TOOLS = 5
"""How many tools of an agent its row names; `--json` has all."""


def make_agents_table(roles: Roles) -> Table:
    """Returns the table of agents: a row for each, the most expensive of a team first."""
    table = Table(_AGENTS, required=("AGENT", "RUNS", "SHARE"), right=_AGENTS[2:10])
    for each in roles.agents:
        table.add_row(_format_agent(each))
    return table


def _format_agent(each: AgentRole) -> tuple[str, ...]:
    tools = [f"{join_lines(name)} {count:,}" for name, count in list(each.tools.items())[:_SHOWN_TOOLS]]
    more = len(each.tools) - len(tools)
    return (
        join_lines(each.agent),
        join_lines(each.team),
        f"{each.runs:,}",
        f"{each.model_calls:,}",
        format_count(each.tokens),
        format_usd(each.usd) if each.usd else "",
        f"{each.share:.0%}",
        f"{each.handoffs:,}" if each.handoffs else "",
        f"{each.errors:,}" if each.errors else "",
        f"{each.refusals:,}" if each.refusals else "",
        ", ".join([*tools, *([f"and {more} more"] if more else [])]),
    )


def make_reviewers_table(roles: Roles) -> Table:
    """Returns the table of reviewers: a row for each."""
    table = Table(_REVIEWERS, required=("REVIEWER", "REVIEWS", "APPROVED", "95%"), right=_REVIEWERS[2:])
    for each in roles.reviewers:
        table.add_row(_format_reviewer(each))
    return table


def _format_reviewer(each: ReviewerRole) -> tuple[str, ...]:
    return (
        join_lines(each.agent),
        join_lines(each.team),
        f"{each.reviews:,}",
        "" if each.rate is None else f"{each.rate:.0%}",
        format_interval(each.low, each.high),
        f"{each.rounds:,}",
        f"{each.named:,}",
        f"{each.looked_up:,}",
        _format_median(each.words),
        "" if each.seconds is None else format_seconds(each.seconds),
        _format_median(each.output_tokens),
        _format_median(each.shown_tokens),
    )


def _format_median(value: float | None) -> str:
    return "" if value is None else format_count(round(value))


def format_interval(low: float, high: float) -> str:
    """Returns an interval of shares in percent, such as `57-99%`."""
    return f"{low * 100:.0f}-{high * 100:.0f}%"


def list_signals(roles: Roles) -> Iterator[Text]:
    """Yields what may be wrong with reviewers, and how to find out."""
    for each in roles.reviewers:
        if each.signal:
            yield Text()
            yield Text(f"{join_lines(each.agent)} may review nothing: {each.signal}", style="yellow")
            yield Text(
                "A signal, not a verdict. To see whether it catches a wrong answer: seawall probe-reviewer MODULE:TEAM"
            )
