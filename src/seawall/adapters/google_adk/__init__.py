"""Google ADK: a plugin that takes the models and tools of an application through the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    runner = Runner(app=App(name="desk", root_agent=agent, plugins=[SeawallPlugin(sea)]), session_service=sessions)

- `plugin.py`: `SeawallPlugin`, which follows an invocation from its beginning to its end
- `gating.py`: the gated subclasses that the plugin puts in the place of the classes of tools and models
- `invocation.py`: one invocation: the steps of its models and tools, and its end
- `places.py`: the frames in which agents work, and the errors that end an invocation
- `identity.py`: whose request an invocation answers
- `messages.py`: how ADK's requests, replies and results are recorded and restored

The plugin can't gate tools that the model's provider runs (Google Search, code execution, …), live mode, agents that run on
another server, and models that a tool calls by itself. `engine.coverage()` names those that it meets.
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("google-adk", lowest="2.13", below="2.14", extra="google-adk")

from seawall.adapters.google_adk.places import AdkHalted, AdkHeld, AdkRefused, find_held, find_outcome
from seawall.adapters.google_adk.plugin import SeawallPlugin

__all__ = ["AdkHalted", "AdkHeld", "AdkRefused", "SeawallPlugin", "find_held", "find_outcome"]
