"""A worker whose steps a framework's own loop asks for, with a checkpoint of the framework's beside Seawall's journal.

`python -m crash.foreign_worker` is a server of such workers, see `crash.forking`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import msgspec

from crash.forking import serve
from crash.job import Death, DyingJournal, open_world
from crash.world import World
from seawall import Seawall
from seawall.core.clock import SystemClock
from seawall.core.events import StepIntended
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import Usage
from seawall.runtime.foreign.asks import Held
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import ModelResult, make_tool_result
from seawall.runtime.foreign.session import Session

REQUEST = "Refund order 1042"
ANSWER = "Order 1042 was refunded."
SCRIPT: list[list[tuple[str, dict[str, Any]]]] = [
    [("find_order", {"id": 1042}), ("find_customer", {"id": 7})],
    [("refund", {"id": 1042, "amount": 5})],
]

Checkpoint = Literal["none", "each", "late", "inputs"]
"""What the framework saves: nothing; each message at once; each message one step late; or only what came before the first
reply. With `late` a death loses the newest message, as a checkpoint in the background does."""


class BankJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to do that runs a framework, and where its files are."""

    directory: str
    death: Death | None = None

    def at(self, name: str) -> Path:
        """Returns the file of that name."""
        return Path(self.directory) / name

    @property
    def report(self) -> Path:
        """The file of the worker's report."""
        return self.at("report")

    @property
    def world(self) -> Path:
        """The file of what reached the world."""
        return self.at("world")

    @property
    def bank(self) -> Path:
        """The bank's table."""
        return self.at("bank.db")


class ForeignJob(BankJob, frozen=True, kw_only=True):
    """What a worker has to do whose framework saves its messages in a file."""

    checkpoint: Checkpoint = "none"
    gated: bool = True
    """Without the gate the loop calls its model and tools itself, for comparison."""

    @property
    def saved(self) -> Path:
        """The framework's checkpoint."""
        return self.at("checkpoint.json")


class ForeignReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reports when it ends by itself."""

    answer: str = ""
    status: str = ""
    asked: int = 0
    """How often a person was asked what became of a refund."""
    error: str = ""


class Framework:
    """A loop that saves its messages, and goes on from what is saved."""

    def __init__(self, job: ForeignJob, world: World) -> None:
        self._job, self._world = job, world
        self.messages: list[dict[str, Any]] = [
            {"id": secrets.token_hex(4), "role": "user", "content": REQUEST}
        ]
        if job.saved.exists():
            self.messages = json.loads(job.saved.read_text())

    def save(self) -> None:
        """Saves the checkpoint, in one step."""
        kept = {"none": [], "each": self.messages, "late": self.messages[:-1], "inputs": self.messages[:1]}
        kept_now = kept[self._job.checkpoint]
        if kept_now:
            part = self._job.saved.with_suffix(".part")
            part.write_text(json.dumps(kept_now))
            part.replace(self._job.saved)

    def add(self, role: str, content: str, **more: Any) -> None:
        """Adds a message under an id of its own, and saves."""
        self.messages.append({"id": secrets.token_hex(4), "role": role, "content": content, **more})
        self.save()

    # ---- what the gate lets it perform

    def call_model(self, turn: object = None) -> tuple[ModelResult, None]:
        """The model's server: it makes new ids for the calls each time."""
        replies = sum(message["role"] == "assistant" for message in self.messages)
        self._world.happen("model", "model", str(replies))
        usage = Usage(10, 5)
        if any(message["content"].startswith("refunded") for message in self.messages):
            return ModelResult(ANSWER, usage=usage), None
        wanted = SCRIPT[min(replies, len(SCRIPT) - 1)]  # what was not done is asked for again
        calls = [(f"call-{secrets.token_hex(4)}", name, json.dumps(arguments)) for name, arguments in wanted]
        return ModelResult("", calls, usage=usage), None

    def call_tool(self, name: str, arguments: dict[str, Any]) -> str:
        """The tools: the bank's table counts refunds."""
        if name != "refund":
            self._world.happen("read", name, json.dumps(arguments))
            return f"{name}: paid"
        return make_bank(self._job, self._world)(arguments["id"], arguments["amount"])

    # ---- the loop

    def run(self, session: Session) -> str:
        """Goes on from the checkpoint until the model answers."""
        while True:
            last = self.messages[-1]
            newest = next((each for each in reversed(self.messages) if each["role"] == "assistant"), None)
            answered = {each.get("call") for each in self.messages if each["role"] == "tool"}
            open_calls = (
                [] if newest is None else [each for each in newest["calls"] if each[0] not in answered]
            )
            if newest is not None and not newest["calls"]:
                return str(newest["content"])
            if open_calls:
                for number, name, arguments in open_calls:
                    self._step_tool(session, number, name, json.loads(arguments))
                continue
            assert last["role"] in ("user", "tool")
            asked = session.model("clerk", "test:m", self.messages)
            settled = session.step_sync(asked, self.call_model).settled
            self.add(
                "assistant",
                json.loads(settled.text).get("content") or "",
                calls=[list(each) for each in settled.calls],
            )

    def _step_tool(self, session: Session, number: str, name: str, arguments: dict[str, Any]) -> None:
        def perform(turn: object) -> tuple[Any, None]:
            return make_tool_result(self.call_tool(name, arguments)), None

        asked = session.tool("clerk", name, arguments, call_id=number)
        self.add("tool", session.step_sync(asked, perform).settled.told, call=number)


