"""What stands for the team of a framework, of which Seawall knows no definition."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from seawall.core.errors import SeawallBug
from seawall.core.events import RunStarted
from seawall.core.limits import Limits
from seawall.models.protocol import ModelReply, ModelRequest, Price, TextDelta
from seawall.runtime.foreign.asks import Asks
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
        """`agent` may have any name: a framework's agents need not be called by identifiers."""
        safe = re.sub(r"\W", "_", agent)
        safe = safe if safe.isidentifier() else f"_{safe}"
        self.loop = loop
        self._tools = tools
        super().__init__(name, Agent(safe, role=f"Works in {loop}.", model=_MODEL), limits=limits)
        self.asks = asks
        """Where the loop and the drivers of the run meet."""

    @classmethod
    def stand_in(cls, started: RunStarted) -> ForeignTeam:
        """Returns what stands for the team of a recorded run where nothing is asked for: nothing is declared of its tools."""
        return cls(started.team, started.agent, started.loop, started.limits, Asks(), ToolDeclarations())

    def find_asked_tool(self, name: str) -> Tool[..., Any] | None:
        """Returns what is declared of one of the framework's tools."""
        return self._tools.find_tool(name)
