"""An option of another type raises an error where it is given, and the error names its value."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

import pytest

from seawall import Admission, Agent, Budget, Caps, EndpointOptions, Misused, Model, Seawall, Team, run_team
from seawall.team.agent import AgentOptions
from seawall.team.team import StartOptions, as_team
from seawall.testing import ScriptedModel

five: Any = 5
text: Any = "2s"
caps: Any = Caps(usd=five)
by_name: Any = {"usd": 5}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Budget(tenant_day=five), "tenant_day is 5; it must be Caps"),
        (lambda: Budget(day=by_name), "day is {'usd': 5}; it must be Caps"),
        (lambda: Budget(tenants_day={"a": five}), r"tenants_day\['a'\] is 5; it must be Caps"),
        (lambda: Budget(tenants=caps), r"tenants is Caps\(.*; it must be a dict"),
        (lambda: Budget(tenants={five: Caps()}), "names a tenant 5; it must be text"),
        (lambda: Seawall(budget=five), r"budget is 5; it must be Budget\("),
        (lambda: Seawall(budget=caps), r"budget is Caps\(.*; it must be Budget\("),
        (lambda: Seawall(admission=five), r"admission is 5; it must be Admission\("),
        (lambda: Seawall(endpoints=five), "endpoints is 5; it must be a dict"),
        (lambda: EndpointOptions(open_s=text), "open_s is '2s'; it must be a number"),
        (lambda: EndpointOptions(at_once=text), "at_once is '2s'; it must be a whole number"),
        (lambda: Admission(retry_after_s=text), "retry_after_s is '2s'; it must be a number"),
        (lambda: Admission(in_flight=2, per_tenant=5), "per_tenant is 5, and in_flight only 2"),
    ],
)
def test_an_option_of_another_type_is_misuse_at_once(make: Callable[[], object], told: str) -> None:
    with pytest.raises(Misused, match=told):
        make()


def test_a_time_that_is_no_number_is_misuse() -> None:
    async def main() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match="for_s is '2s'; it must be a number of seconds above zero"):
                await sea.pause("all", by="ops", for_s=text)

    asyncio.run(main())


def test_the_coordinator_of_a_whole_team_is_not_optional_and_one_of_a_team_in_it_may_be() -> None:
    extra = Agent("extra", model=ScriptedModel([]), optional=True)
    inner = Team("inner", extra)

    with pytest.raises(
        Misused, match="team 'inner': coordinator 'extra' is optional; only a specialist can be"
    ):
        as_team(inner)
    with pytest.raises(Misused, match="coordinator 'extra' is optional"):
        as_team(extra)
    assert as_team(Team("outer", Agent("boss", model=ScriptedModel([])), specialists=[inner])).planner


def keywords_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only parameters of a function, each with its type."""
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {each.name: hints[each.name] for each in parameters if each.kind is each.KEYWORD_ONLY}


def test_a_team_s_run_and_a_start_take_the_same_options() -> None:
    assert get_type_hints(StartOptions) == keywords_of(Seawall.start)


def test_the_options_of_an_agent_are_those_that_its_overloads_name() -> None:
    named = {"model": Model | str, "output": Any}

    assert named | get_type_hints(AgentOptions) == keywords_of(Agent.__init__)


def test_an_option_that_is_not_known_is_a_type_error() -> None:
    team = Team(Agent("clerk", model=ScriptedModel([])))
    unknown: Any = {"tenants": "acme"}

    async def main() -> None:
        async with Seawall() as sea:
            for start in (team.run, partial(run_team, team), partial(sea.start, team)):
                with pytest.raises(TypeError, match="unexpected keyword argument 'tenants'"):
                    await start("Hello", **unknown)

    asyncio.run(main())
