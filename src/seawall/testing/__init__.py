"""What users need to test their own teams, without a network and without waiting.

- `ManualClock`: time passes when the test says so (`clock.py`).
"""

from __future__ import annotations

from seawall.testing.clock import ManualClock

__all__ = ["ManualClock"]
