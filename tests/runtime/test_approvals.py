"""Decisions of people on what is proposed: what they are shown, who may decide, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runtime.proposing import ARGUMENTS, STEP, WROTE, opened, propose
from seawall import Broken, Misused, Principal, Refused, Seawall
from seawall.effects.credentials import make_principal
from seawall.journal.protocol import Command, Proposal
from seawall.testing import ManualClock

FINANCE = {"ann": Principal("ann", ("finance",)), "bob": Principal("bob", ("finance",))}
WHO = {
    **FINANCE,
    "user:7": Principal("user:7", ("finance",)),
    "clerk": Principal("clerk", ("finance",), agent=True),
    "guest": Principal("guest"),
}


def proposed(
    work: Callable[[Seawall, Proposal, ManualClock], Awaitable[None]],
    *,
    authenticate: Any = WHO.get,
    **fields: Any,
) -> None:
    """Runs `work` on a Seawall whose journal has one proposal."""

    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=authenticate) as sea:
            proposal = await propose(sea.journal, clock=clock, **fields)
            await work(sea, proposal, clock)
            assert (await sea.journal.verify()).bad is None

    asyncio.run(main())


async def commands(sea: Seawall, run: str = "r-1") -> list[Command]:
    return [item.command for item in await sea.journal.inbox(run)]


def test_a_person_is_shown_what_would_be_performed_and_what_others_say_of_it() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        (listed,) = await sea.approvals(tenant="acme", run="r-1")
        assert listed.arguments_text == ARGUMENTS
        assert listed.arguments == {"order_id": "1042", "amount": {"amount": "250.00", "currency": "EUR"}}
        assert (listed.id, listed.hash, listed.tool) == (proposal.id, proposal.hash, "refund")
        assert (listed.preview, listed.summary) == ("250 EUR to DE89", None)
        assert (listed.requester, listed.run, listed.step, listed.state) == ("user:7", "r-1", STEP, "open")
        assert str(listed.amount) == "250.00 EUR"
        assert (await sea.approval(proposal.id)).summary == WROTE
        assert await sea.approvals(tenant="other") == []

    proposed(work, preview="250 EUR to DE89")


def test_what_was_erased_is_shown_as_that() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        await sea.journal.erase("acme")
        approval = await sea.approval(proposal.id)
        assert (approval.arguments_text, approval.arguments, approval.summary) == ("[erased]", None, None)

    proposed(work)


def test_an_approval_is_recorded_and_sent_to_the_run() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        decided = await sea.approve(proposal.id, hash=proposal.hash, credential="ann", reason="looks right")
        assert decided.state == "approved"
        assert [(vote.principal, vote.reason) for vote in decided.votes] == [("ann", "looks right")]
        (command,) = await commands(sea)
        assert (command.kind, command.step, command.approved, command.by) == ("decide", STEP, True, "ann")
        assert await sea.approvals() == []
        assert [each.id for each in await sea.approvals(state="approved")] == [proposal.id]

    proposed(work, roles=("finance",))


def test_a_rejection_is_recorded_and_may_end_the_run() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        await sea.reject(proposal.id, hash=proposal.hash, credential="ann", reason="too much", stop=True)
        (command,) = await commands(sea)
        assert (command.approved, command.reason, command.stop) == (False, "too much", True)

    proposed(work)


def test_two_people_are_two_people() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        first = await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        assert (first.state, len(first.votes)) == ("open", 1)
        assert await commands(sea) == []
        with pytest.raises(Refused, match="has voted already"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        second = await sea.approve(proposal.id, hash=proposal.hash, credential="bob")
        assert second.state == "approved"
        assert [each.by for each in await commands(sea)] == ["ann, bob"]

    proposed(work, people=2)


def test_a_decision_is_on_what_was_shown() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        for wrong in ("", "0" * 64, proposal.hash[:-1], proposal.hash.upper()):
            with pytest.raises(Refused, match="look at it again") as refused:
                await sea.approve(proposal.id, hash=wrong, credential="ann")
            assert (refused.value.guard, refused.value.value) == ("approval", wrong)
            # else it could be copied unseen
            assert proposal.hash not in f"{refused.value} {refused.value.limit}"
        assert await commands(sea) == []

    proposed(work)


@pytest.mark.parametrize("who", ["user:7", "clerk"], ids=["the requester", "an agent"])
def test_a04_neither_the_requester_nor_an_agent_decides(who: str) -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        for decide in (sea.approve, sea.reject):
            with pytest.raises(Refused) as refused:
                await decide(proposal.id, hash=proposal.hash, credential=who)
            assert refused.value.guard == "approval"
        assert await commands(sea) == []
        assert [(each.what, each.by) for each in await sea.journal.decisions(proposal.id)] == [
            ("refuse", who)
        ] * 2

    proposed(work)


def test_who_has_not_the_role_decides_nothing() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Refused, match="decided by finance; guest has no role"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="guest")
        assert await commands(sea) == []

    proposed(work, roles=("finance",))


@pytest.mark.parametrize(
    "moved_s", [0.0, -900.0, -1e9], ids=["in time", "set back a little", "set back for years"]
)
def test_a03_an_approval_after_the_expiry_is_refused_whatever_the_clock_says(moved_s: float) -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        await clock.advance(1_000.0)
        await sea.journal.mark_proposal(proposal.id, "new")  # so the journal has seen that time
        clock.jump_wall(moved_s)
        with pytest.raises(Refused, match="expired"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        assert not any(command.approved for command in await commands(sea))

    proposed(work)


@pytest.mark.parametrize("back_s", [3_600.0, 86_400.0 * 365], ids=["an hour", "a year"])
def test_what_is_asked_while_the_clock_is_behind_the_journal_has_its_time_too(back_s: float) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, authenticate=WHO.get) as sea:
            await propose(sea.journal, "r-1", clock=clock)  # the journal has seen a time that was too late
            clock.jump_wall(-back_s)
            fields: dict[str, Any] = {
                "escalate_at": clock.wall_s() + 500.0,
                "escalate_to": ("board",),
                "roles": ("finance",),
            }
            proposal = await propose(sea.journal, "r-2", clock=clock, **fields)
            await clock.advance(400.0)
            (waiting,) = await sea.approvals(run="r-2")
            assert waiting.state == "open"
            assert waiting.expires_at is not None
            assert waiting.roles == ("finance",)
            approved = await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
            assert approved.state == "approved"

    asyncio.run(main())


@pytest.mark.parametrize("credential", ["nobody", "", "ANN", b"ann", 7, "sk-seawall-" + "a" * 43])
def test_a_credential_of_nobody_is_refused_without_a_hint(credential: object) -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        for decide in (sea.approve, sea.reject):
            with pytest.raises(Refused) as refused:
                await decide(proposal.id, hash=proposal.hash, credential=credential)
            assert str(refused.value) == "the credential is not valid"
            assert (refused.value.guard, refused.value.value) == ("approval", None)
        assert await commands(sea) == []
        (recorded,) = await sea.journal.decisions(proposal.id)  # and not once more within a second
        assert (recorded.what, recorded.by) == ("refuse", "")

    proposed(work)
    proposed(work, authenticate=None)


def test_who_decides_must_be_said() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        for by in ("", "  ", "ann"):
            with pytest.raises(Misused, match="who decides"):
                await sea.approve(proposal.id, hash=proposal.hash, by=by)
        with pytest.raises(Misused, match="the credential says who decides"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="ann", by="bob")

    proposed(work)


def test_authenticate_may_be_async() -> None:
    async def ask(credential: str) -> Principal | None:
        await asyncio.sleep(0)
        return WHO.get(credential)

    class Directory:
        async def __call__(self, credential: str) -> Principal | None:
            return await ask(credential)

    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Refused):
            await sea.approve(proposal.id, hash=proposal.hash, credential="nobody")
        decided = await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        assert decided.votes[0].principal == "ann"

    for authenticate in (ask, Directory(), partial(ask)):
        proposed(work, authenticate=authenticate)


@pytest.mark.parametrize("answer", [True, "ann", {"name": "ann"}, ("ann",)])
def test_an_authenticate_that_returns_something_else_decides_nothing(answer: object) -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Misused, match="must return Principal"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="ann")
        assert await commands(sea) == []

    proposed(work, authenticate=lambda _: answer)


def test_an_authenticate_that_raises_decides_nothing_and_tells_no_credential() -> None:
    def authenticate(credential: str) -> Principal:
        raise ConnectionError(f"no directory for {credential}")

    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Broken, match=r"^authenticate raised ConnectionError: nothing was decided$"):
            await sea.approve(proposal.id, hash=proposal.hash, credential="token-of-ann")
        assert await commands(sea) == []

    proposed(work, authenticate=authenticate)


def test_a_declared_proposal_wants_a_checked_name_and_a_users_guard_does_not() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        if proposal.declared:
            with pytest.raises(Refused, match="has shown no key"):
                await sea.approve(proposal.id, hash=proposal.hash, by="ann")
        else:
            decided = await sea.approve(proposal.id, hash=proposal.hash, by="ann")
            assert [(vote.principal, vote.authenticated) for vote in decided.votes] == [("ann", False)]

    proposed(work, authenticate=None)
    proposed(work, authenticate=None, declared=False)


def test_a_key_decides_until_it_is_taken_away_and_then_no_name_does_either() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        from msgspec.structs import replace

        record, key = make_principal("ann", ["finance"], agent=False, now=clock.wall_s())
        await sea.journal.put_principal(record)
        decided = await sea.approve(proposal.id, hash=proposal.hash, credential=key)
        assert [(vote.principal, vote.roles) for vote in decided.votes] == [("ann", ("finance",))]
        other = await propose(sea.journal, "r-2", clock=clock, declared=False)
        await sea.journal.put_principal(replace(record, removed_at=clock.wall_s()))
        with pytest.raises(Refused, match="not valid"):
            await sea.approve(other.id, hash=other.hash, credential=key)
        with pytest.raises(Refused, match="principals"):
            await sea.approve(other.id, hash=other.hash, by="ann")

    proposed(work, authenticate=None, roles=("finance",))


def test_a08_of_two_who_decide_at_once_one_does() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        decisions = await asyncio.gather(
            sea.approve(proposal.id, hash=proposal.hash, credential="ann"),
            sea.reject(proposal.id, hash=proposal.hash, credential="bob"),
            return_exceptions=True,
        )
        assert sorted(type(each).__name__ for each in decisions) == ["Approval", "Refused"]
        assert len(await commands(sea)) == 1

    proposed(work)


def test_the_short_form_decides_what_waits_now() -> None:
    async def work(sea: Seawall, proposal: Proposal, clock: ManualClock) -> None:
        with pytest.raises(Misused, match=r"step 1 does not wait for a decision \(waiting: 2\)"):
            await sea.decide("r-1", 1, approve=True, credential="ann")
        with pytest.raises(Refused, match="requested"):
            await sea.decide("r-1", STEP, approve=True, credential="user:7")
        await sea.decide("r-1", STEP, approve=True, credential="ann")
        assert (await sea.approval(proposal.id)).state == "approved"

    proposed(work)


def test_secrets_in_a_reason_are_not_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opened(clock, tmp_path / "j.db", authenticate=WHO.get, secrets=["correct-horse"]) as sea:
            proposal = await propose(sea.journal, clock=clock)
            await sea.reject(proposal.id, hash=proposal.hash, credential="ann", reason="it is correct-horse")
        assert all(b"correct-horse" not in file.read_bytes() for file in tmp_path.iterdir())

    asyncio.run(main())


def test_no_secret_that_decides_is_in_the_journal(tmp_path: Path) -> None:
    async def main() -> str:
        clock = ManualClock()
        record, key = make_principal("ann", [], agent=False, now=0.0)
        async with opened(clock, tmp_path / "j.db") as sea:
            await sea.journal.put_principal(record)
            proposal = await propose(sea.journal, clock=clock)
            await sea.approve(proposal.id, hash=proposal.hash, credential=key, reason=f"with {key}")
        return key

    key = asyncio.run(main())
    assert all(key[11:].encode() not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("option", ["authenticate", "notify"])
def test_an_option_that_is_no_function_is_misuse(option: str) -> None:
    options: dict[str, Any] = {option: 7}
    with pytest.raises(Misused, match=f"{option} is 7"):
        Seawall(**options)
