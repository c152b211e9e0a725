"""Counts which calls of an application pass the gate, which can't, and which tools are not declared."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from seawall.effects.verbs import seems_to_write
from seawall.runtime.foreign.tools import AskedTool, ToolKind

_log = logging.getLogger("seawall")
MAX_NAMES = 10_000
"""How many names are counted separately; calls under any further name are counted together."""
OTHERS = "(others)"


class CoverageReport(NamedTuple):
    """The calls that passed the gate since the engine began, by name."""

    models: dict[str, int]
    effects: dict[str, int]
    reads: dict[str, int]
    undeclared: dict[str, int]
    """Calls of tools that are not declared. Such tools count as reads."""
    not_gated: tuple[str, ...]
    """The parts of the application that adapters can't gate, each with the reason."""
    uncalled: tuple[str, ...] = ()
    """Declared names and patterns that no call has matched so far; one of them may be misspelt."""

    @property
    def seem_to_write(self) -> tuple[str, ...]:
        """The undeclared tools whose names say that they change the world."""
        return tuple(name for name in self.undeclared if seems_to_write(name))

    def __str__(self) -> str:
        lines = [
            _describe("models", self.models),
            _describe("effects", self.effects),
            _describe("reads", self.reads),
            _describe("not declared, so they count as reads", self.undeclared),
        ]
        if self.seem_to_write:
            names = ", ".join(self.seem_to_write)
            lines.append(
                f"these seem to change the world: declare them with effects=[…] or reads=[…]: {names}"
            )
        if self.uncalled:
            lines.append(f"declared, and not called so far: {', '.join(self.uncalled)}")
        lines += [f"not gated: {each}" for each in self.not_gated] or [
            "not gated: nothing that the adapter knows of"
        ]
        return "\n".join(lines)


def _describe(what: str, calls: dict[str, int]) -> str:
    listed = ", ".join(
        f"{name} ({count} {'call' if count == 1 else 'calls'})" for name, count in sorted(calls.items())
    )
    return f"{what}: {listed or 'none'}"


class Coverage:
    """Counts what passes the gate of one engine."""

    def __init__(self) -> None:
        self._models: Counter[str] = Counter()
        self._tools: dict[ToolKind, Counter[str]] = {
            "effect": Counter(),
            "read": Counter(),
            "undeclared": Counter(),
        }
        self._not_gated: dict[str, None] = {}
        self._advised: set[str] = set()
        """The undeclared tools for which the operator was told already that they seem to write."""

    def __repr__(self) -> str:
        return f"<Coverage of {len(self._models)} models>"

    def note_model(self, name: str, calls: int = 1) -> None:
        """Counts a call of a model; `calls` is -1 for one that was not made after all."""
        _count(self._models, name, calls)

    def note_tool(self, name: str, kind: ToolKind, calls: int = 1) -> None:
        """As `note_model`, for a tool."""
        _count(self._tools[kind], name, calls)

    def note_not_gated(self, what: Iterable[str]) -> None:
        """Notes parts of the application that an adapter can't gate."""
        for each in what:
            if len(self._not_gated) < MAX_NAMES:
                self._not_gated[each] = None

    def must_advise(self, tool: AskedTool) -> bool:
        """Returns whether the operator must be told that a tool seems to write, which happens once, at its first call."""
        return tool.seems_to_write and tool.name not in self._advised and len(self._advised) < MAX_NAMES

    def advise(self, name: str, reason: str) -> None:
        """Tells the operator once that a tool seems to write."""
        if name not in self._advised:
            self._advised.add(name)
            _log.warning("%s", reason)

    def report(self, uncalled: Iterable[str]) -> CoverageReport:
        """Returns the counts. `uncalled`: see `CoverageReport.uncalled`."""
        return CoverageReport(
            models=dict(+self._models),
            effects=dict(+self._tools["effect"]),
            reads=dict(+self._tools["read"]),
            undeclared=dict(+self._tools["undeclared"]),
            not_gated=tuple(self._not_gated),
            uncalled=tuple(uncalled),
        )


def _count(counted: Counter[str], name: str, calls: int) -> None:
    counted[name if name in counted or len(counted) < MAX_NAMES else OTHERS] += calls
