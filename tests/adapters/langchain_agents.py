"""Agents of LangChain that pass the gate, for tests of graphs. The lowest version of LangGraph is tested without LangChain."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from seawall.runtime.foreign.engine import Engine

HAS_AGENTS = find_spec("langchain") is not None
KINDS = ("graph", "agent") if HAS_AGENTS else ("graph",)
"""What may work in a node: a gated graph, or a gated agent where LangChain is installed."""


def make_agent(engine: Engine, model: Any, tools: Any, **options: Any) -> Any:
    """Returns an agent whose calls pass the gate."""
    from langchain.agents import create_agent

    from seawall.adapters.langchain import SeawallMiddleware

    return create_agent(model, tools, middleware=[SeawallMiddleware(engine)], **options)
