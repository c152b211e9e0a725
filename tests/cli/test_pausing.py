"""`seawall guards`, `seawall pause` and `seawall unpause`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from cli.desks import Desks
from seawall import Agent, Loops, Seawall, Team
from seawall.core.events import GuardSet
from seawall.testing import ScriptedModel, hang

SLOW = """
@tool
async def work() -> str:
    "Takes until somebody says go."
    print("ready", file=sys.stderr, flush=True)
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    return "worked"

@tool(effect=True)
def pay(amount: str) -> str:
    "Pays."
    with open("paid", "a") as paid:
        paid.write(amount)
    return "paid"

slow = Team(Agent("clerk", model=script(call("work"), call("pay", amount="5"), say("Done.")), tools=[work, pay]))
"""


@pytest.fixture
def journal(desks: Desks) -> Desks:
    """A journal in which one run has ended."""
    desks("run", desks.app("desk"), "Where is 1042?", "--tenant", "acme")
    return desks


# ---- guards


def test_guards_that_nobody_has_set_are_as_the_code_says(journal: Desks) -> None:
    lines = journal("guards").out.splitlines()

    assert lines[0].split() == ["GUARD", "MODE"]
    assert [line.split()[0] for line in lines[1:]] == sorted(line.split()[0] for line in lines[1:])
    assert "loops      as the code says" in lines
    assert {"authority", "context", "waste"} < {line.split()[0] for line in lines}


def test_a_guard_is_set_for_a_time_by_somebody(journal: Desks) -> None:
    done = journal("guards", "set", "loops", "observe", "--for", "1h", "--by", "ops", "--why", "tuning")
    assert done.exit_code == 0
    assert re.search(r"loops +observe +ops +\d s ago +[\d :-]+\((59 min|1 h)\) +tuning", done.out)

    [found] = [each for each in journal("guards", "--json").document["guards"] if each["guard"] == "loops"]
    assert (found["mode"], found["by"], found["why"]) == ("observe", "ops", "tuning")
    assert found["until"] - found["since"] == pytest.approx(3600)


def test_a_setting_that_has_run_out_is_not_listed_as_in_force(journal: Desks) -> None:
    journal("guards", "set", "loops", "off", "--for", "0.001s")

    assert "loops      as the code says" in journal("guards").out


@pytest.mark.parametrize("words", [("set", "loops", "auto"), ("unset", "loops")])
def test_a_guard_goes_back_to_what_the_code_says(journal: Desks, words: tuple[str, ...]) -> None:
    journal("guards", "set", "loops", "off")

    assert "loops  as the code says" in journal("guards", *words).out
    assert "loops      as the code says" in journal("guards").out


def test_who_set_it_is_the_systems_user_where_nobody_is_named(
    journal: Desks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "jo")

    assert "jo" in journal("guards", "set", "loops", "off").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["set", "loops"], "'set loops' is not a call"),
        (["put", "loops", "off"], "'put loops off' is not a call"),
        (["set", "loops", "on"], "guard 'loops': mode is 'on'; it is one of off, observe, enforce, auto"),
        (["set", "loops", "off", "--for", "soon"], "--for soon: write a number above zero and a unit"),
        (["unset", "loops", "--for", "1h"], "--for: the mode in the code has no end"),
        (["set", "loops", "off", "--for", "0s"], "--for 0s: write a number above zero and a unit"),
    ],
)
def test_a_call_that_sets_nothing_says_what_is_wrong(journal: Desks, words: list[str], told: str) -> None:
    done = journal("guards", *words)

    assert (done.exit_code, told in done.err) == (2, True)
    assert "as the code says" in journal("guards").out


def test_a_guard_set_on_the_command_line_holds_for_runs_of_another_process(journal: Desks) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), Seawall(Path("seawall.db"), guards=[Loops()]) as sea:
            run = await sea.start(Team(Agent("a", model=ScriptedModel([hang()]))), "go")
            await asyncio.to_thread(journal, "guards", "set", "loops", "observe", "--by", "ops")
            async for event in run.events():
                if isinstance(event, GuardSet):
                    assert (event.guard, event.mode, event.by) == ("loops", "observe", "ops")
                    return

    asyncio.run(main())


# ---- pause


def test_a_pause_is_set_listed_and_lifted(journal: Desks) -> None:
    assert journal("pause").err.strip() == "nothing is paused in seawall.db"
    done = journal(
        "pause", "--tool", "refund", "--agent", "cashier", "--for", "30m", "--why", "twice", "--by", "ops"
    )
    assert done.exit_code == 0
    assert re.search(r"tool:refund +ops +\d s ago +[\d :-]+\((29|30) min\) +twice", done.out)
    assert "agent:cashier" in done.out
    assert done.out.endswith("nothing of it is in flight\n")

    document = journal("pause", "--json").document
    assert [each["what"] for each in document["paused"]] == ["tool:refund", "agent:cashier"]
    assert (document["in_flight"], document["cut"]) == ([], False)

    wrong = journal("unpause", "--tool", "refund", "--tool", "other")  # nothing is lifted by halves
    assert "'tool:other' is not paused (paused: tool:refund, agent:cashier)" in wrong.err
    lifted = journal("unpause", "--tool", "refund")
    assert (lifted.out, lifted.err) == ("lifted: tool:refund\n", "still paused: agent:cashier\n")
    document = journal("unpause", "--agent", "cashier", "--json").document
    assert document == {"lifted": ["agent:cashier"], "paused": [], "waiting": []}


def test_a_pause_of_a_name_that_no_run_has_used_is_set_with_a_warning(journal: Desks) -> None:
    done = journal("pause", "--tool", "find_ordr", "--agent", "nobody", "--tenant", "acme", "--agent", "desk")

    assert done.exit_code == 0
    assert (
        "tool:find_ordr is not known in the newest 1 run: is it a typing error? Similar names: tool:find_order"
        in (" ".join(done.err.split()))
    )
    assert "agent:nobody is not known" in " ".join(done.err.split())
    assert "acme is not" not in done.err and "desk is not" not in done.err
    assert len(journal("pause", "--json").document["paused"]) == 4


def test_a_pause_may_be_named_as_it_is_listed(journal: Desks) -> None:
    done = journal("pause", "--tool", "tool:find_order", "--json")

    assert [each["what"] for each in done.document["paused"]] == ["tool:find_order"]
    assert done.err == ""
    assert journal("unpause", "--tool", "tool:find_order").out == "lifted: tool:find_order\n"


def test_a_run_that_no_process_has_and_whose_pause_was_lifted_shows_how_it_goes_on(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")
    desks("pause", "--agent", "desk", "--for", "2h")
    parked = desks("run", desks.app("desk"), "Where is 1042?", "--json")
    assert parked.exit_code == 7
    run, until = parked.document["run"], parked.document["waiting"]["until"]
    assert until == desks("pause", "--json").document["paused"][0]["until"]
    resumed = desks("resume", run)
    assert resumed.out.startswith("waiting: paused, agent:desk is paused by ")
    assert "it ends by itself at " in " ".join(resumed.err.split())
    assert re.search(r"waits \d+ s while paused: agent:desk is paused by ", desks("runs").out)
    assert re.search(r"waits +paused, for \d+ s: agent:desk is paused by ", desks("show").out)

    lifted = " ".join(desks("unpause", "--agent", "desk").err.split())

    assert f"no process has taken them up: {run} go on with: seawall resume {run}" in lifted
    for command in ("runs", "show"):
        shown = " ".join(desks(command).out.split())
        assert f"agent:desk is no longer paused; it goes on with: seawall resume {run}" in shown
        assert "is paused by" not in shown
    assert desks("runs", "--json").document["runs"][0]["waiting"]["lifted"] is True
    assert desks("resume", run).exit_code == 0


def test_a_decision_on_a_paused_run_is_refused_and_names_the_pause(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")
    desks("pause", "--agent", "desk")
    assert desks("run", desks.app("desk"), "Where is 1042?").exit_code == 7

    done = desks("approve", "last", "--by", "jo")

    assert (done.exit_code, "agent:desk is paused, seawall unpause lifts that" in done.err) == (2, True)


def test_a_run_is_paused_by_the_end_of_its_id(journal: Desks) -> None:
    run = journal("runs", "--json").document["runs"][0]["run"]

    assert journal("pause", "--run", run[-5:], "--json").document["paused"][0]["what"] == f"run:{run}"
    assert journal("unpause", "--run", "last").exit_code == 0


def test_what_is_in_flight_goes_on_to_its_end_and_what_follows_waits(desks: Desks) -> None:
    desks.write(SLOW)
    child = desks.start("run", desks.app("slow"), "Go.", "--tenant", "acme")
    child.until("ready")

    document = desks("pause", "--tool", "work", "--tool", "pay", "--json").document
    [step] = document["in_flight"]
    run = step.pop("run")
    assert step.pop("since") > 0
    assert step == {
        "what": "tool:work",
        "tenant": "acme",
        "step": 2,
        "kind": "tool",
        "name": "work",
        "agent": "clerk",
    }
    assert re.search(rf"{run} +2 +tool work +clerk +acme +\d s ago", desks("pause").out)
    (desks.directory / "go").touch()
    assert child.end().exit_code == 7
    assert not (desks.directory / "paid").exists()

    assert "no interrupted run" in desks("resume").err
    assert desks("unpause", "--tool", "pay").exit_code == 0
    resumed = desks("resume", "--json").document["runs"]
    assert [(each["run"], each["status"]) for each in resumed] == [(run, "completed")]
    assert (desks.directory / "paid").read_text() == "5"


def test_everything_is_paused_and_new_runs_are_refused(journal: Desks) -> None:
    journal("pause", "--all", "--by", "ops", "--for", "1h")

    done = journal("run", journal.app("desk"), "Where is 1042?")
    assert done.exit_code == 3
    assert re.search(r"all is paused by ops: try again in (36|35)\d\d\.\d s", done.err)
    assert journal("unpause", "--all").exit_code == 0
    assert journal("run", journal.app("desk"), "Where is 1042?").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["unpause"], "what is to be lifted?"),
        (["unpause", "--tool", "refund"], "'tool:refund' is not paused (paused: nothing)"),
        (["pause", "--for", "30m"], "what is to be paused?"),
        (["pause", "--tool", ""], "cannot be paused: write one of"),
        (["pause", "--run", "r-none"], "r-none"),
        (["pause", "--all", "--for", "long"], "--for long: write"),
    ],
)
def test_a_call_that_pauses_nothing_says_what_is_wrong(journal: Desks, words: list[str], told: str) -> None:
    done = journal(*words)

    assert (done.exit_code, told in done.err) == (2, True)
    assert journal("pause", "--json").document["paused"] == []
