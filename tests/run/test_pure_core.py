"""`apply` and `decide` are functions of what was recorded, and of nothing else."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from run.history import History, desk
from seawall.core.clock import SystemClock
from seawall.core.events import RunStarted, StepDone, StepIntended, decode_event, encode_event
from seawall.core.limits import Limits
from seawall.guards.loops import Loops
from seawall.run.fold import apply, begin, fold
from seawall.team.decide import decide

PURE = [
    "seawall.run.state",
    "seawall.run.ledger",
    "seawall.run.verdict",
    "seawall.team.decide",
    "seawall.core.persistent",
]
IMPURE = {
    "asyncio",
    "os",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "threading",
    "time",
    "datetime",
    "pathlib",
}


@st.composite
def histories(draw: st.DrawFn) -> History:
    rng = draw(st.randoms(use_true_random=False))

    def pick(options: Sequence[Any]) -> Any:
        return options[rng.randrange(len(options))]

    limits = Limits(
        tool_calls=draw(st.sampled_from([3, 40])),
        model_calls=60,
        depth=draw(st.sampled_from([1, 2, 4, 4])),
        parallel=draw(st.sampled_from([1, 2, 64])),
    )
    history = History(
        pick, salt=str(rng.random()), calm=draw(st.sampled_from([60, 250, 100_000])), limits=limits
    )
    history.play()
    return history


many = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@many
@given(histories(), st.data())
def test_a_run_cut_anywhere_and_folded_afresh_goes_on_to_the_same_decisions(
    history: History, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(history.events)))

    state = fold(history.events[:cut], history.guards)

    assert repr(state) == repr(history.states[cut - 1])
    assert decide(history.team, state) == decide(history.team, history.states[cut - 1])
    assert decide(desk(), state) == decide(history.team, state)
    for event in history.events[cut:]:
        state = apply(state, event, history.guards)
    assert repr(state) == history.shown[-1]


@many
@given(histories())
def test_folding_leaves_every_older_state_as_it_was(history: History) -> None:
    assert [repr(state) for state in history.states] == history.shown


@many
@given(histories(), st.data())
def test_a_run_folds_on_from_an_older_state_after_newer_ones_were_folded(
    history: History, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(history.events) - 1))
    elsewhere = data.draw(st.integers(0, len(history.events) - 1))
    # A branch that never was: other events from there on must not show in what follows.
    branch = history.states[at]
    for event in history.events[elsewhere + 1 :]:
        branch = apply(branch, event, history.guards)

    state = history.states[at]
    for event in history.events[at + 1 :]:
        state = apply(state, event, history.guards)

    assert repr(state) == history.shown[-1]
    assert [repr(state) for state in history.states] == history.shown


@many
@given(histories())
def test_every_history_ends_and_each_step_has_one_result(history: History) -> None:
    done = [event.step for event in history.events if isinstance(event, StepDone)]
    intended = [event.step for event in history.events if isinstance(event, StepIntended)]

    assert history.state.ended is not None
    assert sorted(done) == sorted(set(done)) == sorted(intended)
    assert intended == list(range(1, len(intended) + 1))


@many
@given(histories())
def test_what_was_performed_never_exceeds_the_limits(history: History) -> None:
    limits = history.events[0]
    assert isinstance(limits, RunStarted)
    off = any(getattr(event, "guard", "") == "limits" and event.mode != "enforce" for event in history.events)  # pyright: ignore[reportAttributeAccessIssue] -- only events of guards have that name
    made = [event for event in history.events if isinstance(event, StepIntended) and event.perform]
    flying: set[int] = set()
    most = 0
    for event in history.events:
        if isinstance(event, StepIntended) and event.perform and event.kind in ("model", "tool"):
            flying.add(event.step)
        elif isinstance(event, StepDone):
            flying.discard(event.step)
        most = max(most, len(flying))

    if not off:
        assert sum(step.kind == "tool" for step in made) <= limits.limits.tool_calls
        assert max((step.depth for step in made), default=1) <= limits.limits.depth
        assert most <= limits.limits.parallel


def test_a_cut_within_one_commit_is_no_concern_of_the_fold() -> None:
    """Events that a guard's fold could not take in are skipped by that guard alone."""
    started = RunStarted(
        at=0.0, run="r", team="t", team_version="1", agent="a", intent=_ref(), limits=Limits(), guards={}
    )

    assert fold([started]).seq == 1
    assert decode_event(encode_event(started)) == started


def _ref() -> Any:
    return "0" * 64


def test_the_pure_core_imports_nothing_that_reads_the_world() -> None:
    for name in PURE:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {each.partition(".")[0] for each in names} & IMPURE, f"{name} imports {names}"
            assert not isinstance(node, ast.Global | ast.Nonlocal | ast.AsyncFunctionDef | ast.Await), name


def test_decide_and_apply_take_nothing_but_values() -> None:
    assert list(inspect.signature(decide).parameters) == ["team", "state"]
    assert list(inspect.signature(apply).parameters) == ["state", "event", "guards"]


def thousand_steps() -> list[Any]:
    events: list[Any] = [
        RunStarted(
            at=0.0, run="r", team="t", team_version="1", agent="a", intent=_ref(), limits=Limits(), guards={}
        )
    ]
    for step in range(1, 1001):
        events.append(StepIntended(at=0.0, step=step, kind="model", name="m", agent="a", frame=0))
        events.append(StepDone(at=0.0, step=step, status="ok", output=_ref(), problem=_ref(), left_s=1.0))
    return events


def test_a_run_of_a_thousand_steps_folds_and_is_as_long_as_its_steps() -> None:
    events = thousand_steps()
    clock = SystemClock()
    begun = clock.monotonic_s()

    state = fold(events, (Loops(),))

    print(f"1,000 steps folded in {1000 * (clock.monotonic_s() - begun):.1f} ms")  # noqa: T201 -- for people: -s
    assert state.steps == 1000
    assert len(state.frames[0].messages) == 2001
    assert begin(events[0]).steps == 0
