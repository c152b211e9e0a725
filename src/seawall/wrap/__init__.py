"""What an application of another framework needs to stand behind the gate: its agents, tools and models, and the lines to add.

The source is parsed, and nothing of the application is imported or run.

- `wrapping.py`: `inspect_application`, from paths to a `WrapReport`; `finding.py`: what is in it
- `source.py`: files, parsed; `resolving.py`: what names in them stand for
- `tools.py`: the tools of an agent; `frameworks/`: how each framework makes agents, a file each
- `inspection.py`: what is found out about one application; `edits.py`: the lines to add, as a diff
"""

from __future__ import annotations

from seawall.wrap.finding import FileLines, FoundPart, FrameworkName, WrapReport
from seawall.wrap.frameworks import FRAMEWORKS
from seawall.wrap.source import SourceProblem
from seawall.wrap.wrapping import inspect_application

__all__ = [
    "FRAMEWORKS",
    "FileLines",
    "FoundPart",
    "FrameworkName",
    "SourceProblem",
    "WrapReport",
    "inspect_application",
]
