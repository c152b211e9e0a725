"""MCP servers behind the gate: their tools are pinned, and called only as they were accepted.

- `tools.py`: `mcp_tools`, which gives a team the tools of servers
- `proxy.py`: the proxy of `seawall proxy`; `clients.py`, `peers.py`: its clients; `serving.py`: stdin and HTTP
- `servers.py`: the configured servers; `connection.py`: the session with one; `addresses.py`: the addresses that it may
  connect to; `transports.py`: bounds of the messages that come in
- `definitions.py`: a server's description of a tool; `names.py`: names of tools, and which of them look alike
- `pins.py`: the accepted definitions, and those that wait for a person; `pin_store.py`: keeps them in the journal;
  `deciding.py`: how people decide on them
- `pinned_server.py`: a server whose tools are called only as they were accepted; `content.py`: results as text

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
