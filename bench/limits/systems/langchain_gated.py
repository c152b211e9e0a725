"""LangChain with `SeawallMiddleware`, and none of LangChain's own limits.

`docs` and `fitted`: the retries of LangChain's documentation, before the gate, and none of the client's, as the page on the
adapter advises.
"""

from __future__ import annotations

from dataclasses import replace

from limits.asked import Asked
from limits.systems.gate import Gate, Gated
from limits.systems.langchain import LangChain, make_retries
from seawall.adapters.langchain import SeawallMiddleware


async def setup(asked: Asked) -> Gated:
    """For one cell."""
    gate = Gate(asked)
    middleware = [SeawallMiddleware(gate.engine)]
    plain = replace(asked, config="default")
    if asked.config == "default":
        return Gated(LangChain(plain, middleware), gate, "LangChain: nothing (client: 2 retries)")
    own = LangChain(plain, [*make_retries(), *middleware], client_retries=0)
    return Gated(own, gate, "LangChain: ModelRetry(3), ToolRetry(3)")
