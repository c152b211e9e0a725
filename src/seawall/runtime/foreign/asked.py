"""The options with which a run begins, and the steps that a loop may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from seawall.core.errors import Misused
from seawall.core.events import Event, Mode, RunStarted
from seawall.core.limits import Limits
from seawall.run.requests import PreparedRequest
from seawall.runtime.foreign.tools import ToolDeclarations

OTHER_ARGUMENTS = (
    "Error: this call was made before with other arguments, and its result is recorded; it was not made again"
)


class BeginOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options with which a run begins or goes on."""

    request: str
    session: str | None = None
    tenant: str = ""
    principal: str = ""
    request_id: str | None = None
    limits: Limits | None = None
    modes: Mapping[str, Mode] | None = None
    resume: bool = False
    """If True, the loop goes on with the newest run of the session if that has not ended; if False, such a run is cancelled."""
    waits: bool = False
    """If True, the loop waits for a step that a person must decide on; if False, such a step raises `Held`."""

    def check_same(self, started: Event) -> None:
        """Raises `Misused` if the request id belongs to a run of another principal. `started` is that run's first event."""
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
    """A call of a model that the loop asks for."""

    agent: str
    name: str
    request: PreparedRequest
    frame: int = 0
    anew: bool = False
    """If True, the model is called in any case, because the framework can't take a recorded reply."""
    halts: bool = False
    """If True, a limit halts the run at this call, because the request can't be changed."""


class ToolAsk(NamedTuple):
    """A call of a tool that the loop asks for.

    With `halts`, a limit halts the run at this call, because the loop can't take a text in place of a result. With `edits`, a
    call that was held and is asked for with other arguments is the same call: the loop has its proposal edited.
    """

    agent: str
    name: str
    arguments: Mapping[str, Any]
    call_id: str = ""
    frame: int = 0
    halts: bool = False
    untrusted: bool = False
    edits: bool = False


class AskedFrom(NamedTuple):
    """The place at which a loop that counts its own steps makes a hand-off. Two hand-offs with the same call id are different
    hand-offs if they are made at different places.
    """

    place: str
    """The loop's own place, which stays the same if the loop goes on from its checkpoint."""
    since_start: str = ""
    """The place counted from the loop's start; "" if the loop has not started from its request, but goes on."""
    repeats: bool = False
    """True if the loop repeats what it does here. A hand-off that has ended without an effect is then made anew."""


class HandoffAsk(NamedTuple):
    """A hand-off to another agent, which works in a new frame.

    With `transfers`, the answer of the new frame is also the answer of the frame above. `halts`: see `ToolAsk`. `declared` are
    the declarations of that agent's tools, if it has its own; a tool that is not among them is as in the frame above. `asked_from`:
    see `AskedFrom`.
    """

    agent: str
    name: str
    task: str
    call_id: str = ""
    frame: int = 0
    transfers: bool = False
    halts: bool = False
    declared: ToolDeclarations | None = None
    asked_from: AskedFrom | None = None


Asked = ModelAsk | ToolAsk | HandoffAsk
