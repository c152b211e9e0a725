"""Effects: what changes the world is done once, and signed off."""

from __future__ import annotations

from seawall.effects.options import Approve, Effect, above, always

__all__ = ["Approve", "Effect", "above", "always"]
