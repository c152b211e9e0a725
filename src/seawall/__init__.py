"""Seawall: a runtime for multi-agent systems that have to survive production.

Where things live:

- `seawall.team`: `Agent`, `Team`, `tool`, and the runtime `Seawall` with its `Run` and `Outcome`
- `seawall.run`: the state of a run as a fold, the gate, verdicts and the base class of guards
- `seawall.guards`: the guards; `seawall.journal`: the record; `seawall.models`: what a model is
- `seawall.events`: what `Run.events()` brings, by name
- `seawall.core`: errors, events, clock; `seawall.testing`: scripted models and a manual clock
"""

from __future__ import annotations

from seawall.core.errors import Broken, Misused, Refused, SeawallBug, SeawallError
from seawall.core.events import Limits, StoppedBy
from seawall.guards.budget import Budget, Caps
from seawall.guards.endpoints import EndpointOptions
from seawall.guards.loops import Loops
from seawall.models.protocol import Model, Price
from seawall.run.guard import Guard
from seawall.run.verdict import ALLOW, Advise, Allow, Halt, Hold, Refuse, Replace
from seawall.team.admission import Admission
from seawall.team.agent import Agent
from seawall.team.handle import Run
from seawall.team.outcome import Outcome, Waiting
from seawall.team.planner import Planner
from seawall.team.seawall import Seawall
from seawall.team.team import Team
from seawall.team.tool import NotDone, Tool, ToolContext, tool

__version__ = "0.1.0"

__all__ = [
    "ALLOW",
    "Admission",
    "Advise",
    "Agent",
    "Allow",
    "Broken",
    "Budget",
    "Caps",
    "EndpointOptions",
    "Guard",
    "Halt",
    "Hold",
    "Limits",
    "Loops",
    "Misused",
    "Model",
    "NotDone",
    "Outcome",
    "Planner",
    "Price",
    "Refuse",
    "Refused",
    "Replace",
    "Run",
    "Seawall",
    "SeawallBug",
    "SeawallError",
    "StoppedBy",
    "Team",
    "Tool",
    "ToolContext",
    "Waiting",
    "__version__",
    "tool",
]
