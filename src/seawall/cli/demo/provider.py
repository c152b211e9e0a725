"""The model provider of the demo: it plays scripts, and the world counts its calls, charges them, and may overload it."""

from __future__ import annotations

from decimal import Decimal

from seawall.cli.demo.world import World
from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, Price
from seawall.models.scripted import ScriptedModel, ScriptFunction

PRICE = Price(Decimal("1.25"), Decimal(10))
"""US dollars for a million tokens in and out, as for a large model of a big provider."""


class MeteredModel(ScriptedModel):
    """A scripted model whose calls the world counts and charges."""

    def __init__(self, script: ScriptFunction, world: World, *, name: str, payer: str) -> None:
        super().__init__(script, name=name, price=PRICE, keep_requests=0)
        self._world = world
        self._payer = payer

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Returns the script's next reply. Raises `ModelFailed` while the provider is overloaded."""
        if not self._world.receive_model_call(self._payer):
            raise ModelFailed("overloaded", "529 from the provider: overloaded")
        reply = await super().respond(request)
        self._world.charge(self._payer, PRICE.usd(reply.usage))
        return reply