def make_bank(job: ForeignJob, world: World) -> Callable[[int, int], str]:
    """Returns what makes a refund: the bank's table counts them."""

    def refund(order: int, amount: int) -> str:
        with sqlite3.connect(job.bank) as bank:
            bank.execute("CREATE TABLE IF NOT EXISTS refunds(id, amount)")
        world.happen("effect", "refund", json.dumps({"id": order, "amount": amount}))
        with sqlite3.connect(job.bank) as bank:
            bank.execute("INSERT INTO refunds VALUES (?, ?)", (order, amount))
        bank.close()
        world.happen("read", "bank answers", "")
        return "refunded"

    return refund


def count_refunds(job: BankJob) -> int:
    """Returns how many refunds the bank has made."""
    if not job.bank.exists():
        return 0
    with closing(sqlite3.connect(job.bank)) as bank:
        there = bank.execute("SELECT count(*) FROM sqlite_master WHERE name = 'refunds'").fetchone()[0]
        return int(bank.execute("SELECT count(*) FROM refunds").fetchone()[0]) if there else 0


async def tell_fate(sea: Seawall, held: Held, refunds: int) -> None:
    """The person: looks what the bank says, and tells Seawall; or approves what was not attempted."""
    events = await sea.journal.events(held.run)
    asked = next(each for each in events if isinstance(each, StepIntended) and each.step == held.step)
    tried = any(
        isinstance(each, StepIntended) and each.kind == "tool" and each.perform and each.call == asked.call
        for each in events
    )
    if not tried:
        await sea.decide(
            held.run, held.step, approve=refunds == 0, by="person:1", reason="the bank has it already"
        )
    elif refunds:
        await sea.reconcile(held.run, step=held.step, committed="refunded", by="person:1")
    else:
        await sea.reconcile(held.run, step=held.step, failed="the bank has none", by="person:1")


def open_journal(directory: Path, death: Death | None) -> Any:
    """Opens the journal, which kills this process at the write that `death` names, and notes what it has promised."""
    inner = SqliteJournal.open(str(directory / "journal.db"), clock=SystemClock())
    return DyingJournal(inner, death, directory / "promises")


def report_work(place: Path, work: Callable[[], Any], make_report: Callable[..., Any]) -> None:
    """Does what a worker has to do, and writes a report of it to `place`."""
    try:
        report = work()
    except Exception as error:  # noqa: BLE001 -- the test reads it in the report
        report = make_report(error=f"{type(error).__name__}: {error}")
    place.write_bytes(msgspec.json.encode(report))


def work(job: ForeignJob) -> ForeignReport:
    """Runs the framework until it has answered. The worker plays the person, too."""
    world = open_world(job.world, job.death)
    journal = open_journal(Path(job.directory), job.death)
    asked = 0
    with Engine(journal, effects=["refund"], environment={}) as engine:
        while True:
            framework = Framework(job, world)
            try:
                with engine.begin(REQUEST, loop="own", agent="clerk", request_id="request-1") as session:
                    answer = framework.run(session)
                    outcome = session.end_sync(answer)
                    return ForeignReport(answer=answer, status=outcome.status, asked=asked)
            except Held as held:
                found = held
                asked += 1
            engine.call(lambda sea, held=found: tell_fate(sea, held, count_refunds(job)))


def run_worker(job: ForeignJob) -> None:
    """Does the job, and writes a report."""
    report_work(job.report, lambda: work(job), ForeignReport)


if __name__ == "__main__":
    serve(ForeignJob, run_worker)
