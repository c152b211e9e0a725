"""What tests of the provider clients share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_keys_or_urls_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see the environment of a machine without keys."""
    for provider in ("OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI"):
        for what in ("API_KEY", "BASE_URL", "GEMINI_BASE_URL", "AUTH_TOKEN"):
            monkeypatch.delenv(f"{provider}_{what}", raising=False)
