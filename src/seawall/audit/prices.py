"""The cost of recorded model calls, for models that have a price in the list of the extra `prices`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from seawall.audit.recording import RecordedMessage
from seawall.models.prices import find_price
from seawall.models.protocol import Price
from seawall.models.usage import check_usage

MAX_MODELS = 1_000
"""Models whose price is remembered, which is more than any recording names."""
_PROVIDERS = {
    "gpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "chatgpt": "openai",
    "codex": "openai",
    "claude": "anthropic",
    "gemini": "google",
}
"""The provider by the beginning of a model's name, because recordings seldom name the provider."""


def _find_listed(model: str, at: float) -> Price | None:
    return find_price(model, at=at)


def name_model(model: str) -> str:
    """Returns a recorded model's name as `provider:name`; "" if the provider is not known from it."""
    name = model.rpartition("/")[2].rpartition(":")[2].strip().lower()
    name = name.rpartition(".")[2] if name.startswith(("us.", "eu.", "anthropic.")) else name
    provider = next((one for begin, one in _PROVIDERS.items() if name.startswith(begin)), "")
    return f"{provider}:{name}" if provider else ""


class RecordedPrices:
    """Today's prices of the models of a recording. If the list has several prices for a model, the highest counts."""

    def __init__(self, at: float, find: Callable[[str, float], Price | None] | None = None) -> None:
        """`at` is the present time in wall seconds. `find` returns the price of `provider:name` at a time; by default it is
        read from the list.
        """
        self._at, self._find = at, find or _find_listed
        self._known: dict[str, Price | None] = {}
        self.unknown: set[str] = set()
        """Models without a price."""

    def __repr__(self) -> str:
        return f"<RecordedPrices of {len(self._known)} models>"

    def compute_usd(self, reply: RecordedMessage) -> Decimal | None:
        """Returns what a reply has cost, at most; None if its tokens or the price of its model are not known."""
        if reply.usage is None:
            return None
        price = self._find_price(reply.model)
        if price is None:
            if reply.model and len(self.unknown) < MAX_MODELS:
                self.unknown.add(reply.model)
            return None
        usage, usd = check_usage(reply.usage, price)
        return None if usage.problem else usd

    def _find_price(self, model: str) -> Price | None:
        if model not in self._known:
            if len(self._known) >= MAX_MODELS:
                self._known.clear()
            named = name_model(model)
            self._known[model] = self._find(named, self._at) if named else None
        return self._known[model]
