"""`effects` and `reconcile`: what changed the world, and what a person found out about what nobody knew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cli.desks import Desks
from runtime.proposing import leave_unknown
from seawall import Seawall
from seawall.cli.exits import Exit
from seawall.core.clock import SystemClock
from seawall.journal.protocol import EffectRecord, Journal

JOURNAL = "seawall.db"


def with_journal(work: Callable[[Journal], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with Seawall(JOURNAL) as sea:
            return await work(sea.journal)

    return asyncio.run(main())


def unknown(run: str = "r-1", **fields: Any) -> EffectRecord:
    """Puts an effect of unknown fate into the journal."""
    return with_journal(lambda journal: leave_unknown(journal, run, clock=SystemClock(), **fields))


def test_effects_are_listed_with_what_is_to_be_done_about_those_of_unknown_fate(desks: Desks) -> None:
    effect = unknown()

    listed = desks("effects", "--status", "unknown", width=160)

    assert listed.out.splitlines()[1].split()[:2] == [effect.id, "unknown"]
    assert "seawall reconcile ID --committed FILE" in listed.err
    (document,) = desks("effects", "--json").document["effects"]
    assert (document["id"], document["arguments"]["order_id"], document["receipt"]) == (
        effect.id,
        "1042",
        None,
    )
    assert "no effects in seawall.db with state committed" in desks("effects", "--status", "committed").err
    assert desks("effects", "--tool", "other").out == desks("effects", "--session", "s").out == ""


def test_one_effect_is_shown_as_a_whole_with_its_key(desks: Desks) -> None:
    effect = unknown()

    shown = desks("effects", effect.id[:8], width=100)

    lines = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert '  amount    {"amount":"250.00","currency":"EUR"}' in shown.out.splitlines()
    assert lines[effect.id].endswith("unknown")
    assert lines["key"] == f"key         {effect.key}"
    assert lines["order_id"].endswith('"1042"')
    assert f"seawall reconcile {effect.id} --committed FILE" in shown.out
    assert desks("effects", effect.id, "--json").document["key"] == effect.key
    assert (
        "no effect's id starts or ends with 'paid': seawall effects lists them"
        in desks("effects", "paid").err
    )
    assert "seawall effects undo ID" in desks("effects", "undo").err
    assert all(each.isprintable() for each in shown.out.replace("\n", ""))


def test_an_effect_that_happened_gets_its_receipt(desks: Desks) -> None:
    effect = unknown()
    Path("receipt.json").write_text('{"id": 88}\n')

    done = desks(
        "reconcile", effect.id, "--committed", "receipt.json", "--by", "ann", "--reason", "statement"
    )

    assert done.out.startswith(
        'recorded: refund(amount={"amount":"250.00","currency":"EUR"}, order_id="1042") DID'
    )
    (document,) = desks("effects", "--run", "r-1", "--json").document["effects"]
    assert (document["state"], document["receipt"], document["settled_by"], document["reason"]) == (
        "committed",
        '{"id": 88}',
        "ann",
        "statement",
    )
    again = desks("reconcile", effect.id, "--failed", "no", "--by", "bob")
    assert again.exit_code == Exit.REFUSED  # what happened stays so
    assert desks("effects", "--json").document["effects"][0]["state"] == "committed"


def test_a_second_finding_is_refused_before_the_run_knows_the_first(desks: Desks) -> None:
    run = desks("run", desks.app("unsure"), "Pay.", "--json").document["run"]
    Path("receipt.txt").write_text("rc-9")

    said = desks("reconcile", run, "--committed", "receipt.txt", "--by", "ann")
    again = desks("reconcile", run, "--failed", "no such payment", "--by", "bob")

    assert "DID happen" in said.out
    assert (again.exit_code, again.out) == (Exit.REFUSED, "")
    assert "it is committed, and that is final" in again.err
    assert "Paid." in desks("resume", run).out


def test_an_effect_that_did_not_happen_has_failed(desks: Desks) -> None:
    effect = unknown()

    done = desks(
        "reconcile", effect.id[:9], "--failed", "the bank has none", "--by", "ann", "--json"
    ).document

    assert (done["run"], done["command"]) == ("r-1", "reconcile")
    (document,) = desks("effects", "--json").document["effects"]
    assert (document["state"], document["reason"]) == ("failed", "the bank has none")


def test_an_effect_that_happened_may_be_allowed_once_more(desks: Desks) -> None:
    effect = unknown()
    desks("reconcile", effect.id, "--committed", "-", "--by", "ann", stdin=b"rc-9")

    done = desks("effects", "again", effect.id, "--by", "ann")

    assert done.out == f"refund may be done once more as the same effect, says ann ({effect.id})\n"
    assert desks("effects", "--json").document["effects"][0]["again"] == "ann"


def test_an_effect_is_undone_also_when_its_run_was_pruned(desks: Desks) -> None:
    desks.write(
        """
@tool(effect=Effect(unique_by=("order_id",)))
def take_back(order_id: str) -> str:
    "Take the money back."
    return "taken back"

@tool(effect=Effect(unique_by=("order_id",), undo=take_back))
def give(order_id: str) -> str:
    "Give money."
    return "given"

giving = Team("giving", Agent("giver", model=script(call("give", order_id="1042"), say("Given.")), tools=[give, take_back]))
"""
    )
    assert desks("run", desks.app("giving"), "Go.").exit_code == 0
    pruned = desks("prune", "--older-than", "0s", "--json")
    assert pruned.document["runs"] == 1, pruned
    (effect,) = desks("effects", "--json").document["effects"]

    undone = desks("effects", "undo", effect["id"], "--by", "ann")

    assert undone.exit_code == Exit.WAITING, undone.err
    (asked,) = desks("approvals", "--json").document["approvals"]
    assert (asked["tool"], asked["arguments"]) == ("take_back", {"order_id": "1042"})
    other = desks("effects", "undo", effect["id"], "--by", "ann", "--app", desks.app("desk"))
    assert "has no tool 'give'" in other.err or "agent 'giver'" in other.err


def test_once_there_are_keys_a_name_alone_says_nothing_and_neither_does_an_agent(desks: Desks) -> None:
    effect = unknown()
    Path("bot.key").write_text(desks("principals", "add", "bot", "--agent").out)

    for who in (("--by", "ann"), ("--key-file", "bot.key")):
        refused = desks("reconcile", effect.id, "--failed", "no", *who)
        assert refused.exit_code == 3
        assert desks("effects", "again", effect.id, *who).exit_code == 3
    assert desks("effects", "--json").document["effects"][0]["state"] == "unknown"
