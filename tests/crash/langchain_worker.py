"""A worker whose agent is LangChain's own, with LangGraph's checkpoints in SQLite beside Seawall's journal.

`python -m crash.langchain_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from pathlib import Path
from typing import Any, Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver

from crash.foreign_worker import (
    ANSWER,
    BankJob,
    ForeignReport,
    count_refunds,
    open_journal,
    report_work,
    tell_fate,
)
from crash.forking import serve
from crash.job import open_world
from crash.world import World
from seawall.adapters.langchain import SeawallMiddleware
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine

REQUEST = {"messages": [("user", "Refund order 1042")]}
Durability = Literal["sync", "async", "exit"]


class LangChainJob(BankJob, frozen=True, kw_only=True):
    """What a worker has to do."""

    durability: Durability = "sync"
    request_id: str | None = None
    gated: bool = True
    """Without the gate the agent runs as LangChain made it, for comparison."""


class Clerk(BaseChatModel):
    """The model's server: it makes new ids for its calls each time."""

    world: Any

    @property
    def _llm_type(self) -> str:
        return "clerk"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **options: Any) -> ChatResult:
        said = [str(each.content) for each in messages if isinstance(each, ToolMessage)]
        self.world.happen("model", "model", str(len(said)))
        usage: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        number = f"call-{secrets.token_hex(4)}"
        if any(text.startswith("refunded") for text in said):
            reply = AIMessage(ANSWER, usage_metadata=usage)
        else:
            name = "refund" if said else "find_order"
            calls: Any = [{"name": name, "args": {"order": 1042}, "id": number}]
            reply = AIMessage("", tool_calls=calls, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=reply)])


def make_tools(job: LangChainJob, world: World) -> list[Any]:
    """Returns the tools: the bank's table counts refunds."""

    @tool
    def find_order(order: int) -> str:
        """Find an order."""
        world.happen("read", "find_order", str(order))
        return "paid"

    @tool
    def refund(order: int) -> str:
        """Refund an order."""
        world.happen("effect", "refund", json.dumps({"order": order}))
        with sqlite3.connect(job.bank) as bank:
            bank.execute("CREATE TABLE IF NOT EXISTS refunds(id)")
            bank.execute("INSERT INTO refunds VALUES (?)", (order,))
        bank.close()
        world.happen("read", "bank answers", "")
        return "refunded"

    return [find_order, refund]


def run_agent(job: LangChainJob, agent: Any, engine: Engine | None) -> ForeignReport:
    """Goes on from the checkpoint, or begins, until the agent has answered. The worker plays the person, too."""
    config: Any = {"configurable": {"thread_id": "t-1"}}
    if job.request_id is not None:
        config["configurable"]["seawall_request_id"] = job.request_id
    asked = 0
    while True:
        state = agent.get_state(config)
        # `next` leaves out a task that was done and is not yet part of a checkpoint
        if state.values and not state.tasks:
            return ForeignReport(
                answer=str(state.values["messages"][-1].content), status="completed", asked=asked
            )
        given = None if state.tasks else REQUEST
        result = agent.invoke(given, config, durability=job.durability)
        for question in result.get("__interrupt__") or ():
            assert engine is not None
            asked += 1
            found = question.value
            held = Held(found["run"], found["step"], found["tool"], found["seawall"], found["reason"])
            engine.call(lambda sea, held=held: tell_fate(sea, held, count_refunds(job)))


def work(job: LangChainJob) -> ForeignReport:
    """Runs the agent to its end."""
    world = open_world(job.world, job.death)
    tools = make_tools(job, world)
    connection = sqlite3.connect(job.at("checkpoints.db"), check_same_thread=False)
    saver = SqliteSaver(connection)
    if not job.gated:
        return run_agent(job, create_agent(Clerk(world=world), tools, checkpointer=saver), None)
    journal = open_journal(Path(job.directory), job.death)
    with Engine(journal, effects=["refund"], environment={}) as engine:
        agent = create_agent(
            Clerk(world=world),
            tools,
            middleware=[SeawallMiddleware(engine)],
            checkpointer=saver,
            name="clerk",
        )
        return run_agent(job, agent, engine)


def run_worker(job: LangChainJob) -> None:
    """Does the job, and writes a report."""
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(LangChainJob, run_worker)
