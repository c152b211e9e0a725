"""Audit: sends recorded calls of any system through the gate and the guards that would have judged them live.

- `reading.py`: files and folders, and the format of each value; `values.py`: the JSON values of a file
- `formats/`: one file for each format of recordings
- `messages.py`: messages of any provider; `gathering.py`: joins the pieces of a run; `spans.py`: joins spans to a run
- `recording.py`: the types of a recorded run
- `tools.py`: which recorded tools write, and which are polls
- `auditing.py`: sends a recorded run, call by call, through `Gate.admit` and `Gate.settle`
- `findings.py`: the findings of one run, with `prices.py`; `report.py`: the sums of all runs
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
