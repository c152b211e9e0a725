"""`Seawall`: the public face of the runtime."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from seawall.core.canonical import Ref, check_recordable, check_texts
from seawall.core.clock import Clock, SystemClock
from seawall.core.errors import Misused
from seawall.core.events import EffectState, Mode, RunStarted
from seawall.core.frozen import EMPTY
from seawall.core.ids import Ids
from seawall.core.limits import Limits, validate_limits
from seawall.core.redact import Redactor
from seawall.effects.credentials import Principal
from seawall.effects.guard import EffectsGuard
from seawall.guards.budget import Budget
from seawall.guards.budget.guard import BudgetGuard
from seawall.guards.endpoints import EndpointOptions, Endpoints
from seawall.guards.pauses import Pauses
from seawall.guards.shared import Pause
from seawall.history.recorded import read_outcome, read_state
from seawall.history.replay import Replay
from seawall.journal.protocol import (
    Backup,
    Command,
    EffectFilter,
    Journal,
    ProposalFilter,
    ProposalState,
)
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.signing import Signer, read_key
from seawall.models.protocol import Model, Price
from seawall.run.guard import Guard
from seawall.run.outcome import Outcome, Output_co
from seawall.run.state import RunState
from seawall.runtime.admission import Admission
from seawall.runtime.approval_views import Approval, RecordedEffect
from seawall.runtime.approvals import LINK_S, Authenticate, Decisions
from seawall.runtime.edits import write_edit
from seawall.runtime.errands import Errands
from seawall.runtime.factory import Factory
from seawall.runtime.given import check_journal, check_names, check_options, check_request
from seawall.runtime.head_export import HeadExport, HeadExporter
from seawall.runtime.launcher import Launcher
from seawall.runtime.live_changes import lift_pause, put_mode, put_pause
from seawall.runtime.memory import TenantMemory
from seawall.runtime.modes import GuardModes
from seawall.runtime.notifying import Notifier, Notify
from seawall.runtime.raising import raise_limits, sign_limits
from seawall.runtime.run import Run
from seawall.runtime.supervisor import Supervisor
from seawall.runtime.trials import ForkOptions, fork_run, replay_run
from seawall.team.agent import Agent
from seawall.team.team import Team, as_team


class Seawall:
    """Runs teams; an async context manager.

        async with Seawall("desk.db") as sea:
            run = await sea.start(desk, "Refund order 1042")
            outcome = await run.outcome()

    `journal` is a path, `:memory:`, or a `Journal`. `guards` are added to the default ones (`Loops()`,
    `ContextGuard()`, `AuthorityGuard()`, `WasteGuard()`), and the guards of a team to both; a guard replaces an
    earlier one of the same name. `modes` sets guards to `off`, `observe` or `enforce`; `off` leaves one out. `models`
    makes a `Model` from a name such as `openai:gpt-5.2`; `prices` are by model name. `admission` bounds how many runs
    this process takes. `budget` caps what tenants and days may spend, in every process on the journal; without it,
    the caps that were recorded there last stay in force. `endpoints` are options by name, such as `tool:bank`. Values
    in `secrets`, and those of variables in `environment` (by default that of the process) whose names look like keys,
    never reach the journal. `signing_key` signs every batch of the journal: at least 16 bytes, or the `Path` of a
    file that holds them. `head_export` hands the newest hash of the journal's chain to a place that keeps it. `teams`
    are teams whose waiting runs this process takes up as soon as a person has decided, whichever process has started
    them and whichever receives the decision. `authenticate` returns the owner of a credential; without it,
    credentials are keys of `seawall principals`. `notify` is called at least once for each proposal that is new,
    still waits, is escalated or has expired. `link_key` signs links to decide. `clock` and `rng` are for tests.
    """

    def __init__(
        self,
        journal: str | Path | Journal = ":memory:",
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        guards: Sequence[Guard] = (),
        modes: Mapping[str, Mode] | None = None,
        models: Callable[[str], Model] | None = None,
        prices: Mapping[str, Price] | None = None,
        admission: Admission | None = None,
        endpoints: Mapping[str, EndpointOptions] | None = None,
        budget: Budget | None = None,
        secrets: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        signing_key: bytes | Path | None = None,
        head_export: HeadExport | None = None,
        teams: Sequence[Team | Agent] = (),
        authenticate: Authenticate | None = None,
        notify: Notify | None = None,
        link_key: bytes | Path | None = None,
    ) -> None:
        check_options(
            admission=(admission, Admission), budget=(budget, Budget), head_export=(head_export, HeadExport)
        )
        check_journal(journal, signed=signing_key is not None)
        self._journal_option = journal
        key = None if signing_key is None else read_key(signing_key)
        self._signer = None if key is None else Signer(key)
        links = None if link_key is None else read_key(link_key)
        self._clock = clock = clock or SystemClock()
        rng = rng or random.Random(os.urandom(16))
        self._ids = Ids(clock, rng)
        self._code_modes: dict[str, Mode] = dict(modes or {})
        self._modes = GuardModes(clock)
        self._factory = Factory(
            clock=clock,
            guards=guards,
            models=models,
            prices=prices,
            redactor=Redactor.from_environment(
                os.environ if environment is None else environment,
                (*secrets, *(each.decode("utf-8", "replace") for each in (key, links) if each)),
            ),
        )
        self._pauses = Pauses(clock)
        self._endpoints = Endpoints(clock=clock, rng=rng, options=endpoints)
        self._budget = BudgetGuard(clock, budget)
        self._effects = EffectsGuard(clock)
        self._exporter = None if head_export is None else HeadExporter(head_export, clock)
        self.supervisor = Supervisor(
            clock=clock,
            factory=self._factory,
            admission=admission or Admission(),
            modes=self._modes,
            pauses=self._pauses,
            budget=self._budget,
            effects=self._effects,
            shared=(self._pauses, self._endpoints, self._budget),
            teams=[as_team(team) for team in teams],
        )
        """Drives the runs of this process. For tests and tools that look inside; it may change with any version."""
        self._launcher = Launcher(self.supervisor)
        self._errands = Errands(self.supervisor, self._launcher, clock, self._ids, self._compute_modes)
        self._effects.detach = self._errands.detach
        self._effects.give_up = self.supervisor.give_up
        self._decisions = Decisions(self.supervisor, authenticate, links)
        self._notifier = Notifier(clock, notify, self.supervisor.make_bodies().redact)
        self.supervisor.on_write = self._notifier.look

    def __repr__(self) -> str:
        return f"<Seawall {self._journal_option!r} {len(self.supervisor.registry.drivers)} runs in flight>"

    # ---- opening and closing

    @property
    def journal(self) -> Journal:
        """The journal. Raises `Misused` before `open`."""
        return self.supervisor.journal

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of this process and their breakers, to read: `sea.endpoints["tool:bank"].breaker`."""
        return self._endpoints

    @property
    def journal_path(self) -> str:
        """The absolute path of the journal's file; "" for one in memory, and for a `Journal` that was given."""
        option = self._journal_option
        return (
            str(Path(option).absolute())
            if isinstance(option, str | Path) and str(option) != ":memory:"
            else ""
        )

    async def open(self) -> Self:
        """Opens the journal. Raises `Misused` if it can't be used, and in a child that was forked while it was open."""
        if self.supervisor.closing:
            raise Misused("this Seawall is being closed: open it again once `close` has returned")
        if self.supervisor.is_open and self.supervisor.journal:
            return self
        journal = self._journal_option
        if isinstance(journal, str | Path):
            journal = SqliteJournal.open(str(journal), clock=self._clock, signer=self._signer)
        self.supervisor.attach(journal)
        await self._endpoints.open(journal)
        await self._budget.open(journal)
        self._effects.open(journal)
        await self.supervisor.inbox.open(journal)
        await self.supervisor.waker.open()
        if self._exporter is not None:
            self._exporter.open(journal)
        self._notifier.open(journal)
        return self

    async def close(self) -> None:
        """Gives up the runs in flight, which can be resumed, and closes the journal.

        Waits up to one second for tools that ignore cancellation, and as long for models that the Seawall made. If it is
        being closed already, this waits until it is closed.
        """
        supervisor = self.supervisor
        if not supervisor.is_open or supervisor.is_copy:
            return
        if supervisor.closing:
            await asyncio.shield(self._closed)
            return
        journal, supervisor.closing = supervisor.journal, True
        self._closed = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:  # if one of these raises, the others are still closed
            stack.callback(self._closed.set_result, None)
            stack.callback(supervisor.detach)
            stack.callback(self._pauses.close)
            stack.push_async_callback(self._factory.close)
            stack.push_async_callback(journal.close)
            if self._exporter is not None:
                stack.push_async_callback(self._exporter.close)
            stack.push_async_callback(self._budget.close)
            stack.push_async_callback(self._effects.close)
            stack.push_async_callback(self._notifier.close)
            stack.push_async_callback(self._endpoints.close)
            await supervisor.give_up_all()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- starting

    async def start(
        self,
        team: Team[Output_co] | Agent[Output_co],
        request: str,
        *,
        session: str | None = None,
        tenant: str = "",
        principal: str = "",
        request_id: str | None = None,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
        stream: bool = False,
        app: str | None = None,
    ) -> Run[Output_co]:
        """Starts a run and returns its handle. The run is recorded when this returns.

        `team`: an `Agent` alone is a team of one.
        `session`: the conversation that the run belongs to. Its runs are serial, so this run waits for the one
        before it. If that run waits for a person's decision, this one begins at once, and is told so. What the earlier run
        does after the decision is told to the first run that begins after it.
        `request_id`: the same id again returns the same run; it is `Misused` with another request, team, session or
        principal. `limits` replace those of the team. If a limit has halted the run of the `request_id`, its limits are
        replaced, and it goes on.
        `stream`: `run.events()` also yields pieces of the coordinator's text; the outcome says that they were not
        checked. `app`: the team's import path, for `seawall resume`.
        A caller that is cancelled meanwhile does not cancel the run; the same `request_id` returns it later. If
        `admission` has no free slot, the run is recorded and waits in line, which is not active time.
        Raises `Misused` for an empty request, an argument of a wrong type, or a name that holds a secret;
        `Refused` if the line is full or the tenant is paused (with `retry_after_s`), if the session's last run is paused or interrupted, or if money is
        limited and a price is not known; `JournalFull`; `JournalFailed`.
        """
        team = as_team(team)
        check_request(request, stream=stream, modes=modes)
        check_texts(tenant=tenant, principal=principal)
        check_recordable(session=session, tenant=tenant, principal=principal, request_id=request_id, app=app)
        bounds = validate_limits(limits) if limits is not None else team.limits
        usd_cap = self._budget.get_usd_cap(tenant) if self._budget.active else None
        self._factory.check(team, bounds, usd_cap)
        bodies = self.supervisor.make_bodies(tenant, session)
        names = {"session": session, "tenant": tenant, "principal": principal, "request_id": request_id}
        check_names(bodies.redact, **names)
        started = RunStarted(
            at=self._clock.wall_s(),
            run=self._ids.make_run_id(),
            team=team.name,
            team_version=team.version,
            agent=team.coordinator.name,
            intent=bodies.put(request),
            limits=bounds,
            guards=self._compute_modes(team, modes or {}),
            tenant=tenant,
            principal=principal,
            session=session,
            request_id=request_id,
            app=app,
            stream=stream,
            loop=team.loop,
        )
        launch = self._launcher.launch(team, started, bodies, raises=limits is not None)
        return await asyncio.shield(self.supervisor.start_task(launch))

    def _compute_modes(self, team: Team, modes: Mapping[str, Mode] = EMPTY) -> dict[str, Mode]:
        """Returns the modes that the guards of a new run have."""
        return self._modes.compute_start_modes(self._factory.get_guards(team), self._code_modes, modes)

    async def attach(self, run_id: str) -> Run:
        """Returns a handle on a run, whichever process drives it. Raises `Misused` if there is no such run."""
        return await self._launcher.attach(run_id)

    # ---- going on

    async def resume(
        self,
        run_id: str,
        team: Team[Output_co] | Agent[Output_co],
        *,
        force: bool = False,
        limits: Limits | None = None,
        by: str = "",
        credential: object = None,
        reason: str = "",
    ) -> Run[Output_co]:
        """Goes on with a run after a crash, after it waited or, with other `limits`, after a limit halted it.

        Waits for the next slot if `admission` has none free; a run that has begun goes before new runs. Recorded
        steps are not made again. A read or model call that was in flight is made again. An effect is made again
        only if its tool is idempotent; otherwise its fate is `unknown`, and the run waits for a person.
        `limits` replace the run's. The journal records who raised them, `by` or `credential` as in `approve`, and `reason`.
        Only the framework's loop goes on with a run whose steps such a loop asks for. With `limits`, the limits are raised, and
        the loop goes on when it sends the same request again; without `limits`, `Misused` says how to do that.
        Raises `Refused` if a live process has the run (`force` takes the run from it), and `Misused` if there is no
        such run, for limits with which it can't go on, and for other limits once its request was erased.
        """
        team = as_team(team)
        raised = await sign_limits(self._decisions, self._clock, limits, by, credential, reason)
        if raised is not None and await raise_limits(self.supervisor, run_id, team, raised):
            return Run(self.supervisor, run_id)
        driver = await self.supervisor.take_up(run_id, team, force=force)
        return Run(self.supervisor, run_id, driver=driver)

    # ---- what people decide

    async def approvals(
        self,
        *,
        role: str | None = None,
        tenant: str | None = None,
        run: str | None = None,
        state: ProposalState | None = "open",
        after: str = "",
        limit: int = 100,
    ) -> list[Approval]:
        """Returns proposals, oldest first: may exactly this be done?

        `role`: only proposals that people with this role may decide on. `after`: the id of the last proposal on the previous
        page. `state`: another state than `open`; None: all.
        """
        wanted = ProposalFilter(state=state, role=role, tenant=tenant, run=run, after=after)
        return await self._decisions.list_approvals(wanted, limit)

    async def approval(self, proposal: str) -> Approval:
        """Returns one proposal, with the agent's text beside the call. Raises `Misused` if there is no such proposal."""
        return await self._decisions.read_approval(proposal)

    async def approve(
        self,
        proposal: str,
        *,
        hash: str,  # noqa: A002 -- the field of `Approval` that it is given
        credential: object = None,
        by: str = "",
        edit: Mapping[str, Any] | str | None = None,
        team: Team | Agent | None = None,
        reason: str = "",
    ) -> Approval:
        """Approves a proposal, from any process, and returns its new state, in which it may need more people.

        `hash` is the hash of the `Approval` that the person was shown. `credential` goes to `authenticate` or, without that,
        is a key of `seawall principals`. `by` names a person without a credential; this is allowed only if no tool declares
        who approves, and nobody has or had a key. `edit`: other arguments, as a dict or JSON, for which this is the first
        vote; `team` has the tool that checks them, if this process does not have the run.
        Raises `Refused` (guard `approval`) for a decision that is not valid, and `Misused` for an unknown proposal and for an
        edit that the tool does not accept.
        """
        text = write_edit(edit)
        decider = await self._decisions.identify(credential, by, on=proposal)
        return await self._decisions.decide(
            proposal, approve=True, hash=hash, decider=decider, edit=text, team=team, reason=reason
        )

    async def reject(
        self,
        proposal: str,
        *,
        hash: str,  # noqa: A002 -- as above
        credential: object = None,
        by: str = "",
        reason: str = "",
        stop: bool = False,
    ) -> Approval:
        """Rejects a proposal; the agent is told `reason`. `stop` ends its run. Otherwise as `approve`."""
        decider = await self._decisions.identify(credential, by, on=proposal)
        return await self._decisions.decide(
            proposal, approve=False, hash=hash, decider=decider, reason=reason, stop=stop
        )

    async def decide(
        self,
        run_id: str,
        step: int,
        *,
        approve: bool,
        by: str = "",
        credential: object = None,
        reason: str = "",
        stop: bool = False,
    ) -> None:
        """Decides on approval step `step` of a waiting run, as it is now: short for `approve` and `reject`.

        Raises `Misused` if the run does not wait for that step, if no person is named, or if another decision was made before.
        """
        decider = await self._decisions.identify(credential, by)
        await self._decisions.decide_step(
            run_id, step, approve=approve, decider=decider, reason=reason, stop=stop
        )

    async def make_link(
        self,
        proposal: str,
        principal: Principal | str,
        *,
        hash: str | None = None,  # noqa: A002 -- as above
        expires_s: float = LINK_S,
    ) -> str:
        """Returns a token with which this principal may decide once, for a URL of your own. Send it to nobody else.

        `principal` may be a name in `seawall principals`. Without `hash`, the link is for the proposal as it is now. Raises
        `Misused` without `link_key`, and `Refused` if the proposal is not open or the principal may not decide on it.
        """
        return await self._decisions.make_link(proposal, principal, hash, expires_s)

    async def read_link(self, token: str) -> Approval:
        """Returns the proposal of a link, to show it. Raises `Refused` for a token that is not valid (any more)."""
        return await self._decisions.read_link(token)

    async def decide_by_link(
        self, token: str, *, approve: bool, reason: str = "", stop: bool = False
    ) -> Approval:
        """Decides as the person that a link was made for, and uses it up. Raises as `approve` does."""
        return await self._decisions.decide_by_link(token, approve=approve, reason=reason, stop=stop)

    async def effects(
        self,
        *,
        status: EffectState | None = None,
        tenant: str | None = None,
        tool: str | None = None,
        run: str | None = None,
        session: str | None = None,
        before: str = "",
        limit: int = 100,
    ) -> list[RecordedEffect]:
        """Returns effects, newest first. `before`: the id of the last effect on the previous page."""
        wanted = EffectFilter(state=status, tenant=tenant, tool=tool, run=run, session=session, before=before)
        return await self._decisions.list_effects(wanted, limit)

    async def reconcile(
        self,
        effect: str,
        *,
        step: int | None = None,
        committed: object = None,
        failed: str | None = None,
        credential: object = None,
        by: str = "",
        reason: str = "",
    ) -> None:
        """Records what became of an effect of unknown fate: its receipt, or why it is known not to have happened.

        Look it up in the other system first. Runs that wait for it go on. Instead of the effect's id, the id of a run and the
        `step` that asks may be given. Raises `Misused` unless exactly one of `committed` and `failed` is given, and `Refused`
        for an agent, or the requester of an effect that others had to approve.
        """
        decider = await self._decisions.identify(credential, by)
        await self._decisions.reconcile(
            effect, step, committed=committed, failed=failed, decider=decider, reason=reason
        )

    async def allow_again(self, effect: str, *, credential: object = None, by: str = "") -> RecordedEffect:
        """Allows the same effect once more, if that is intended. Raises `Misused`, and `Refused` as `reconcile`."""
        decider = await self._decisions.identify(credential, by)
        return await self._decisions.allow_again(effect, decider=decider)

    async def undo(
        self,
        effect: str,
        *,
        credential: object = None,
        by: str = "",
        team: Team | Agent | None = None,
        app: str | None = None,
    ) -> Run:
        """Starts a run that undoes a committed effect with the tool that its own tool declares (`Effect(undo=…)`).

        Undoing is an effect itself: it is proposed, approved and done once. Undoing the same effect again returns the same
        run, or a new one if that run did nothing because it was rejected, expired or was cancelled.
        `team`: the effect's team, if it is not in `teams`. `app`: its import path, if it is not the recorded one. Raises
        `Misused` if the effect can't be undone, or its team is not known here, and `Refused` as `reconcile`.
        """
        person = await self._decisions.identify_person(credential, by)
        return await self._errands.undo(effect, None if team is None else as_team(team), person, app)

    def memory(self, tenant: str = "") -> TenantMemory:
        """Returns the memory of a tenant, to read and correct it."""
        return TenantMemory(self.supervisor, self._decisions, self._errands, tenant)

    # ---- backups and trials

    async def backup(self, path: str | Path, *, force: bool = False) -> Backup:
        """Copies the journal to a new file while runs go on, with its high-water mark, and verifies the copy.

        `path` has the whole copy or, if anything fails, what it had before. Do not open a journal with another copy of
        SQLite, such as Python's `sqlite3`, in a process that has it open: see the page on keeping a journal. Raises
        `Misused` if there is a file at `path` (`force` replaces it), `JournalFull`, and `JournalFailed`.
        """
        if not isinstance(cast("object", path), str | Path):
            raise Misused(f"backup: path is {path!r}; it must be a path")
        return await self.journal.backup(str(path), force=force)

    async def replay(
        self,
        run_id: str,
        team: Team | Agent | None = None,
        *,
        limits: Limits | None = None,
        modes: Mapping[str, Mode] | None = None,
    ) -> Replay:
        """Decides again over a recorded run, with today's team and guards. Performs nothing.

        `limits` replace the recorded limits, `modes` the recorded modes. A run whose steps a framework's loop asked for
        needs no `team`: what was asked for is taken from the record, and only guards and limits decide again.
        Raises `Misused` if there is no such run, if its events were pruned, if its texts were erased, or without a `team`
        where one is needed.
        """
        given = None if team is None else as_team(team)
        return await replay_run(self.supervisor, run_id, given, limits, modes or {})

    async def fork(
        self,
        run_id: str,
        team: Team[Output_co] | Agent[Output_co] | None = None,
        *,
        at: int | None = None,
        result: str | None = None,
        live_effects: bool = False,
        app: str | None = None,
        limits: Limits | None = None,
        by: str = "",
        credential: object = None,
        reason: str = "",
        request_id: str | None = None,
    ) -> Run[Output_co]:
        """Goes on live from the result of step `at`, as a new run. `result` replaces the result of that step.

        Without `at`, it is the last step with a result. Effects are simulated unless `live_effects`. `app` is the team's
        import path, if it is not the recorded one. `limits`, with who gives them, are as in `resume`, and the fork's own.
        A run whose steps a framework's loop asked for has no `team`, and its fork a `request_id` of its own: the loop goes on
        with it once it makes the same request with that id. What is recorded up to step `at` is given to it again. The same fork
        made again under its id is the run that it has.
        Raises `Misused` for a step after which no fork is possible, for a request id that another run has, and if the run's
        events were pruned or its request was erased.
        """
        check_recordable(app=app, request_id=request_id)
        check_texts(result="" if result is None else result)
        given, run = None if team is None else as_team(team), self._ids.make_run_id()
        raised = await sign_limits(self._decisions, self._clock, limits, by, credential, reason)
        change = ForkOptions(at, result, live_effects, app, raised, request_id)
        run = await fork_run(self.supervisor, run_id, given, run, change)
        return Run(self.supervisor, run) if given is None else await self.resume(run, given)

    # ---- reading

    async def state(self, run_id: str) -> RunState:
        """Returns the recorded state of a run. Raises `Misused` if its events were pruned."""
        return await read_state(self.journal, run_id)

    async def outcome(self, run_id: str) -> Outcome:
        """Returns the outcome of a run that has ended, from the journal; for a pruned run, the outcome in its row.

        Raises `Misused` if there is no such run, or if it has not ended.
        """
        return await read_outcome(self.journal, run_id)

    # ---- commands

    async def send(self, run_id: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> None:
        """Puts a command into a run's inbox, and delivers it if this process has the run."""
        await self.supervisor.send(run_id, command, bodies)

    async def cancel(self, run_id: str, command: Command) -> None:
        """Tells a run's owner to end it. A run that no process drives is taken up and ended here."""
        await self.supervisor.cancel(run_id, command)

    # ---- live settings

    async def set_guard(
        self,
        guard: str,
        mode: Mode | Literal["auto"],
        *,
        by: str,
        why: str = "",
        for_s: float | None = None,
    ) -> None:
        """Sets the mode of a guard live, for all runs on this journal: those in flight and later ones.

        `auto` restores the mode in the code; with `for_s` that happens after this many seconds. The journal records `by` and
        `why`. A guard that this process does not know is also set, with a warning in the log, because it may belong to a team
        of another process. Raises `Misused` if `by` is empty or `mode` is not a mode.
        """
        await put_mode(self.supervisor, guard, mode, by, why, for_s)

    async def pause(self, what: str, *, by: str, why: str = "", for_s: float | None = None) -> None:
        """Pauses `what` in all processes on this journal, so that none of its steps begins any more.

        `what` is `tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`. Steps in flight go on to their end.
        A run that can do nothing else is parked: its clock stands still, and it goes on when the pause is lifted, or
        after `for_s` seconds. New runs are `Refused` if their tenant or `all` is paused. Raises `Misused` for a `what`
        that can't be paused, an unknown run, an empty `by`, or a `for_s` that is not above zero.
        """
        await put_pause(self.supervisor, what, by, why, for_s)

    async def unpause(self, what: str, *, by: str, why: str = "") -> None:
        """Lifts the pause of `what`. Raises `Misused`, which names what is paused, if there is no such pause."""
        await lift_pause(self.supervisor, what, by, why)

    async def pauses(self) -> list[Pause]:
        """Returns the pauses in force, oldest first."""
        await self.supervisor.inbox.refresh_settings()
        return self._pauses.list_pauses()
