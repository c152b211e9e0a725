"""Pydantic AI with `SeawallCapability`.

`default`: its own `request_limit` of 50 holds beside Seawall's limits. `docs` and `fitted`: there is none, so that those of
Seawall hold; and the retrying transport of its documentation, whose attempts are one step.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic_ai import UsageLimits

from limits.asked import Asked
from limits.systems.gate import Gate, Gated
from limits.systems.pydantic_ai import PydanticAI
from seawall.adapters.pydantic_ai import SeawallCapability


async def setup(asked: Asked) -> Gated:
    """For one cell."""
    gate = Gate(asked)
    gated = [SeawallCapability(gate.engine)]
    plain = replace(asked, config="default")
    if asked.config == "default":
        own = "Pydantic AI: nothing (request_limit 50; client: 2 retries)"
        return Gated(PydanticAI(plain, gated), gate, own)
    inner = PydanticAI(plain, gated, UsageLimits(request_limit=None), retries=True)
    return Gated(inner, gate, "Pydantic AI: no request_limit, retrying transport (5 attempts)")
