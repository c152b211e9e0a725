"""`approvals`, `approve`, `reject` and `principals`: what people are asked, who may decide, and what they are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.desks import Desks
from runtime.proposing import ARGUMENTS, WROTE, propose
from seawall import Seawall
from seawall.core.clock import SystemClock
from seawall.core.money import Money
from seawall.journal.protocol import Command, Proposal, Reason, RunRow

JOURNAL = "seawall.db"
UNDECLARED = {"declared": False, "requester": ""}


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process has these runs, so none takes a decision up: there is nothing to wait for."""
    monkeypatch.setattr("seawall.cli.decisions.TAKE_UP_S", 0.0)


def proposed(run: str = "r-1", **fields: Any) -> Proposal:
    """Puts a proposal into the journal, of a run that no process has."""

    async def main() -> Proposal:
        async with Seawall(JOURNAL) as sea:
            return await propose(sea.journal, run, clock=SystemClock(), **fields)

    return asyncio.run(main())


def read(run: str = "r-1") -> tuple[RunRow, Sequence[Command]]:
    async def main() -> tuple[RunRow, Sequence[Command]]:
        async with Seawall(JOURNAL) as sea:
            return await sea.journal.row(run), [each.command for each in await sea.journal.inbox(run)]

    return asyncio.run(main())


def give_key(desks: Desks, name: str, *words: str) -> str:
    """Makes a principal, and returns the file with its key."""
    key = desks("principals", "add", name, *words).out
    path = Path(f"{name}.key")
    path.write_text(key)
    return str(path)


def test_what_people_are_asked_is_listed_with_who_decides(desks: Desks) -> None:
    first = proposed(roles=("finance",), people=2)
    proposed("r-2", asks="confirm")

    listed = desks("approvals", width=160)

    lines = listed.out.splitlines()
    assert lines[1].startswith(f'{first.id}  refund(order_id="1042", amount={{"amount":"250.00",')
    assert "2 of finance" in lines[1]
    assert "user:7 confirms" in lines[2]
    assert "seawall approvals ID" in listed.err
    assert [each["id"] for each in desks("approvals", "--role", "board", "--json").document["approvals"]] != [
        first.id
    ]
    assert desks("approvals", "--run", "r-1", "--json").document["approvals"][0]["hash"] == first.hash
    assert "nobody is asked for anything" in desks("approvals", "--tenant", "other").err


def test_one_proposal_is_shown_with_its_arguments_first(desks: Desks) -> None:
    reason = Reason(guard="effects", reason="250.00 EUR is above 100.00 EUR", limit="100", value="250")
    proposal = proposed(preview="Nothing will happen.", reasons=(reason,), roles=("finance",))

    out = desks("approvals", proposal.id, width=200).out

    places = [
        out.index(each)
        for each in (
            "order_id  ",
            "250.00 EUR is above",
            "the tool's own words, not what is performed",
            "Nothing will happen.",
            "the agent's words, which nobody has checked",
            WROTE,
            proposal.hash,
        )
    ]
    assert places == sorted(places)
    assert out.index('{"amount":"250.00","currency":"EUR"}') < places[1]
    assert f"seawall approve {proposal.id} --hash {proposal.hash}" in out
    document = desks("approvals", proposal.id[:8], "--json").document
    assert (document["arguments_text"], document["summary"]) == (ARGUMENTS, WROTE)


def test_a06_nothing_in_the_arguments_is_hidden(desks: Desks) -> None:
    hidden = "pay\u202eyap\u200b\u2066 \x1b[2J \u00ad\ufeff\U000e0041 <b>bold</b>"
    padding = "x" * 10_000 + " " * 500 + "to DE666"
    text = f'{{"iban":"{hidden.replace(chr(27), chr(92) + "u001b")}","note":"{padding}"}}'
    proposal = proposed(arguments=text, flags=("bidirectional", "padding"))

    out = desks("approvals", proposal.id, width=100).out

    assert all(each.isprintable() for each in out.replace("\n", ""))
    joined = "".join(line.strip() for line in out.splitlines())
    for sign in ("\\u202e", "\\u200b", "\\u2066", "\\u001b[2J", "\\u00ad", "\\ufeff", "\\U000e0041"):
        assert sign in joined
    assert "<b>bold</b>" in joined
    assert joined.count("x") >= 10_000
    assert "[500 spaces]to DE666" in joined
    assert "bidirectional; padding" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "odd text!" in desks("approvals").out
    assert all(each.isprintable() for each in desks("approvals").out.replace("\n", ""))


