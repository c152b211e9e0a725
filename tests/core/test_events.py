"""The bodies that events refer to."""

from __future__ import annotations

from seawall.core.canonical import ref_of
from seawall.core.events import Call, GuardSet, MemoryWritten, RunEnded, RunTaken, StepDone
from seawall.core.refs import refs_of


def test_every_field_that_is_declared_to_hold_a_reference_is_found_each_reference_once() -> None:
    a, b, c, d = (ref_of(text) for text in (b"a", b"b", b"c", b"d"))

    assert refs_of([RunTaken(at=0, owner="o", epoch=1, left_s=1, history=a)]) == [a]
    assert refs_of([MemoryWritten(at=0, step=1, scope="tenant", key=b, value=a)]) == [b, a]
    assert refs_of([GuardSet(at=0, guard=a, mode="off", by=b)]) == []
    calls = (Call("1", "look", b), Call("2", "look", c))
    done = StepDone(at=0, step=1, status="ok", output=a, calls=calls, fingerprint=d)
    ended = RunEnded(at=0, status="completed", answer=a, transcript=d, unverified=("x",))
    assert refs_of([done, ended]) == [a, b, c, d]
