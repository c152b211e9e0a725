"""CrewAI with its OpenAI model against a server: what is sent stays as it was, and the server's count is the record's."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from crewai import LLM, Agent
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.state.runtime import RuntimeState
from crewai.tools import BaseTool
from crewai.tools import tool as make_tool
from pydantic import BaseModel

from adapters.last_requests import LAST, Insatiable, check_last, may_call, read_results
from apart.crewai.crew_desk import kick_off, make_crew, make_task, read_events, read_outcome
from seawall import Effect, Halted, Held, Limits, Loops, Principal, Seawall, always
from seawall.adapters import crewai
from seawall.core.events import StepDone
from seawall.runtime.foreign.engine import Engine
from seawall.testing import call, calls, say
from seawall.testing.faults import rate_limited
from seawall.testing.model_server import ModelServer

SCRIPT = [
    calls(call("find_order", order=7), call("find_order", order=8)),
    call("find_customer", name="Ümit"),
    say("They are paid."),
]


@contextmanager
def serving(handler: Any) -> Generator[ModelServer]:
    """A model server in an event loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ModelServer(handler)

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        wait(server.__aenter__())
        try:
            yield server
        finally:
            wait(server.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def make_agent(server: ModelServer, *, stream: bool = False, **options: Any) -> Agent:
    @make_tool("Find order")
    def find_order(order: int) -> dict[str, Any]:
        """Finds an order."""
        return {"order": order, "state": "paid", "lines": [1.5, None]}

    @make_tool("Find customer")
    def find_customer(name: str) -> str:
        """Finds a customer."""
        return f"{name} is known"

    llm = LLM(
        model="openai/gpt-4o",
        base_url=server.base_url,
        api_key="k",
        temperature=0.1,
        max_tokens=300,
        stream=stream,
        max_retries=0,
    )
    return Agent(
        role="clerk",
        goal="Help.",
        backstory="You are at a desk.",
        llm=llm,
        tools=[find_order, find_customer],
        **options,
    )


def mask_ids(bodies: list[Any]) -> str:
    """Returns what was sent without the ids of calls, which the server makes anew each time."""
    text = json.dumps(bodies)
    found = [
        each["id"]
        for body in bodies
        for message in body["messages"]
        for each in message.get("tool_calls") or []
    ]
    for number, each in enumerate(dict.fromkeys(found)):
        text = text.replace(json.dumps(each), f'"id-{number}"')
    return text


def ask(engine: Engine | None, way: str, *, stream: bool) -> tuple[list[Any], str]:
    """Returns the bodies that the server got, and the answer."""
    with serving(SCRIPT) as server:
        agent = make_agent(server, stream=stream)
        crew = make_crew([agent], [make_task(agent, "What of orders 7 and 8?")])
        if engine is None:
            result = kick_off(crew, way)
        else:
            with crewai.gate(engine, request_id="r-1"):
                result = kick_off(crew, way)
        return [request.body for request in server.requests], result.raw


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_nothing_that_is_sent_changes_where_no_guard_spoke(tmp_path: Path, way: str, stream: bool) -> None:
    plain, answer = ask(None, way, stream=stream)
    with Engine(tmp_path / "desk.db") as engine:
        gated, same = ask(engine, way, stream=stream)
        again, replayed = ask(engine, way, stream=stream)
        coverage = engine.coverage()
        assert read_outcome(engine, "r-1").unchecked_delivery is stream

    assert len(plain) == 3
    assert mask_ids(gated) == mask_ids(plain)
    assert (same, replayed, again) == (answer, answer, [])
    assert coverage.models == {"openai:gpt-4o": 3}
    assert coverage.undeclared == {"find_order": 2, "find_customer": 1}


def test_a_limit_ends_the_crew_and_the_server_has_counted_as_many_calls(tmp_path: Path) -> None:
    with (
        Engine(tmp_path / "desk.db", reads=["find_*"]) as engine,
        serving(lambda request: call("find_customer", name=f"{request.number}")) as server,
    ):
        agent = make_agent(server)
        crew = make_crew([agent], [make_task(agent)])
        with (
            pytest.raises(Halted) as halted,
            crewai.gate(engine, limits=Limits(model_calls=5, at_limit="halt")),
        ):
            crew.kickoff()

        assert halted.value.outcome.model_calls == server.request_count == 5
        assert engine.coverage().models == {"openai:gpt-4o": 5}
        assert engine.coverage().reads == {"find_customer": 5}


def test_each_attempt_at_a_model_is_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions of CrewAI try again where a model is called, older ones have the whole task done again."""
    if importlib.util.find_spec("crewai.llms.retry") is not None:
        retry = importlib.import_module("crewai.llms.retry")
        monkeypatch.setattr(retry, "get_retry_delay_seconds", lambda **options: 0.0)
    with Engine(tmp_path / "desk.db") as engine, serving([rate_limited(), say("Yes.")]) as server:
        agent = make_agent(server)
        crew = make_crew([agent], [make_task(agent)])
        with crewai.gate(engine, request_id="r-1"):
            assert crew.kickoff().raw == "Yes."
        failed = [each for each in read_events(engine, "r-1") if isinstance(each, StepDone) and each.error]

        assert server.request_count == read_outcome(engine, "r-1").model_calls == 2
        assert len(failed) == 1


def test_tokens_are_those_that_the_server_counts(tmp_path: Path) -> None:
    with Engine(tmp_path / "desk.db") as engine, serving(SCRIPT) as server:
        agent = make_agent(server)
        crew = make_crew([agent], [make_task(agent)])
        with crewai.gate(engine, request_id="r-1"):
            counted = crew.kickoff().token_usage
        outcome = read_outcome(engine, "r-1")

    assert counted.total_tokens == outcome.tokens > 0


def test_a_reply_is_no_longer_than_a_limit_leaves_room_for(tmp_path: Path) -> None:
    with Engine(tmp_path / "desk.db") as engine, serving([say("Yes.")]) as server:
        agent = make_agent(server)
        crew = make_crew([agent], [make_task(agent)])
        with crewai.gate(engine, limits=Limits(tokens=2500)):
            crew.kickoff()
        sent = server.requests[0].body

    assert 0 < sent["max_tokens"] <= 300


def test_advice_reaches_the_model(tmp_path: Path) -> None:
    with (
        Engine(tmp_path / "desk.db", guards=[Loops()]) as engine,
        serving(lambda request: call("find_customer", name="Kim")) as server,
    ):
        agent = make_agent(server)
        crew = make_crew([agent], [make_task(agent)])
        with pytest.raises(Halted, match="nothing new"), crewai.gate(engine):
            crew.kickoff()
        bodies = [request.body for request in server.requests]

    assert "nothing new" in json.dumps(bodies)
    assert "nothing new" not in json.dumps(bodies[:2])


class Found(BaseModel):
    order: int
    state: str


@pytest.mark.parametrize("kind", ["output_pydantic", "output_json"])
def test_a_structured_answer_is_a_step_and_is_given_again(tmp_path: Path, kind: str) -> None:
    structured = '{"order": 7, "state": "paid"}'

    def answer(request: Any) -> Any:
        if isinstance(request.body.get("tool_choice"), dict):  # the client that CrewAI has for this
            return call("Found", order=7, state="paid")
        return say(structured if request.body.get("response_format") else "Order 7 is paid.")

    results: list[Any] = []
    options: dict[str, Any] = {kind: Found}
    with Engine(tmp_path / "desk.db") as engine, serving(answer) as server:
        for _ in range(2):
            agent = make_agent(server)
            crew = make_crew([agent], [make_task(agent, **options)])
            with crewai.gate(engine, request_id="r-1"):
                result = crew.kickoff()
            results.append(result.pydantic or result.json_dict)
        assert server.request_count == read_outcome(engine, "r-1").model_calls

    assert results[0] == results[1]
    assert results[0] in (Found(order=7, state="paid"), {"order": 7, "state": "paid"})


def call_functions(server: ModelServer, refund: Callable[..., str]) -> str:
    """Returns what a model's class returns that calls a function by itself."""
    llm = LLM(model="openai/gpt-4o", base_url=server.base_url, api_key="k", max_retries=0)
    told = {"name": "refund", "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}}}
    tools: list[Any] = [{"type": "function", "function": told}]
    return llm.call("Refund order 7", tools=tools, available_functions={"refund": refund})


def test_a_function_that_a_model_calls_by_itself_is_gated(tmp_path: Path) -> None:
    refunds: list[int] = []

    def refund(order: int) -> str:
        refunds.append(order)
        return "refunded"

    effects = {"refund": Effect(approve=always())}
    with (
        serving([call("refund", order=7)] * 2) as server,
        Engine(tmp_path / "desk.db", effects=effects, authenticate={"boss": Principal("dana")}.get) as engine,
    ):
        with pytest.raises(Held), crewai.gate(engine, request_id="r-1"):
            call_functions(server, refund)
        assert refunds == []

        engine.call(approve_all)
        for _ in range(2):
            with crewai.gate(engine, request_id="r-1"):
                assert call_functions(server, refund) == "refunded"
        assert engine.coverage().effects == {"refund": 1}

    assert (refunds, len(server.requests)) == ([7], 2)


def test_a_function_that_a_limit_refuses_is_answered_with_the_reason(tmp_path: Path) -> None:
    refunds: list[int] = []

    def refund(order: int) -> str:
        refunds.append(order)
        return "refunded"

    with (
        serving([call("refund", order=7), call("refund", order=8)]) as server,
        Engine(tmp_path / "desk.db", effects=["refund"]) as engine,
        crewai.gate(engine, limits=Limits(tool_calls=1)),
    ):
        answers = [call_functions(server, refund) for _ in range(2)]

    assert answers == ["refunded", "Not done: tool 'refund': tool_calls would be 2 (limit 1)."]
    assert refunds == [7]


def test_text_that_is_streamed_arrives_while_the_crew_works(tmp_path: Path) -> None:
    with Engine(tmp_path / "desk.db") as engine, serving([say("They are all paid.")]) as server:
        agent = make_agent(server, stream=True)
        crew = make_crew([agent], [make_task(agent)], stream=True)
        with crewai.gate(engine, request_id="r-1"):
            streamed = crew.kickoff()
            chunks = [each.content for each in streamed]
        outcome = read_outcome(engine, "r-1")

    assert "".join(chunks) == "They are all paid."
    assert len(chunks) > 1
    assert (outcome.status, outcome.answer) == ("completed", "They are all paid.")
    assert outcome.unchecked_delivery is True


class Look(BaseTool):
    """A tool that CrewAI can write into a checkpoint: it is a class of a module."""

    name: str = "Find order"
    description: str = "Finds an order."
    made: ClassVar[list[int]] = []

    def _run(self, order: int) -> str:
        self.made.append(order)
        return "paid"


class PayBack(BaseTool):
    """As `Look`."""

    name: str = "refund"
    description: str = "Refunds an order."
    made: ClassVar[list[int]] = []

    def _run(self, order: int) -> str:
        self.made.append(order)
        return "refunded"


def test_a_crew_goes_on_from_a_checkpoint_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Look, "made", [])
    monkeypatch.setattr(PayBack, "made", [])
    monkeypatch.setenv("OPENAI_API_KEY", "k")  # a checkpoint holds no key

    def answer(request: Any) -> Any:
        last, told = request.messages[-1], json.dumps(request.body["messages"])
        if last["role"] == "tool":
            return say(f"It is {last['content']}.")
        return call("refund", order=7) if "Refund it" in told else call("find_order", order=7)

    with (
        Engine(
            tmp_path / "desk.db",
            effects={"refund": Effect(approve=always())},
            authenticate=lambda credential: Principal(str(credential)),
        ) as engine,
        serving(answer) as server,
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        agent = Agent(
            role="clerk", goal="Help.", backstory="A desk.", llm="openai/gpt-4o", tools=[Look(), PayBack()]
        )
        tasks = [make_task(agent, "Look at it"), make_task(agent, "Refund it")]
        crew = make_crew([agent], tasks)
        with pytest.raises(Held), crewai.gate(engine, request_id="r-1"):
            crew.kickoff()
        saved = RuntimeState(root=[crew]).checkpoint(str(tmp_path / "saved"))
        engine.call(approve_all)
        with crewai.gate(engine, request_id="r-1"):
            result: Any = crew.kickoff(
                from_checkpoint=CheckpointConfig(location=str(tmp_path / "saved"), restore_from=saved)
            )

        assert result.raw == "It is refunded."
        assert (Look.made, PayBack.made, server.request_count) == ([7], [7], 4)
        outcome = read_outcome(engine, "r-1")
        assert (outcome.model_calls, outcome.answer) == (4, "It is refunded.")


async def approve_all(sea: Seawall) -> None:
    for each in await sea.approvals():
        await sea.approve(each.id, hash=each.hash, credential="boss")


@pytest.mark.parametrize("limit", ["tool_calls", "model_calls"])
def test_a_limit_ends_with_an_answer_without_tools(tmp_path: Path, limit: str) -> None:
    script, limits = Insatiable(), {"tool_calls": Limits(tool_calls=2), "model_calls": Limits(model_calls=3)}
    with Engine(tmp_path / "desk.db", reads=["find_*"]) as engine, serving(script) as server:
        agent = make_agent(server)
        with crewai.gate(engine, limits=limits[limit], request_id="r-1"):
            answer = make_crew([agent], [make_task(agent)]).kickoff().raw
        outcome = read_outcome(engine, "r-1")

    assert (answer, outcome.answer) == (LAST, LAST)
    assert (outcome.status, outcome.pruned, outcome.tool_calls) == ("completed", ("limits",), 2)
    check_last(script.requests, f"{limit}={2 if limit == 'tool_calls' else 3}")
    if limit == "tool_calls":
        assert "Not done: tool 'find_order'" in read_results(script.requests[-1])[-1]


def test_the_next_task_of_a_crew_has_a_last_reply_of_its_own(tmp_path: Path) -> None:
    script = Insatiable()
    with Engine(tmp_path / "desk.db", reads=["find_*"]) as engine, serving(script) as server:
        agent = make_agent(server)
        with crewai.gate(engine, limits=Limits(tool_calls=1), request_id="r-1"):
            crew = make_crew([agent], [make_task(agent), make_task(agent)])
            assert crew.kickoff().raw == LAST
        outcome = read_outcome(engine, "r-1")

    assert (outcome.status, outcome.tool_calls, outcome.model_calls) == ("completed", 1, 4)
    assert [may_call(each) for each in script.requests] == [True, True, False, False]