def test_a07_what_the_agent_says_of_it_stands_below_and_is_marked(desks: Desks) -> None:
    proposal = proposed()

    out = desks("approvals", proposal.id).out

    assert out.index("250.00") < out.index("the agent's words, which nobody has checked") < out.index(WROTE)


def test_a_key_decides_on_the_hash_that_was_shown(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    proposal = proposed(roles=("finance",))
    key = give_key(desks, "ann", "--role", "finance")

    without = desks("approve", proposal.id, "--key-file", key)
    assert (without.exit_code, "give --hash H" in without.err) == (2, True)
    wrong = desks("approve", proposal.id, "--hash", "0" * 64, "--key-file", key)
    assert (wrong.exit_code, "look at it again" in wrong.err) == (3, True)
    assert read()[1] == []
    monkeypatch.setenv("SEAWALL_KEY", Path(key).read_text())
    done = desks("approve", proposal.id, "--hash", proposal.hash, "--reason", "fine")
    assert done.out.startswith(
        'approved: refund(amount={"amount":"250.00","currency":"EUR"}, order_id="1042")'
    )
    assert "may be made (step 2, by ann)" in done.out
    assert "it goes on with: seawall resume r-1" in done.err
    (command,) = read()[1]
    assert (command.approved, command.by, command.reason) == (True, "ann", "fine")
    again = desks("reject", proposal.id, "--hash", proposal.hash)
    assert (again.exit_code, "approved already by ann" in again.err) == (3, True)


def test_a02_a_decision_that_is_made_again_is_refused_and_recorded(desks: Desks) -> None:
    proposal = proposed()
    key = give_key(desks, "ann")
    words = ("approve", proposal.id, "--hash", proposal.hash, "--key-file", key)
    desks(*words)

    assert desks(*words).exit_code == 3

    async def main() -> list[str]:
        async with Seawall(JOURNAL) as sea:
            return [each.what for each in await sea.journal.decisions(proposal.id)]

    assert asyncio.run(main()) == ["approve", "refuse"]
    assert len(read()[1]) == 1


def test_two_people_are_counted(desks: Desks) -> None:
    proposal = proposed(people=2)
    words = ("approve", proposal.id, "--hash", proposal.hash, "--key-file")
    ann, bob = give_key(desks, "ann"), give_key(desks, "bob")

    assert "approved by ann, 1 of 2 people: refund(" in desks(*words, ann).out
    assert "2 of anybody else, 1 so far" in " ".join(desks("approvals").out.split())
    assert "voted already" in desks(*words, ann).err
    done = desks(*words, bob, "--json").document
    assert (done["proposal"]["state"], [vote["principal"] for vote in done["proposal"]["votes"]]) == (
        "approved",
        ["ann", "bob"],
    )


def test_the_short_form_decides_what_waits_and_says_what_that_is(desks: Desks) -> None:
    proposed(**UNDECLARED)

    done = desks("approve", "r-1", "--by", "ann")

    assert 'order_id="1042") may be made (step 2, by ann)' in done.out
    assert [each.by for each in read()[1]] == ["ann"]


def test_a_rejection_may_end_the_run(desks: Desks) -> None:
    proposed(**UNDECLARED)

    done = desks("reject", "r-1", "2", "--by", "ann", "--reason", "no", "--stop", "--json").document

    assert (done["command"], done["proposal"]["state"]) == ("reject", "rejected")
    assert [(each.approved, each.reason, each.stop) for each in read()[1]] == [(False, "no", True)]


def test_a_name_alone_decides_nothing_that_a_tool_declares_and_nothing_once_there_are_keys(
    desks: Desks,
) -> None:
    declared, other = proposed(), proposed("r-2", **UNDECLARED)

    refused = desks("approve", declared.id, "--hash", declared.hash, "--by", "ann")
    assert (refused.exit_code, "has shown no key" in refused.err) == (3, True)
    give_key(desks, "ann")
    refused = desks("approve", other.id, "--hash", other.hash, "--by", "ann")
    assert (refused.exit_code, "this journal has principals" in refused.err) == (3, True)


def test_a_name_alone_decides_nothing_either_when_the_last_key_was_taken_away(desks: Desks) -> None:
    proposal = proposed(**UNDECLARED)
    assert "anybody who can open it decides with --by NAME" in desks("principals").err
    give_key(desks, "ann")

    removed = desks("principals", "remove", "ann")
    refused = desks("approve", proposal.id, "--hash", proposal.hash, "--by", "bob")

    for told in (removed, desks("principals"), refused):
        assert "seawall principals add NAME" in told.err
    assert refused.exit_code == 3
    key = give_key(desks, "bob")
    assert desks("approve", proposal.id, "--hash", proposal.hash, "--key-file", key).exit_code == 0


def test_a_wrong_hash_is_told_to_look_again_and_not_what_the_right_one_is(desks: Desks) -> None:
    proposal = proposed(**UNDECLARED)

    for words in (("approve", "r-1"), ("reject", proposal.id)):
        refused = desks(*words, "--hash", "0" * 64, "--by", "ann")
        assert refused.exit_code == 3
        assert f"look at it again, with seawall approvals {proposal.id}" in refused.err
        assert proposal.hash[:8] not in refused.err + refused.out


def test_a_decision_that_comes_too_late_is_refused_alike_by_id_and_by_run(desks: Desks) -> None:
    proposal = proposed(**UNDECLARED)
    by_id = (proposal.id, "--hash", proposal.hash)
    assert desks("approve", "r-1", "--by", "ann").exit_code == 0

    for words in (by_id, ("r-1",), ("r-1", "2")):
        refused = desks("reject", *words, "--by", "bob")
        assert (refused.exit_code, "already" in refused.err) == (3, True), words
    assert desks("reject", "r-1", "9", "--by", "bob").exit_code == 2  # there is no such step

    assert desks("cancel", "r-1", "--by", "ann", "--json").document["command"] == "cancel"


def test_keys_may_be_given_before_the_first_run(desks: Desks) -> None:
    added = desks("principals", "add", "ann")
    assert (added.exit_code, added.out[:11], "was made" in added.err) == (0, "sk-seawall-", True)
    assert "was made" not in desks("principals", "add", "bob").err


def test_a_key_is_printed_once_and_decides_until_it_is_removed(desks: Desks) -> None:
    proposal = proposed()
    added = desks("principals", "add", "ann", "--role", "finance", "--json").document
    Path("ann.key").write_text(added["key"])
    desks("principals", "add", "bot", "--agent")

    assert added["key"].startswith("sk-seawall-")
    listed = desks("principals")
    assert [line.split()[:2] for line in listed.out.splitlines()[1:]] == [
        ["ann", "finance"],
        ["bot", "agent:"],
    ]
    assert added["key"] not in listed.out + desks("principals", "--json").out
    assert "has a key" in desks("principals", "add", "ann").err
    assert desks("principals", "remove", "ann").out == "removed ann: the key decides nothing any more\n"
    assert "there is no principal 'ann' (there are: bot)" in desks("principals", "remove", "ann").err
    refused = desks("approve", proposal.id, "--hash", proposal.hash, "--key-file", "ann.key")
    assert (refused.exit_code, refused.err) == (3, "seawall: the credential is not valid\n")


def test_a04_the_key_of_an_agent_and_that_of_the_requester_decide_nothing(desks: Desks) -> None:
    proposal = proposed(requester="ann")
    for key in (give_key(desks, "bot", "--agent"), give_key(desks, "ann")):
        refused = desks("approve", proposal.id, "--hash", proposal.hash, "--key-file", key)
        assert refused.exit_code == 3
    assert read()[1] == []


def test_a03_what_has_expired_is_not_offered_and_not_approved(desks: Desks) -> None:
    proposal = proposed(expires_at=5.0, **UNDECLARED)

    assert "nobody is asked for anything" in desks("approvals").err
    assert "expired" in desks("approvals", proposal.id).out.splitlines()[0]
    assert desks("approve", proposal.id, "--hash", proposal.hash, "--by", "ann").exit_code == 3
    assert not any(command.approved for command in read()[1])


def test_a22_a_flood_of_one_kind_is_one_line_and_hides_nothing(desks: Desks) -> None:
    async def main() -> None:
        async with Seawall(JOURNAL) as sea:
            for number in range(60):
                await propose(sea.journal, f"r-{number}", clock=SystemClock())
            await propose(sea.journal, "r-other", clock=SystemClock(), name="wire", group="wire user:8")

    asyncio.run(main())

    listed = desks("approvals", "-n", "5", width=160)
    lines = listed.out.splitlines()[1:]
    assert [line.split()[1:4] for line in lines[:1]] == [["60", "×", "refund,"]]
    assert "wire(" in lines[1]
    assert len(lines) == 2
    assert "--all lists each" in listed.err
    assert len(desks("approvals", "--all", "-n", "100", width=200).out.splitlines()) == 62
    cut = desks("approvals", "--all", "-n", "5")
    assert "the oldest 5; there are more: --limit 25" in cut.err
    assert desks("approvals", "-n", "5", "--json").document["cut"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("approve", "p-none", "--hash", "x", "--by", "ann"),
            "no proposal's id starts or ends with 'p-none'",
        ),
        (("approve", "r-1"), "who decides? give --key-file FILE"),
        (("approve", "r-1", "--key-file", "none"), "--key-file none can't be read: No such file"),
        (("approve", "r-1", "--key-file", "empty", "--by", "ann"), "--key-file empty: there is no key in it"),
        (("approve", "r-1", "--key-file", "key", "--by", "ann"), "leave one of both out"),
        (("approve", "r-1", "--by", "ann", "--edit", "none"), "--edit none can't be read"),
        (("approve", "r-1", "--by", "ann", "--edit", "empty"), "no app is recorded with it"),
        (("approve", "r-1", "--by", "ann", "--hash", "--stop"), "--hash --stop is not a whole hash"),
        (("approve", "r-1", "--key-file", "other"), "--key-file other: there is no key in it"),
        (("approvals", "p-none"), "no proposal's id"),
        (("effects", "--status", "paid"), "--status paid: it is one of proposed"),
        (("reconcile", "r-1", "--failed", " ", "--by", "ann"), "--failed is empty: say how you know"),
        (("effects", "again"), "seawall effects again ID"),
        (("principals", "add"), "write seawall principals add NAME"),
        (("principals", "--agent"), "who gets a key?"),
        (("principals", "add", "ann "), "not written plainly"),
        (("reconcile", "e-none", "--failed", "no", "--by", "ann"), "no effect's id"),
        (("reconcile", "r-1", "--committed", "none", "--by", "ann"), "--committed none can't be read"),
        (("reconcile", "r-1", "--committed", "empty", "--by", "ann"), "there is no receipt in it"),
    ],
)
def test_a_call_that_makes_no_sense_says_what_is_missing(
    desks: Desks, words: tuple[str, ...], message: str
) -> None:
    proposed(**UNDECLARED)
    Path("key").write_text("sk-seawall-" + "a" * 43)
    Path("empty").write_text("\n")
    Path("other").write_text("the wrong file")

    done = desks(*words)

    assert done.exit_code == 2
    assert message in done.err


def test_amounts_stand_in_a_column_of_their_own(desks: Desks) -> None:
    proposed(amount=Money("1234.50", "EUR"))

    assert "1234.50 EUR" in desks("approvals", width=160).out
