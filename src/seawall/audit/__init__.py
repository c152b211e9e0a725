"""Audit: sends recorded calls, from any system, through the gate and the guard that would have judged them live.

- `reading.py`: files and folders; which format a value has; `values.py`: the JSON values of a file
- `formats/`: one file for each format of recordings
- `messages.py`: a message of any family; `gathering.py`: a run from its pieces; `spans.py`: a run from spans
- `recording.py`: what a recorded run is
- `tools.py`: which recorded tools write, and which are polls
- `auditing.py`: sends a recorded run, call by call, through `Gate.admit` and `Gate.settle`
- `findings.py`: all that is found in a run, with `prices.py`; `report.py`: what is found in all runs
"""

from seawall.audit.auditing import AuditResult, audit
from seawall.audit.findings import RunAuditor, RunFindings
from seawall.audit.prices import RecordedPrices
from seawall.audit.reading import RecordingFile, list_files, read_runs
from seawall.audit.recording import BadLine, RecordedCall, RecordedRun
from seawall.audit.report import AuditReport
from seawall.audit.tools import ToolNames, make_guards

__all__ = [
    "AuditReport",
    "AuditResult",
    "BadLine",
    "RecordedCall",
    "RecordedPrices",
    "RecordedRun",
    "RecordingFile",
    "RunAuditor",
    "RunFindings",
    "ToolNames",
    "audit",
    "list_files",
    "make_guards",
    "read_runs",
]
