"""The branch is the fold: what frames see and what comes of it, against a naive model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seawall.core.canonical import Ref
from seawall.core.events import (
    MemoryCut,
    MemoryRead,
    MemoryWritten,
    RunStarted,
    RunTaken,
    StepDone,
    StepIntended,
)
from seawall.core.limits import Limits
from seawall.run.fold import apply, begin
from seawall.run.state import RunState

KEYS = ("a", "b")


def start() -> RunState:
    started = RunStarted(
        at=0, run="r-1", team="t", team_version="1", agent="lead", intent=Ref("i"), limits=Limits(), guards={}
    )
    return apply(begin(started), RunTaken(at=0, owner="o", epoch=1, left_s=9, memory=7))


class Naive:
    """Frames as plain dictionaries, each with the one above it."""

    def __init__(self) -> None:
        self.frames: dict[int, dict[str, str | None]] = {0: {}}
        self.above: dict[int, int] = {}

    def see(self, frame: int, key: str) -> str | None:
        at: int | None = frame
        while at is not None:
            if key in self.frames[at]:
                return self.frames[at][key]
            at = self.above.get(at)
        return None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "forget", "open", "close", "fail", "review"]),
            st.integers(0, 5),
            st.sampled_from(KEYS),
        ),
        max_size=30,
    )
)
def test_frames_see_their_own_writes_and_those_above_and_only_what_ends_well_stays(
    actions: list[tuple[str, int, str]],
) -> None:
    state, naive, step = start(), Naive(), 0
    for what, pick, key in actions:
        frame = sorted(naive.frames)[pick % len(naive.frames)]
        is_leaf = frame not in naive.above.values()
        if what in ("write", "forget"):
            step += 1
            value = f"v{step}" if what == "write" else None
            state = apply(state, intend(step, "memory", frame))
            written = MemoryWritten(
                at=0,
                step=step,
                scope="tenant",
                key=Ref(key),
                value=None if value is None else Ref(value),
                base=state.memory,
            )
            state = apply(state, written)
            state = apply(state, StepDone(at=0, step=step, status="ok"))
            naive.frames[frame][key] = value
        elif what in ("open", "review"):
            step += 1
            state = apply(state, intend(step, "handoff" if what == "open" else "review", frame))
            naive.frames[step], naive.above[step] = {}, frame
        elif frame and is_leaf:
            state = apply(state, StepDone(at=0, step=frame, status="ok" if what == "close" else "error"))
            below, above = naive.frames.pop(frame), naive.above.pop(frame)
            if what == "close":
                naive.frames[above].update(below)
        for each in naive.frames:
            for one in KEYS:
                entry = state.find_written(each, "tenant", Ref(one))
                assert (None if entry is None else entry.value) == naive.see(each, one)
    root = {key: entry.value for (_, key), entry in state.frames[0].memory.items()}
    assert root == naive.frames[0]
    assert all(entry.base == 7 for frame in state.frames.values() for entry in frame.memory.values())


def intend(step: int, kind: str, frame: int) -> StepIntended:
    return StepIntended(at=0, step=step, kind=kind, name="x", agent="a", frame=frame, input=Ref("t"))  # pyright: ignore[reportArgumentType] -- one of the kinds


def test_what_was_read_is_kept_by_step_and_each_entry_once() -> None:
    state = start()
    state = apply(state, MemoryRead(at=0, step=3, entries=(1, 2, 2)))
    state = apply(state, MemoryRead(at=0, step=0, entries=(2, 5)))
    state = apply(state, MemoryRead(at=0, step=0, entries=(6,)))
    assert dict(state.reads) == {3: (1, 2), 0: (2, 5, 6)}
    assert state.read_entries == (1, 2, 5, 6)
    state = apply(state, MemoryCut(at=0, entries=(2,), told=(Ref("t"),)))
    state = apply(state, MemoryCut(at=0, entries=(2, 5), told=(Ref("t"), Ref("u"))))
    assert (state.cut, state.cut_texts) == ((2, 5), ("t", "u"))


def test_a_run_of_an_earlier_version_has_no_memory_until_it_is_taken_with_some() -> None:
    state = start()
    assert state.memory == 7
    assert apply(state, RunTaken(at=0, owner="o", epoch=2, left_s=9)).memory == 7
    assert apply(state, RunTaken(at=0, owner="o", epoch=2, left_s=9, memory=9)).memory == 9
