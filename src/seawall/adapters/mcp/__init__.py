"""MCP servers behind the gate: their tools for a native team, pinned, and called only as they were accepted.

- `tools.py`: `mcp_tools`, which gives a team the tools of servers
- `servers.py`: which servers there are; `connection.py`: the session with one; `addresses.py`: where it may lead;
  `transports.py`: what may come over it
- `definitions.py`: what a server says of a tool; `names.py`: how tools are called, and which look alike
- `pins.py`: what was accepted, and what waits for a person; `pin_store.py`: in the journal; `deciding.py`: by whom
- `pinned_server.py`: a server whose tools are called only as they were accepted; `content.py`: what they return

It needs the extra `mcp`.
"""

from __future__ import annotations

from seawall.adapters.mcp.connection import McpBroken
from seawall.adapters.mcp.deciding import accept_tool, list_pins, reject_tool
from seawall.adapters.mcp.pins import Pin
from seawall.adapters.mcp.tools import McpOptions, McpTools, mcp_tools

__all__ = [
    "McpBroken",
    "McpOptions",
    "McpTools",
    "Pin",
    "accept_tool",
    "list_pins",
    "mcp_tools",
    "reject_tool",
]
