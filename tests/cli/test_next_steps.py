"""What a command says to do next: with a run that waits, one whose process has ended, and a call that is wrong."""

from __future__ import annotations

import getpass
import signal

import pytest

from cli.desks import Desks

DIES = """
@tool(effect=True)
def pay_and_die(order_id: str) -> str:
    "Pays, and its process ends."
    os.kill(os.getpid(), signal.SIGKILL)
mortal = Team(Agent("mortal", model=script(call("pay_and_die", order_id="1042"), say("Paid.")), tools=[pay_and_die]))
down = Team(Agent("down", model=ScriptedModel(lambda request: fail(), price=Price(Decimal("1.25"), Decimal(10)))))
def fail():
    raise ConnectionError("provider: 502")
"""
START = """
import asyncio
from {module} import {team}
from seawall import Seawall

async def main():
    async with Seawall("seawall.db") as sea:
        await (await sea.start({team}, "Do it.")).rest()

asyncio.run(main())
"""
"""A program that starts a run: no import path is recorded with it."""


def start(desks: Desks, team: str, exit_code: int = 0) -> str:
    """Starts a run of a team in a program of its own, and returns the run's id."""
    desks.write(DIES)
    (desks.directory / "start.py").write_text(START.format(module=desks.module, team=team), encoding="utf-8")
    assert desks.python("start.py").exit_code == exit_code
    return desks("runs", "--json").document["runs"][0]["run"]


@pytest.mark.parametrize("command", ["show", "why"])
def test_a_run_that_waits_for_a_decision_names_what_to_look_at(desks: Desks, command: str) -> None:
    run = desks("run", desks.app("parked"), "Refund 1042.", "--json").document["run"]
    (proposal,) = desks("approvals", "--json").document["approvals"]

    assert f"next       seawall approvals {proposal['id']}" in desks(command, run).out
    assert "decide: seawall approvals" in desks("runs").err

    desks("approve", run, "--by", "ann")

    decided = desks(command, run).out
    assert "next       seawall approvals" not in decided
    assert f"seawall resume {run}" in decided
    assert "decide: seawall approvals" not in desks("runs").err


def test_a_run_that_a_limit_has_halted_says_how_it_goes_on(desks: Desks) -> None:
    limits = desks.directory / "limits.toml"
    limits.write_text('tool_calls = 1\nat_limit = "halt"\n', encoding="utf-8")
    run = desks("run", desks.app("looping"), "SKU-9?", "--limits", str(limits), "--json").document["run"]

    for command in ("show", "why"):
        assert f"next       seawall resume {run} --limits FILE (a TOML" in desks(command, run, width=120).out
    limits.write_text("tool_calls = 3\n", encoding="utf-8")
    assert desks("resume", run, "--limits", str(limits)).exit_code == 4  # it goes on, to the next halt
    assert len(desks("show", run, "--json").document["raised"]) == 1


def test_a_run_without_an_app_says_that_resume_needs_one(desks: Desks) -> None:
    run = start(desks, "parked")

    approved = desks("approve", run, "--by", "ann")

    again = f"it goes on with: seawall resume {run} --app MODULE:TEAM"
    assert again in approved.err
    assert again in " ".join(desks("runs", width=200).out.split())
    assert again in " ".join(desks("show", run, width=200).out.split())
    assert desks("resume", run, "--app", desks.app("parked")).exit_code == 0


def test_an_effect_whose_process_has_ended_says_how_it_comes_out(desks: Desks) -> None:
    run = start(desks, "mortal", -signal.SIGKILL)
    (effect,) = desks("effects", "--json").document["effects"]

    resume = f"seawall resume {run} --app MODULE:TEAM"
    assert f"next       {resume}" in desks("why", run).out
    assert f"next       {resume}" in desks("show", run).out
    for words in ((), (effect["id"],)):
        told = desks("effects", *words, width=200).err
        assert (
            f"the process that attempted an effect of run {run} has ended; it goes on with: {resume}" in told
        )
    assert "go on with what is interrupted: seawall resume" in desks("runs").err


def test_a_failed_model_call_shows_what_it_counts_as_and_whose_cost_that_is(desks: Desks) -> None:
    desks.write(DIES)
    desks("run", desks.app("down"), "Hello?")

    run = desks("show", "--json").document
    (step,) = run["steps"]
    assert (step["status"], step["at_bound"]) == ("error", {"tokens": run["tokens"], "usd": run["usd"]})
    assert f"counts as spent at its upper bound: {run['tokens']:,} tokens, $" in desks("show").out
    (agent,) = desks("roles", "--json").document["agents"]
    assert (agent["tokens"], agent["usd"]) == (run["tokens"], run["usd"])


def test_who_cancels_is_the_systems_user_where_nobody_is_named(desks: Desks) -> None:
    desks("run", desks.app("parked"), "Refund 1042.")

    desks("cancel", "last")

    assert desks("show", "--json").document["commands"][-1]["by"] == getpass.getuser()
    for command in ("runs", "show", "why"):
        assert "cancelled" in desks(command).out
        assert not any(f"cancelled {by}cancel" in desks(command).out for by in ("", "by "))


def test_the_reason_is_taken_under_both_names_of_the_option(desks: Desks) -> None:
    desks("run", desks.app("parked"), "Refund 1042.")

    assert (
        desks("pause", "--tool", "refund", "--reason", "too many", "--json").document["paused"][0]["why"]
        == "too many"
    )
    assert desks("cancel", "last", "--why", "wrong order").exit_code == 0
    assert "by " in (shown := desks("show").out) and ": wrong order" in shown


def test_the_modes_of_the_guards_are_an_object(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Hi.", "--mode", "loops=observe")

    assert desks("show", "--json").document["modes"]["loops"] == "observe"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs", "--limit", "0"), "'--limit' / '-n': '0': Input should be greater than or equal to 1"),
        (("approve", "r-1", "two"), "'STEP': 'two': Input should be a valid integer"),
        (("memory", "log", "--before", "x"), "'--before': 'x': Input should be a valid integer"),
    ],
)
def test_a_value_that_is_not_valid_is_named(desks: Desks, words: tuple[str, ...], message: str) -> None:
    refused = desks(*words)

    assert refused.exit_code == 2
    assert message in " ".join(refused.err.replace("│", " ").split())
