"""A worker that runs a crew of CrewAI.

`python -m apart.crewai.crash_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # CrewAI warns of itself while it is imported
    from crewai.tools import tool as make_tool

from apart.crewai.crew_desk import Desk, kick_off
from crash.foreign_worker import (
    ANSWER,
    REQUEST,
    SCRIPT,
    ForeignJob,
    ForeignReport,
    count_refunds,
    make_bank,
    open_journal,
    report_work,
    tell_fate,
)
from crash.forking import serve
from crash.job import open_world
from crash.world import World
from seawall.adapters import crewai
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine


class CrewJob(ForeignJob, frozen=True, kw_only=True):
    """What a worker has to do."""

    written: bool = False
    """The model writes its calls as text."""
    way: str = "sync"
    """How the crew is kicked off."""


class CrewDesk:
    """The crew, its model's server, and its tools."""

    def __init__(self, job: CrewJob, world: World) -> None:
        self._job, self._world = job, world

    def answer(self, messages: list[Any]) -> Any:
        """The model's server: what was not done is asked for again. Of calls that are written only one can be in a reply, and
        CrewAI itself refuses one that is the same as the one before.
        """
        replies = sum(each["role"] == "assistant" for each in messages)
        self._world.happen("model", "model", str(replies))
        if any("refunded" in str(each["content"]) for each in messages):
            return ANSWER
        if self._job.written:
            written = [each for reply in SCRIPT for each in reply]
            return [written[replies % len(written)]]
        return SCRIPT[min(replies, len(SCRIPT) - 1)]

    def make_crew(self) -> Any:
        """Returns a new crew, as a new process has it."""
        world, bank = self._world, make_bank(self._job, self._world)

        @make_tool("find order")
        def find_order(id: int) -> dict[str, Any]:  # noqa: A002 -- as the script has it
            """Finds an order."""
            world.happen("read", "find_order", json.dumps(id))
            return {"id": id, "state": "paid"}

        @make_tool("find customer")
        def find_customer(id: int) -> str:  # noqa: A002 -- as above
            """Finds a customer."""
            world.happen("read", "find_customer", json.dumps(id))
            return "known"

        @make_tool("refund")
        def refund(id: int, amount: int) -> str:  # noqa: A002 -- as above
            """Refunds an order: the bank's table counts refunds."""
            return bank(id, amount)

        desk = Desk(self.answer, written=self._job.written)
        desk.llm.prefix = secrets.token_hex(4)
        return desk.make_crew(asked=REQUEST, tools=[find_order, find_customer, refund])


def work(job: CrewJob) -> ForeignReport:
    """Runs the crew until it has answered. The worker plays the person, too."""
    journal = open_journal(Path(job.directory), job.death)
    desk, asked = CrewDesk(job, open_world(job.world, job.death)), 0
    with Engine(journal, effects=["refund"], environment={}) as engine:
        while True:
            try:
                if not job.gated:
                    return ForeignReport(answer=kick_off(desk.make_crew(), job.way).raw, status="completed")
                with crewai.gate(engine, request_id="request-1"):
                    answer = kick_off(desk.make_crew(), job.way).raw
            except Held as held:
                found = held
                asked += 1
            else:
                return ForeignReport(answer=answer, status="completed", asked=asked)
            engine.call(lambda sea, held=found: tell_fate(sea, held, count_refunds(job)))


def run_worker(job: CrewJob) -> None:
    """Does the job, and writes a report."""
    warnings.simplefilter("ignore")
    os.dup2(2, 1)  # CrewAI prints, and the server speaks on the standard output
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(CrewJob, run_worker)
