"""LangChain's own middleware beside the gate: its order, and the models that it calls by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AutoModeMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelChoice,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    ModelRouterMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.decisions import BaseDecisionModel, ChoiceAnswer, ClassifierResponse, Noul, NoulAnswer

from adapters.langchain_desk import (
    ASK,
    REFUND,
    Bank,
    ScriptedChat,
    call,
    list_runs,
    make_engine,
    make_model,
    say,
)
from seawall import Limits
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware
from seawall.adapters.langchain_core.messages import list_hosted
from seawall.adapters.langgraph import gate_graph
from seawall.runtime.foreign.engine import Engine

BOTH = pytest.mark.parametrize("mode", ["sync", "async"])
AROUND = pytest.mark.parametrize("around", [False, True], ids=["agent", "graph around"])


@pytest.fixture
def engine() -> Iterator[Engine]:
    with make_engine() as engine:
        yield engine


def ask(agent: Any, mode: str = "sync") -> Any:
    return agent.invoke(ASK) if mode == "sync" else asyncio.run(agent.ainvoke(ASK))


# ---- the order


@BOTH
@AROUND
def test_an_effect_is_not_made_where_another_middleware_could_make_it_again(
    engine: Engine, mode: str, around: bool
) -> None:
    bank = Bank()
    middleware = [SeawallMiddleware(engine), ToolRetryMiddleware(initial_delay=0)]
    agent: Any = create_agent(make_model(REFUND), bank.tools, middleware=middleware)
    with pytest.raises(SeawallHalted, match="Put SeawallMiddleware last"):
        ask(gate_graph(engine, agent) if around else agent, mode)
    assert bank.refunds == []


def test_coverage_tells_of_middleware_after_the_gate(engine: Engine) -> None:
    model = make_model([call(("find_order", {"order": 1})), say("Paid.")])
    after: Any = [ToolRetryMiddleware(), ModelRetryMiddleware()]
    agent = create_agent(model, Bank().tools, middleware=[SeawallMiddleware(engine), *after])
    assert ask(agent)["messages"][-1].text == "Paid."
    assert "put SeawallMiddleware last" in str(engine.coverage())
    assert engine.coverage().reads == {"find_order": 1}


class BoundChat(ScriptedChat):
    """Has its tools among the options of each request, as the models of providers do."""

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        return self.bind(tools=[each for each in tools if isinstance(each, dict)])


@BOTH
@AROUND
def test_coverage_names_the_tools_that_the_provider_runs(engine: Engine, mode: str, around: bool) -> None:
    tools: list[Any] = [*Bank().tools, {"type": "mcp", "server_label": "crm", "server_url": "http://x"}]
    agent: Any = create_agent(
        make_model([say("Hello.")], BoundChat),
        tools,
        middleware=[] if around else [SeawallMiddleware(engine)],
    )

    ask(gate_graph(engine, agent) if around else agent, mode)

    assert "tool 'mcp' of 'crm': the model's provider runs it" in engine.coverage().not_gated


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ({"type": "web_search"}, "web_search"),
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, "web_search_20250305"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "code_interpreter"),
        ({"google_search": {}}, "google_search"),
        ({"type": "bash_20250124", "name": "bash"}, None),
        ({"type": "custom", "name": "sql"}, None),
        ({"type": "function", "name": "find", "parameters": {}}, None),
        ({"type": "function", "function": {"name": "find", "parameters": {}}}, None),
        ({"name": "find", "description": "d", "input_schema": {"type": "object"}}, None),
        ({"function_declarations": [{"name": "find"}]}, None),
        ({"toolSpec": {"name": "find"}}, None),
        ({"name": "find"}, None),
    ],
)
def test_a_providers_tool_is_told_from_the_applications_own(tool: dict[str, Any], named: str | None) -> None:
    assert list_hosted([tool]) == ([] if named is None else [f"tool {named!r}: the model's provider runs it"])


# ---- the models of other middleware


@BOTH
@AROUND
def test_coverage_names_the_middleware_that_calls_models_by_itself(
    engine: Engine, mode: str, around: bool
) -> None:
    other = make_model([say("never")])
    before: Any = [
        SummarizationMiddleware(other, trigger=("messages", 50)),
        LLMToolEmulator(tools=["nothing"], model=other),
        LLMToolSelectorMiddleware(max_tools=9, always_include=["find_order", "refund"]),
        ModelFallbackMiddleware(other),
        ModelRetryMiddleware(),
        ToolRetryMiddleware(),
    ]
    agent: Any = create_agent(
        make_model(REFUND), Bank().tools, middleware=[*before, SeawallMiddleware(engine)]
    )
    agent = gate_graph(engine, agent) if around else agent
    for _ in range(2):
        assert ask(agent, mode)["messages"][-1].text == "Order 1042 was refunded."
    told = engine.coverage().not_gated
    if around:  # their calls are gated there, and the agent's own model is gated in full
        assert ["SummarizationMiddleware.before_model" in each for each in told] == [True]
    else:
        names = {each.split(" ")[2] for each in told}
        assert names == {"SummarizationMiddleware", "LLMToolEmulator", "LLMToolSelectorMiddleware"}
        assert len(told) == 3


class Judge(BaseDecisionModel):
    """Decides that nothing is risky, and that each request is for the clerk."""

    @property
    def _provider(self) -> str:
        return "acme"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        answers: Any = {
            name: (
                NoulAnswer.model_construct(noul=0.1)
                if isinstance(each, Noul)
                else ChoiceAnswer.model_construct(choice="clerk")
            )
            for name, each in questions.items()
        }
        usage = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}
        return ClassifierResponse.model_construct(model="judge-1", answers=answers, usage=usage)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@BOTH
@pytest.mark.parametrize(("most", "refunds"), [(60, [1042]), (2, [])])
def test_a_graph_around_an_agent_gates_the_models_that_decide(
    engine: Engine, mode: str, most: int, refunds: list[int]
) -> None:
    bank, judge = Bank(), Judge(model="judge-1")
    middleware: Any = [
        ModelRouterMiddleware(
            choices={
                "clerk": ModelChoice(model=make_model(REFUND), criteria="refunds"),
                "boss": ModelChoice(model=make_model([]), criteria="the rest"),
            },
            instructions="Who answers?",
            classifier=judge,
        ),
        AutoModeMiddleware(tools=["refund"], classifier=judge),
        SeawallMiddleware(engine),
    ]
    limits = Limits(model_calls=most, at_limit="halt")
    agent: Any = gate_graph(
        engine, create_agent(make_model([]), bank.tools, middleware=middleware), limits=limits
    )
    if refunds:
        assert ask(agent, mode)["messages"][-1].text == "Order 1042 was refunded."
        assert engine.coverage().models == {"acme:judge-1": 2, "scripted:scripted": 2}
    else:
        with pytest.raises(SeawallHalted):
            ask(agent, mode)
    assert bank.refunds == refunds
    (run,) = list_runs(engine)
    assert run.summary.status == ("completed" if refunds else "halted")
