"""Puts a reply into the form that its protocol specifies, before a provider's client reads it.

Servers that speak a provider's protocol differ in details: a number is written as 12.0, an id is missing, the calls of
a stream all have the same index. Each client reads some of these forms and not others, and reads a stream in another
way than a whole reply. So one class for each protocol removes the differences before the client reads the reply, and a
stream gives the same result as a whole reply.

- `protocol.py`: what they have in common; `find_normalizer` is here
- `openai_chat.py`, `openai_responses.py`, `anthropic_messages.py`, `google_gemini.py`: one for each client
- `calls.py`, `counts.py`, `values.py`: calls in pieces, usage in many reports, single values
- `events.py`: server-sent events as bytes
"""

from __future__ import annotations

import importlib

from seawall.models.providers.normalizers.protocol import Normalizer

__all__ = ["Normalizer", "find_normalizer"]


def find_normalizer(client: str, tools: frozenset[str]) -> Normalizer:
    """Returns a new normalizer for one reply of `clients/{client}.py`; `tools` are the names that were offered."""
    made: Normalizer = importlib.import_module(f"{__name__}.{client}").make(tools)
    return made
