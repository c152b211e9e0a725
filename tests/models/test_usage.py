"""What a model reports that it took is checked before it is booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Agent, Allow, Guard, Limits, Misused, Price, Seawall, Team, tool
from seawall.core.events import StepDone, StepIntended
from seawall.models.protocol import Assistant, ModelReply, Usage
from seawall.models.providers import resolve
from seawall.models.usage import MAX_TOKENS, check_usage
from seawall.run.ledger import Ledger, reserve, settle
from seawall.runtime.exceptions import read_seconds
from seawall.team.tool import MAX_RESULT_BYTES
from seawall.testing import ManualClock, ModelServer, ScriptedModel, call, fail, say
from seawall.testing.wire import Raw
from team.play import Played, play

IMPOSSIBLE: list[Any] = [
    -1, -(10**30), MAX_TOKENS + 1, 10**30, 10**5000, float("nan"), float("inf"), -0.5, 12.0, True, "12", "many",
    None, [3], Decimal("NaN"), object(),
]  # fmt: skip


class Reporting:
    """A model class of the user's own, which reports `usage` for each reply."""

    def __init__(self, *usages: Any, price: Any = None) -> None:
        self.name = "own"
        self.price = price
        self.calls = 0
        self._usages = usages

    async def respond(self, request: Any) -> ModelReply:
        usage = self._usages[min(self.calls, len(self._usages) - 1)]
        self.calls += 1
        asks = call("look", what=str(self.calls)).calls if request.tools else ()
        named = tuple(type(each)(f"c{self.calls}", each.name, each.arguments) for each in asks)
        return ModelReply(message=Assistant("Fine.", named), usage=usage)

    def stream(self, request: Any) -> Any:
        raise NotImplementedError


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"found {what}"


def ask(model: Any, *, limits: Limits | None = None, tools: Sequence[Any] = ()) -> Played:
    agent = Agent("clerk", model=model, tools=tools, max_output_tokens=1_000)
    return play(Team(agent, limits=limits or Limits()))


def reserved(run: Played) -> int:
    return sum(step.tokens for step in run.steps("model"))


@pytest.mark.parametrize("place", ["input_tokens", "output_tokens"])
@pytest.mark.parametrize("number", IMPOSSIBLE, ids=lambda value: type(value).__name__)
def test_a_count_that_cannot_be_is_booked_at_the_upper_bound_and_said(place: str, number: Any) -> None:
    usage: Any = Usage(**{"input_tokens": 5, "output_tokens": 5, place: number})

    run = ask(Reporting(usage, price=Price(1, 1)))

    assert run.outcome.status == "completed"
    assert run.outcome.tokens == reserved(run) > 1_000
    assert run.outcome.usd == Decimal(reserved(run)) / 1_000_000
    (problem,) = run.outcome.usage_problems
    assert problem.startswith(f"step 1, model 'own': {place} is ")
    assert run.done(1).usage_problem in problem


@given(st.integers(), st.integers())
def test_whatever_is_reported_the_ledger_never_goes_down(read: int, said: int) -> None:
    usage, usd = check_usage(Usage(read, said), Price(1, 1))
    step = StepIntended(at=0, step=1, kind="model", name="m", agent="a", frame=0, tokens=100, usd=Decimal(1))
    before = reserve(Ledger(), step)
    done = StepDone(
        at=0, step=1, status="ok", input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, usd=usd
    )

    after = settle(before, step, done)

    assert after.tokens == (read + said or 100 if not usage.problem else 100) > 0
    assert after.usd >= 0
    assert (after.reserved_tokens, after.reserved_usd) == (0, 0)


def test_a_report_below_zero_that_an_earlier_version_recorded_counts_at_its_bound() -> None:
    step = StepIntended(at=0, step=1, kind="model", name="m", agent="a", frame=0, tokens=100, usd=Decimal(1))
    done = StepDone(at=0, step=1, status="ok", input_tokens=-3_000, output_tokens=-500, usd=Decimal("-0.1"))

    after = settle(reserve(Ledger(), step), step, done)

    assert (after.tokens, after.usd) == (100, 1)


