"""`runs`, `show` and `why`: what they tell, and that nothing is cut without saying so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import pytest

from cli.desks import Desks
from seawall import Agent, Seawall
from seawall.cli.render.wording import IN_WORDS, MARKS
from seawall.core.events import StepDeferred, StepStatus
from seawall.testing import ScriptedModel, fail


def test_runs_are_listed_newest_first_with_what_stopped_them(desks: Desks) -> None:
    for team in ("desk", "looping", "parked"):
        desks("run", desks.app(team), "Where is 1042?", "--session", team)

    rows = desks("runs").out.splitlines()

    assert [row.split()[1] for row in rows if row.startswith("r-")] == ["waiting", "halted", "completed"]
    assert "halted loops" in rows[3]
    assert desks("runs", "--state", "waiting", "--json").document["runs"][0]["active_s"] > 0
    assert 'for a decision on step 2: cashier wants refund(amount="80.00", order_id="1042")' in rows[2]
    assert {"COST", "TOKENS", "CALLS", "TIME", "AGE", "TEAM", "SESSION"} <= set(rows[0].split())


def test_a_list_says_when_it_was_cut_and_which_columns_did_not_fit(desks: Desks) -> None:
    for _ in range(3):
        desks("run", desks.app("desk"), "Hi.", "--session", "a-session-with-a-rather-long-name")

    done = desks("runs", "--limit", "2", width=80)

    assert done.out.count("r-") == 2
    assert max(map(len, done.out.splitlines())) <= 80
    assert "the newest 2; there are more: --limit 10" in done.err
    assert "not shown in 80 columns: session" in done.err
    assert desks("runs", "--limit", "2", "--json").document["cut"] is True
    assert desks("runs", "--limit", "3", "--json").document["cut"] is False


def test_runs_are_filtered(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Hi.", "--tenant", "acme")
    desks("run", desks.app("looping"), "Hi.")

    assert [r["team"] for r in desks("runs", "--status", "halted", "--json").document["runs"]] == ["looper"]
    assert [r["team"] for r in desks("runs", "--tenant", "acme", "--json").document["runs"]] == ["desk"]
    assert desks("runs", "--state", "waiting", "--json").document["runs"] == []
    assert "no runs in seawall.db with state waiting" in desks("runs", "--state", "waiting").err
    assert "it is one of completed" in desks("runs", "--status", "good").err


@pytest.mark.parametrize("command", ["runs", "show", "why", "verify", "resume"])
def test_a_journal_that_is_not_there_is_not_made(desks: Desks, tmp_path: Path, command: str) -> None:
    done = desks(command)

    assert (done.exit_code, done.err) == (
        2,
        "seawall: there is no journal at seawall.db: name one with --journal FILE or in SEAWALL_JOURNAL\n",
    )
    assert not (tmp_path / "seawall.db").exists()


def test_an_empty_file_is_not_told_as_a_missing_one(desks: Desks) -> None:
    Path("empty.db").touch()

    done = desks("runs", "--journal", "empty.db")

    assert (done.exit_code, done.err) == (
        2,
        "seawall: there is no journal at empty.db: the file is empty\n",
    )


def test_a_run_is_shown_as_a_tree_with_what_each_guard_said(desks: Desks) -> None:
    desks("run", desks.app("looping"), "Is there any?")

    shown = desks("show").out

    assert '✗ 2 stock(sku="SKU-9")' in shown
    assert "failed: RuntimeError: warehouse 503" in shown
    assert "loops advises: 'stock' returned nothing new (1 in a row): known since step 2" in shown
    assert 'wants stock(sku="SKU-9"), which was not made' in shown
    assert "■ step 10 was not made: loops halts: tool 'stock' returned nothing new 3 times" in shown


def test_what_the_planner_pruned_is_told_with_its_reason(desks: Desks) -> None:
    run = desks("run", desks.app("hurried"), "Where is 1042?")
    reason = "planner: review was skipped: it needs 500.050 s with what must follow, and "

    assert reason in run.err
    assert "pruned: review" in run.err
    assert f"✂ {reason}" in desks("show", width=200).out
    assert reason in desks("why", width=200).out
    assert desks("show", "--json").document["planned"][0]["pruned"] == ["review"]


def test_what_was_spent_above_a_limit_is_shown_with_the_reason(desks: Desks) -> None:
    desks.write("""
