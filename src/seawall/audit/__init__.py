"""Audit: sends recorded calls, from any system, through the gate and the guard that would have judged them live.

- `recording.py`: the format, and how it is read with bounded memory
- `tools.py`: which recorded tools write, and which are polls
- `auditing.py`: sends a recorded run, call by call, through `Gate.admit` and `Gate.settle`
"""

from seawall.audit.auditing import AuditResult, audit
from seawall.audit.recording import BadLine, RecordedCall, RecordedRun, read_runs
from seawall.audit.tools import ToolNames, make_guards

__all__ = [
    "AuditResult",
    "BadLine",
    "RecordedCall",
    "RecordedRun",
    "ToolNames",
    "audit",
    "make_guards",
    "read_runs",
]
