"""No framework: the whole transcript is sent each time, and a window that is full is an error."""

from __future__ import annotations

from drifts import WINDOW_TOKENS, Played
from drifts.mind import Shown, count_tokens, think
from drifts.world import Shop, World, split_look


class PlainDesk:
    """A loop around a model, as most first versions are."""

    version = "a loop of 20 lines"
    setting = "the whole transcript"

    def __init__(self, world: World) -> None:
        self._shown: list[Shown] = []

    async def open(self, imported: list[tuple[str, str]]) -> None:
        self._shown.append(Shown("other", "You look after orders."))

    async def say(self, request: str, *, breaks: bool) -> Played:
        text, status, failures = split_look(request)
        shop = Shop(status, failures)
        self._shown.append(Shown("user", text))
        tokens = 0
        while True:
            sent = count_tokens(self._shown)
            if sent > WINDOW_TOKENS:
                return Played("", tokens)
            tokens += sent
            said = think(self._shown, memory=False)
            if not said.call:
                if breaks:
                    return Played("", tokens)
                self._shown.append(Shown("assistant", said.text))
                return Played(said.text, tokens)
            self._shown.append(Shown("assistant", f"{said.call}({said.arguments})"))
            try:
                result = shop.find(said.arguments["order_id"])
            except RuntimeError as error:
                result = f"Error: {error}"
            self._shown.append(Shown("tool", result, said.call))

    async def tell_elsewhere(self, key: str, value: str) -> None:
        """It has no memory that another session could write to."""

    async def close(self) -> None: ...


def desk(world: World) -> PlainDesk:
    return PlainDesk(world)
