"""What a step descends from, against a search for ways in a graph that is written down edge by edge."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from seawall.core.events import EVERYTHING, Cause, MemoryRead, Source, StepDone, StepIntended, StepKind, Tie
from seawall.run.descent import Descent

Node = tuple[str, int]


class Graph:
    """Edges between what went into a step, its result, entries and the origin; each is by value or by exposure."""

    def __init__(self) -> None:
        self.edges: dict[Node, list[tuple[Node, bool]]] = {}

    def add(self, node: Node, to: Node, *, value: bool) -> None:
        self.edges.setdefault(node, []).append((to, value))

    def reach(self, start: Node, goal: Node) -> Tie | None:
        """How the best way from `start` to `goal` ties them."""
        for only_values in (True, False):
            waiting, seen = [start], {start}
            while waiting:
                node = waiting.pop()
                if node == goal:
                    return "value" if only_values else "exposure"
                for to, value in self.edges.get(node, []):
                    if (value or not only_values) and to not in seen:
                        seen.add(to)
                        waiting.append(to)
        return None


class Plan(NamedTuple):
    """One step of a made-up run."""

    kind: StepKind
    causes: list[tuple[int, bool]]
    """Earlier steps, modulo the step's own number, and whether by value."""
    entries: list[int]
    """What it reads, if it is a memory step; else whose values it has."""
    everything: bool


KINDS: list[StepKind] = ["model", "tool", "memory"]
PLANS = st.lists(
    st.builds(
        Plan,
        st.sampled_from(KINDS),
        st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=3),
        st.lists(st.integers(1, 4), max_size=2),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


class Both:
    """The same run as a `Descent` and as a graph."""

    def __init__(self, origin: int) -> None:
        self.descent, self.graph, self.origin = Descent(origin), Graph(), origin
        self.known: set[int] = set()

    def play(self, number: int, plan: Plan) -> None:
        """Adds a step."""
        edges = [Cause(step % number, "value" if value else "exposure") for step, value in plan.causes]
        if plan.everything:
            edges.append(Cause(EVERYTHING, "exposure"))
        reads = plan.entries if plan.kind == "memory" else []
        sources = () if plan.kind == "memory" else tuple(map(Source, plan.entries))
        self.descent.intend(
            StepIntended(
                at=0.0,
                step=number,
                kind=plan.kind,
                name="x",
                agent="a",
                frame=0,
                causes=tuple(edges),
                sources=sources,
            )
        )
        self._link(number, edges, sources)
        if number == self.origin:
            self.graph.add(("out", number), ("origin", 0), value=True)
        if reads:
            self.descent.read(MemoryRead(at=0.0, step=number, entries=tuple(reads)))
        for entry in reads:
            self.graph.add(("out", number), ("entry", entry), value=False)
        self.known.update(plan.entries)
        self.graph.add(("out", number), ("in", number), value=not reads)
        self.descent.settle(StepDone(at=0.0, step=number, status="ok"))

    def _link(self, number: int, edges: list[Cause], sources: tuple[Source, ...]) -> None:
        start = "in", number
        for edge in edges:
            if edge.step != EVERYTHING:
                self.graph.add(start, ("out", edge.step), value=edge.tie == "value")
                continue
            for entry in self.known:
                self.graph.add(start, ("entry", entry), value=False)
            if self.origin <= number:
                self.graph.add(start, ("origin", 0), value=False)
        for source in sources:
            self.graph.add(start, ("entry", source.entry), value=True)


@given(PLANS, st.integers(1, 12))
def test_what_a_step_descends_from_is_what_ways_lead_to(plans: list[Plan], origin: int) -> None:
    both = Both(origin)
    for number, plan in enumerate(plans, 1):
        both.play(number, plan)

    for number in range(1, len(plans) + 1):
        found, start = both.descent.find_input(number), ("in", number)
        value, exposed = both.descent.list_sources(found)
        ties = {each.entry: "value" for each in value} | {each.entry: "exposure" for each in exposed}
        ways = {entry: both.graph.reach(start, ("entry", entry)) for entry in range(1, 5)}
        assert ties == {entry: tie for entry, tie in ways.items() if tie is not None}
        if number != origin:
            assert both.descent.tie(found) == both.graph.reach(start, ("origin", 0))
