"""What runs are made with in this process: guards, models, prices, conversations, and the redactor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from seawall.core.clock import Clock
from seawall.core.errors import Misused, Refused
from seawall.core.events import RunStarted
from seawall.core.limits import Limits
from seawall.core.redact import Redactor
from seawall.engine.gate import BUILT_IN, Gate
from seawall.guards.loops import Loops
from seawall.guards.shared import SharedGuard
from seawall.models import prices
from seawall.models.protocol import Model, Price
from seawall.models.providers import base_url_of
from seawall.planner.latencies import Latencies
from seawall.planner.pruning import RunPlanner
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.run.guard import Guard
from seawall.run.step import Work
from seawall.runtime.executor import Resources, TeamWork
from seawall.runtime.sessions import Sessions
from seawall.team.agent import Agent, check_items
from seawall.team.team import Team


class Factory:
    """Makes the parts of a run."""

    def __init__(
        self,
        *,
        clock: Clock,
        guards: Sequence[Guard] | None,
        models: Callable[[str], Model] | None,
        prices: Mapping[str, Price] | None,
        redactor: Redactor,
    ) -> None:
        check_items("Seawall: guards", guards or (), Guard)
        self.sessions = Sessions()
        self.own_guards = tuple(guards) if guards is not None else (Loops(),)
        self._clock = clock
        self._resolve = models or _resolve
        self._prices = dict(prices or {})
        self._redactor = redactor
        self._crews: weakref.WeakKeyDictionary[Team, Resources] = weakref.WeakKeyDictionary()
        self._resolved: dict[str, Model] = {}
        self._latencies = Latencies()

    def guards(self, team: Team) -> tuple[Guard, ...]:
        """The guards of a team's runs. Raises `Misused` for one with a name of Seawall's own, or two of one."""
        for place, guards in (("Seawall", self.own_guards), (f"team {team.name!r}", team.guards)):
            names = [guard.name for guard in guards]
            if twice := [name for name in names if names.count(name) > 1]:
                raise Misused(f"{place} has two guards of the name {twice[0]!r}")
        by_name = {guard.name: guard for guard in (*self.own_guards, *team.guards)}
        for name in by_name:
            if name in BUILT_IN:
                raise Misused(f"a guard can't be named {name!r}: that is one of Seawall's own")
        return tuple(by_name.values())

    def check(self, team: Team, limits: Limits, usd_cap: Decimal | None) -> None:
        """Raise `Refused` if money is limited, for the run or by a cap, and a model's price is not known."""
        crew = self._crew(team)
        usd = limits.usd if limits.usd is not None else usd_cap
        for agent, price in crew.prices.items():
            if usd is not None and price is None:
                model = crew.models[agent].name
                own = (
                    ""
                    if isinstance(team.members[agent].agent.model, str)
                    else " or, if it is a ScriptedModel, with ScriptedModel(…, price=…)"
                )
                extra = (
                    "" if prices.installed() else ", or install a list of them: pip install 'seawall[prices]'"
                )
                raise Refused(
                    f"usd is limited to {usd}, and the price for agent {agent!r} of model {model!r} is not known: "
                    f"give it with Seawall(prices={{{model!r}: Price(…)}}){own}{extra}",
                    guard="limits",
                    limit=usd,
                    value=model,
                )

    def planner(self, team: Team, bodies: Bodies) -> RunPlanner | None:
        """The planner of one run, if the team has one. What is known of latencies is of all runs here."""
        if team.planner is None:
            return None
        return RunPlanner(team, team.planner, self._latencies, bodies, now=self._clock.wall_s)

    def _crew(self, team: Team) -> Resources:
        crew = self._crews.get(team)
        if crew is None:
            models: dict[str, Model] = {}
            for name, member in team.members.items():
                model = member.agent.model
                models[name] = self._named(model) if isinstance(model, str) else model
            crew = self._crews[team] = Resources(team, models, self._price)
        return crew

    def _named(self, name: str) -> Model:
        model = self._resolved.get(name)
        if model is None:
            model = self._resolved[name] = self._resolve(name)
        return model

    def _price(self, agent: Agent) -> Price | None:
        """What an agent's model costs: as the host says, as the model itself says, or as it is listed."""
        model = agent.model
        name = model if isinstance(model, str) else model.name
        given = self._prices.get(name)
        if given is not None:
            return given
        if isinstance(model, str):
            base_url = base_url_of(name)
        elif model.price is not None:
            return model.price
        else:
            base_url = getattr(model, "base_url", None)
        return prices.listed(name, at=self._clock.wall_s(), base_url=base_url, settings=agent.settings)

    async def close(self) -> None:
        """Close the models that were made from their names; those that were given stay as they are."""
        for model in self._resolved.values():
            close = getattr(model, "aclose", None)
            if close is not None:
                await close()
        self._resolved.clear()
        self._crews.clear()

    def bodies(self, tenant: str = "", session: str | None = None) -> Bodies:
        """A run's bodies, with those of its session's conversation that are at hand."""
        return Bodies(self._redactor, self.sessions.known(tenant, session))

    def work(
        self,
        team: Team,
        limits: Limits,
        bodies: Bodies,
        lines: Sequence[MessageRef],
        *,
        models: bool = True,
        on_text: Callable[[int, str], None] | None = None,
    ) -> TeamWork:
        """The team at work on one run; without `models` it can decide, not perform."""
        crew = self._crew(team) if models else Resources(team, {}, self._price)
        return TeamWork(team, crew, limits, bodies, history=lines, on_text=on_text)

    def gate(
        self,
        team: Team,
        work: Work,
        started: RunStarted,
        shared: Sequence[SharedGuard],
        again: Callable[[], None],
    ) -> Gate:
        """The gate of one run; `again` is called when what it shares may have changed."""
        fork = started.fork
        simulate = fork is not None and not fork.live_effects
        return Gate(
            work,
            self.guards(team),
            started.limits,
            now=self._clock.wall_s,
            simulate_effects=simulate,
            shared=shared,
            again=again,
        )


def _resolve(name: str) -> Model:
    from seawall.models.providers import resolve  # noqa: PLC0415 -- an extra; only named models need it

    return resolve(name)
