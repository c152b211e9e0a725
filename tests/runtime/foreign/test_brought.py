"""What adapters share: values that models and tools bring, and what a person is asked."""

from __future__ import annotations

import asyncio

import pytest

from seawall.runtime.foreign.asks import Held, Turn
from seawall.runtime.foreign.own_errors import OwnErrors
from seawall.runtime.foreign.results import to_json_value, write_text


class Parcel:
    pass


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("paid", "paid"),
        ({"orders": (1, 2)}, '{"orders": [1, 2]}'),
        (b"paid", '"paid"'),
        (b"\xff", '"_w=="'),
        ([Parcel(), Parcel], '["<Parcel>", "<Parcel>"]'),
        (float("inf"), "Infinity"),
    ],
)
def test_any_value_has_a_text_that_is_the_same_in_every_process(value: object, written: str) -> None:
    assert write_text(value) == written
    assert to_json_value(to_json_value(value)) == to_json_value(value)


@pytest.mark.parametrize(
    ("proposal", "journal", "command"),
    [
        ("p-1", "", "seawall approve p-1"),
        ("", "", "seawall reconcile r-1 4"),
        ("p-1", "/desks/my desk.db", "seawall approve p-1 --journal '/desks/my desk.db'"),
    ],
)
def test_a_person_is_told_the_command_that_decides(proposal: str, journal: str, command: str) -> None:
    held = Held("r-1", 4, "refund", proposal, "it needs an approval", journal=journal)

    assert held.describe()["decide"] == held.command == command
    assert command in str(held)
    assert "problem" not in held.describe()
    assert held.describe("nobody is named")["problem"] == "nobody is named"


def test_what_a_tool_raised_is_told_from_what_is_only_equal() -> None:
    own, error = OwnErrors(), ValueError("no such order")

    async def fail(turn: Turn) -> tuple[object, object]:
        raise error

    def fail_sync(turn: Turn) -> tuple[object, object]:
        raise KeyError("order")

    async def perform() -> None:
        await own.watch(fail)(Turn(step=1))

    with pytest.raises(ValueError, match="no such order"):
        asyncio.run(perform())
    with pytest.raises(KeyError) as raised:
        own.watch_sync(fail_sync)(Turn(step=2))

    assert error in own
    assert raised.value in own
    assert ValueError("no such order") not in own
