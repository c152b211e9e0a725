"""OpenAI Agents SDK: a runner that takes models and tools through the gate.

    sea = seawall.Engine("desk.db")
    runner = SeawallRunner(sea, effects=["refund"])
    result = await runner.run(agent, "Refund order 1042", request_id="r-17")

- `runner.py`: `SeawallRunner`, which runs agents, and `find_outcome`
- `going_on.py`: continues a `RunState` with the decisions of people
- `nested.py`: agents that tools and guardrails run
- `gating.py`: gated copies of agents, tools and hand-offs; `models.py`: gated models
- `client_tools.py`: gated copies of shell, patch and custom tools
- `place.py`: the agent, the frame and the call that code runs in, and the errors that end a run of the SDK
- `replies.py`: how requests, replies and results of the SDK are recorded and restored

The adapter can't gate tools that the provider runs (web search, code interpreter, hosted MCP servers, …), the SDK's
computer tool, and models that a function calls by itself. `engine.coverage()` lists those that agents have.
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("openai-agents", lowest="0.24", below="0.25", extra="openai-agents")

from seawall.adapters.openai_agents.gating import get_original
from seawall.adapters.openai_agents.place import AgentsHalted, AgentsHeld
from seawall.adapters.openai_agents.runner import SeawallRunner, find_outcome

__all__ = ["AgentsHalted", "AgentsHeld", "SeawallRunner", "find_outcome", "get_original"]
