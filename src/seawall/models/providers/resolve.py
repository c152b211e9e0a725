"""Real models: `resolve("openai:gpt-5.2")`. Needs the extra `providers`.

The extra installs the clients of OpenAI, Anthropic and Google: the three whose wire protocols nearly all others
speak too, most of them OpenAI's (give `base_url`). Together they are about 70 MB with what they need. Nothing of
it is imported before the first `resolve`; that takes about a second, OpenAI's client the smallest part of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.models.protocol import Price

if TYPE_CHECKING:
    from seawall.models.providers.model import ProviderModel
    from seawall.models.providers.watch import WireLimits


@dataclass(frozen=True)
class _Known:
    client: str
    """The module in `clients/`."""
    keys: tuple[str, ...]
    """Environment variables that may hold the key, first one first."""
    base_url: str
    """The environment variable of the base URL."""
    listed: str
    """Its name in the list of prices."""


PROVIDERS = {
    "openai": _Known("openai_chat", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "openai"),
    "openai-responses": _Known("openai_responses", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "openai"),
    "anthropic": _Known("anthropic_messages", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "anthropic"),
    "google": _Known(
        "google_gemini", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "GOOGLE_GEMINI_BASE_URL", "google"
    ),
}
"""`openai` is chat completions, which compatible servers speak; `openai-responses` is OpenAI's newer protocol."""


def resolve(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    price: Price | None = None,
    clock: Clock | None = None,
    limits: WireLimits | None = None,
) -> ProviderModel:
    """The model that `provider:name` names.

    `base_url` is that of a compatible server (`resolve("openai:qwen3", base_url="http://127.0.0.1:8080/v1")`), else
    the provider's environment variable holds it, else it is the provider's own. `api_key` is read from the
    environment too; it may be missing where a base URL is given. Raises `Misused` for a provider that is not known,
    a missing key, or a missing extra.
    """
    provider, separator, name = model.partition(":")
    known = PROVIDERS.get(provider)
    if known is None or not separator or not name:
        names = ", ".join(PROVIDERS)
        raise Misused(f"{model!r} names no model: write provider:name, where provider is one of {names}")
    base_url = base_url or base_url_of(model)
    key = api_key or next((os.environ[one] for one in known.keys if os.environ.get(one)), None)
    if key is None and base_url is None:
        raise Misused(f"{model!r} needs a key: set {' or '.join(known.keys)}, or pass api_key")
    try:
        from seawall.models.providers.model import ProviderModel  # noqa: PLC0415  # an extra, and a second to import

        return ProviderModel(
            model,
            client=known.client,
            base_url=base_url,
            api_key=key,
            price=price,
            clock=clock,
            limits=limits,
        )
    except ImportError as missing:
        raise Misused(
            f"{model!r} needs the provider clients ({missing.name} is not installed):"
            " pip install 'seawall[providers]'"
        ) from missing


def base_url_of(model: str) -> str | None:
    """The base URL that the environment gives for `provider:name`; None if it is the provider's own."""
    known = PROVIDERS.get(model.partition(":")[0])
    return (os.environ.get(known.base_url) or None) if known is not None else None
