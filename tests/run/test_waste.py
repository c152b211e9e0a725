"""What a run has spent on what was known, folded from events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seawall.core.canonical import Ref, ref_of
from seawall.core.events import Call, Event, RunStarted, RunTaken, StepDone, StepIntended
from seawall.core.limits import Limits
from seawall.run.fold import fold
from seawall.run.state import RunState
from seawall.run.waste import MAX_READS, MAX_STEPS, MAX_VERSIONS, Wasted, WasteKind

ARGUMENTS = ref_of(b'{"order_id":"1042"}')


class History:
    """Writes the events of a run: two agents, each in a hand-off of its own, and whatever they do."""

    def __init__(self) -> None:
        started = RunStarted(
            at=0.0,
            run="r",
            team="t",
            team_version="",
            agent="lead",
            intent=ref_of(b"x"),
            limits=Limits(),
            guards={},
        )
        self.events: list[Event] = [started, RunTaken(at=0.0, owner="me", epoch=1, left_s=60.0)]
        self.steps = 0

    def open(self, agent: str, frame: int = 0, kind: Any = "handoff") -> int:
        return self._intend(kind=kind, name=agent, agent="lead", frame=frame, input=ref_of(b"task"), depth=2)

    def close(self, step: int, **fields: Any) -> None:
        self.events.append(StepDone(at=0.0, step=step, status="ok", output=ref_of(b"done"), **fields))

    def reply(
        self, frame: int, agent: str, *, tokens: int = 100, usd: str = "0.03", calls: int = 1, **fields: Any
    ) -> int:
        step = self._intend(kind="model", name="m", agent=agent, frame=frame)
        asked = tuple([Call(f"c{number}", "find", ARGUMENTS) for number in range(calls)])
        fields = {"calls": asked, "duration_s": 0.5, **fields}
        self.close(step, input_tokens=tokens, usd=Decimal(usd), **fields)
        return step

    def answer(self, frame: int, agent: str, *, text: int = 0, rewrites: bool = False, **fields: Any) -> int:
        step = self.steps + 1
        ref = Ref(f"version of {step}")
        fields = {"calls": 0, **fields}
        return self.reply(frame, agent, answer=ref, version_of=text or step, rewrites=rewrites, **fields)

    def read(self, frame: int, agent: str, news: str = "shipped", **fields: Any) -> int:
        step = self.begin(frame, agent, **fields)
        self.close(step, fingerprint=news, duration_s=0.2)
        return step

    def begin(self, frame: int, agent: str, **fields: Any) -> int:
        return self._intend(
            kind="tool", agent=agent, frame=frame, **{"name": "find", "input": ARGUMENTS, **fields}
        )

    def _intend(self, **fields: Any) -> int:
        self.steps += 1
        self.events.append(StepIntended(at=0.0, step=self.steps, **fields))
        return self.steps

    def fold(self) -> RunState:
        return fold(self.events)

    def wasted(self) -> dict[WasteKind, Wasted]:
        return dict(self.fold().waste.wasted)


def test_a_read_that_another_agent_has_made_is_a_duplicate_with_its_part_of_the_reply() -> None:
    run = History()
    clerk = run.open("clerk")
    run.read(clerk, "clerk")
    cashier = run.open("cashier")
    run.reply(cashier, "cashier", tokens=900, calls=3)
    again = run.read(cashier, "cashier")

    assert run.wasted() == {"duplicates": Wasted(1, 300, Decimal("0.01"), 0.2, (again,))}


def test_a_read_that_its_own_agent_has_made_is_a_repeat_also_at_another_task() -> None:
    run = History()
    run.read(run.open("clerk"), "clerk")
    run.read(run.open("clerk"), "clerk")

    assert list(run.wasted()) == ["repeats"]


def test_an_agent_that_repeats_a_duplicate_repeats_itself() -> None:
    run = History()
    run.read(run.open("clerk"), "clerk")
    cashier = run.open("cashier")
    run.read(cashier, "cashier")
    run.read(cashier, "cashier")

    wasted = run.wasted()
    assert (wasted["duplicates"].calls, wasted["repeats"].calls) == (1, 1)


def test_a_result_that_differs_is_no_duplicate() -> None:
    """A tool may tell each agent something else; that shows in what it brings."""
    run = History()
    run.read(run.open("clerk"), "clerk")
    run.read(run.open("cashier"), "cashier", news="for cashiers")

    assert run.wasted() == {}


def test_polls_and_failed_reads_are_no_duplicates() -> None:
    run = History()
    for agent in ("clerk", "cashier"):
        frame = run.open(agent)
        run.read(frame, agent, name="wait", poll=True)
        step = run.begin(frame, agent)
        run.events.append(StepDone(at=0.0, step=step, status="error", fingerprint="no such order"))

    assert run.wasted() == {}


def test_after_a_write_of_anybody_nothing_is_known() -> None:
    run = History()
    clerk, cashier = run.open("clerk"), run.open("cashier")
    run.read(clerk, "clerk")
    run.read(cashier, "cashier", "paid", name="pay", effect=True)
    run.read(cashier, "cashier")

    assert run.wasted() == {}


def test_what_was_read_while_a_write_was_under_way_is_not_known_after_it() -> None:
    run = History()
    clerk, cashier = run.open("clerk"), run.open("cashier")
    pay = run.begin(cashier, "cashier", name="pay", effect=True)
    run.read(clerk, "clerk")
    run.close(pay)
    run.read(cashier, "cashier")

    assert run.wasted() == {}


def test_what_a_read_brings_that_began_before_a_write_ended_is_not_known() -> None:
    for begins_first in (True, False):
        run = History()
        clerk, cashier = run.open("clerk"), run.open("cashier")
        if begins_first:
            read, pay = run.begin(clerk, "clerk"), run.begin(cashier, "cashier", name="pay", effect=True)
        else:
            pay, read = run.begin(cashier, "cashier", name="pay", effect=True), run.begin(clerk, "clerk")
        run.close(pay)
        run.close(read, fingerprint="shipped")
        assert len(run.fold().waste.reads) == 0
        run.read(cashier, "cashier")
        assert run.wasted() == {}


def test_a_tool_that_may_write_forgets_unless_it_brings_what_is_known() -> None:
    run = History()
    clerk, cashier = run.open("clerk"), run.open("cashier")
    run.read(clerk, "clerk", name="shell", may_write=True)
    run.read(clerk, "clerk")
    run.read(cashier, "cashier", name="shell", may_write=True)
    run.read(cashier, "cashier")
    assert run.wasted()["duplicates"].calls == 2

    run.read(clerk, "clerk", "other", name="shell", may_write=True)
    run.read(run.open("third"), "third")
    assert run.wasted()["duplicates"].calls == 2


def test_after_a_run_has_waited_nothing_is_known() -> None:
    run = History()
    run.read(run.open("clerk"), "clerk")
    run.events.append(RunTaken(at=9.0, owner="me", epoch=2, left_s=50.0))
    run.read(run.open("cashier"), "cashier")

    assert run.wasted() == {}


def test_a_rewrite_costs_its_model_calls_what_asked_for_it_and_its_review() -> None:
    run = History()
    run.reply(0, "lead", tokens=10)
    writer = run.open("writer")
    first = run.answer(writer, "writer", tokens=1_000)
    run.close(writer)
    run.reply(0, "lead", tokens=20)
    editor = run.open("editor")
    run.reply(editor, "editor", tokens=300)
    second = run.answer(editor, "editor", text=first, rewrites=True, tokens=400)
    review = run.open("auditor", editor, "review")
    run.reply(review, "auditor", tokens=50, approved=False, answer=Ref("no"))
    run.close(review, approved=False)

    ((kind, wasted),) = run.wasted().items()
    assert (kind, wasted.calls, wasted.tokens, wasted.steps) == (
        "rewrites",
        1,
        20 + 300 + 400 + 50,
        (second,),
    )
    text = run.fold().waste.texts[first]
    assert (text.rewrites, text.tokens, text.passed) == (1, 770, None)
    assert text.authors == {"writer", "editor"}


def test_a_reply_that_asked_for_a_rewrite_is_counted_once() -> None:
    run = History()
    first = run.answer(0, "lead", tokens=100)
    run.reply(0, "lead", tokens=30)
    writer = run.open("writer")
    run.answer(writer, "writer", text=first, rewrites=True, tokens=40)
    run.close(writer)
    run.answer(0, "lead", text=first, rewrites=True, tokens=50)

    state = run.fold()
    assert state.waste.wasted["rewrites"].tokens == state.ledger.tokens - 100


def test_a_version_has_passed_once_a_review_approves_it_or_if_it_fits_its_type() -> None:
    run = History()
    writer = run.open("writer")
    first = run.answer(writer, "writer")
    approved = run.open("auditor", writer, "review")
    run.reply(approved, "auditor", approved=True)
    run.close(approved, approved=True)
    passed = run.fold().waste.texts[first].passed
    assert passed is not None and (passed.check, passed.checked_in) == ("review", approved)

    typed = run.answer(writer, "writer", text=first, rewrites=True, calls=1)
    passed = run.fold().waste.texts[first].passed
    assert passed is not None and (passed.step, passed.check) == (typed, "contract")

    review = run.open("auditor", writer, "review")
    run.close(review, approved=False)
    passed = run.fold().waste.texts[first].passed
    assert passed is not None and (passed.step, passed.checked_in) == (first, approved)


def test_a_rejected_version_gives_way_to_the_one_before_that_has_passed() -> None:
    run = History()
    writer = run.open("writer")
    first = run.answer(writer, "writer", calls=1)
    run.answer(writer, "writer", text=first, rewrites=True, calls=1)
    review = run.open("auditor", writer, "review")
    run.reply(review, "auditor", approved=False)
    run.close(review, approved=False)

    passed = run.fold().waste.texts[first].passed
    assert passed is not None and passed.step == first


@given(st.lists(st.tuples(st.sampled_from("rrrwpat"), st.integers(0, 3), st.integers(0, 5)), max_size=60))
def test_what_is_wasted_is_part_of_what_was_spent(moves: list[tuple[str, int, int]]) -> None:
    run = History()
    frames = [run.open(f"agent {number}") for number in range(4)]
    known = 0
    for move, who, what in moves:
        frame, agent = frames[who], f"agent {who}"
        if move == "t":
            run.events.append(RunTaken(at=0.0, owner="me", epoch=run.steps + 2, left_s=5.0))
        elif move == "a":
            known = run.answer(frame, agent, text=known, rewrites=bool(known) and what > 1)
        else:
            run.reply(frame, agent, calls=what)
            options = {"r": {}, "w": {"effect": True}, "p": {"poll": True}}[move]
            run.read(frame, agent, news=str(what % 2), name=f"tool {what % 3}", **options)

    state = run.fold()
    total = sum(each.tokens for each in state.waste.wasted.values())
    assert 0 <= total <= 2 * state.ledger.tokens
    assert state.waste.wasted.get("rewrites", Wasted()).tokens <= state.ledger.tokens
    assert all(each.tokens >= 0 and each.seconds >= 0 for each in state.waste.wasted.values())


def test_a_long_run_is_remembered_within_bounds() -> None:
    run = History()
    frame, other = run.open("clerk"), run.open("cashier")
    for number in range(MAX_READS + 50):
        run.read(frame, "clerk", input=ref_of(str(number).encode()))
    for _ in range(3 * MAX_STEPS):
        run.read(frame, "clerk")
    for _ in range(3 * MAX_VERSIONS):
        run.answer(other, "cashier")

    waste = run.fold().waste
    assert len(waste.reads) <= MAX_READS and len(waste.versions) == MAX_VERSIONS >= len(waste.texts)
    assert len(waste.wasted["repeats"].steps) == MAX_STEPS < waste.wasted["repeats"].calls
