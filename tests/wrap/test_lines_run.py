"""The lines that `seawall wrap` adds, at work: the application runs as before, and what it calls has passed the gate."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from seawall.runtime.foreign.coverage import CoverageReport
from seawall.runtime.foreign.engine import Engine
from seawall.wrap import inspect_application
from wrap.unpacking import apply_lines

Run = Callable[[str], tuple[str, list[int], CoverageReport]]
CHAT = '''
from typing import Any
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

REFUNDS = []

class ChatOpenAI(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

def make_replies() -> Any:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    calls = [{"name": "refund", "args": {"order": 7}, "id": "c1"}]
    return iter([AIMessage("", tool_calls=calls, usage_metadata=usage), AIMessage("done", usage_metadata=usage)])

@tool
def refund(order: int) -> str:
    """Refund."""
    REFUNDS.append(order)
    return "refunded"
'''
LANGCHAIN = f"""{CHAT}
from langchain.agents import create_agent

agent = create_agent(ChatOpenAI(messages=make_replies()), tools=[refund])

async def main() -> str:
    return agent.invoke({{"messages": [("user", "Refund 7")]}})["messages"][-1].text
"""
LANGGRAPH = f"""{CHAT}
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

llm = ChatOpenAI(messages=make_replies())

def answer(state: MessagesState) -> Any:
    return {{"messages": [llm.invoke(state["messages"])]}}

builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_node("tools", ToolNode([refund]))
builder.add_edge(START, "answer")
builder.add_conditional_edges("answer", tools_condition)
builder.add_edge("tools", "answer")
graph = builder.compile()

async def main() -> str:
    return graph.invoke({{"messages": [("user", "Refund 7")]}})["messages"][-1].text
"""
OPENAI_AGENTS = '''
from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

REFUNDS = []

@function_tool
def refund(order: int) -> str:
    """Refund."""
    REFUNDS.append(order)
    return "refunded"

script = [[function_call("refund", {"order": 7}, call_id="c1")], [assistant_message("done")]]
agent = Agent(name="clerk", model=ScriptedModel(script), tools=[refund])

async def main() -> str:
    return (await Runner.run(agent, "Refund 7", run_config=RunConfig(tracing_disabled=True))).final_output
'''
PYDANTIC_AI = '''
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

REFUNDS = []
agent = Agent(TestModel(custom_output_text="done"))

@agent.tool_plain
def refund(order: int) -> str:
    """Refund."""
    REFUNDS.append(order)
    return "refunded"

async def main() -> str:
    return (await agent.run("Refund 7")).output
'''

PARTIAL = f"""{CHAT}
import functools
from langchain.agents import create_agent

make = functools.partial(create_agent, tools=[refund])

async def main() -> str:
    return make(ChatOpenAI(messages=make_replies())).invoke({{"messages": [("user", "Refund 7")]}})["messages"][-1].text
"""
OPTIONS = f"""{CHAT}
from langchain.agents import create_agent

COMMON = {{"tools": [refund], "middleware": []}}
OPTIONS = dict(COMMON, system_prompt="Be kind.")

async def main() -> str:
    agent = create_agent(ChatOpenAI(messages=make_replies()), **OPTIONS)
    return agent.invoke({{"messages": [("user", "Refund 7")]}})["messages"][-1].text
"""
SUBCLASS = OPENAI_AGENTS.replace("agent = Agent(", "class Clerk(Agent):\n    pass\n\nagent = Clerk(")
PARTIAL_RUN = OPENAI_AGENTS.replace(
    "async def main", "from functools import partial\nask = partial(Runner.run, agent)\nasync def main"
).replace("Runner.run(agent, ", "ask(")

OWN_INIT = """
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

REFUNDS = []

class Clerk(Agent):
    def __init__(self, answer, tools):
        super().__init__(TestModel(custom_output_text=answer), tools=tools)

def refund(order: int) -> str:
    REFUNDS.append(order)
    return "refunded"

agent = Clerk("done", [refund])

async def main() -> str:
    return (await agent.run("Refund 7")).output
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def wrap_and_run(text: str) -> tuple[str, list[int], CoverageReport]:
        (tmp_path / "app.py").write_text(text, encoding="utf-8")
        apply_lines(inspect_application([Path("app.py")]), tmp_path)
        module = _load(tmp_path / "app.py", monkeypatch)
        engine: Engine = module.sea
        with engine:
            answer = asyncio.run(module.main())
            return answer, module.REFUNDS, engine.coverage()

    return wrap_and_run


def _load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = "wrapped_application"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(LANGCHAIN, id="langchain"),
        pytest.param(LANGGRAPH, id="langgraph"),
        pytest.param(OPENAI_AGENTS, id="openai-agents"),
        pytest.param(PYDANTIC_AI, id="pydantic-ai"),
        pytest.param(PARTIAL, id="partial-agent"),
        pytest.param(OPTIONS, id="unpacked-options"),
        pytest.param(SUBCLASS, id="subclassed-agent"),
        pytest.param(PARTIAL_RUN, id="partial-run"),
        pytest.param(OWN_INIT, id="own-init"),
    ],
)
def test_an_application_with_the_lines_runs_as_before_and_passes_the_gate(application: str, run: Run) -> None:
    answer, refunds, coverage = run(application)

    assert answer == "done"
    assert coverage.effects == {"refund": len(refunds)}
    assert len(refunds) == 1
    assert sum(coverage.models.values()) == 2
    assert coverage.undeclared == {}
    assert coverage.not_gated == ()
