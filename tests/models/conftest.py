"""Fixtures of the tests of the provider clients."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_keys_or_urls_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes every provider's keys and base URLs from the environment."""
    for provider in ("OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI"):
        for what in ("API_KEY", "BASE_URL", "GEMINI_BASE_URL", "AUTH_TOKEN"):
            monkeypatch.delenv(f"{provider}_{what}", raising=False)
