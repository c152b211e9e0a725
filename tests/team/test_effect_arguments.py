"""The arguments of declared effects in runs: one text of each call is shown, stored without secrets, and performed."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, Secret, SecretBytes, SecretStr

from seawall import Agent, Effect, Seawall, Team, Tool, tool
from seawall.core.events import StepDone, StepIntended
from seawall.core.redact import MARK, Redactor
from seawall.core.refs import refs_of
from seawall.effects.identity import OddValue, write_value
from seawall.run.bodies import Bodies
from seawall.run.fold import fold
from seawall.run.step import Propose, Step
from seawall.team.prepare import TeamLogic, read_edit
from seawall.testing import ScriptedModel, call, say
from team.test_secrets import over, recorded

HIDDEN = "quiet as a mouse"
"""No shape and no list says that this is a secret."""


NUMBERS = itertools.count(1)


def desk(item: Tool, **arguments: Any) -> Team:
    return Team(
        Agent("desk", model=ScriptedModel([call(item.name, **arguments), say("Done.")]), tools=[item])
    )


def perform(team: Team) -> bytes:
    """Runs a team and returns the arguments of its one effect as they are stored."""

    async def main() -> bytes:
        async with Seawall() as sea:
            await over(await sea.start(team, "go"))
            (effect,) = await sea.journal.effects()
            assert effect.arguments is not None
            return (await sea.journal.bodies(effect.tenant, [effect.arguments]))[effect.arguments]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (SecretStr, SecretStr(HIDDEN)),
        (SecretBytes, SecretBytes(HIDDEN.encode())),
        (Secret[str], Secret(HIDDEN)),
        (list[SecretStr], [SecretStr(HIDDEN)]),
        (dict[str, SecretStr], {"bank": SecretStr(HIDDEN)}),
        (SecretStr, Field(default_factory=lambda: SecretStr(HIDDEN))),
    ],
)
def test_a_secret_that_the_program_gives_by_default_is_performed_and_not_written_down(
    tmp_path: Path, kind: Any, default: Any
) -> None:
    taken: list[object] = []

    async def pay(order: str, token: Any = default) -> str:
        taken.append(token)
        return "ok"

    pay.__annotations__["token"] = kind
    data = recorded(tmp_path, desk(tool(effect=Effect(unique_by=("order",)))(pay), order="1042"))

    assert len(taken) == 1
    assert "**" in repr(taken[0])
    assert HIDDEN.encode() not in data


def test_a_secret_that_a_factory_makes_is_performed_and_stored_redacted() -> None:
    taken: list[str] = []

    @tool(effect=Effect(unique_by=("order",)))
    async def pay(
        order: str, pin: Annotated[SecretStr, Field(default_factory=lambda: SecretStr(HIDDEN))]
    ) -> str:
        taken.append(pin.get_secret_value())
        return "ok"

    assert perform(desk(pay, order="1042")) == f'{{"order":"1042","pin":"{MARK}"}}'.encode()
    assert taken == [HIDDEN]


def test_a_secret_that_is_not_taken_once_it_is_written_is_not_quoted() -> None:
    async def pay(
        token: Annotated[SecretStr, Field(default_factory=lambda: SecretStr(HIDDEN), max_length=3)],
    ) -> str:
        return "ok"

    with pytest.raises(ValueError, match="once they are written down") as caught:
        tool(effect=Effect())(pay).encode_arguments({})
    assert HIDDEN not in str(caught.value)


def test_an_edit_leaves_the_programs_secrets_as_they_are_and_can_give_none() -> None:
    @tool(effect=Effect(unique_by=("order",)))
    async def pay(order: str, token: SecretStr = SecretStr(HIDDEN)) -> str:  # noqa: B008 -- it is never changed
        return order

    assert read_edit(pay, '{"order": "7"}') == ('{"order":"7"}', None)
    with pytest.raises(ValueError, match="a parameter is a secret"):
        read_edit(pay, '{"order": "7", "token": "other"}')


@dataclass
class Parcels:
    items: Iterable[int]


def test_an_iterator_is_not_used_up_by_a_look_at_it() -> None:
    items = iter([1, 2])
    for value in (items, [items], {"a": items}, Parcels(items)):
        with pytest.raises(OddValue, match="take a list"):
            write_value("items", value)
    assert list(items) == [1, 2]


def test_a_lazy_parameter_is_performed_with_all_of_its_items() -> None:
    taken: list[list[int]] = []

    @tool(effect=Effect(unique_by=("order",)))
    async def send(order: str, items: Iterable[int]) -> str:
        taken.append(list(items))
        return "ok"

    perform(desk(send, order="1042", items=[1, 2]))
    assert taken == [[1, 2]]


def test_a_factory_makes_one_value_for_each_call() -> None:
    numbers = itertools.count(1)
    taken: list[int] = []

    @tool(effect=Effect(unique_by=("order",)))
    async def pay(order: str, number: int = Field(default_factory=lambda: next(numbers), ge=1)) -> str:
        taken.append(number)
        return "ok"

    stored = perform(desk(pay, order="1042"))
    assert taken == [1]
    assert stored == b'{"number":1,"order":"1042"}'


def test_a_field_as_a_default_is_what_pydantic_makes_of_it() -> None:
    @tool
    def look(limit: int = Field(10, gt=0, description="How many.")) -> str:
        return str(limit)

    assert look.validate_arguments({}) == {"limit": 10}
    assert look.spec.parameters["properties"]["limit"]["description"] == "How many."
    with pytest.raises(ValueError, match="greater than 0"):
        look.validate_arguments({"limit": 0})


def test_the_functions_defaults_are_shown_of_a_tool_with_a_schema() -> None:
    async def pay(order: str, copies: int = 1, hidden: int = 5, *, note: Any = None) -> str:
        return order

    schema = {
        "type": "object",
        "properties": {
            "order": {"type": "string"},
            "copies": {"type": "integer"},
            "note": {"type": "string"},
        },
        "required": ["order"],
    }
    item = Tool(pay, name="pay", schema=schema, effect=Effect(unique_by=("order",)))

    assert item.encode_arguments({"order": "7", "copies": 3}) == '{"copies":3,"order":"7"}'
    assert item.encode_arguments({"order": "7"}) == '{"copies":1,"order":"7"}'
    with pytest.raises(ValueError, match="order"):
        item.encode_arguments({"copies": 3})


def test_an_attempt_after_a_restart_has_the_arguments_of_the_first_one() -> None:
    """The other side knows the key with these, whatever a factory or a default would be now."""

    @tool(effect=True, idempotent=True)
    async def pay(order: str, number: Annotated[int, Field(default_factory=lambda: next(NUMBERS))]) -> str:
        return "ok"

    team = desk(pay, order="1042")

    async def main() -> tuple[Step, bytes]:
        async with Seawall() as sea:
            run = await sea.start(team, "go")
            await over(run)
            events = await sea.journal.events(run.id)
            known = await sea.journal.bodies("", refs_of(events))
        at = next(n for n, event in enumerate(events) if isinstance(event, StepIntended) and event.effect)
        attempt = events[at]
        assert isinstance(attempt, StepIntended)
        lost = StepDone(at=attempt.at, step=attempt.step, status="lost", error="lost")
        state = fold([*events[: at + 1], lost])
        logic = TeamLogic(team, Bodies(Redactor(), known), prices={}, run=run.id)
        (again,) = logic.decide(state)
        assert isinstance(again, Propose)
        assert attempt.input is not None
        return logic.prepare(again, state, attempt.step + 1), known[attempt.input]

    step, first = asyncio.run(main())
    assert step.arguments == json.loads(first)
    assert sorted(step.arguments or ()) == ["number", "order"]
