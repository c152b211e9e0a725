"""The walk back along recorded causes, on runs made for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from seawall.core.canonical import Ref, ref_of
from seawall.core.events import (
    Call,
    Cause,
    Event,
    Judged,
    RunEnded,
    RunStarted,
    StepDone,
    StepIntended,
    StepKind,
    StoppedBy,
    Tie,
)
from seawall.core.limits import Limits
from seawall.history.record import build_record
from seawall.history.why import CauseLink, explain

TEXTS: dict[Ref, str] = {}


def _body(text: str) -> Ref:
    ref = ref_of(text.encode())
    TEXTS[ref] = text
    return ref


def _started() -> RunStarted:
    return RunStarted(
        at=0,
        run="r-1",
        team="t",
        team_version="1",
        agent="a",
        intent=_body("1042?"),
        limits=Limits(),
        guards={},
    )


def _step(
    number: int, kind: StepKind, name: str, *causes: tuple[int, Tie], agent: str = "a", frame: int = 0
) -> StepIntended:
    return StepIntended(
        at=number,
        step=number,
        kind=kind,
        name=name,
        agent=agent,
        frame=frame,
        call=f"c{number}",
        causes=tuple(Cause(step, tie) for step, tie in causes),
    )


def _done(number: int, output: str = "", fingerprint: str | None = None, **more: Any) -> StepDone:
    fields: dict[str, Any] = {"status": "ok", "duration_s": 1.0, **more}
    return StepDone(at=number, step=number, output=_body(output), fingerprint=fingerprint, **fields)


def _loop(*names: str) -> list[Event]:
    """The events of a model that calls `names` one after another; each call has its usual result."""
    events: list[Event] = [_started()]
    number = 0
    for name in names:
        number += 2
        events += [_step(number - 1, "model", "m", (number - 2, "exposure")), _done(number - 1)]
        events += [
            _step(number, "tool", name, (number - 1, "value")),
            _done(number, "same", fingerprint=name),
        ]
    number += 1
    asked = (Call("never", names[-1], _body('{"sku": "SKU-9"}')),)
    events += [_step(number, "model", "m", (number - 1, "exposure")), _done(number, calls=asked)]
    halt = StoppedBy("loops", "nothing new", number + 1, "no_news=3", "3")
    events.append(
        Judged(
            at=9, step=number + 1, guard="loops", verdict="halt", stage="before", mode="enforce", reason="x"
        )
    )
    return [*events, RunEnded(at=9, status="halted", stopped_by=halt)]


def test_values_are_followed_before_anything_else() -> None:
    events: list[Event] = [_started()]
    events += [_step(1, "model", "m", (0, "exposure")), _done(1)]
    events += [_step(2, "tool", "find", (0, "value"), (1, "value")), _done(2, "80.00")]
    events += [_step(3, "tool", "other", (1, "value")), _done(3, "nothing")]
    events += [_step(4, "model", "m", (2, "exposure"), (3, "exposure")), _done(4)]
    answer = _body("80.00 and 99.95")
    events.append(
        RunEnded(at=5, status="completed", answer=answer, causes=(Cause(2, "value"), Cause(4, "value")))
    )

    found = explain(build_record(events), TEXTS.__getitem__)

    assert set(found.links) == {
        CauseLink(None, 2, "value"),
        CauseLink(None, 4, "value", wrote=True),
        CauseLink(2, 0, "value"),
        CauseLink(2, 1, "value", wrote=True),
    }
    assert (found.first, found.path, found.starts) == (2, (2,), ())
    assert found.unsourced == ("99.95",)


def test_without_a_value_the_walk_goes_through_what_the_model_was_shown() -> None:
    events: list[Event] = [_started()]
    events += [_step(1, "model", "m", (0, "exposure")), _done(1)]
    events += [_step(2, "tool", "find", (1, "value")), _done(2, "lost")]
    events += [_step(3, "model", "m", (1, "exposure"), (2, "exposure")), _done(3)]
    events.append(RunEnded(at=4, status="completed", answer=_body("lost"), causes=(Cause(3, "value"),)))

    found = explain(build_record(events))

    assert CauseLink(3, 2, "exposure") in found.links
    assert (found.first, found.path) == (2, (2, 3))


def test_a_hand_off_leads_into_the_frame_that_answered_it() -> None:
    events: list[Event] = [_started()]
    events += [_step(1, "model", "m", (0, "exposure")), _done(1)]
    events += [_step(2, "handoff", "clerk", (1, "value"))]
    events += [_step(3, "model", "m", (2, "exposure"), agent="clerk", frame=2)]
    events += [_done(3, answer=_body("it is lost")), _done(2, "it is lost")]
    events += [_step(4, "model", "m", (2, "exposure")), _done(4)]
    events.append(RunEnded(at=4, status="completed", answer=_body("lost"), causes=(Cause(4, "value"),)))

    links = explain(build_record(events)).links

    assert CauseLink(2, 3, "value", wrote=True) in links


def test_a_loop_is_explained_by_its_results_and_by_the_call_that_was_not_made() -> None:
    found = explain(build_record(_loop("find", "stock", "stock", "stock", "stock")))

    assert [(each.name, each.steps) for each in found.repeats] == [("stock", (4, 6, 8, 10))]
    assert [(each.step, each.call.name) for each in found.wanted] == [(11, "stock")]
    assert found.starts == (11,)
    assert [each.verdict for each in found.verdicts] == ["halt"]
    assert found.first == 2


def test_a_ping_pong_is_explained_by_both_of_its_results() -> None:
    found = explain(build_record(_loop("ping", "pong", "ping", "pong", "ping")))

    assert [(each.name, each.steps) for each in found.repeats] == [("ping", (2, 6, 10)), ("pong", (4, 8))]


def test_a_limit_is_explained_by_the_agents_and_tools_that_used_most() -> None:
    events = _loop("find", "stock", "stock")
    stopped = StoppedBy("limits", "tool_calls would be 4 (limit 3)", 8, "tool_calls=3", "4")
    events[-1] = RunEnded(at=9, status="halted", stopped_by=stopped)

    spent = explain(build_record(events)).spent

    assert [(each.agent, each.name, each.calls) for each in spent] == [
        ("a", "m", 4),
        ("a", "stock", 2),
        ("a", "find", 1),
    ]
    assert sum(each.usd for each in spent) == Decimal(0)


def test_a_deadline_starts_from_what_was_in_flight() -> None:
    events: list[Event] = [_started()]
    events += [_step(1, "model", "m", (0, "exposure")), _done(1)]
    events += [_step(2, "tool", "slow", (1, "value")), _done(2, status="cancelled", duration_s=0.0)]
    events.append(RunEnded(at=9, status="halted", stopped_by=StoppedBy("deadline", "used up")))

    assert explain(build_record(events)).starts == (2,)


def test_a_run_that_goes_on_is_explained_from_the_steps_in_flight() -> None:
    events: list[Event] = [_started(), _step(1, "model", "m", (0, "exposure"))]

    found = explain(build_record(events))

    assert (found.status, found.starts, found.first) == (None, (1,), 0)


def test_an_amount_that_is_written_in_another_way_is_the_same_value() -> None:
    events: list[Event] = [_started()]
    events += [_step(1, "tool", "find"), _done(1, '{"amount":250,"rate":1.5,"version":"7.1.2"}')]
    answer = _body('{"amount":250.0,"rate":"1.50","left":25.0,"version":7.1}')
    events.append(RunEnded(at=5, status="completed", answer=answer))

    assert explain(build_record(events), TEXTS.__getitem__).unsourced == ("25.0", "7.1")
