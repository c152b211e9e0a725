"""A model that counts what it is asked as a provider would, and a team that calls it many times at once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from seawall import Agent, Limits, Price, Team
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, Usage
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, say

PRICE = Price(Decimal(2), Decimal(10))
FREE = Price(Decimal(0), Decimal(0))


class Metered:
    """A model that counts what it is asked, tokens and money as a provider would."""

    def __init__(self, *, said: int = 50, price: Price = PRICE, fails: int = 0) -> None:
        self.name = "metered"
        self.price = price
        self.calls = self.tokens = self.most_at_once = 0
        self._said = said
        self._flying = 0
        self._fails = fails

    @property
    def usd(self) -> Decimal:
        return self.price.input_usd_per_mtok * self.tokens / 1_000_000

    async def respond(self, request: ModelRequest) -> ModelReply:
        self.calls += 1
        self._flying += 1
        self.most_at_once = max(self.most_at_once, self._flying)
        # Never more than a token a byte, which is what is reserved.
        read = sum(len(message.content or "") for message in request.messages) // 2
        self.tokens += read + self._said
        for _ in range(3):
            await asyncio.sleep(0)
        self._flying -= 1
        if self.calls <= self._fails:
            raise ConnectionError("reset")
        return ModelReply(message=Assistant("found it"), usage=Usage(read, self._said))

    def stream(self, request: ModelRequest) -> Any:
        raise NotImplementedError


def wide(children: int, model: Any, *, boss: ScriptedModel | None = None, **limits: Any) -> Team:
    """Returns a team whose coordinator hands a task to so many specialists at once."""
    asks = calls(*[call(f"ask_c{i}", task=f"find {i}") for i in range(children)])
    boss = boss or ScriptedModel([asks, say("Done.")], price=FREE, usage=Usage(10, 1))
    clerks = [Agent(f"c{i}", model=model, max_output_tokens=100, retries=0) for i in range(children)]
    everything: dict[str, Any] = {"handoffs": 64, "model_calls": 100, **limits}
    return Team("desk", Agent("boss", model=boss), specialists=clerks, limits=Limits(**everything))
