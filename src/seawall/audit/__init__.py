"""Audit: recorded calls, from anywhere, through the gate and the guard that would have judged them live.

- `recording.py`: the format, and reading it with bounded memory
- `tools.py`: which recorded tools write, and which are polls
- `auditing.py`: a recorded run, call by call, through `Gate.admit` and `Gate.settle`
"""

from seawall.audit.auditing import Audited, audit
from seawall.audit.recording import BadLine, RecordedCall, RecordedRun, read
from seawall.audit.tools import ToolNames, guards

__all__ = ["Audited", "BadLine", "RecordedCall", "RecordedRun", "ToolNames", "audit", "guards", "read"]
