"""The factory: wires the parts of one run together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, cast

from seawall.core.canonical import Ref, check_recordable, measure_bytes
from seawall.core.clock import Clock
from seawall.core.errors import Misused, Refused, describe_error
from seawall.core.events import Mode, RunStarted
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.effects.guard import EFFECTS, EffectsGuard
from seawall.engine.driver import Driver
from seawall.engine.gate import BUILT_IN, SECRETS, Gate
from seawall.engine.judging import GuardTable
from seawall.guards.authority import AUTHORITY, AuthorityGuard
from seawall.guards.authority.phrases import find_claims
from seawall.guards.context import ContextGuard
from seawall.guards.limits import LIMITS
from seawall.guards.loops import Loops
from seawall.guards.nested import TeamGuard, TeamLimits
from seawall.guards.shared import SharedGuard
from seawall.guards.waste import WasteGuard
from seawall.journal.protocol import Journal, Lease
from seawall.memory.guard import MEMORY_GUARD, MemoryGuard
from seawall.models import prices
from seawall.models.protocol import Model, Price, Usage
from seawall.models.providers import find_base_url
from seawall.models.usage import compute_usd
from seawall.planner.latencies import Latencies
from seawall.planner.pruning import RunPlanner
from seawall.run.bodies import Bodies
from seawall.run.causes import Causes
from seawall.run.frame import MessageRef
from seawall.run.guard import Guard
from seawall.run.ledger import LEAST_REPLY_TOKENS
from seawall.run.originals import KEY_BYTES, Originals
from seawall.run.permission_claims import ClaimIndex
from seawall.run.state import RunState
from seawall.run.step import UNWATCHED
from seawall.run.traces import find_traces
from seawall.runtime.calls import await_apart
from seawall.runtime.executor import Resources, TeamExecutor
from seawall.runtime.foreign.logic import ForeignExecutor, ForeignLogic
from seawall.runtime.foreign.own_loop import explain_own_loop
from seawall.runtime.foreign.team import ForeignTeam
from seawall.runtime.remembering import MemorySteps
from seawall.runtime.solving import ConflictSolver
from seawall.team.agent import Agent, check_items
from seawall.team.context import FRAMING_TOKENS
from seawall.team.prepare import TeamLogic
from seawall.team.team import ANY_LOOP, Team
from seawall.team.tool import encode_canonical

CLOSE_S = 1.0
"""The most seconds that `close` waits for models to close their connections."""

_log = logging.getLogger("seawall")


class Factory:
    """Makes the parts of runs. It holds what all runs of a process share: guards, models, prices, secrets."""

    def __init__(
        self,
        *,
        clock: Clock,
        guards: Sequence[Guard],
        models: Callable[[str], Model] | None,
        prices: Mapping[str, Price] | None,
        redactor: Redactor,
    ) -> None:
        check_items("Seawall: guards", guards, Guard)
        given = tuple(guards)
        _check_names("Seawall", given)
        defaults = (Loops(), ContextGuard(), AuthorityGuard(), WasteGuard())
        self.own_guards = tuple({guard.name: guard for guard in (*defaults, *given)}.values())
        self._clock = clock
        self._resolve_model = models or _resolve_model
        for name, price in (prices or {}).items():
            if not isinstance(cast("object", price), Price):
                raise Misused(f"Seawall: prices[{name!r}] is {price!r}; it must be Price(…)")
        self._prices = dict(prices or {})
        self._redactor = redactor
        self.originals = Originals(secrets.token_bytes(KEY_BYTES))
        """Original texts with secrets. They are kept here, because a run that waits for a person keeps nothing in memory."""
        self._guards: weakref.WeakKeyDictionary[Team, tuple[Guard, ...]] = weakref.WeakKeyDictionary()
        self._tables: weakref.WeakKeyDictionary[Team, GuardTable] = weakref.WeakKeyDictionary()
        self._common: weakref.WeakKeyDictionary[Team, frozenset[int]] = weakref.WeakKeyDictionary()
        """Shingles of the tools' descriptions, by team."""
        self._resources: weakref.WeakKeyDictionary[Team, Resources] = weakref.WeakKeyDictionary()
        self._models: dict[str, Model] = {}
        """The models that the factory has made, by name."""
        self._windows: dict[tuple[str, str | None], int | None] = {}
        """The windows of models from the list, by name and address. A program has a handful of models."""
        self._latencies = Latencies()
        self._asked_prices: dict[str, Price | None] = {}
        """The prices of models that frameworks call, by name."""

    def __repr__(self) -> str:
        return f"<Factory of {len(self._resources)} teams>"

    # ---- what runs of one team share

    def get_guards(self, team: Team) -> tuple[Guard, ...]:
        """Returns the guards of a team's runs: those of `Seawall`, of the team, and of its nested teams.

        Raises `Misused` for a team's guard with the name of a built-in guard, two guards of one team with one name, or guards
        of several teams with one name and different modes.
        """
        known = self._guards.get(team)
        if known is None:
            known = self._guards[team] = self._join_guards(team)
        return known

    def _get_table(self, team: Team) -> GuardTable:
        table = self._tables.get(team)
        if table is None or not table.is_current:
            table = self._tables[team] = GuardTable(self.get_guards(team))
        return table

    def _join_guards(self, team: Team) -> tuple[Guard, ...]:
        for each in (team, *team.list_nested()):
            _check_names(f"team {each.name!r}", each.guards)
        by_name = {guard.name: guard for guard in (*self.own_guards, *team.guards)}
        mode = by_name[AUTHORITY].mode
        by_name[AUTHORITY] = AuthorityGuard(mode=mode, permits=team.permits, agents=tuple(team.members))
        if team.has_memory:
            by_name[MEMORY_GUARD] = MemoryGuard()
        guards = [*by_name.values(), *(guard for each in team.list_nested() for guard in _wrap_guards(each))]
        guards += _list_agent_limits(team)
        modes: dict[str, Mode] = {}
        keys: dict[str, Guard] = {}
        for guard in guards:
            if not isinstance(cast("object", guard.memory_key), str):
                raise Misused(f"guard {guard.name!r}: memory_key is {guard.memory_key!r}; it must be text")
            if keys.setdefault(guard.memory_key, guard) is not guard:
                other = keys[guard.memory_key].name
                raise Misused(
                    f"guards {other!r} and {guard.name!r} have one memory_key, {guard.memory_key!r}: each would "
                    "read what the other remembers; give one of them another name"
                )
            if modes.setdefault(guard.name, guard.mode) != guard.mode:
                raise Misused(
                    f"team {team.name!r} and the teams in it have guards of the name {guard.name!r} with different "
                    "modes, and a mode holds for a name: give these guards different names, or the same mode"
                )
        return tuple(guards)

    def check(
        self, team: Team, limits: Limits, usd_cap: Decimal | None, *, goes_on: RunStarted | None = None
    ) -> None:
        """Makes the team's models, and raises `Refused` if money is limited and the price of a model is not known.

        Money is limited by the run's `limits`, by the limits of a nested team, or by the tenant's cap. Also raises the errors
        of making a model, and `Misused` if the run that goes on belongs to the loop of another framework.
        """
        if goes_on is not None and goes_on.loop and team.loop not in (goes_on.loop, ANY_LOOP):
            raise Misused(f"run {goes_on.run}: {explain_own_loop(goes_on)}")
        resources = self._get_resources(team)
        usd_of_all = limits.usd if limits.usd is not None else usd_cap
        limited = {} if usd_of_all is None else dict.fromkeys(team.members, usd_of_all)
        for each in team.list_nested():
            if each.given_limits is not None and each.given_limits.usd is not None:
                limited |= dict.fromkeys(each.members, each.given_limits.usd)
        for name, member in team.members.items():
            if member.agent.limits is not None and member.agent.limits.usd is not None:
                limited[name] = member.agent.limits.usd
        for agent, usd in limited.items():
            if resources.prices[agent] is not None:
                continue
            model = resources.models[agent].name
            own = (
                ""
                if isinstance(team.members[agent].agent.model, str)
                else " or, if it is a ScriptedModel, with ScriptedModel(…, price=…)"
            )
            extra = (
                ""
                if prices.is_installed()
                else ", or install a list of them: pip install 'path/to/seawall[prices]'"
            )
            raise Refused(
                f"usd is limited to {usd}, and the price for agent {agent!r} of model {model!r} is not known: "
                f"give it with Seawall(prices={{{model!r}: Price(…)}}){own}{extra}",
                guard="limits",
                limit=usd,
                value=model,
            )

    def check_room(self, team: Team, started: RunStarted, request: str) -> None:
        """Raises `Misused` if not even the first model call of a run fits into its limits, with the shortest reply."""
        limits = started.limits
        if started.guards.get(LIMITS, "enforce") != "enforce":
            return
        lead = team.members[team.coordinator.name]
        price = self._get_resources(team).prices[lead.agent.name]
        sent = measure_bytes(lead.agent.instructions) + lead.specs_bytes + 2 * FRAMING_TOKENS
        sent += measure_bytes(request)
        reply = min(LEAST_REPLY_TOKENS, lead.agent.max_output_tokens)
        needed = {"tokens": sent + reply, "usd": compute_usd(price, Usage(sent, reply))}
        for name, need in needed.items():
            limit: int | Decimal | None = getattr(limits, name)
            if limit is not None and need is not None and need > limit:
                raise Misused(
                    f"limits: {name} is {limit}, and the first call of {lead.agent.name!r} can take {need}: up to "
                    f"{sent:,} tokens for its instructions, its tools and the request, and {reply} for the shortest reply"
                )

    def _get_resources(self, team: Team) -> Resources:
        resources = self._resources.get(team)
        if resources is None:
            models: dict[str, Model] = {}
            for name, member in team.members.items():
                model = member.agent.model
                models[name] = self._get_model(model) if isinstance(model, str) else model
            resources = self._resources[team] = Resources(team, models, self._find_price, self._find_window)
        return resources

    def _get_model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = self._resolve_model(name)
        return model

    def _find_price(self, agent: Agent) -> Price | None:
        """Returns the price of an agent's model: from `Seawall(prices=…)`, from the model itself, or from the list."""
        model = agent.model
        name = model if isinstance(model, str) else model.name
        own = self._prices.get(name)
        if own is not None:
            return own
        if isinstance(model, str):
            base_url = find_base_url(name)
        elif (price := model.price) is not None:
            if not isinstance(cast("object", price), Price):
                raise Misused(f"the price of model {name!r} is {price!r}; it must be Price(…), or None")
            return price
        else:
            base_url = getattr(model, "base_url", None)
        if ":" not in name:  # the list has prices of `provider:name`
            return None
        return prices.find_price(name, at=self._clock.wall_s(), base_url=base_url, settings=agent.settings)

    def find_price(self, model: str) -> Price | None:
        """Returns the price of a model that a framework calls, by its name `provider:name`; None if it is not known."""
        if model not in self._asked_prices:
            price = self._prices.get(model)
            if price is None and ":" in model:
                price = prices.find_price(
                    model, at=self._clock.wall_s(), base_url=find_base_url(model), settings={}
                )
            self._asked_prices[model] = price
        return self._asked_prices[model]

    def _find_window(self, agent: Agent) -> int | None:
        """Returns the tokens of the context of an agent's model, reply included, from the model or from the list."""
        if agent.context is not None and agent.context.tokens is not None:
            return None  # the window is not needed
        model = agent.model
        if isinstance(model, str):
            name, base_url = model, find_base_url(model)
        else:
            own = getattr(model, "context_window", None)
            if isinstance(own, int) and own > 0:
                return own
            name, base_url = model.name, getattr(model, "base_url", None)
        if ":" not in name:
            return None
        if (name, base_url) not in self._windows:
            self._windows[name, base_url] = prices.find_window(name, base_url)
        return self._windows[name, base_url]

    async def close(self) -> None:
        """Closes the models that the factory has made. Models that the caller passed stay open.

        Waits up to `CLOSE_S` seconds; errors of models are logged.
        """
        models, self._models = self._models, {}
        self._resources.clear()
        closing = [
            asyncio.create_task(_close_model(name, model, self._redactor.text))
            for name, model in models.items()
            if getattr(model, "aclose", None) is not None
        ]
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in late:
                task.cancel()

    # ---- the parts of one run

    def make_bodies(self, known: Mapping[Ref, bytes] | None = None) -> Bodies:
        """Returns the bodies of a run, which begin with `known`."""
        return Bodies(self._redactor, known, self.originals)

    def make_logic(self, team: Team, bodies: Bodies, history: Sequence[MessageRef]) -> TeamLogic:
        """Returns a team's logic for a run that only decides. It makes no models, not even to read their prices."""
        prices = {name: self._find_price(member.agent) for name, member in team.members.items()}
        windows = {name: self._find_window(member.agent) for name, member in team.members.items()}
        return TeamLogic(team, bodies, prices=prices, windows=windows, history=history)

    def make_causes(
        self, team: Team, state: RunState, bodies: Bodies, history: Sequence[MessageRef]
    ) -> Causes:
        """Returns an index of causes that knows the run's request, and the session's conversation before it."""
        common = self._common.get(team)
        if common is None:
            common = self._common[team] = _find_common(team)
        asked = any(guard.name == AUTHORITY for guard in self.get_guards(team))
        traces = partial(bodies.cache.compute, find_traces)
        claims = ClaimIndex(partial(bodies.cache.compute, find_claims) if asked else None, traces)
        causes = Causes(traces, common, claims)
        causes.learn_request(bodies.text(state.started.intent))
        if history:
            causes.learn_history(history, bodies)
        return causes

    def make_driver(
        self,
        team: Team,
        state: RunState,
        bodies: Bodies,
        history: Sequence[MessageRef],
        *,
        journal: Journal,
        lease: Lease | None,
        shared: Sequence[SharedGuard],
        effects: EffectsGuard,
        wake: Callable[[], None],
        on_text: Callable[[int, str], None] | None,
        on_rest: Callable[[Driver], None],
        on_record: Callable[[], None],
        causes: Causes,
    ) -> Driver:
        """Returns the driver of a run in `state`, with its gate, executor and planner. See `Driver` and `Gate`."""
        started, resources = state.started, self._get_resources(team)
        team_logic = TeamLogic(
            team,
            bodies,
            prices=resources.prices,
            windows=resources.windows,
            history=history,
            run=started.run,
        )
        own = TeamExecutor(
            started.run,
            team,
            resources,
            team_logic.context,
            bodies,
            memory=MemorySteps(journal, started.tenant, bodies, self._clock),
            on_text=on_text,
        )
        asks = team.asks if isinstance(team, ForeignTeam) else None
        logic = team_logic if asks is None else ForeignLogic(asks, team_logic, bodies, self.find_price)
        gate = Gate(
            logic,
            self._get_table(team),
            started.limits,
            bodies,
            causes,
            now=self._clock.wall_s,
            executor=own if asks is None else ForeignExecutor(asks, own),
            simulate_effects=started.fork is not None and not started.fork.live_effects,
            shared=shared,
            effects=effects,
            decisions=effects.find_decisions,
            wake=wake,
        )
        driver = Driver(
            state,
            logic=logic,
            gate=gate,
            journal=journal,
            lease=lease,
            clock=self._clock,
            bodies=bodies,
            planner=self._make_planner(team, started, bodies),
            resolve=ConflictSolver(journal, started, team, bodies) if team.has_memory else None,
            watcher=UNWATCHED if asks is None else asks,
            on_rest=on_rest,
            on_record=on_record,
        )
        if asks is not None:
            asks.attach(started.run, bodies, driver.finished)
        return driver

    def _make_planner(self, team: Team, started: RunStarted, bodies: Bodies) -> RunPlanner | None:
        """Returns the planner of a run, which knows the latencies of all runs of this process."""
        if team.planner is None or started.errand is not None:
            return None
        return RunPlanner(team, team.planner, self._latencies, bodies, now=self._clock.wall_s)


