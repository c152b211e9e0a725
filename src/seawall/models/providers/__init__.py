"""Real models, by their provider's wire protocol. No client is imported before the first `resolve`.

- `resolve.py`: `resolve("openai:gpt-5.2")`
- `model.py`: the `Model` over a client; `conversion.py`, `failures.py` and `watch.py` are its parts
- `clients/`: one module for each protocol
"""

from seawall.models.providers.resolve import PROVIDERS, find_base_url, resolve

__all__ = ["PROVIDERS", "find_base_url", "resolve"]
