"""How a run begins, and what a loop may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from seawall.core.errors import Misused
from seawall.core.events import Event, Mode, RunStarted
from seawall.core.limits import Limits
from seawall.run.requests import PreparedRequest

OTHER_ARGUMENTS = (
    "Error: this call was made before with other arguments, and its result is recorded; it was not made again"
)


class BeginOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run begins, or goes on."""

    request: str
    session: str | None = None
    tenant: str = ""
    principal: str = ""
    request_id: str | None = None
    limits: Limits | None = None
    modes: Mapping[str, Mode] | None = None
    resume: bool = False
    """The loop goes on with the newest run of the session, if that has not ended. Otherwise such a run is cancelled."""
    waits: bool = False
    """A step that a person must decide on is waited for. Otherwise it raises `Held`."""

    def check_same(self, started: Event) -> None:
        """Raises `Misused` if the request id is that of another person's run. `started`: its first event."""
        if (
            not isinstance(started, RunStarted)
            or started.request_id != self.request_id
            or not self.request_id
        ):
            return
        if started.principal != self.principal:
            raise Misused(
                f"request id {self.request_id!r} was given to another request, of run {started.run}, whose principal is "
                f"{started.principal!r}, not {self.principal!r}"
            )


class ModelAsk(NamedTuple):
    """A call of a model that the loop wants made."""

    agent: str
    name: str
    request: PreparedRequest
    frame: int = 0
    anew: bool = False
    """The model is called in any case: the framework has no way to be given a recorded reply."""
    halts: bool = False
    """As of a `ToolAsk`: its request can't be changed."""


class ToolAsk(NamedTuple):
    """A call of a tool that the loop wants made. With `halts` a limit halts the run over it, because the loop can't be told."""

    agent: str
    name: str
    arguments: Mapping[str, Any]
    call_id: str = ""
    frame: int = 0
    halts: bool = False
    untrusted: bool = False


class HandoffAsk(NamedTuple):
    """A hand-off to another agent, which works in a frame of its own. With `transfers` its answer is that of the frame above;
    `halts` is as of a `ToolAsk`.
    """

    agent: str
    name: str
    task: str
    call_id: str = ""
    frame: int = 0
    transfers: bool = False
    halts: bool = False


Asked = ModelAsk | ToolAsk | HandoffAsk
