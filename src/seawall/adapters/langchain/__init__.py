"""LangChain: a middleware that takes the models and tools of `create_agent` through the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    agent = create_agent(model, tools, middleware=[…, SeawallMiddleware(sea)], checkpointer=saver)

It belongs last in the list: then it is next to the model and the tools, and what the others retry or shorten passes it.
What it can't gate: models that other middleware calls itself (a summary, for example), models called inside tools, and tools
that the model's provider runs. `gate_graph(sea, agent)` of `seawall.adapters.langgraph` gates the first two.

- `middleware.py`: the middleware

What it shares with LangGraph's adapter is in `seawall.adapters.langchain_core`.
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("langchain", lowest="1.5", below="2.0", extra="langchain")

from seawall.adapters.langchain.middleware import SeawallMiddleware
from seawall.adapters.langchain_core.places import SeawallHalted, SeawallHeld

__all__ = ["SeawallHalted", "SeawallHeld", "SeawallMiddleware"]
