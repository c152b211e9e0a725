"""Random conversations of an agent, step by step: calls, results of every kind, folds, and counts of a provider."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import strategies as st
from msgspec.structs import replace

from seawall import Context
from seawall.core.canonical import Ref
from seawall.core.events import ContextFolded
from seawall.core.persistent import Log
from seawall.core.redact import Redactor
from seawall.models.protocol import Assistant, Message, ToolCall
from seawall.run.bodies import Bodies
from seawall.run.frame import Counted, Frame, MessageRef, apply_folded
from seawall.team.context import NOT_DECIDED, bound_tokens, encode_assistant
from seawall.team.conversation import Conversation, Weighed

SYSTEM, SCHEMAS, VERSION = "be brief", 200, "v1"
REQUEST = "the current request, about order 1042"
EFFECTS = {"clerk": frozenset({"pay"})}
RESULTS = st.one_of(
    st.sampled_from(["ok", "Error: no such order", NOT_DECIDED, "[]"]),
    st.builds(
        lambda word, times: f"{word} " * times, st.sampled_from(["red", "blüe", "x1"]), st.integers(1, 900)
    ),
    st.builds(
        lambda times: json.dumps(
            [{"key": f"k{n}", "value": "v" * 80, "version": n, "age": "3 days"} for n in range(times)]
        ),
        st.integers(0, 12),
    ),
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["look", "pay", "recall", "find"]),
        st.sampled_from(['{"n":1}', '{"n":2}', "{}"]),
        RESULTS,
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)
MOVES = st.one_of(CALLS, CALLS, CALLS, st.sampled_from(["note", "answer", "count", "count"]))


@dataclass
class Play:
    """A frame that grows, with what its model would be sent."""

    history: Sequence[MessageRef] = ()
    bodies: Bodies = field(default_factory=lambda: Bodies(Redactor()))
    folds: list[ContextFolded] = field(default_factory=list[ContextFolded])
    step: int = 0

    def __post_init__(self) -> None:
        request = MessageRef("user", self.bodies.put(REQUEST))
        self.frame = Frame(0, "root", "clerk", 1, 0, None, Log([request]))
        self.conversation = self.anew()

    def anew(self) -> Conversation:
        """A conversation that knows nothing but the record, as after a crash."""
        return Conversation(self.bodies, self.history, "r", effects=EFFECTS)

    def say(self, *refs: MessageRef) -> None:
        self.frame = replace(self.frame, messages=self.frame.messages.append(*refs))

    def move(self, move: Any) -> None:
        """Make one move: calls with their results, a note of a guard, an answer that was rejected, or a count."""
        self.step += 1
        if move == "note":
            self.say(MessageRef("user", self.bodies.put(f"[advice {self.step}]"), self.step))
        elif move == "answer":
            self.say(MessageRef("assistant", self.put(Assistant(f"perhaps {self.step}")), self.step))
            self.say(MessageRef("user", self.bodies.put(f"no, not {self.step}"), self.step))
        elif move == "count":
            self.count()
        else:
            self.say(*make_exchange(self.bodies, self.step, cast("Any", move)))
            self.step += len(cast("Sequence[Any]", move))

    def put(self, message: Assistant) -> Ref:
        return self.bodies.put(encode_assistant(message))

    def sent(self) -> list[Message]:
        return self.conversation.assemble(self.frame, SYSTEM)

    def true_tokens(self) -> int:
        """What a provider would count: for each message anything up to its bytes, always the same."""
        return sum(count(message) for message in self.sent()) + SCHEMAS // 2

    def count(self) -> None:
        """The provider counts what is sent now."""
        tokens, weighed = self.true_tokens(), self.weigh()
        rate = min(1.0, tokens / weighed.size)
        self.frame = replace(self.frame, counted=Counted(tokens, len(self.frame.messages), VERSION, rate))

    def weigh(self) -> Weighed:
        return self.conversation.weigh(self.frame, SYSTEM, SCHEMAS, VERSION)

    def plan(self, options: Context, budget: int | None = None) -> ContextFolded | None:
        """Fold what is to be folded before the next step."""
        limit = options.tokens if options.tokens is not None else budget
        folded = self.conversation.plan(self.frame, self.weigh(), self.step + 1, options, limit)
        if folded is not None:
            self.folds.append(folded)
            self.frame = apply_folded(self.frame, folded)
        return folded


def count(message: Message) -> int:
    """A provider's count of one message: more for some texts than for others."""
    share = (len(repr(message)) % 7 + 1) / 7
    return math.ceil(bound_tokens(message) * share)


def make_exchange(bodies: Bodies, step: int, calls: Sequence[tuple[str, str, str, bool]]) -> list[MessageRef]:
    """A reply with calls, and their results."""
    asked = Assistant(None, tuple(ToolCall(f"c{step}-{n}", call[0], call[1]) for n, call in enumerate(calls)))
    refs = [MessageRef("assistant", bodies.put(encode_assistant(asked)), step)]
    refs += [
        MessageRef("tool", bodies.put(text), step + 1 + n, f"c{step}-{n}", name, failed=failed)
        for n, (name, _, text, failed) in enumerate(calls)
    ]
    return refs


@st.composite
def histories(draw: st.DrawFn, bodies: Bodies) -> list[MessageRef]:
    """The session before the run: requests, calls and answers, and now and then a fact."""
    refs: list[MessageRef] = []
    for turn in range(draw(st.integers(0, 5))):
        if draw(st.integers(0, 3)) == 0:
            refs.append(MessageRef("user", bodies.put(f"[Not from the user: receipt {turn}]")))
        refs.append(MessageRef("user", bodies.put(f"request {turn} " * draw(st.integers(1, 40)))))
        for calls in draw(st.lists(CALLS, max_size=2)):
            refs += make_exchange(bodies, len(refs) + 1, calls)
        answer = Assistant(f"answer {turn} " * draw(st.integers(1, 40)))
        refs.append(MessageRef("assistant", bodies.put(encode_assistant(answer))))
    return refs
