"""Bounds: deadlines, limits and contexts that are too small for what is declared, and tools that can't be told apart."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

import msgspec

from seawall.core.canonical import measure_bytes
from seawall.lint.description import AgentDescription, TeamDescription, ToolDescription
from seawall.lint.finding import LintFinding, Sentence
from seawall.lint.rules.making import join_names, make_finding
from seawall.lint.rules.wiring import USER
from seawall.lint.wording import compare_words, list_words, split_name
from seawall.team.context_options import DEFAULT_CONTEXT
from seawall.team.conversation import TOKENS_PER_BYTE

FULL_SHARE = DEFAULT_CONTEXT.fold_at
"""Share of its budget from which on a context is shortened before each call: the default of `Context(fold_at=…)`."""
CROWDED_SHARE = 0.5
"""Share of its budget from which on a context is crowded: it holds more instructions and schemas than work."""
_ALIKE = 0.9
"""Share of common words from which on two descriptions count as the same."""
_LEAST_WORDS = 3
"""Words of a description that is compared by its words. Shorter ones must be equal, because they share most words by chance."""


class ShortestPath(msgspec.Struct, frozen=True):
    """The shortest complete run: the agents that must work, one after the other."""

    agents: tuple[str, ...]
    seconds: float
    """The sum of the agents' declared latencies. An agent without one counts as zero."""


def find_path(team: TeamDescription) -> ShortestPath | None:
    """Returns the shortest way from the entry to an answer, by declared latencies; None if it is not known.

    A coordinator answers by itself. In other teams the answer comes from an agent that has no flow to another one. Reviews of
    the answer are part of the way.
    """
    agents = {agent.name: agent for agent in team.agents}
    outgoing: dict[str, list[str]] = {name: [] for name in agents}
    for a, b in team.flows or ():
        if a in agents and (b in agents or b == USER):
            outgoing[a].append(b)
    waiting: list[tuple[float, int, tuple[str, ...]]] = []
    for name in team.entry or ():
        if name in agents:
            heapq.heappush(waiting, (agents[name].latency_s or 0.0, 1, (name,)))
    done = set[str]()
    while waiting:
        seconds, length, path = heapq.heappop(waiting)
        last = path[-1]
        if last in done:
            continue
        done.add(last)
        following = [name for name in outgoing[last] if name != last]
        if agents[last].kind == "coordinator" or not following or USER in following:
            reviewers = [a for a, b in team.reviews if b == last and a in agents]
            reviewed_s = sum(agents[name].latency_s or 0.0 for name in reviewers)
            return ShortestPath((*path, *reviewers), seconds + reviewed_s)
        for name in following:
            heapq.heappush(waiting, (seconds + (agents[name].latency_s or 0.0), length + 1, (*path, name)))
    return None


