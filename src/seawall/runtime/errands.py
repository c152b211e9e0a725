"""Errands: runs with a single call, for an effect whose result no run waits for.

A detached effect that a person must decide on, and the undoing of an effect, are errands. An errand passes the same
gate, proposals and claims as any call, waits as any run does, and ends with the call's result. It belongs to no session;
the session that asked for it is told how it ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from seawall.core.clock import Clock
from seawall.core.errors import Misused, Refused, SeawallBug
from seawall.core.events import Errand, Mode, RunStarted
from seawall.core.ids import Ids
from seawall.effects.guard import find_origin
from seawall.journal.protocol.effects import EffectFilter, EffectRecord
from seawall.run.bodies import Bodies
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.runtime.executor import find_whole
from seawall.runtime.launcher import Launcher
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.team.beside import fill_undo_arguments
from seawall.team.team import Team
from seawall.team.tool import Tool, encode_canonical

_MAY_HAVE_HAPPENED = ("attempting", "unknown", "committed")


class Errands:
    """Starts errands, and runs that answer a recorded request again."""

    def __init__(
        self,
        supervisor: Supervisor,
        launcher: Launcher,
        clock: Clock,
        ids: Ids,
        start_modes: Callable[[Team], dict[str, Mode]],
    ) -> None:
        """`start_modes` returns the modes that a new run's guards have."""
        self._supervisor = supervisor
        self._launcher = launcher
        self._clock = clock
        self._ids = ids
        self._start_modes = start_modes

    def __repr__(self) -> str:
        return f"<Errands of {self._supervisor!r}>"

    async def start(
        self,
        team: Team,
        agent: str,
        tool: str,
        arguments: str,
        *,
        request: str,
        request_id: str,
        tenant: str,
        principal: str,
        app: str | None,
        run: str = "",
        session: str | None = None,
        undoes: str = "",
        reasons: tuple[str, ...] = (),
        origin: tuple[str, str | None] = ("", None),
    ) -> Run:
        """Starts an errand, or returns the one with this `request_id`. `arguments` are JSON text with all secrets.

        `run` is the run that asked for it, and `session` is told its end; for the others see `Errand`. Raises the errors of
        `Seawall.start`.
        """
        supervisor = self._supervisor
        known = await supervisor.journal.run_of_request(tenant, request_id)
        if known is not None:
            return await self._launcher.attach(known)
        supervisor.factory.check(team, team.limits, supervisor.budget.get_usd_cap(tenant))
        bodies = supervisor.make_bodies(tenant)
        run_id = self._ids.make_run_id()
        ref, seal = bodies.put_arguments(run_id, arguments)
        errand = Errand(
            agent=agent,
            tool=tool,
            arguments=ref,
            seal=seal,
            run=run,
            session=session,
            undoes=undoes,
            reasons=reasons,
            origin=origin[0],
            origin_session=origin[1],
        )
        started = RunStarted(
            at=self._clock.wall_s(),
            run=run_id,
            team=team.name,
            team_version=team.version,
            agent=agent,
            intent=bodies.put(request),
            limits=team.limits,
            guards=self._start_modes(team),
            tenant=tenant,
            principal=principal,
            request_id=request_id,
            app=app,
            errand=errand,
        )
        return await supervisor.start_task(self._launcher.launch(team, started, bodies))

    async def start_again(self, started: RunStarted, team: Team, request_id: str) -> Run:
        """Starts a run that answers a recorded request again, or returns the one with this `request_id`.

        It has the same session, principal and tenant, and its effects wait for a person. Raises the errors of
        `Seawall.start`, and `Misused` if the request was erased.
        """
        supervisor = self._supervisor
        known = await supervisor.journal.run_of_request(started.tenant, request_id)
        if known is not None:
            return await self._launcher.attach(known)
        supervisor.factory.check(team, started.limits, supervisor.budget.get_usd_cap(started.tenant))
        bodies = supervisor.make_bodies(started.tenant, started.session)
        bodies.load(await supervisor.journal.bodies(started.tenant, bodies.missing([started.intent])))
        if bodies.data(started.intent) is None:
            raise Misused(f"run {started.run}: its request was erased, so nothing can answer it again")
        again = replace(
            started,
            at=self._clock.wall_s(),
            run=self._ids.make_run_id(),
            team=team.name,
            team_version=team.version,
            agent=team.coordinator.name,
            intent=bodies.put(bodies.text(started.intent)),
            guards=self._start_modes(team),
            request_id=request_id,
            stream=False,
            again=started.run,
        )
        return await supervisor.start_task(self._launcher.launch(team, again, bodies))

    async def detach(self, step: Step, state: RunState, reasons: tuple[str, ...]) -> str:
        """Starts an errand for a call that a person must decide on, for these reasons. Returns the text for the agent."""
        supervisor, started = self._supervisor, state.started
        driver, team = (
            supervisor.registry.drivers.get(started.run),
            supervisor.registry.teams.get(started.run),
        )
        if driver is None or team is None or step.call is None:
            raise SeawallBug(f"run {started.run} detaches step {step.number} without being at work")
        text: str | None = driver.bodies.text(step.input)
        if step.seal:
            text = driver.bodies.originals.find(started.run, step.seal)
        if text is None:
            return f"Error: {step.name!r} was not asked for: its arguments hold a secret that is lost. Write the call again."
        call = state.call_key(step.frame, step.call.id)
        try:
            run = await self.start(
                team,
                step.agent,
                step.name,
                text,
                request=f"{step.name}, asked for by agent {step.agent} in run {started.run}",
                request_id=f"detached:{started.run}:{call}",
                tenant=started.tenant,
                principal=started.principal,
                app=started.app,
                run=started.run,
                session=started.session,
                reasons=reasons,
                origin=find_origin(started),
            )
        except Refused as refused:
            return f"Error: {step.name!r} was not asked for: {refused}"
        told = (
            " What comes of it is told at the beginning of the user's next request."
            if started.session
            else ""
        )
        return (
            f"{step.name!r} is asked for, and not done: a person decides on it (run {run.id}). Do not call it "
            f"again.{told}"
        )

    async def undo(self, name: str, team: Team | None, principal: str, app: str | None) -> Run:
        """Starts the errand that undoes a committed effect, or returns the existing one.

        If the existing one ended without doing anything (rejected, expired, cancelled), a new one is started. Raises
        `Misused` if the effect was not committed, if its team is not known here, if its tool declares no undo, or if the
        undo tool's arguments can't be filled.
        """
        effect = await self._supervisor.journal.effect(name)
        row = await self._supervisor.journal.row(effect.run)
        team = team or self._supervisor.waker.teams.get(row.team)
        if team is None:
            raise Misused(
                f"effect {effect.id}: this process does not have team {row.team!r}, whose tool declares how it is undone"
            )
        if effect.state != "committed":
            raise Misused(f"effect {effect.id} is {effect.state}: only what was done can be undone")
        tool = _find_tool(effect, team)
        bodies, journal = self._supervisor.make_bodies(effect.tenant), self._supervisor.journal
        refs = [ref for ref in (effect.arguments, effect.receipt) if ref is not None]
        bodies.load(await journal.bodies(effect.tenant, refs))
        for what, ref in (("arguments", effect.arguments), ("receipt", effect.receipt)):
            if ref is not None and bodies.data(ref) is None:
                raise Misused(f"effect {effect.id}: its {what} were erased, so nothing can be filled in")
        recorded: Any = json.loads(bodies.text(effect.arguments) or "{}")
        receipt = None if effect.receipt is None else await self._read_receipt(effect, bodies)
        try:
            filled = fill_undo_arguments(tool, cast("dict[str, Any]", recorded), receipt)
        except ValueError as error:
            raise Misused(f"effect {effect.id} can't be undone: {error}") from None
        return await self.start(
            team,
            effect.agent,
            tool.options.undo.name,
            encode_canonical(filled),
            request=f"Undo effect {effect.id}: {effect.tool}, run {effect.run}",
            request_id=await self._name_undoing(effect),
            tenant=effect.tenant,
            principal=principal,
            app=app or row.app,
            session=effect.session,
            undoes=effect.id,
        )

    async def _read_receipt(self, effect: EffectRecord, bodies: Bodies) -> str:
        """Returns the receipt as its tool returned it. Raises `Misused` if the whole of a long one was erased."""
        receipt = bodies.text(effect.receipt)
        ref = find_whole(receipt)
        if ref is None:
            return receipt
        bodies.load(await self._supervisor.journal.bodies(effect.tenant, [ref]))
        if bodies.data(ref) is None:
            raise Misused(f"effect {effect.id}: its receipt is long, and the whole of it was erased")
        return bodies.text(ref)

    async def _name_undoing(self, effect: EffectRecord) -> str:
        """Returns the request id of the errand that undoes an effect: a new one if all earlier ones did nothing."""
        journal, request_id = self._supervisor.journal, f"undo:{effect.id}"
        while (run := await journal.run_of_request(effect.tenant, request_id)) is not None:
            row = await journal.row(run)
            if row.state != "ended" or row.summary is None or row.summary.status == "completed":
                break
            records = await journal.effects(EffectFilter(run=run, tenant=effect.tenant), limit=2)
            if any(each.state in _MAY_HAVE_HAPPENED for each in records):
                break
            request_id = f"undo:{effect.id}:{run}"  # the same id for every caller that finds that run
        return request_id


def _find_tool(effect: EffectRecord, team: Team) -> Tool:
    """Returns the tool of an effect, as the team has it today. Raises `Misused` without one."""
    member = team.members.get(effect.agent)
    tools = () if member is None else member.agent.tools
    tool = next((each for each in tools if each.name == effect.tool), None)
    if tool is None:
        raise Misused(
            f"effect {effect.id}: agent {effect.agent!r} of team {team.name!r} has no tool {effect.tool!r}"
        )
    return tool
