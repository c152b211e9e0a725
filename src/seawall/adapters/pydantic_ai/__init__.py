"""Pydantic AI: a capability that takes an agent's models and tools through the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    agent = Agent(model, tools=tools, capabilities=[SeawallCapability(sea)])

- `capability.py`: `SeawallCapability`; `toolset.py`: its wrapper around the tools
- `models.py`: its wrapper around the model, for whole replies and for streams
- `run.py`: one run of an agent, with its session and its frame; `identity.py`: whose request a run answers
- `messages.py`: how Pydantic AI's messages and the values of its tools are recorded and restored
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("pydantic-ai-slim", lowest="2.68", below="3.0", extra="pydantic-ai")

from seawall.adapters.pydantic_ai.capability import SeawallCapability
from seawall.adapters.pydantic_ai.run import AgentHalted, AgentHeld

__all__ = ["AgentHalted", "AgentHeld", "SeawallCapability"]
