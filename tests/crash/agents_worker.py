"""A worker that runs an agent of the OpenAI Agents SDK through the gate, with a session of the SDK's or with none.

`python -m crash.agents_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any, Literal

from agents import Agent, SQLiteSession, function_tool

from adapters.agents_model import QUIET, PlayedModel
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
from seawall.adapters.openai_agents import AgentsHeld, SeawallRunner, find_outcome
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine

REQUEST = "Refund order 1042"
History = Literal["none", "session"]


class AgentsJob(BankJob, frozen=True, kw_only=True):
    """What a worker has to do."""

    history: History = "none"


def make_desk(job: AgentsJob, world: World) -> Agent[Any]:
    """Returns a clerk who finds orders and refunds them."""

    @function_tool
    async def refund(order: int) -> str:
        """Refund an order."""
        world.happen("effect", "refund", str(order))
        bank = sqlite3.connect(job.bank)
        with bank:
            bank.execute("INSERT INTO refunds VALUES (?)", (order,))
        bank.close()
        world.happen("read", "bank answers", "")
        return "refunded"

    @function_tool
    async def find_order(order: int) -> str:
        """Find an order."""
        world.happen("read", "find_order", str(order))
        return "paid"

    def answer(items: list[Any]) -> Any:
        world.happen("model", "model", str(len(items)))
        told = " ".join(str(item.get("output", "")) for item in items)
        if "refunded" in told or "the bank has it" in told:
            return ANSWER
        return [("refund" if "paid" in told else "find_order", {"order": 1042})]

    model = PlayedModel(answer, prefix=f"call-{os.urandom(4).hex()}")
    return Agent(name="clerk", model=model, tools=[refund, find_order])


async def work(job: AgentsJob) -> ForeignReport:
    """Runs the agent until it has answered. The worker plays the person, too."""
    directory = Path(job.directory)
    world = open_world(directory / "world", job.death)
    journal = open_journal(directory, job.death)
    session = SQLiteSession("dana", directory / "sessions.db") if job.history == "session" else None
    asked = 0
    with Engine(journal, effects=["refund"], environment={}) as engine:
        runner = SeawallRunner(engine)
        given: Any = REQUEST
        while True:
            try:
                result = await runner.run(
                    make_desk(job, world), given, request_id="request-1", session=session, run_config=QUIET
                )
            except AgentsHeld as error:
                held, given = error.held, REQUEST
            else:
                if not result.interruptions:
                    outcome = find_outcome(result)
                    assert outcome is not None
                    return ForeignReport(answer=result.final_output, status=outcome.status, asked=asked)
                (found,) = await engine.call_async(lambda sea: sea.approvals())
                held, given = (
                    Held(found.run, found.step, found.tool, found.id, "it is in doubt"),
                    result.to_state(),
                )
            asked += 1
            refunds = count_refunds(job)
            await engine.call_async(lambda sea, held=held, refunds=refunds: tell_fate(sea, held, refunds))


def run_worker(job: AgentsJob) -> None:
    """Does the job, and writes a report."""
    bank = sqlite3.connect(job.bank)
    bank.execute("CREATE TABLE IF NOT EXISTS refunds(id)")
    bank.close()
    report_work(job.report, lambda: asyncio.run(work(job)), ForeignReport)


if __name__ == "__main__":
    serve(AgentsJob, run_worker)
