"""Adapters: the gate around the loops of other frameworks, and before the tools of other systems. Each adapter is a separate
module, and imports only its own framework.

- `agent_framework`: `gate` for agents and workflows of Microsoft Agent Framework
- `crewai`: `gate`, a context for crews, agents and flows of CrewAI
- `google_adk`: `SeawallPlugin` for applications of Google ADK
- `langchain`: `SeawallMiddleware` for `create_agent` of LangChain, and for deep agents built on it
- `langgraph`: `gate_graph` and `gate_model` for graphs of your own
- `langchain_core`: code that these two share
- `mcp`: `mcp_tools` for the tools of MCP servers in a native team, and the proxy of `seawall proxy`
- `openai_agents`: `SeawallRunner` for agents of the OpenAI Agents SDK
- `pydantic_ai`: `SeawallCapability` for agents of Pydantic AI

Your own loop is gated with `seawall.Engine` itself; the names here describe the results of its models and tools to the gate.
"""

from seawall.models.protocol import Usage
from seawall.runtime.foreign.asks import Settled, Turn
from seawall.runtime.foreign.results import ModelResult, make_tool_result

__all__ = ["ModelResult", "Settled", "Turn", "Usage", "make_tool_result"]
