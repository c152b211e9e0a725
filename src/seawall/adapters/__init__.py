"""Adapters: the gate around the loops of other frameworks, and before the tools of other systems. Each is a module of its
own, and imports its framework alone.

- `langchain`: `SeawallMiddleware` for `create_agent` of LangChain, and for deep agents built on it
- `mcp`: `mcp_tools` for the tools of MCP servers in a native team, and the proxy of `seawall proxy`
"""
