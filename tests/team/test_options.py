"""What is of another type is told where it is made, with its value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from seawall import Admission, Agent, Budget, Caps, EndpointOptions, Misused, Seawall, Team
from seawall.team.team import as_team
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

    with pytest.raises(Misused, match="team 'inner': coordinator 'extra' is optional; only who is asked"):
        as_team(inner)
    with pytest.raises(Misused, match="coordinator 'extra' is optional"):
        as_team(extra)
    assert as_team(Team("outer", Agent("boss", model=ScriptedModel([])), specialists=[inner])).planner
