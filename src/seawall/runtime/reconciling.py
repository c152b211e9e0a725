"""Asks other systems what became of effects of unknown fate, for runs that no process drives: ended or waiting runs.

A run that is driven asks by itself, with a step.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

from seawall.core.canonical import Ref
from seawall.core.clock import Clock
from seawall.core.errors import SeawallError, describe_error, is_error, read_error_text
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import EffectFilter, EffectRecord, Settle
from seawall.run.bodies import Bodies
from seawall.runtime.calls import call_apart
from seawall.team.beside import call_reconcile
from seawall.team.parameters import ToolContext
from seawall.team.team import Team
from seawall.team.tool import NotDone, Tool

ASK_S = 30.0
"""The most seconds that one question may take."""
FIRST_WAIT_S = 30.0
"""Seconds until the next question about an effect whose fate is still unknown; doubled each time."""
MAX_WAIT_S = 3_600.0
"""The longest pause, in seconds, between two questions about one effect."""
PAGE = 100
"""How many effects of unknown fate one sweep handles, the newest first."""
AT_ONCE = 8
"""How many questions are asked at the same time, each to another tool, so that a slow system does not hold up others."""
MAX_ASKED = 10_000
"""How many effects are kept with the time of their next question."""

_log = logging.getLogger("seawall")


class Reconciler:
    """Settles effects of unknown fate by the results of their tools' `reconcile` functions."""

    def __init__(self, clock: Clock, teams: Sequence[Team], make_bodies: Callable[[], Bodies]) -> None:
        self._clock = clock
        self._teams = tuple(teams)
        self._make_bodies = make_bodies
        self._next: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """For each effect, the monotonic time of its next question, and the pause after that."""

    def __repr__(self) -> str:
        return f"<Reconciler {len(self._next)} asked>"

    async def sweep(self, journal: Journal) -> list[EffectRecord]:
        """Asks about each effect that is due, and returns those that are settled now. Errors are logged.

        Each tool gets one question after another. A tool that does not answer gets no further question in this sweep.
        """
        by_tool: dict[int, tuple[Tool, list[EffectRecord]]] = {}
        for record in await journal.effects(EffectFilter(state="unknown"), limit=PAGE):
            tool = await self._choose_tool(journal, record)
            if tool is not None:
                by_tool.setdefault(id(tool), (tool, []))[1].append(record)
        places = asyncio.Semaphore(AT_ONCE)
        settled: list[EffectRecord] = []
        async with asyncio.TaskGroup() as group:
            for tool, records in by_tool.values():
                group.create_task(self._ask_all(journal, tool, records, places, settled))
        return settled

    async def _choose_tool(self, journal: Journal, record: EffectRecord) -> Tool | None:
        """Returns the tool that is asked about an effect; None if there is none, or its run asks by itself."""
        if not self._has_tool(record.tool):
            return None
        try:
            row = await journal.row(record.run)
        except SeawallError as error:
            _log.warning("effect %s could not be reconciled yet: %s", record.id, error)
            return None
        return None if row.state == "running" else self._find_tool(record, row.team)

    async def _ask_all(
        self,
        journal: Journal,
        tool: Tool,
        records: Sequence[EffectRecord],
        places: asyncio.Semaphore,
        settled: list[EffectRecord],
    ) -> None:
        """Asks a tool about these effects, one after another."""
        async with places:
            for record in records:
                if not self._is_due(record.id):
                    continue
                try:
                    change, bodies = await self._ask(tool, record)
                    if change is not None:
                        settled.append(await journal.settle(change, bodies))
                        self._next.pop(record.id, None)
                except TimeoutError:
                    _log.warning("reconcile of effect %s did not answer within %g s", record.id, ASK_S)
                    return
                except Exception as error:  # noqa: BLE001 -- a failure for one effect must not stop the others
                    _log.warning(
                        "effect %s could not be reconciled yet: %s", record.id, describe_error(error)
                    )

    def _is_due(self, effect: str) -> bool:
        """Returns whether a question about an effect is due now, and if so sets the time of the next one."""
        now = self._clock.monotonic_s()
        due, wait_s = self._next.get(effect, (now, FIRST_WAIT_S))
        if now < due:
            return False
        self._next[effect] = (now + wait_s, min(2 * wait_s, MAX_WAIT_S))
        self._next.move_to_end(effect)
        if len(self._next) > MAX_ASKED:
            self._next.popitem(last=False)
        return True

    def _has_tool(self, name: str) -> bool:
        return any(tool.name == name for team in self._teams for _, tool in _list_tools(team))

    def _find_tool(self, record: EffectRecord, team: str) -> Tool | None:
        """Returns the effect's tool if it can ask; if several agents have one, the tool of the agent that made the attempt.

        Another team's tool of the same name is not used, because it may ask another system.
        """
        tools = [pair for each in self._teams if each.name == team for pair in _list_tools(each)]
        found = [(agent, tool) for agent, tool in tools if tool.name == record.tool]
        mine = [tool for agent, tool in found if agent == record.agent]
        return mine[0] if mine else found[0][1] if found else None

    async def _ask(self, tool: Tool, record: EffectRecord) -> tuple[Settle | None, Mapping[Ref, bytes]]:
        """Returns the fate of an effect in the other system; None if it is not known there. Raises `TimeoutError`."""
        context = ToolContext(
            run=record.run,
            step=record.step or 0,
            agent=record.agent,
            tenant=record.tenant,
            principal=record.principal,
            session=record.session,
            remaining_s=ASK_S,
            key=record.key,
        )
        bodies = self._make_bodies()
        async with asyncio.timeout(ASK_S):
            value, error = await call_apart(call_reconcile, tool, context, thread="seawall-reconcile")
        if error is not None and not is_error(error, NotDone):
            told = bodies.redact(describe_error(error))
            _log.warning("reconcile of effect %s raised %s", record.id, told)
            return None, {}
        now, by = self._clock.wall_s(), "reconcile"
        if error is not None:
            reason = bodies.redact(read_error_text(error))
            return Settle(effect=record.id, state="failed", at=now, reason=reason, by=by), {}
        if value is None:
            return None, {}
        try:
            receipt = bodies.put(tool.encode_result(value))
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # noqa: BLE001 -- the tool's own types may raise anything
            _log.warning(
                "what reconcile of effect %s returned can't be recorded: %s",
                record.id,
                bodies.redact(describe_error(raised)),
            )
            return None, {}
        return Settle(
            effect=record.id, state="committed", at=now, receipt=receipt, by=by
        ), bodies.take_unsaved()


def _list_tools(team: Team) -> Iterator[tuple[str, Tool]]:
    """Yields the tools of a team that can ask what became of their effects, each with its agent's name."""
    for agent, member in team.members.items():
        for tool in member.agent.tools:
            if tool.effect and tool.options.reconcile is not None:
                yield agent, tool