from seawall.models.protocol import Usage
greedy = Team(Agent("greedy", model=ScriptedModel([say("Hi.")], usage=Usage(9, 90_000)), max_output_tokens=100),
              limits=Limits(tokens=20_000))
""")

    told = desks("run", desks.app("greedy"), "Hi?").err

    assert "above its limit: tokens 90,009 of 20,000: step 1, model 'scripted': 90009 tokens" in told
    assert "above      tokens 90,009 of 20,000: step 1" in desks("show", "--full", width=200).out
    (above,) = desks("show", "--json").document["above_limits"]
    assert (above["limit"], above["above"]) == ("tokens", 70_009)


def test_an_observed_verdict_is_marked_as_such(desks: Desks) -> None:
    desks("run", desks.app("looping"), "Hi.", "--mode", "loops=observe", "--active-s", "5")

    shown = desks("show").out

    assert "loops halts (observed, let pass): " in shown
    assert "guards     loops observe; the others enforce" in shown


def test_a_specialists_steps_stand_below_its_hand_off(desks: Desks) -> None:
    desks.write("""
clerk = Agent("clerk", "Finds facts.", model=script(call("find_order", order_id="1042"), say("It is lost.")),
              tools=[find_order])
pair = Team("pair", Agent("chief", model=script(call("ask_clerk", task="Find 1042."), say("Lost."))),
            specialists=[clerk])
""")
    desks("run", desks.app("pair"), "Where is 1042?")

    shown = desks("show").out

    assert "├ ✓ 2 hands to clerk: Find 1042." in shown
    assert '│ ├ ✓ 4 find_order(order_id="1042")' in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_counted(desks: Desks, width: int) -> None:
    desks.write("""
@tool
def page() -> str:
    "A long text."
    return "word " * 200 + "\\x1b[2J the end"
reader = Team(Agent("reader", model=script(call("page"), say("Read.")), tools=[page]))
""")
    desks("run", desks.app("reader"), "Read it.")

    shown = desks("show", width=width).out

    assert max(map(len, shown.splitlines())) <= width
    assert "… +" in shown
    full = desks("show", "--full", width=width).out
    assert "the end" in full
    assert "\x1b" not in full
    assert max(map(len, full.splitlines())) <= width


def test_a_run_is_found_by_beginning_end_and_last(desks: Desks) -> None:
    run = desks("run", desks.app("desk"), "Hi.", "--json").document["run"]

    for name in (run, run[-6:], run[:12], "last"):
        assert desks("show", name, "--json").document["run"] == run
    assert (
        desks("show", "zzzz").err
        == "seawall: no run's id starts or ends with 'zzzz': seawall runs lists them\n"
    )


def test_the_document_of_a_run_has_every_text_in_full(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")

    document = desks("show", "--json").document

    assert document["request"] == "Where is 1042?"
    assert document["answer"] == "Order 1042 is lost: 80.00 EUR."
    tool = document["steps"][1]
    assert (tool["kind"], tool["status"], tool["input"]) == ("tool", "ok", '{"order_id":"1042"}')
    assert {"step": 0, "tie": "value"} in tool["causes"]
    assert isinstance(document["usd"], str)


def test_why_leads_from_a_value_in_the_answer_to_the_step_that_brought_it(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")

    told = desks("why").out

    assert "outcome ← value from 0, 2; written in 3" in told
    assert "first  step 2, tool find_order of desk" in told
    document = desks("why", "--json").document
    assert (document["first"], document["path"], document["unsourced"]) == (2, [2], [])


def test_why_names_the_results_that_a_halted_run_repeated(desks: Desks) -> None:
    desks("run", desks.app("looping"), "Hi.")

    told = desks("why").out

    assert 'repeated   4 times stock(sku="SKU-9"), in steps 2, 4, 6, 8' in told
    assert 'not made   stock(sku="SKU-9"), which looper asked for in step 9' in told
    assert "first  step 2, tool stock of looper" in told


def test_why_says_which_values_come_from_nowhere(desks: Desks) -> None:
    desks.write('liar = Team(Agent("liar", model=script(say("It cost 99.95 EUR."))))\n')
    desks("run", desks.app("liar"), "What did it cost?")

    assert "unsourced  99.95: in no result and not in the request" in desks("why").out


def test_a_value_of_a_failure_of_the_instructions_or_of_the_session_comes_from_somewhere(
    desks: Desks,
) -> None:
    desks.write("""
