"""What is declared of a framework's tool names its parameters: one that no call has makes no two calls the same effect."""

from __future__ import annotations

from typing import Any

import pytest

from seawall import Effect, Misused, Tool, always
from seawall.runtime.foreign.asks import Settled
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.session import Session


def refund(session: Session, paid: list[object], **arguments: object) -> Settled:
    def pay(order: object) -> tuple[str, None]:
        paid.append(order)
        return f"receipt {len(paid)}", None

    asked = session.tool("clerk", "refund", arguments)
    return session.step_sync(asked, lambda turn: pay(turn.arguments["order"])).settled


@pytest.mark.parametrize(
    ("unique_by", "missing"),
    [(("oder",), "oder"), (("order", "lien.number"), "lien"), (("a", "b"), "a, b")],
)
def test_a_call_without_the_parameter_that_identifies_its_effect_is_not_made(
    unique_by: tuple[str, ...], missing: str
) -> None:
    paid: list[object] = []
    with Engine(effects={"refund": Effect(unique_by=unique_by)}) as engine:
        for order in (1042, 1043):
            with engine.begin(f"Refund order {order}", loop="own") as session:
                settled = refund(session, paid, order=order, line={"number": 1})
                session.end_sync("Done.")
            assert (settled.status, paid) == ("invalid", [])
            assert f"{missing}: unique_by says" in settled.told
            assert "(it has: line, order)" in settled.told


def test_a_null_is_a_value_by_which_effects_are_the_same() -> None:
    paid: list[object] = []
    with Engine(effects={"refund": Effect(unique_by=("order", "line"))}) as engine:
        for line in (None, 1, None):
            with engine.begin(f"Refund line {line}", loop="own") as session:
                refund(session, paid, order=1042, line=line)
                session.end_sync("Done.")
    assert paid == [1042, 1042]


@pytest.mark.parametrize(
    ("modes", "told"),
    [({"loop": "observe"}, "there is no guard 'loop'"), ({"loops": "watch"}, "mode is 'watch'")],
)
def test_a_mode_that_is_written_wrong_is_found_when_the_engine_is_made(
    modes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Misused, match=told):
        Engine(modes=modes)
    Engine(modes={"loops": "observe", "authority": "off"}).close()


CANCEL = Tool(lambda: "cancelled", name="cancel", description="Cancel it.", effect=True)


@pytest.mark.parametrize("effect", [Effect(approve=always(), detached=True), Effect(undo=CANCEL)])
def test_what_would_be_a_call_of_its_own_is_misuse_where_only_the_framework_calls_tools(
    effect: Effect,
) -> None:
    with pytest.raises(Misused, match=r"declared with (detached|undo), which has no use here"):
        Engine(effects={"refund": effect})
    with Engine() as engine, pytest.raises(Misused, match="has no use here"):
        engine.begin("Refund order 1042", loop="own", effects={"refund": effect})


def test_reads_of_one_run_hold_beside_the_engines_effects(caplog: pytest.LogCaptureFixture) -> None:
    paid: list[object] = []
    with Engine(effects=["refund"]) as engine:
        with engine.begin("Delete it", loop="own", reads=["delete_draft"]) as session:
            asked = session.tool("clerk", "delete_draft", {})
            session.step_sync(asked, lambda turn: ("shown", None))
            refund(session, paid, order=1042)
            session.end_sync("Done.")
        run = engine.call(lambda sea: sea.effects())
    assert [each.tool for each in run] == ["refund"]
    assert "delete_draft" not in caplog.text

    with Engine() as engine, pytest.raises(Misused, match="among the effects and among the reads"):
        engine.begin("x", loop="own", effects=["refund"], reads=["refund"])
