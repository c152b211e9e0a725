"""Microsoft Agent Framework: middleware that takes an agent's models and tools through the gate.

    sea = seawall.Engine("desk.db")
    agent = Agent(client, tools=tools, middleware=[gate(sea, effects=["refund"])])

- `middleware.py`: `gate`, and the middleware that it puts around models and tools, next to them
- `run.py`: one run of an agent, with its session and its frame; `identity.py`: whose request a run answers
- `request.py`: `gated_request`, one request that several agents answer, as in a workflow
- `holds.py`: calls that a person must decide on, as the framework's requests for approval
- `messages.py`: how the framework's messages and the values of its tools are recorded and restored
- `tools.py`: the framework's tools, and which of them can't be gated
- `streams.py`: replies and runs that come as streams
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("agent-framework-core", lowest="1.23", below="1.24", extra="agent-framework")

from seawall.adapters.agent_framework.middleware import gate
from seawall.adapters.agent_framework.request import GatedRequest, gated_request
from seawall.adapters.agent_framework.run import MiddlewareHalted, MiddlewareHeld

__all__ = ["GatedRequest", "MiddlewareHalted", "MiddlewareHeld", "gate", "gated_request"]
