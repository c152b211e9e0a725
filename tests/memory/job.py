"""What a worker of the kill tests does: runs with memory, one within another, with a wait for a person; it dies where its
job says. `python -m memory.job` is the server that forks the workers.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from crash.forking import Forks, serve
from crash.job import Death, DyingJournal
from memory.play import Asks, read_entries, read_memory
from seawall import Agent, Memory, Outcome, Run, Seawall, Team, Waiting, tool
from seawall.core.clock import SystemClock
from seawall.journal.protocol import MemoryConflict, MemoryVersion
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.models.protocol import ModelRequest, ToolResult
from seawall.models.scripted import Reply, ScriptedModel, call, calls, say

TENANT = Memory(write=("tenant",))


class MemoryJob(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker's journal is, and where it dies."""

    directory: str
    death: Death | None = None

    @property
    def journal(self) -> str:
        """The journal's file."""
        return str(Path(self.directory) / "journal.db")

    @property
    def report(self) -> Path:
        """The file of its worker's report."""
        return Path(self.directory) / "report"


class MemoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found when all runs had ended."""

    outcomes: dict[str, Outcome] = {}
    memory: dict[str, str] = {}
    versions: list[MemoryVersion] = []
    conflicts: list[MemoryConflict] = []
    paid: int = 0
    verified: bool = False
    entries: int = 0
    error: str = ""
    writes: int = 0


def count_results(request: ModelRequest, name: str) -> int:
    """Returns how often a tool has answered in a conversation."""
    return sum(isinstance(each, ToolResult) and each.name == name for each in request.messages)


def scripted(*replies: Reply) -> ScriptedModel:
    """Returns a model that answers by how many of its turns are in the conversation, in any process."""

    def reply(request: ModelRequest) -> Reply:
        turns = sum(type(each).__name__ == "Assistant" for each in request.messages)
        return replies[turns]

    return ScriptedModel(reply)


def plain(*replies: Reply) -> Agent:
    """Returns an agent with memory of the tenant."""
    return Agent("clerk", model=scripted(*replies), memory=TENANT)


async def go(sea: Seawall, team: Agent | Team, request: str) -> Outcome:
    """Plays the run of a request to its end, whichever process has begun it."""
    run: Run = await sea.start(team, request, request_id=request)
    row = await sea.journal.row(run.id)
    if row.state != "ended" and not sea.supervisor.registry.holds(run.id):
        run = await sea.resume(run.id, team)
    while isinstance(rest := await run.rest(), Waiting):
        (asked,) = await sea.approvals(run=rest.run)
        await sea.approve(asked.id, hash=asked.hash, by="finance")
    return rest


SEED = plain(
    calls(
        *(
            call("remember", key=key, value=value, scope="tenant")
            for key, value in {"rule": "single", "old": "x"}.items()
        )
    ),
    say("seeded"),
)
RIVAL = plain(call("remember", key="rule", value="the rival's"), say("rivalled"))


async def work(job: MemoryJob) -> MemoryReport:
    """Plays the story, or goes on with it."""
    options = SqliteOptions()
    if job.death is not None and job.death.where == "disk":
        options = SqliteOptions(vfs=job.death.mount_disk().name)
    inner = SqliteJournal.open(job.journal, clock=SystemClock(), options=options)
    journal: Any = DyingJournal(inner, job.death, Path(job.directory) / "promises")
    bank = Path(job.directory) / "paid"
    async with Seawall(journal, environment={}, guards=[Asks()]) as sea:

        @tool
        async def meddle() -> str:
            """Lets another run write the same key."""
            return (await go(sea, RIVAL, "rival")).status

        @tool(effect=True, idempotent=True)
        async def pay() -> str:
            """Pays."""
            bank.write_text("1", encoding="utf-8")
            return "paid"

        clerk = Agent(
            "helper",
            model=scripted(call("recall", prefix=""), call("remember", key="b", value="2"), say("noted")),
            memory=TENANT,
        )
        lead = Agent(
            "lead",
            model=scripted(
                call("recall", prefix=""),
                calls(call("remember", key="rule", value="mine"), call("remember", key="a", value="1")),
                call("meddle"),
                calls(call("ask_helper", task="help"), call("forget", key="old")),
                call("pay"),
                say("done"),
            ),
            memory=TENANT,
            tools=[meddle, pay],
        )
        outcomes = {"seed": await go(sea, SEED, "seed")}
        outcomes["main"] = await go(sea, Team("desk", lead, specialists=[clerk]), "main")
        outcomes["rival"] = await go(sea, RIVAL, "rival")
        return MemoryReport(
            outcomes=outcomes,
            memory=await read_memory(sea),
            entries=len(await read_entries(sea)),
            versions=await sea.journal.memory_log(""),
            conflicts=await sea.journal.memory_conflicts(""),
            paid=int(bank.exists()),
            verified=(await sea.journal.verify()).ok,
            writes=len(journal.writes),
        )


def run_worker(job: MemoryJob) -> None:
    """Does the job, and writes a report."""
    try:
        report = asyncio.run(work(job))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- the test reads it in the report
        report = MemoryReport(error=f"{type(error).__name__}: {error}")
    job.report.write_bytes(msgspec.json.encode(report))


class Workers(Forks[MemoryJob, MemoryReport]):
    """The server as a test sees it."""

    def __init__(self) -> None:
        super().__init__("memory.job", MemoryReport)


if __name__ == "__main__":
    serve(MemoryJob, run_worker)
