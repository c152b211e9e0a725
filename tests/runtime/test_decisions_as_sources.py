"""What people write in their decisions reaches agents: it is a source of what comes after it, in every report."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from typer.testing import CliRunner

from seawall import Agent, Effect, Memory, Principal, Run, Seawall, Team, Waiting, always, tool
from seawall.cli.app import app
from seawall.core.events import StepIntended
from seawall.testing import ScriptedModel, call, say

PEOPLE = {"ann": Principal("ann")}


@tool(effect=True)
async def refund(order: str) -> str:
    """Pay back; nobody hears whether it was paid."""
    raise ConnectionError


@tool(effect=Effect(approve=always()))
async def send(to: str) -> str:
    """Send a letter."""
    return "sent"


def desk() -> Team:
    entries = [
        call("refund", order="A-1042"),
        call("send", to="guest-10@shop.example"),
        call("send", to="ops-7731@shop.example"),
        call("remember", key="receipt", value="R-55213"),
        call("remember", key="ops", value="ops-7731@shop.example"),
        call("remember", key="sent", value="desk-4470@shop.example"),
        say("Receipt R-55213; I sent it to desk-4470@shop.example, not to ops-7731@shop.example."),
    ]
    memory = Memory(write=("tenant",))
    model = ScriptedModel(entries, by="position")
    return Team("desk", Agent("desk", model=model, tools=[refund, send], memory=memory))


async def decide(sea: Seawall, run: Run) -> None:
    """Says what became of the refund, rejects the first letter, and sends the second one elsewhere."""
    assert isinstance(await run.rest(), Waiting)
    (effect,) = await sea.effects(status="unknown")
    await sea.reconcile(effect.id, committed="receipt R-55213", credential="ann")
    assert isinstance(await run.rest(), Waiting)
    (first,) = await sea.approvals()
    reason = "that is ops-7731@shop.example's"
    await sea.reject(first.id, hash=first.hash, credential="ann", reason=reason)
    assert isinstance(await run.rest(), Waiting)
    (second,) = await sea.approvals()
    edit = {"to": "desk-4470@shop.example"}
    await sea.approve(second.id, hash=second.hash, credential="ann", edit=edit)
    assert (await run.outcome()).status == "completed"


def test_what_people_wrote_in_their_decisions_is_a_source_in_why_show_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def main() -> tuple[list[int], list[StepIntended], list[list[str]]]:
        async with Seawall(path, authenticate=PEOPLE.get) as sea:
            run = await sea.start(desk(), "Refund order A-1042.")
            await decide(sea, run)
            steps = [each for each in await sea.journal.events(run.id) if isinstance(each, StepIntended)]
            asked = [each.step for each in steps if each.kind == "approval"]
            memory = sea.memory()
            plans = [await memory.revert(run=run.id, step=step) for step in asked]
            return asked, steps, [[item.key for item in plan.removes] for plan in plans]

    asked, steps, removed = asyncio.run(main())
    # the second letter was to go where the first decision said, and a result descends from what was asked
    assert removed == [["receipt"], ["ops", "sent"], ["sent"]]
    (letter,) = [each for each in steps if each.name == "send" and each.kind == "tool"]
    assert [each.step for each in letter.causes if each.tie == "value"] == [asked[-1]]

    why = CliRunner().invoke(app, ["why", "-j", str(path), "--json"]).stdout
    document = msgspec.json.decode(why)
    assert document["unsourced"] == []
    assert {each["cause"] for each in document["links"] if each["step"] is None} >= {*asked}
    shown = CliRunner().invoke(app, ["show", "-j", str(path)], env={"COLUMNS": "200"}).stdout
    assert 'with other arguments: to="desk-4470@shop.example"' in shown
