"""`gated_request`: one request that several agents answer, as in a workflow."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from seawall.adapters.agent_framework.identity import LOOP
from seawall.adapters.agent_framework.run import (
    NOT_DONE,
    PASSES,
    AgentPlace,
    MiddlewareHalted,
    MiddlewareHeld,
    current_place,
)
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.core.limits import Limits
from seawall.run.outcome import Outcome
from seawall.runtime.foreign.asks import Halted
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.runtime.foreign.tools import Effects


class GatedRequest:
    """One request. The agents that run inside of it work in frames of its run."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.answer: str | None = None
        """The answer to the request, set by the caller. While it is None, the request has not ended and can be continued."""
        self.outcome: Outcome[Any] | None = None
        """How the request ended; None before its end."""

    def __repr__(self) -> str:
        return f"<GatedRequest of {self.session!r}>"


@contextlib.asynccontextmanager
async def gated_request(
    engine: Engine,
    request: str,
    *,
    name: str = "workflow",
    request_id: str | None = None,
    session: str | None = None,
    tenant: str = "",
    principal: str = "",
    limits: Limits | None = None,
    effects: Effects | None = None,
    reads: Sequence[str] = (),
    polls: Sequence[str] = (),
    waits: bool = False,
    not_done: tuple[type[BaseException], ...] = (),
    credential: object = None,
    reason: str = "",
) -> AsyncGenerator[GatedRequest]:
    """Opens a request for all gated agents that run inside of the block, with the limits of one request for all of them.

        async with gated_request(sea, "Refund order 1042", request_id="r-17") as request:
            result = await workflow.run("Refund order 1042")
            request.answer = str(result.get_outputs()[-1])

    The options are those of `Engine.begin`. `credential` and `reason` are those of the person whose answers to the workflow's
    questions the block brings: a workflow keeps what is given to its `run` for its tools, also in its checkpoints. The request ends with its `answer`. If the block is left without an answer, the
    request stays open, and a later block with the same request id continues it. Raises `MiddlewareHalted` if a guard or a
    person has ended the request before.
    """
    opened = GatedRequest(
        engine.begin(
            request,
            loop=LOOP,
            name=name,
            agent=name,
            session=session,
            tenant=tenant,
            principal=principal,
            request_id=request_id,
            limits=limits,
            effects=effects,
            reads=reads,
            polls=polls,
            waits=waits,
            answers=True,
            not_done=(*NOT_DONE, *not_done),
            passes=PASSES,
        )
    )
    token = current_place.set(
        AgentPlace(engine, opened.session, name, 0, "", Counter(), False, credential, reason)
    )
    try:
        yield opened
    except BaseException as error:
        await _fail(opened, error)
        raise
    finally:
        current_place.reset(token)
    if opened.answer is None:
        await opened.session.detach()
        return
    opened.outcome = await opened.session.end(opened.answer)
    if opened.outcome.stopped_by is not None:
        raise MiddlewareHalted(Halted(opened.outcome))


async def _fail(opened: GatedRequest, error: BaseException) -> None:
    """Ends a request with an error. A halt has ended it already; a request that waits or is cancelled stays open."""
    with contextlib.suppress(Refused, Broken, Misused):  # the error itself says more
        if isinstance(error, MiddlewareHalted | MiddlewareHeld) or not isinstance(error, Exception):
            await opened.session.detach()
        else:
            await opened.session.fail(describe_error(error))
