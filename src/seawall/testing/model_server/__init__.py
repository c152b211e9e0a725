"""A model server on loopback that speaks OpenAI chat completions, streamed and not, and misbehaves on demand.

    async with ModelServer(lambda request: say("It was sent.")) as server:
        model = resolve("openai:any", base_url=server.base_url)

- `server.py`: the server
- `__main__.py`: `python -m seawall.testing.model_server` runs one in a process of its own

Needs the extra `modelserver` (h11).
"""

from __future__ import annotations

from seawall.testing.model_server.server import Handler, LoggedRequest, ModelServer

__all__ = ["Handler", "LoggedRequest", "ModelServer"]
