"""What users need to test their own teams, without a network and without waiting.

- `ManualClock`: time passes when the test says so (`clock.py`).
- `ScriptedModel` and `say`, `call`, `calls`, `fail`, `slow`, `hang`: a model that follows a script.
"""

from __future__ import annotations

from seawall.models.scripted import ScriptedModel, ScriptEnded, call, calls, fail, hang, say, slow
from seawall.testing.clock import ManualClock

__all__ = ["ManualClock", "ScriptEnded", "ScriptedModel", "call", "calls", "fail", "hang", "say", "slow"]
