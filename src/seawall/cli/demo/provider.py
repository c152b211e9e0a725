"""The model provider of the demo: it plays scripts, counts and charges in the world, and may be overloaded there."""

from __future__ import annotations

from decimal import Decimal

from seawall.cli.demo.world import World
from seawall.models.protocol import ModelFailed, ModelReply, ModelRequest, Price
from seawall.models.scripted import ScriptedModel, ScriptFunction

PRICE = Price(Decimal("1.25"), Decimal(10))
"""For a million tokens in and out: what a large model of a big provider costs."""


class Metered(ScriptedModel):
    """A scripted model whose provider is in the world: it counts, charges, and may be overloaded."""

    def __init__(self, script: ScriptFunction, world: World, *, name: str, payer: str) -> None:
        super().__init__(script, name=name, price=PRICE, keep_requests=0)
        self._world = world
        self._payer = payer

    async def respond(self, request: ModelRequest) -> ModelReply:
        """The script's next reply. Raises `ModelFailed` while the provider is overloaded."""
        if not self._world.think(self._payer):
            raise ModelFailed("overloaded", "529 from the provider: overloaded")
        reply = await super().respond(request)
        self._world.bill(self._payer, PRICE.usd(reply.usage))
        return reply
