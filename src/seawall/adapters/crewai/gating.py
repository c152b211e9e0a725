"""`gate`: the context in which the models and tools of crews pass the gate, and how its run ends."""

from __future__ import annotations

import contextlib
import contextvars
import json
from contextvars import Token
from types import TracebackType
from typing import Self

from seawall.adapters.crewai.frames import Scope, restore_scope, save_scope
from seawall.adapters.crewai.place import LOOP, CrewPlace, CrewRun, CrewStopped, CrewWaits, current
from seawall.core.errors import Broken, Misused, Refused, describe_error
from seawall.core.limits import Limits
from seawall.core.threads import start_in_thread
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session
from seawall.runtime.foreign.tools import Effects


def gate(
    engine: Engine,
    *,
    effects: Effects | None = None,
    reads: tuple[str, ...] | list[str] = (),
    polls: tuple[str, ...] | list[str] = (),
    limits: Limits | None = None,
    request_id: str | None = None,
    request: str = "",
    session: str | None = None,
    tenant: str = "",
    principal: str = "",
    name: str = "crew",
    waits: bool = False,
    not_done: tuple[type[BaseException], ...] = (),
) -> CrewGate:
    """Returns a context, sync and async, in which every call of CrewAI's models and tools passes the gate. It is one run.

        with crewai.gate(engine, effects=["refund"], request_id="ticket-17"):
            crew.kickoff()

    Tools are declared by the names that the model is told: "Search the web" is `search_the_web`. `effects`, `reads` and
    `polls` are as in `Engine.begin`. With the `request_id` of an earlier run the context continues that run: recorded results are
    returned, not made again. Without a `request_id` each context is a new run, also after a crash, and an effect may be made
    twice. `request` is recorded as the request, by default the tasks of the first crew. `session` is the conversation.
    `waits`: the crew waits while a person decides on a call; otherwise the call ends the crew with `Held`, and the same
    request, asked again, continues it. `not_done`: errors of tools which say that nothing has happened; any other error of an
    effect leaves open whether it has.

    A halt ends the crew with `Halted`, which carries the outcome. An error of the gate or the journal ends the crew, too.
    """

    def begin(asked: str) -> Session:
        return engine.begin(
            request or asked,
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
            not_done=not_done,
            passes=(CrewWaits,),
        )

    tools = engine.tools.declare(effects, reads, polls)
    return CrewGate(CrewRun(engine, begin, tools, not_done), name)


class CrewGate:
    """The context of one run. See `gate`."""

    def __init__(self, run: CrewRun, name: str) -> None:
        self._run, self._name = run, name
        self._tokens: list[Token[CrewPlace | None]] = []
        self._scope: Scope = {}

    def __repr__(self) -> str:
        return f"<CrewGate {self._run!r}>"

    @property
    def run(self) -> str | None:
        """The id of the run; None before its first step."""
        return self._run.session.run if self._run.has_begun else None

    def _enter(self) -> None:
        if self._tokens or self._run.over:
            raise Misused("a gate is one run and is entered once: make another gate")
        self._scope = save_scope()
        self._tokens.append(current.set(CrewPlace(run=self._run, agent=self._name)))

    def _leave(self, error: BaseException | None) -> None:
        self._run.over = True
        if self._find_failure(error) is not None:
            restore_scope(self._scope)
        with contextlib.suppress(ValueError):  # the gate was entered in another context
            current.reset(self._tokens[0])

    def _find_failure(self, error: BaseException | None) -> Exception | None:
        """Returns the gate's error that has ended the crew, even if CrewAI or the caller has swallowed or replaced it."""
        return error.error if isinstance(error, CrewStopped) else self._run.failure

    def _write_answer(self) -> str | None:
        answers = self._run.list_answers()
        return (
            answers[0] if len(answers) == 1 else json.dumps(answers, ensure_ascii=False) if answers else None
        )

    def __enter__(self) -> Self:
        self._enter()
        return self

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)
        self._finish(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)
        context = contextvars.copy_context()
        await start_in_thread(lambda: context.run(self._finish, error), "seawall-crew")

    def _finish(self, error: BaseException | None) -> None:
        """Ends the run, or detaches from it, and raises the gate's error if there is one."""
        failure = self._find_failure(error)
        if failure is not None:
            self._rest()
            if failure is not error:
                raise failure from None
            return
        if not self._run.has_begun:
            return
        session = self._run.session
        if error is None:
            session.end_sync(self._write_answer())
        elif isinstance(error, Exception):
            with contextlib.suppress(Refused, Broken, Misused):  # the error itself says more
                session.fail_sync(describe_error(error))
        else:
            self._rest()

    def _rest(self) -> None:
        """Detaches from a run that has not ended."""
        if self._run.has_begun:
            with contextlib.suppress(Refused, Broken, Misused):  # what ends the crew says more
                self._run.session.detach_sync()