def test_reports_below_zero_do_not_lift_a_limit() -> None:
    model = Reporting(Usage(-3_000, -500), price=Price(1, 1))

    run = ask(model, limits=Limits(tokens=6_000, at_limit="halt"), tools=[look])

    assert run.outcome.status == "halted"
    assert run.outcome.stopped_by and run.outcome.stopped_by.guard == "limits"
    assert 0 < run.outcome.tokens <= 6_000
    assert len(run.outcome.usage_problems) == run.outcome.model_calls == model.calls


@pytest.mark.parametrize("limits", [Limits(tokens=1_000_000), Limits(usd=Decimal(5))])
def test_a_report_above_what_was_reserved_halts_the_run_at_its_next_step(limits: Limits) -> None:
    model = Reporting(Usage(10, 9_000), price=Price(1, 1))

    run = ask(model, limits=limits, tools=[look])

    stopped = run.outcome.stopped_by
    assert model.calls == 1
    assert run.steps("tool") == []
    assert run.outcome.tokens == 9_010
    assert stopped and (stopped.guard, stopped.value) == ("limits", "9010")
    assert stopped.limit == f"reserved_tokens={run.steps('model')[0].tokens}"
    assert "9010 tokens are reported" in run.outcome.usage_problems[0]


def test_a_report_above_what_was_reserved_for_the_answer_itself_is_in_the_outcome() -> None:
    run = ask(Reporting(Usage(10, 9_000)), limits=Limits(tokens=1_000_000))

    assert run.outcome.status == "completed"
    assert "9010 tokens are reported" in run.outcome.usage_problems[0]


def test_a_run_without_limits_on_tokens_goes_on_after_such_a_report() -> None:
    script = ScriptedModel([call("look", what="a"), say("Done.")], usage=Usage(10, 9_000))

    run = ask(script, tools=[look])

    assert run.outcome.status == "completed"
    assert len(run.outcome.usage_problems) == 1


class Refund(Price, frozen=True):
    """A price that pays for each call."""

    def usd(self, usage: Usage) -> Decimal:
        return Decimal(-1) if usage.output_tokens == 7 else super().usd(usage)


class Sly(int):
    """A number of tokens that says of itself what it likes."""

    def __int__(self) -> int:
        return -1_000_000

    def __lt__(self, other: int) -> bool:
        return False

    __gt__ = __lt__


class Countable:
    """As numbers of other libraries are."""

    def __index__(self) -> int:
        return 5


@pytest.mark.parametrize("number", [Sly(5), Countable()])
def test_a_number_of_tokens_of_another_class_is_the_whole_number_that_it_is(number: Any) -> None:
    run = ask(Reporting(Usage(number, 5)))

    assert (run.outcome.tokens, run.outcome.usage_problems) == (10, ())


class Panicking:
    output_tokens = 5

    @property
    def input_tokens(self) -> int:
        raise GeneratorExit("in input_tokens")


def test_a_usage_that_raises_anything_is_booked_at_the_upper_bound() -> None:
    run = ask(Reporting(Panicking()))

    assert run.outcome.tokens == reserved(run)


class Amount(Decimal):
    def is_finite(self) -> bool:
        return True


@pytest.mark.parametrize(
    "usd", [-5, Decimal("1e-400"), Decimal("1e400"), Decimal("sNaN"), Amount("NaN"), None, SystemExit]
)
def test_a_price_that_gives_no_amount_is_not_known_where_dollars_are_limited(usd: Any) -> None:
    class Odd(Price, frozen=True):
        def usd(self, usage: Usage) -> Any:
            if usd is SystemExit:
                raise SystemExit("in usd")
            return usd if usd is None else type(usd)(usd)

    model = Reporting(Usage(10, 7), price=Odd(Decimal(1), Decimal(1)))

    run = ask(model, limits=Limits(usd=Decimal(1)))

    assert (run.outcome.status, run.outcome.usd, model.calls) == ("halted", 0, 0)
    assert run.outcome.stopped_by is not None and "is not known" in run.outcome.stopped_by.reason