def _check_names(owner: str, guards: Sequence[Guard]) -> None:
    """Raises `Misused` for guards of one owner without a name, with equal names, or with the name of a built-in guard."""
    names = [guard.name for guard in guards]
    for name in names:
        check_recordable(**{f"a guard's name in {owner}": name})
        if not name:
            raise Misused(f"{owner} has a guard without a name")
    if twice := [name for name in names if names.count(name) > 1]:
        raise Misused(f"{owner} has two guards of the name {twice[0]!r}")
    if taken := [name for name in names if name in (*BUILT_IN, SECRETS, EFFECTS, MEMORY_GUARD)]:
        raise Misused(f"a guard can't be named {taken[0]!r}: that is one of Seawall's own")
    for guard in guards:
        if guard.name == AUTHORITY and type(guard) is not AuthorityGuard:
            raise Misused(f"a guard can't be named {AUTHORITY!r}: that is one of Seawall's own")
        if isinstance(guard, AuthorityGuard) and (guard.permits or guard.agents):
            what, source = ("permits", "Team(authority=…)") if guard.permits else ("agents", "the team")
            raise Misused(f"{owner}: AuthorityGuard was given {what}; they are made of {source}")


async def _close_model(name: str, model: Any, redact: Callable[[str], str]) -> None:
    _, error = await await_apart(model.aclose)
    if error is not None:
        _log.warning("model %s could not be closed: %s", name, redact(describe_error(error)))


