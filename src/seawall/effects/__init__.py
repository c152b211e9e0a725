"""Effects: calls that change the world are made once, and approved if needed."""

from __future__ import annotations

from seawall.effects.options import Approve, Effect, above, always

__all__ = ["Approve", "Effect", "above", "always"]
