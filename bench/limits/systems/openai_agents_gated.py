"""OpenAI Agents with `SeawallRunner`.

`default`: the SDK's own `max_turns` of 10 holds beside Seawall's limits. `docs` and `fitted`: it is out of reach, so that
those of Seawall hold; retries are the runner's, and none the client's, as the page on the adapter advises.
"""

from __future__ import annotations

from dataclasses import replace

from agents import ModelSettings

from limits.asked import Asked
from limits.systems.gate import UNBOUNDED, Gate, Gated
from limits.systems.openai_agents import OpenAIAgents, make_retries
from seawall.adapters.openai_agents import SeawallRunner


async def setup(asked: Asked) -> Gated:
    """For one cell."""
    gate = Gate(asked)
    runner = SeawallRunner(gate.engine)
    plain = replace(asked, config="default")
    if asked.config == "default":
        return Gated(
            OpenAIAgents(plain, runner), gate, "OpenAI Agents: nothing (max_turns 10; client: 2 retries)"
        )
    settings = ModelSettings(retry=make_retries())
    own = OpenAIAgents(plain, runner, settings=settings, max_turns=UNBOUNDED, client_retries=0)
    return Gated(own, gate, f"OpenAI Agents: max_turns {UNBOUNDED:,}, ModelRetrySettings(4)")
