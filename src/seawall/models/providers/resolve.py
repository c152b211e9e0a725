"""Real models: `resolve("openai:gpt-5.2")`. Each provider's client is an extra of its name.

The extras `openai`, `anthropic` and `google` install one client each, `providers` all three. Nearly all other providers
speak one of these wire protocols too, most of them OpenAI's (give `base_url`). The three clients and their
dependencies take about 70 MB. No client is imported before the first `resolve`, which takes about a second; OpenAI's
client takes the smallest part of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from seawall.core.clock import Clock
from seawall.core.errors import Misused
from seawall.models.protocol import Price

if TYPE_CHECKING:
    from seawall.models.providers.conversion import MaxTokensField
    from seawall.models.providers.model import ProviderModel
    from seawall.models.providers.watch import WireLimits


@dataclass(frozen=True)
class Provider:
    """The client, extra and environment variables of a provider."""

    client: str
    """The module in `clients/`."""
    extra: str
    """The extra that installs the client."""
    keys: tuple[str, ...]
    """Environment variables that may hold the key. The first one that is set counts."""
    base_url: str
    """The environment variable of the base URL."""
    listed: str
    """The provider's name in the list of prices."""


PROVIDERS = {
    "openai": Provider("openai_chat", "openai", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "openai"),
    "openai-responses": Provider(
        "openai_responses", "openai", ("OPENAI_API_KEY",), "OPENAI_BASE_URL", "openai"
    ),
    "anthropic": Provider(
        "anthropic_messages", "anthropic", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "anthropic"
    ),
    "google": Provider(
        "google_gemini", "google", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "GOOGLE_GEMINI_BASE_URL", "google"
    ),
}
"""Providers by name. `openai` is the protocol of chat completions, which compatible servers speak; `openai-responses` is
OpenAI's newer protocol."""


_MAX_TOKENS_FIELDS: tuple[MaxTokensField, ...] = ("max_completion_tokens", "max_tokens", "both")
_FIELDS_BY_DOMAIN: dict[str, MaxTokensField] = {
    "openai.com": "max_completion_tokens",  # refuses both at once
    "azure.com": "max_completion_tokens",
    "mistral.ai": "max_tokens",  # refuses fields that it does not know
}


def resolve(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    price: Price | None = None,
    clock: Clock | None = None,
    limits: WireLimits | None = None,
    max_tokens_field: MaxTokensField | None = None,
) -> ProviderModel:
    """Returns the model of the name `provider:name`.

    `base_url` is the address of a compatible server (`resolve("openai:qwen3", base_url="http://127.0.0.1:8080/v1")`).
    Without it the provider's environment variable is used, or else the provider's own address. `api_key` is also read
    from the environment if it is not given; it may be missing if there is a base URL.

    `max_tokens_field` is for chat completions: the field that limits the length of a reply, `max_completion_tokens`,
    `max_tokens` or `both`. OpenAI takes the first, Mistral the second. Other servers get both by default, because many
    know only one of them and ignore the other.

    Raises `Misused` for an unknown provider, a missing key, or a missing extra.
    """
    provider, separator, name = model.partition(":")
    known = PROVIDERS.get(provider)
    if known is None or not separator or not name:
        names = ", ".join(PROVIDERS)
        raise Misused(f"{model!r} is not a model: write provider:name, where provider is one of {names}")
    model_class = _import_model(model, known)  # before the key, so that a missing extra is reported first
    base_url = base_url or find_base_url(model)
    key = api_key or next((os.environ[one] for one in known.keys if os.environ.get(one)), None)
    if key is None and base_url is None:
        raise Misused(f"{model!r} needs a key: set {' or '.join(known.keys)}, or pass api_key")
    field = _choose_max_tokens_field(model, provider, base_url, max_tokens_field)
    return model_class(
        model,
        client=known.client,
        base_url=base_url,
        api_key=key,
        price=price,
        clock=clock,
        limits=limits,
        max_tokens_field=field,
    )


def _import_model(model: str, known: Provider) -> type[ProviderModel]:
    """Imports everything that a provider's models need. Raises `Misused` if its extra is not installed."""
    try:
        from seawall.models.providers.clients.http import load_builder  # noqa: PLC0415  # an extra
        from seawall.models.providers.model import ProviderModel  # noqa: PLC0415  # an extra, and a second to import

        load_builder(known.client)
    except ImportError as missing:
        raise Misused(
            f"{model!r} needs the extra {known.extra!r} (module {missing.name!r} is not installed):"
            f" pip install 'path/to/seawall[{known.extra}]'"
        ) from missing
    return ProviderModel


def _choose_max_tokens_field(
    model: str, provider: str, base_url: str | None, given: MaxTokensField | None
) -> MaxTokensField | None:
    """Returns the field that limits the length of a reply; None for the protocols with only one such field."""
    if given is not None and given not in _MAX_TOKENS_FIELDS:
        names = ", ".join(map(repr, _MAX_TOKENS_FIELDS))
        raise Misused(f"max_tokens_field is {given!r}; it must be one of {names}")
    if provider != "openai":
        if given is not None:
            raise Misused(f"max_tokens_field = {given!r} is for openai:NAME only, not for {model!r}")
        return None
    host = f".{urlsplit(base_url or '').hostname or ''}"
    if given is not None:
        return given
    for domain, field in _FIELDS_BY_DOMAIN.items():
        if host.endswith(f".{domain}"):
            return field
    return "both" if base_url else "max_completion_tokens"


def find_base_url(model: str) -> str | None:
    """Returns the base URL that the environment sets for `provider:name`; None for the provider's own address."""
    known = PROVIDERS.get(model.partition(":")[0])
    return (os.environ.get(known.base_url) or None) if known is not None else None
