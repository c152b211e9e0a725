"""The frameworks that `seawall wrap` knows, one file for each."""

from __future__ import annotations

from seawall.wrap.finding import FrameworkName
from seawall.wrap.frameworks.agent_framework import AGENT_FRAMEWORK
from seawall.wrap.frameworks.crewai import CREWAI
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.frameworks.google_adk import GOOGLE_ADK
from seawall.wrap.frameworks.langchain import LANGCHAIN
from seawall.wrap.frameworks.langgraph import LANGGRAPH
from seawall.wrap.frameworks.mcp import MCP
from seawall.wrap.frameworks.openai_agents import OPENAI_AGENTS
from seawall.wrap.frameworks.pydantic_ai import PYDANTIC_AI

FRAMEWORKS: dict[FrameworkName, Framework] = {
    each.name: each
    for each in (
        LANGCHAIN,
        LANGGRAPH,
        OPENAI_AGENTS,
        PYDANTIC_AI,
        CREWAI,
        GOOGLE_ADK,
        AGENT_FRAMEWORK,
        MCP,
    )
}

__all__ = ["FRAMEWORKS", "Framework"]