def find_deadline_faults(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields a finding if there is no deadline, if no run can keep to it, and for each tool or agent that never fits into it."""
    if team.active_s is None:
        if team.bounded:
            yield make_finding("SW401", (), "none of the team's limits bounds the time that a run may take")
        return
    path = find_path(team)
    if path is None:
        return
    if path.seconds > team.active_s:
        parts = [
            f"{agent.name} {agent.latency_s:g} s"
            for agent in team.agents
            if agent.name in path.agents and agent.latency_s
        ]
        reason = (
            f"the shortest way to an answer is declared to take {path.seconds:g} s ({', '.join(parts)}), and a run "
            f"may take {team.active_s:g} s"
        )
        yield make_finding("SW402", path.agents, reason)
        return
    left_s = team.active_s - path.seconds
    for agent in team.agents:
        if agent.name not in path.agents and agent.latency_s is not None and agent.latency_s > left_s:
            reason = f"{agent.name!r} is declared to take {agent.latency_s:g} s, and {left_s:g} s are left beside the shortest way"
            yield make_finding("SW403", (agent.name,), reason)
        for tool in agent.tools:
            if tool.latency_s is not None and tool.latency_s > left_s:
                reason = f"{tool.name!r} is declared to take {tool.latency_s:g} s, and {left_s:g} s are left beside the shortest way"
                yield make_finding("SW403", (agent.name,), reason, tools=(tool.name,))


def find_limit_faults(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields limits below what the shortest complete run needs, and agents deeper than the limit of depth."""
    limits = dict(team.limits)
    path = find_path(team)
    if path is not None:
        agents = [agent for agent in team.agents if agent.name in path.agents]
        reviewers = {reviewer for reviewer, _ in team.reviews}
        handoffs = sum(name not in reviewers for name in path.agents) - 1
        needs = {
            "model_calls": (len(path.agents), "model calls"),
            "handoffs": (handoffs, "hand-offs"),
            "tokens": (
                sum(estimate_tokens(agent) for agent in agents),
                "tokens, for instructions and tools alone",
            ),
        }
        for name, (needed, what) in needs.items():
            if name in limits and needed > limits[name]:
                reason = f"the shortest complete run ({', '.join(path.agents)}) needs {needed:,} {what}, and {name} is {limits[name]:g}"
                yield make_finding("SW404", path.agents, reason)
    deep = [
        agent
        for agent in team.agents
        if agent.depth is not None and agent.depth > limits.get("depth", agent.depth)
    ]
    if deep:
        names = tuple(agent.name for agent in deep)
        deepest = max(agent.depth or 0 for agent in deep)
        reason = (
            f"{join_names(names)} can only be reached in depth {deepest}, and depth is {limits['depth']:g}"
        )
        yield make_finding("SW404", names, reason)


def estimate_tokens(agent: AgentDescription) -> int:
    """Returns the tokens of an agent's instructions and the schemas of its tools, estimated as contexts are."""
    size = measure_bytes(agent.instructions)
    size += sum(tool.schema_bytes or measure_bytes(tool.name + tool.description) for tool in agent.tools)
    return round(size * TOKENS_PER_BYTE)


def find_small_contexts(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields agents whose instructions and tools fill their context."""
    for agent in team.agents:
        budget = agent.context_tokens
        if not budget:
            continue
        fixed = estimate_tokens(agent)
        share = fixed / budget
        if share >= CROWDED_SHARE:
            reason = f"instructions and tools of {agent.name!r} take about {fixed:,} of the {budget:,} tokens of its context"
            severity = "error" if share >= FULL_SHARE else "warning"
            yield make_finding("SW405", (agent.name,), reason, severity=severity)


def find_alike_tools(team: TeamDescription) -> Iterator[LintFinding]:
    """Yields pairs of tools of one agent that a model can't tell apart."""
    for agent in team.agents:
        own = [tool for tool in agent.tools if not tool.built_in]
        for one, other in itertools.combinations(own, 2):
            why = _compare_tools(one, other)
            if why:
                sentences = tuple(
                    Sentence(agent.name, tool.description) for tool in (one, other) if tool.description
                )
                reason = f"{agent.name!r} has {one.name!r} and {other.name!r}: {why}"
                yield make_finding(
                    "SW406", (agent.name,), reason, tools=(one.name, other.name), sentences=sentences
                )


def _compare_tools(one: ToolDescription, other: ToolDescription) -> str:
    """Returns why two tools can't be told apart; "" if they can."""
    if one.name == other.name:
        return "they have the same name"
    if split_name(one.name) == split_name(other.name):
        return "their names differ in case and signs only"
    a, b = list_words(one.description), list_words(other.description)
    same_names = list_words(" ".join(split_name(one.name))) == list_words(" ".join(split_name(other.name)))
    if same_names and a == b:
        return "their names differ in the endings of words only, and their descriptions do not say more"
    if not a or not b:
        return ""
    if min(len(a), len(b)) < _LEAST_WORDS:
        return "their descriptions are the same" if one.description == other.description else ""
    return "their descriptions say the same" if compare_words(a, b) >= _ALIKE and a != [] else ""
