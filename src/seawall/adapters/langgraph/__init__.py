"""LangGraph: takes the models, tools and sub-graphs of a compiled graph through the gate.

    graph = gate_graph(sea, builder.compile(checkpointer=saver), effects=["refund"])
    graph.invoke({"messages": […]}, {"configurable": {"thread_id": "t-1"}})

One invocation is one run. The run ends with the graph, fails if the graph raises, and stays open if the graph is interrupted.
Each `ToolNode` and each sub-graph among the nodes is gated. A model that a node calls is gated by callbacks. A model from
`gate_model` can also be given its recorded reply after a crash, and is told the guards' advice.

- `graph.py`: `gate_graph`
- `invocation.py`: one invocation of a graph, as a run or as a frame in one
- `callbacks.py`: models and tools that nodes call by themselves
- `model.py`: `gate_model`

`seawall.adapters.langchain_core` holds what this adapter shares with LangChain's.
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("langgraph", lowest="1.2", below="2.0", extra="langgraph")

from seawall.adapters.langchain_core.places import SeawallHalted
from seawall.adapters.langchain_core.questions import SeawallHeld
from seawall.adapters.langgraph.graph import gate_graph
from seawall.adapters.langgraph.model import gate_model

__all__ = ["SeawallHalted", "SeawallHeld", "gate_graph", "gate_model"]
