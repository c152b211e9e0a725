"""Seawall: a runtime for multi-agent systems that have to survive production.

Where things live:

- `seawall.runtime`: `Seawall` and `Run`: what starts, drives, wakes and ends runs; `Engine`: the gate for loops of others
- `seawall.adapters`: the gate around other frameworks, a module each
- `seawall.team`: the definitions `Agent`, `Team` and `tool`, and how a team decides what to do next
- `seawall.engine`: the gate that every step passes, and the driver of one run
- `seawall.run`: the state of a run as a fold, verdicts, the base class of guards, `Outcome`
- `seawall.effects`: what changes the world is done once, and signed off
- `seawall.memory`: what agents may read and write that outlives runs, and their tools for it
- `seawall.guards`: every guard; `seawall.planner`: what is left out when time gets short
- `seawall.history`: why a run ended so, replay, fork, and what agents did over runs; `seawall.audit`: recordings of other systems
- `seawall.lint`: what is wrong with a team before it is deployed
- `seawall.journal`: the record; `seawall.models`: what a model is
- `seawall.events`: what `Run.events()` brings, by name
- `seawall.core`: errors, events, clock; `seawall.testing`: scripted models and a manual clock
"""

from __future__ import annotations

from seawall.core.errors import Broken, Misused, Refused, SeawallBug, SeawallError
from seawall.core.events import StoppedBy
from seawall.core.limits import Limits
from seawall.core.money import Money
from seawall.effects.credentials import Principal
from seawall.effects.options import Approve, Effect, above, always
from seawall.guards.authority import Authority, AuthorityGuard, May
from seawall.guards.budget import Budget, Caps
from seawall.guards.context import ContextGuard
from seawall.guards.endpoints import EndpointOptions
from seawall.guards.loops import Loops
from seawall.guards.waste import WasteGuard
from seawall.history.roles import read_roles
from seawall.journal.protocol import RunFilter
from seawall.memory.index import IndexedEntry, IndexUpdate, MemoryIndex
from seawall.memory.options import Memory
from seawall.models.protocol import Model, Price
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Waiting
from seawall.run.verdict import ALLOW, Advise, Allow, Halt, Hold, Refuse, Replace
from seawall.run.waste import Wasted
from seawall.runtime.admission import Admission
from seawall.runtime.approval_views import Approval, RecordedEffect
from seawall.runtime.foreign.asks import Halted, Held
from seawall.runtime.foreign.coverage import CoverageReport
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.runtime.head_export import HeadExport
from seawall.runtime.memory import RevertPlan, TenantMemory
from seawall.runtime.memory_views import ConflictItem, MemoryDifference, MemoryItem
from seawall.runtime.notifying import Notification
from seawall.runtime.probing import probe_reviewer
from seawall.runtime.run import Run
from seawall.runtime.run_team import run_team
from seawall.runtime.seawall import Seawall
from seawall.team.agent import Agent
from seawall.team.context_options import Context
from seawall.team.parameters import EffectContext, ToolContext
from seawall.team.planner import Planner
from seawall.team.team import Team
from seawall.team.tool import NotDone, Tool, tool

__version__ = "0.1.0"

__all__ = [
    "ALLOW",
    "Admission",
    "Advise",
    "Agent",
    "Allow",
    "Approval",
    "Approve",
    "Authority",
    "AuthorityGuard",
    "Broken",
    "Budget",
    "Caps",
    "ConflictItem",
    "Context",
    "ContextGuard",
    "CoverageReport",
    "Effect",
    "EffectContext",
    "EndpointOptions",
    "Engine",
    "Guard",
    "Halt",
    "Halted",
    "HeadExport",
    "Held",
    "Hold",
    "IndexUpdate",
    "IndexedEntry",
    "Limits",
    "Loops",
    "May",
    "Memory",
    "MemoryDifference",
    "MemoryIndex",
    "MemoryItem",
    "Misused",
    "Model",
    "Money",
    "NotDone",
    "Notification",
    "Outcome",
    "Planner",
    "Price",
    "Principal",
    "RecordedEffect",
    "Refuse",
    "Refused",
    "Replace",
    "RevertPlan",
    "Run",
    "RunFilter",
    "Seawall",
    "SeawallBug",
    "SeawallError",
    "Session",
    "StoppedBy",
    "Team",
    "TenantMemory",
    "Tool",
    "ToolContext",
    "Waiting",
    "WasteGuard",
    "Wasted",
    "__version__",
    "above",
    "always",
    "probe_reviewer",
    "read_roles",
    "run_team",
    "tool",
]
