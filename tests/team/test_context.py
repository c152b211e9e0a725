"""The messages that are sent to a model are read once, and are right for every state of a frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seawall.core.events import RunStarted
from seawall.core.limits import Limits
from seawall.core.persistent import Log
from seawall.core.redact import Redactor
from seawall.models.protocol import System, User
from seawall.run.bodies import Bodies
from seawall.run.fold import begin
from seawall.run.frame import Frame, MessageRef
from seawall.team.conversation import Conversation

BODIES = Bodies(Redactor())
LINES = [MessageRef("user", BODIES.put(f"line {number}"), number) for number in range(6)]
LISTS = st.lists(st.sampled_from(LINES), max_size=5)


def frame(number: int, lines: Log[MessageRef]) -> Frame:
    intent = BODIES.put("go")
    started = RunStarted(
        at=0, run="r", team="t", team_version="1", agent="a", intent=intent, limits=Limits(), guards={}
    )
    root = begin(started).frames[0]
    return Frame(number, root.kind, root.agent, root.depth, root.parent, root.call, lines)


@given(st.lists(st.tuples(st.integers(0, 1), LISTS, LISTS), min_size=1, max_size=6))
def test_whatever_was_assembled_before_a_frame_is_sent_its_own_conversation(
    asked: list[tuple[int, list[MessageRef], list[MessageRef]]],
) -> None:
    context = Conversation(BODIES, [LINES[0]])
    for number, lines, more in asked:
        shorter = Log(lines)
        for said in (shorter, shorter.append(*more), shorter, shorter.append(*lines)):
            sent = context.assemble(frame(number, said), "be brief")

            assert sent == [
                System("be brief"),
                User("line 0"),
                *[User(f"line {line.step}") for line in said],
            ]
            sent.clear()  # what was handed out is the caller's
