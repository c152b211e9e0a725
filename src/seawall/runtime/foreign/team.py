"""Stands in for the team of a framework, because Seawall does not know the framework's agents."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from seawall.core.errors import SeawallBug
from seawall.core.events import RunStarted
from seawall.core.limits import Limits
from seawall.models.protocol import ModelReply, ModelRequest, Price, TextDelta
from seawall.runtime.foreign.asks import ROOT, Asks
from seawall.runtime.foreign.tools import ToolDeclarations
from seawall.team.agent import Agent
from seawall.team.team import Team
from seawall.team.tool import Tool


class _AskedModel:
    """Stands for the models of a framework, which calls them itself."""

    name = "asked"
    price = Price(Decimal(0), Decimal(0))

    async def respond(self, request: ModelRequest) -> ModelReply:
        raise SeawallBug("a model that a framework calls was called by Seawall")

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        raise SeawallBug("a model that a framework calls was called by Seawall")


_MODEL = _AskedModel()


class ForeignTeam(Team):
    """The team of one run, whose steps a framework's loop asks for."""

    def __init__(
        self, name: str, agent: str, loop: str, limits: Limits, asks: Asks, tools: ToolDeclarations
    ) -> None:
        """`agent` may have any name, because a framework's agents need not have identifiers as names."""
        safe = re.sub(r"\W", "_", agent)
        safe = safe if safe.isidentifier() else f"_{safe}"
        self.loop = loop
        super().__init__(name, Agent(safe, role=f"Works in {loop}.", model=_MODEL), limits=limits)
        self.asks = asks
        """The asks through which the loop and the run's drivers exchange steps."""
        asks.declared[ROOT] = tools

    @classmethod
    def stand_in(cls, started: RunStarted) -> ForeignTeam:
        """Returns a stand-in for the team of a recorded run that asks for nothing and has no declared tools."""
        return cls(started.team, started.agent, started.loop, started.limits, Asks(), ToolDeclarations())

    def find_asked_tool(self, name: str) -> Tool[..., Any] | None:
        """Returns the tool with the declaration of one of the framework's tools, in whichever frame it is declared."""
        known = dict.fromkeys(self.asks.declared.values())
        declaring = (each for each in known if each.find_kind(name) != "undeclared")
        return next(declaring, self.asks.declared[ROOT]).find_tool(name)

    def find_declarations(self, frame: int) -> ToolDeclarations:
        """Returns what is declared of the tools of a frame."""
        return self.asks.declared.get(frame, self.asks.declared[ROOT])
