"""Asks the other side what became of effects of unknown fate, of runs that nobody drives: those that ended or wait.

A run that is driven asks by itself, as a step of its own.
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
"""Seconds that one question may take."""
FIRST_WAIT_S = 30.0
"""Seconds until an effect is asked about again of which nothing is known yet; doubled each time."""
MAX_WAIT_S = 3_600.0
"""Seconds between two questions about one effect, at most."""
PAGE = 100
"""Effects of unknown fate that are looked at in one sweep, the newest first."""
AT_ONCE = 8
"""Questions at the same time, each to another tool: one other side that is slow, or hangs, holds up no other."""
MAX_ASKED = 10_000
"""Effects whose next question is remembered."""

_log = logging.getLogger("seawall")


class Reconciler:
    """Settles effects of unknown fate by what their tools' `reconcile` functions say."""

    def __init__(self, clock: Clock, teams: Sequence[Team], make_bodies: Callable[[], Bodies]) -> None:
        self._clock = clock
        self._teams = tuple(teams)
        self._make_bodies = make_bodies
        self._next: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By effect: when it may be asked about again (monotonic), and the wait after that."""

    def __repr__(self) -> str:
        return f"<Reconciler {len(self._next)} asked>"

    async def sweep(self, journal: Journal) -> list[EffectRecord]:
        """Asks about each effect that is due; returns those that are settled now. What one of them raises is logged.

        One question after another goes to each tool. One that does not answer is asked no more in this sweep.
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
                except Exception as error:  # noqa: BLE001 -- whatever is wrong with one, the others are asked about
                    _log.warning(
                        "effect %s could not be reconciled yet: %s", record.id, describe_error(error)
                    )

    def _is_due(self, effect: str) -> bool:
        """Returns whether an effect may be asked about now, and notes when it may be again."""
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
        """Returns the tool of an effect that can ask; that of the agent which attempted it, if there are several.

        Another team's tool of the same name may ask somebody else, who knows nothing of it.
        """
        tools = [pair for each in self._teams if each.name == team for pair in _list_tools(each)]
        found = [(agent, tool) for agent, tool in tools if tool.name == record.tool]
        mine = [tool for agent, tool in found if agent == record.agent]
        return mine[0] if mine else found[0][1] if found else None

    async def _ask(self, tool: Tool, record: EffectRecord) -> tuple[Settle | None, Mapping[Ref, bytes]]:
        """Returns what the other side says of an effect; None if it can't say. Raises `TimeoutError`."""
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
            _log.warning("reconcile of effect %s raised %s", record.id, describe_error(error))
            return None, {}
        now, by = self._clock.wall_s(), "reconcile"
        if error is not None:
            reason = bodies.redact(read_error_text(error))
            return Settle(effect=record.id, state="failed", at=now, reason=reason, by=by), {}
        if value is None:
            return None, {}
        try:
            receipt = bodies.put(tool.encode_result(value))
        except Exception as raised:  # noqa: BLE001 -- the tool's own types may raise anything
            _log.warning(
                "what reconcile of effect %s returned can't be recorded: %s",
                record.id,
                describe_error(raised),
            )
            return None, {}
        return Settle(effect=record.id, state="committed", at=now, receipt=receipt, by=by), bodies.unsaved()


def _list_tools(team: Team) -> Iterator[tuple[str, Tool]]:
    """Yields the tools of a team that can ask what became of their effects, each with its agent's name."""
    for agent, member in team.members.items():
        for tool in member.agent.tools:
            if tool.effect and tool.options.reconcile is not None:
                yield agent, tool