@tool
def account(number: str) -> str:
    "Look up an account."
    raise ValueError("account 88-4471 is closed")

host = Team("host", Agent("host", "Pays up to 62.50 EUR.", tools=[account], model=script(call("account", number="1"),
    say("Ticket 4711-A of bob-99@shop.example: up to 62.50 EUR, but 88-4471 is closed. It cost 99.95 EUR."))))
""")
    desks("run", desks.app("host"), "I am bob-99@shop.example, with ticket 4711-A.", "--session", "s")
    assert "unsourced  99.95: in no result and not in the request" in desks("why").out
    desks("run", desks.app("host"), "What now?", "--session", "s")
    assert "unsourced" not in desks("why").out


def test_a_segment_and_a_lost_step_are_visible_after_a_crash(desks: Desks) -> None:
    desks.write("""
@tool
def dies() -> str:
    "Kills the process the first time."
    if os.path.exists("died"):
        return "fine"
    open("died", "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
mortal = Team(Agent("mortal", model=script(call("dies"), say("Alive.")), tools=[dies]))
""")
    assert desks.start("run", desks.app("mortal"), "Live.").end().exit_code == -9
    assert desks("runs", "--state", "interrupted", "--json").document["runs"][0]["app"] == desks.app("mortal")

    assert desks("resume").exit_code == 0

    shown = desks("show").out
    assert "lost: no result was recorded, it counts as spent" in shown
    assert "├╴segment 2: taken up by" in shown
    assert "segments   1 from step 1 by" in shown


def test_a_call_that_was_cut_is_shown_with_the_time_it_had(desks: Desks) -> None:
    desks.write("""
@tool
async def hangs() -> str:
    "Never answers."
    await asyncio.get_running_loop().create_future()
hanging = Team(Agent("hanging", model=script(call("hangs")), tools=[hangs]))
""")
    assert desks("run", desks.app("hanging"), "Go.", "--active-s", "0.2").exit_code == 4

    step = desks("show", "--json").document["steps"][1]
    assert step["status"] == "cancelled"
    assert step["duration_s"] > 0.1
    assert "0.0 ms" not in next(line for line in desks("show").out.splitlines() if "hangs(" in line)


def test_every_end_of_a_step_has_a_sign_and_words_for_it(desks: Desks) -> None:
    desks.write("""
class Not(Guard):
    name = "not"
    def before(self, step, run, memory):
        return Halt("not that one") if step.arguments == {"order_id": "2"} else ALLOW
both = Team(Agent("a", model=script(calls(call("find_order", order_id="1"), call("find_order", order_id="2"))),
            tools=[find_order]), guards=[Not()])
""")
    done = desks("run", desks.app("both"), "go")

    assert (done.exit_code, done.out) == (4, "halted: not that one\n")
    assert "not made: withdrawn before it began" in desks("show", "last").out
    assert set(get_args(StepStatus)) == set(MARKS) == {"ok", *IN_WORDS}


def test_the_endpoint_that_a_run_waits_for_is_shown(desks: Desks) -> None:
    async def leave() -> None:
        agent = Agent("desk", model=ScriptedModel(lambda _: fail("overloaded"), name="gpt"))
        async with Seawall("seawall.db", environment={}) as sea:
            run = await sea.start(agent, "Where is 1042?")
            for _ in range(1_000):
                if any(isinstance(each, StepDeferred) for each in await sea.journal.events(run.id)):
                    return
            raise AssertionError("it does not wait")

    asyncio.run(leave())
    waits = "desk wants gpt: waits for its turn at model:gpt, where its last call failed"

    shown = desks("show", width=200).out
    assert "for model:gpt, for " in shown
    assert waits in " ".join(shown.split())
    assert waits in desks("runs", width=200).out
    assert desks("show", "--json").document["deferred"][0]["endpoint"] == "model:gpt"
    assert desks("runs", "--json").document["runs"][0]["deferred"]["reason"] in waits