def test_a_stream_that_goes_on_after_its_complete_reply_has_none() -> None:
    class Twice(Reporting):
        async def stream(self, request: Any) -> AsyncIterator[ModelReply]:
            for tokens in (3_000, 1):
                yield ModelReply(message=Assistant("Fine."), usage=Usage(tokens, tokens))

    async def main() -> None:
        async with Seawall(clock=ManualClock(), environment={}) as sea:
            run = await sea.start(Agent("clerk", model=Twice(), retries=0), "go", stream=True)
            outcome = await run.outcome()
        assert outcome.status == "failed"
        assert "went on after its complete reply" in (outcome.error or "")

    asyncio.run(main())


def test_a_cost_below_zero_is_booked_at_the_upper_bound() -> None:
    run = ask(Reporting(Usage(10, 7), price=Refund(Decimal(1), Decimal(1))), limits=Limits(usd=Decimal(1)))

    assert run.outcome.usd == Decimal(reserved(run)) / 1_000_000
    assert "its cost is Decimal('-1')" in run.outcome.usage_problems[0]


@pytest.mark.parametrize("price", ["1e308", 10**12, Decimal("1e-60"), -1, "NaN", True, "free"])
def test_a_price_that_no_account_holds_is_misuse(price: Any) -> None:
    with pytest.raises(Misused, match="Price: output_usd_per_mtok"):
        Price(1, price)


def test_a_price_that_is_none_is_misuse_where_it_is_given() -> None:
    five: Any = 5
    with pytest.raises(Misused, match=r"prices\['m'\] is 5; it must be Price"):
        Seawall(prices={"m": five})
    with pytest.raises(Misused, match="the price of model 'own' is 5; it must be Price"):
        ask(Reporting(Usage(1, 1), price=five))


# ---- times


@pytest.mark.parametrize("odd", [-5, -0.001, float("nan"), float("inf"), 10**400, True, "soon", None, [1]])
def test_a_time_to_wait_that_cannot_be_is_none(odd: Any) -> None:
    assert read_seconds(odd) is None


@pytest.mark.parametrize("odd", [-5, float("nan"), float("inf"), 10**400, True, "soon"])
def test_a_failure_with_an_odd_time_to_wait_is_tried_again_after_the_usual_one(odd: Any) -> None:
    clock = ManualClock()
    model = ScriptedModel([fail("rate_limited", retry_after_s=odd), say("Done.")])

    run = play(Team(Agent("clerk", model=model)), clock=clock)

    assert run.outcome.answer == "Done."
    assert run.done(1).retry_after_s is None
    assert 0.4 < run.outcome.active_s < 1.5


def test_a_time_to_wait_beyond_the_deadline_is_not_waited() -> None:
    model = ScriptedModel([fail("rate_limited", retry_after_s=1e308), say("Never.")])

    assert play(Team(Agent("clerk", model=model)), clock=ManualClock()).outcome.status == "failed"


class Delay(Guard):
    """Lets each step wait for a time that is no time."""

    def __init__(self, wait_s: Any) -> None:
        self.name = "delay"
        self._wait_s = wait_s

    def before(self, step: Any, run: Any, memory: Any) -> Any:
        return Allow(self._wait_s)


@pytest.mark.parametrize("odd", [-1, float("nan"), float("inf"), 10**400, "2", True, None])
def test_a_guard_that_lets_a_step_wait_for_no_time_halts_the_run(odd: Any) -> None:
    run = play(Team(Agent("clerk", model=ScriptedModel([])), guards=[Delay(odd)]))

    assert run.outcome.stopped_by and run.outcome.stopped_by.guard == "delay"
    assert "wait_s" in run.outcome.stopped_by.reason


