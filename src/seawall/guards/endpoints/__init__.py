"""Endpoints: a breaker, retry tokens and a bounded line for every tool and model, shared by all runs.

- `options`: what may be set; `breaker`: the pure part, over a `window` of counts, with retry `tokens`
- `line`: who waits
- `answers`: what a call says of its endpoint; `told`: what an agent is told
- `endpoint`: these together, for one endpoint; `shared`: all of them, as the gate asks them
- `record`: what processes agree on; `sharing`: how they come to agree
- `person`: what a person sees, and sets
"""

from __future__ import annotations

from seawall.guards.endpoints.breaker import Breaker
from seawall.guards.endpoints.guard import Endpoints
from seawall.guards.endpoints.options import EndpointOptions

__all__ = ["Breaker", "EndpointOptions", "Endpoints"]
