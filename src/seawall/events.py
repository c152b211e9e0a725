"""The events that `Run.events()` yields: every kind of event, and `TextDelta` for pieces of streamed text.

    async for event in run.events():
        if isinstance(event, StepDone) and event.status == "ok":
            print(await run.body(event.output))

`Event` is any of the recorded ones. They hold no content, only references to it; `Run.body` returns the content.
"""

from __future__ import annotations

from seawall.core.canonical import Ref
from seawall.core.events import (
    Call,
    Cause,
    CommandTaken,
    ContextFolded,
    EffectMoved,
    Event,
    GuardSet,
    Judged,
    LimitsRaised,
    MemoryCut,
    MemoryRead,
    MemoryWritten,
    Paused,
    Planned,
    RunEnded,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
    StepLate,
)
from seawall.models.protocol import TextDelta

__all__ = [
    "Call",
    "Cause",
    "CommandTaken",
    "ContextFolded",
    "EffectMoved",
    "Event",
    "GuardSet",
    "Judged",
    "LimitsRaised",
    "MemoryCut",
    "MemoryRead",
    "MemoryWritten",
    "Paused",
    "Planned",
    "Ref",
    "RunEnded",
    "RunStarted",
    "RunTaken",
    "StepDone",
    "StepIntended",
    "StepLate",
    "TextDelta",
]
