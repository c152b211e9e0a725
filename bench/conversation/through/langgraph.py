"""The same agent as in `langchain`, as a graph with `gate_model` and `gate_graph`, and no middleware."""

from __future__ import annotations

from conversation.script import Script
from conversation.through import langchain
from conversation.through.play import Place, Say
from conversation.world import World
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.runtime.foreign.engine import Engine

PACKAGES, UNIQUE_IDS = langchain.PACKAGES, langchain.UNIQUE_IDS


def make(place: Place, script: Script, world: World, engine: Engine | None) -> Say:
    """One conversation."""
    model = langchain.make_model(place, script)
    if engine is None:
        return langchain.converse(model, script, world, [], lambda agent: agent)
    return langchain.converse(gate_model(model), script, world, [], lambda agent: gate_graph(engine, agent))
