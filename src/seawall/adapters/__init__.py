"""Adapters: the gate around the loops of other frameworks, and before the tools of other systems. Each is a module of its
own, and imports its framework alone.

- `agent_framework`: `gate` for agents and workflows of Microsoft Agent Framework
- `crewai`: `gate`, a context for crews, agents and flows of CrewAI
- `google_adk`: `SeawallPlugin` for applications of Google ADK
- `langchain`: `SeawallMiddleware` for `create_agent` of LangChain, and for deep agents built on it
- `langgraph`: `gate_graph` and `gate_model` for graphs of your own
- `langchain_core`: what these two share
- `mcp`: `mcp_tools` for the tools of MCP servers in a native team, and the proxy of `seawall proxy`
- `openai_agents`: `SeawallRunner` for agents of the OpenAI Agents SDK
- `pydantic_ai`: `SeawallCapability` for agents of Pydantic AI

A loop of your own is gated with `seawall.Engine` itself; what its models and tools bring is told with the names here.
"""

from seawall.models.protocol import Usage
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import ModelResult, make_tool_result

__all__ = ["ModelResult", "Settled", "Turn", "Usage", "make_tool_result"]
