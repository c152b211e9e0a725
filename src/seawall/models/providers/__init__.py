"""Real models, by their provider's wire protocol. Nothing of a client is imported before the first `resolve`.

- `resolve.py`: `resolve("openai:gpt-5.2")`
- `model.py`: the `Model` over a client; `conversion.py`, `failures.py` and `watch.py` are its parts
- `clients/`: one module a protocol
"""

from seawall.models.providers.resolve import PROVIDERS, base_url_of, resolve

__all__ = ["PROVIDERS", "base_url_of", "resolve"]