# ---- sizes


class Small(str):
    """A text that says of itself that it is empty."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


class Few(bytes):
    """Bytes that say of themselves that they are none."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    "value",
    ["é" * (MAX_RESULT_BYTES // 2 + 1), Small("x" * (MAX_RESULT_BYTES + 1)), Few(MAX_RESULT_BYTES + 1)],
)
def test_the_size_of_a_tools_result_is_measured_in_bytes_and_not_asked_of_it(value: Any) -> None:
    def find() -> Any:
        """Find."""

    with pytest.raises(ValueError, match="limit 16,777,216"):
        tool(find).encode_result(value)


# ---- providers


def chunk(usage: Any, text: str = "", finish: str | None = None) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    made = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }
    return f"data: {json.dumps(made)}\n\n".encode()


def counts(read: Any, said: Any) -> dict[str, Any]:
    return {"prompt_tokens": read, "completion_tokens": said, "total_tokens": 0}


def stream(*reports: Any) -> Usage:
    """The usage of a streamed reply with one report in each chunk."""
    *first, last = reports
    parts = [*[chunk(report, "w ") for report in first], chunk(last, finish="stop"), b"data: [DONE]\n\n"]

    async def main() -> Usage:
        answer = Raw(headers={"content-type": "text/event-stream"}, parts=parts)
        async with (
            ModelServer(lambda _: answer) as server,
            resolve("openai:m", base_url=server.base_url) as model,
        ):
            agent = Agent("clerk", model=model)
            async with Seawall(environment={}) as sea:
                run = await sea.start(agent, "go", stream=True)
                await run.outcome()
                events = await sea.journal.events(run.id)
        done = next(event for event in events if isinstance(event, StepDone))
        return Usage(done.input_tokens, done.output_tokens, done.usage_problem)

    return asyncio.run(main())


def test_usage_so_far_in_each_chunk_is_counted_once() -> None:
    assert stream(*[counts(3_000, n) for n in range(1, 50)]) == Usage(3_000, 49)


def test_usage_that_is_reported_twice_is_counted_once() -> None:
    assert stream(None, counts(30, 5), counts(30, 5)) == Usage(30, 5)
    assert stream(counts(30, 5), None) == Usage(30, 5)


def test_tokens_that_only_the_total_counts_are_output() -> None:
    """As of servers that count no reasoning in the output."""
    assert stream(None, {**counts(30, 5), "total_tokens": 1_035}) == Usage(30, 1_005)
    assert stream({**counts(30, 1), "total_tokens": 31}, {**counts(30, 5), "total_tokens": 90}) == Usage(
        30, 60
    )
    assert stream(None, {"completion_tokens": 5, "total_tokens": 35}) == Usage(30, 5)
    assert stream(None, {"prompt_tokens": 30, "total_tokens": 35}) == Usage(30, 5)


@pytest.mark.parametrize(
    ("report", "part"),
    [
        ({"completion_tokens": 5}, "input"),
        (counts(0, 5), "input"),
        ({"prompt_tokens": 30}, "output"),
        ({**counts(30, 0), "total_tokens": 30}, "output"),
    ],
)
def test_a_part_that_a_server_does_not_report_is_not_zero(report: Any, part: str) -> None:
    assert stream(None, report).problem == f"the server reported no {part}_tokens"


@pytest.mark.parametrize("last", [counts(30, 2), counts(3, 9)])
def test_usage_that_goes_down_within_a_stream_is_no_count(last: Any) -> None:
    usage = stream(counts(30, 5), last)

    assert (usage.input_tokens, usage.output_tokens) == (0, 0)
    assert "was reported as" in usage.problem


@pytest.mark.parametrize("odd", [-5, 1e300, "many", [1], 10**20])
def test_what_a_server_reports_that_cannot_be_is_no_count(odd: Any) -> None:
    usage = stream(None, counts(odd, 5))

    assert (usage.input_tokens, usage.output_tokens) == (0, 0)
