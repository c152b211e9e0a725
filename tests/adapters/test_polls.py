"""Each adapter takes `polls`: a tool that is asked until something has happened is asked on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from agents import Agent as SdkAgent
from agents import function_tool
from langchain.agents import create_agent
from langchain_core.tools import tool
from pydantic_ai import Agent

from adapters import agents_model, langchain_desk, pydantic_desk
from seawall import Engine, Loops
from seawall.adapters.langchain import SeawallHalted, SeawallMiddleware
from seawall.adapters.langgraph import gate_graph, gate_model
from seawall.adapters.openai_agents import AgentsHalted, SeawallRunner
from seawall.adapters.pydantic_ai import AgentHalted, SeawallCapability

GUARDS = (Loops(polls=6, poll_wait_s=0),)


class Job:
    """A job that never ends."""

    def __init__(self) -> None:
        self.asked = 0

    def job_state(self, job: int) -> str:
        """Says what a job does."""
        self.asked += 1
        return "step 3 of 9"


Ask = Callable[[Engine, Job, list[str]], None]
"""Has an agent wait for the job, whose tools are declared so."""


def ask_pydantic(engine: Engine, job: Job, polls: list[str]) -> None:
    desk = pydantic_desk.Desk(lambda messages: [("job_state", {"job": 7})])
    gate = SeawallCapability(engine, polls=polls)
    agent = Agent(desk.make_model(), tools=[job.job_state], capabilities=[gate])
    pydantic_desk.run_sync(agent, "Wait")


def ask_openai(engine: Engine, job: Job, polls: list[str]) -> None:
    model = agents_model.PlayedModel(lambda items: [("job_state", {"job": 7})])
    agent = SdkAgent(name="clerk", model=model, tools=[function_tool(job.job_state)])
    runner = SeawallRunner(engine, polls=polls)
    asyncio.run(runner.run(agent, "Wait", run_config=agents_model.QUIET, max_turns=30))


def _make_model() -> Any:
    return langchain_desk.make_model(
        lambda messages: langchain_desk.call(("job_state", {"job": 7}), prefix=f"c{len(messages)}")
    )


def ask_langchain(engine: Engine, job: Job, polls: list[str]) -> None:
    gate = SeawallMiddleware(engine, polls=polls)
    agent: Any = create_agent(_make_model(), [tool(job.job_state)], middleware=[gate])
    agent.invoke({"messages": [("user", "Wait")]}, {"recursion_limit": 100})


def ask_langgraph(engine: Engine, job: Job, polls: list[str]) -> None:
    graph = langchain_desk.build_graph(gate_model(_make_model()), [tool(job.job_state)])
    gate_graph(engine, graph, polls=polls).invoke({"messages": [("user", "Wait")]}, {"recursion_limit": 100})


@pytest.mark.parametrize("ask", [ask_pydantic, ask_openai, ask_langchain, ask_langgraph])
def test_a_declared_poll_is_asked_on(ask: Ask) -> None:
    asked: list[int] = []
    for polls in ([], ["job_*"]):
        job = Job()
        with Engine(guards=GUARDS) as engine, pytest.raises((AgentHalted, SeawallHalted, AgentsHalted)):
            ask(engine, job, polls)
        asked.append(job.asked)
    assert asked[0] < asked[1] == 7, asked
