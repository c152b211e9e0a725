"""Tools to test teams without a network and without waiting.

- `ManualClock`: a clock that advances when the test says so (`clock.py`).
- `ScriptedModel` and `say`, `call`, `calls`, `fail`, `slow`, `hang`: a model that follows a script.
- `ModelServer`: a model server on loopback that fails on demand (`model_server/`, its faults in `faults.py`),
  and `Recording`, which plays recorded conversations (`recording.py`). It needs the extra `modelserver`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from seawall.models.scripted import ScriptedModel, ScriptEnded, call, calls, fail, hang, say, slow
from seawall.testing.clock import ManualClock

if TYPE_CHECKING:
    from seawall.testing.model_server import ModelServer
    from seawall.testing.recording import Recording

__all__ = [
    "ManualClock",
    "ModelServer",
    "Recording",
    "ScriptEnded",
    "ScriptedModel",
    "call",
    "calls",
    "fail",
    "hang",
    "say",
    "slow",
]
if not TYPE_CHECKING and find_spec("h11") is None:
    # `import *` leaves it out; an import by name raises an error that says which extra is missing
    __all__.remove("ModelServer")  # noqa: PYI056 -- type checkers are not shown it


def __getattr__(name: str) -> object:
    """Imports `ModelServer` and `Recording` on first use: the server needs an extra that other tests do not need."""
    if name == "ModelServer":
        from seawall.testing.model_server import ModelServer  # noqa: PLC0415  # needs h11, an extra

        return ModelServer
    if name == "Recording":
        from seawall.testing.recording import Recording  # noqa: PLC0415  # seldom used

        return Recording
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
