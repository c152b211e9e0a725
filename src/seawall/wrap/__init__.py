"""Finds the agents, tools and models of an application of another framework, and the lines that put them behind the gate.

The source is parsed; nothing of the application is imported or run.

- `wrapping.py`: `inspect_application`, from paths to a `WrapReport`; `finding.py`: the report and its parts
- `source.py`: parsed files; `resolving.py`: finds the values of names in them
- `tools.py`: the tools of an agent; `frameworks/`: how each framework makes agents, one file for each
- `inspection.py`: collects the parts of one application; `edits.py`: the lines to add, as a diff
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