def _wrap_guards(team: Team) -> list[Guard]:
    """Returns the guards of a nested team's part of a run: its limits, if it has any, and its guards."""
    lead, agents = team.coordinator.name, frozenset(team.members)
    wrapped: list[Guard] = [TeamGuard(guard, lead, agents) for guard in team.guards]
    if team.given_limits is not None:
        wrapped.insert(0, TeamLimits("team", team.name, lead, agents, team.limits))
    return wrapped


def _list_agent_limits(team: Team) -> list[TeamLimits]:
    """Returns the limits of agents, also of agents in nested teams."""
    return [
        TeamLimits("agent", name, f"agent:{name}", frozenset({name}), member.agent.limits)
        for name, member in team.members.items()
        if member.agent.limits is not None
    ]


def _resolve_model(name: str) -> Model:
    from seawall.models.providers import resolve  # noqa: PLC0415 -- an extra; only named models need it

    return resolve(name)


def _find_common(team: Team) -> frozenset[int]:
    """Returns the phrases of the tools' descriptions, which every run of the team is shown."""
    specs = {id(spec): spec for member in team.members.values() for spec in member.specs}.values()
    texts = [text for spec in specs for text in (spec.description, encode_canonical(spec.parameters))]
    return frozenset[int]().union(*(find_traces(text).shingles for text in texts))
