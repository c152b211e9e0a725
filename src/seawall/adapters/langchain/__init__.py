"""LangChain: a middleware that takes the models and tools of `create_agent` through the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    agent = create_agent(model, tools, middleware=[…, SeawallMiddleware(sea)], checkpointer=saver)

It belongs last in the list: then it is next to the model and the tools, and each call that other middleware retries or
shortens passes it. It can't gate models that other middleware calls itself (for a summary, for example), models called inside
tools, and tools that the model's provider runs. `gate_graph(sea, agent)` of `seawall.adapters.langgraph` gates the first two.

- `middleware.py`: the middleware

`seawall.adapters.langchain_core` holds what this adapter shares with LangGraph's.
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("langchain", lowest="1.5", below="2.0", extra="langchain")

from seawall.adapters.langchain.middleware import SeawallMiddleware
from seawall.adapters.langchain_core.places import SeawallHalted
from seawall.adapters.langchain_core.questions import SeawallHeld

__all__ = ["SeawallHalted", "SeawallHeld", "SeawallMiddleware"]
