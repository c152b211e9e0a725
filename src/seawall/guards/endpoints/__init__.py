"""Endpoints: for every tool and model a breaker, retry tokens and a bounded queue, shared by all runs.

- `options.py`: the options, with the reason of each default
- `guard.py`: the guard, with the endpoints of one process by name
- `endpoint.py`: one endpoint in one process: its breaker, its queue, the timer that serves them, and what the end
  of a step says of it
- `breaker.py`: the breaker and the retry tokens, pure; it counts in a `window.py`
- `turns.py`: when those that have waited may call again, one after another
- `wait_queue.py`: the steps that wait for a free slot
- `messages.py`: what agents and people are told
- `record.py`: the record of an endpoint that all processes share, and how a change is merged into it
- `exchange.py`: how a process reports to that record, and receives from it what others reported
- `manual.py`: what a person sees of the endpoints, and sets
"""

from __future__ import annotations

from seawall.guards.endpoints.breaker import Breaker
from seawall.guards.endpoints.guard import Endpoints
from seawall.guards.endpoints.options import EndpointOptions

__all__ = ["Breaker", "EndpointOptions", "Endpoints"]
