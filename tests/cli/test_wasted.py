"""What a run has wasted, in `show`, `why` and the outcome, as text and as JSON."""

from __future__ import annotations

from cli.desks import Desks

TWICE = """
read = call("find_order", order_id="1042")
twice = Team("twice", Agent("lead", model=script(call("ask_clerk", task="Find it."), call("ask_cashier", task="Quote it."),
             say("Done."))),
             specialists=[Agent(name, model=script(read, say("It is lost.")), tools=[find_order])
                          for name in ("clerk", "cashier")])
"""


def test_show_and_why_name_the_steps_that_brought_what_was_known(desks: Desks) -> None:
    desks.write(TWICE)
    desks("run", desks.app("twice"), "Pay it back.")

    for command in ("show", "why"):
        assert "1 duplicate (step 9): " in desks(command, "last").out
    assert "waste advises: 'cashier' asked 'find_order' what 'clerk' had asked in step 4" in desks("show").out


def test_json_has_each_kind_with_its_costs(desks: Desks) -> None:
    desks.write(TWICE)
    ended = desks("run", desks.app("twice"), "Pay it back.", "--json").document

    wasted = ended["wasted"]["duplicates"]
    assert (wasted["calls"], wasted["steps"]) == (1, [9])
    assert wasted["tokens"] > 0 and float(wasted["usd"]) > 0 and wasted["seconds"] >= 0
    for command in ("show", "why"):
        assert desks(command, "last", "--json").document["wasted"] == ended["wasted"]


def test_a_run_that_wasted_nothing_says_nothing_of_it(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is it?")

    assert "wasted" not in desks("show").out and desks("show", "--json").document["wasted"] == {}
