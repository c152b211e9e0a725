"""The same agent as in `langchain`, as a graph that `gate_graph` gates from outside."""

from __future__ import annotations

from conversation.script import Script
from conversation.through import langchain
from conversation.through.play import Place, Say
from conversation.world import World
from seawall.adapters.langgraph import gate_graph
from seawall.runtime.foreign.engine import Engine

PACKAGES, UNIQUE_IDS = langchain.PACKAGES, langchain.UNIQUE_IDS


def make(place: Place, script: Script, world: World, engine: Engine | None) -> Say:
    """One conversation."""
    gate = (lambda agent: agent) if engine is None else (lambda agent: gate_graph(engine, agent))
    return langchain.converse(place, script, world, gate, [])
