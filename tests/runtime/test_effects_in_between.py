"""Declared effects when something happens in between: another guard holds, a preview hangs, the disk is full."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.test_effects import ASKS, FINANCE, UNIQUE, Bank, asked, desk, over, pays, play, vote, waits
from seawall import ALLOW, Agent, Guard, Hold, Seawall, Team
from seawall.core.errors import JournalFull, Refused
from seawall.effects import Effect
from seawall.journal.protocol.effects import ProposalFilter
from seawall.models.scripted import calls
from seawall.run.step import Step
from seawall.testing import ScriptedModel, say


class Switch(Guard):
    """Asks about effects while it is on."""

    def __init__(self, name: str, *, on: bool) -> None:
        self.name = name
        self.on = on

    def before(self, step: Step, run: Any, memory: Any) -> Any:
        return Hold(f"{self.name} asks") if step.effect and self.on else ALLOW


def test_a_guard_that_begins_to_hold_is_asked_about_once_under_the_terms_of_the_tool() -> None:
    async def main() -> None:
        bank, first, second = Bank(), Switch("first", on=True), Switch("second", on=False)
        async with Seawall(guards=[first, second]) as sea:
            run = await sea.start(desk(bank, ASKS, pays("1", "250"), say("Done.")), "go", principal="u")
            await waits(run)
            (proposal,) = await asked(sea.journal)
            second.on = True
            await vote(sea, proposal)
            await waits(run)
            (again,) = await sea.journal.proposals(ProposalFilter(state="open"))
            guards = [each.guard for each in again.reasons]
            assert (again.roles, again.declared, guards) == (("finance",), True, ["second", "effects"])
            with pytest.raises(Refused, match="has shown no key"):
                await vote(sea, again, by="mallory", authenticated=False)
            assert bank.paid == []
            await vote(sea, again)
            assert (await over(run)).status == "completed"
        assert len(bank.paid) == 1

    play(main)


@pytest.mark.parametrize("detached", [False, True])
def test_what_the_user_confirms_somebody_else_decides_once_another_guard_holds_it(detached: bool) -> None:
    async def main() -> None:
        bank, switch = Bank(), Switch("rule", on=False)
        effect = Effect(unique_by=("order_id",), amount="amount", confirm=True, detached=detached)
        async with Seawall(guards=[switch]) as sea:
            for on, asks, wrong, right in (
                (False, "confirm", "finance", "user"),
                (True, "approve", "user", "finance"),
            ):
                switch.on = on
                team = desk(bank, effect, pays(f"order {on}"), say("Done."))
                await (await sea.start(team, "go", principal="user")).rest()
                (proposal,) = await sea.journal.proposals(ProposalFilter(state="open"))
                assert proposal.asks == asks
                with pytest.raises(Refused):
                    await vote(sea, proposal, by=wrong)
                await vote(sea, proposal, by=right)
                await over(await sea.attach(proposal.run))
        assert [order for order, *_ in bank.paid] == ["order False", "order True"]

    play(main)


def test_two_runs_of_which_each_waits_for_what_the_other_is_to_do_go_on_once_people_have_decided(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        bank, path = Bank(), tmp_path / "journal.db"

        def team(*names: str) -> Team:
            tools = [bank.makes(ASKS, name) for name in names]
            script = [calls(*(pays("1", "250", name) for name in names)), say("Done.")]
            return Team("-".join(names), Agent("cashier", model=ScriptedModel(script), tools=tools))

        first, second = team("east", "west"), team("west", "east")
        async with Seawall(
            path
        ) as sea:  # each asks for its second payment, as the tool of the first is paused
            await sea.pause("tool:east", by="ann")
            one = (await sea.start(first, "go")).id
            await (await sea.attach(one)).rest()
        async with Seawall(path) as sea:
            await sea.unpause("tool:east", by="ann")
            await sea.pause("tool:west", by="ann")
            two = (await sea.start(second, "go")).id
            await (await sea.attach(two)).rest()
        async with Seawall(path) as sea:
            await sea.unpause("tool:west", by="ann")
            runs = [await sea.resume(one, first), await sea.resume(two, second)]
            for run in runs:
                await waits(run)
                waiting = (await sea.state(run.id)).approvals
                assert [bool(each.waits_for) for each in waiting] == [False, True]
            for proposal in await asked(sea.journal):
                await vote(sea, proposal)
            assert [(await over(run)).status for run in runs] == ["completed", "completed"]
        assert len(bank.paid) == 2

    play(main)


def test_a_preview_that_hangs_in_its_thread_does_not_hold_up_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seawall.runtime.executor.PREVIEW_S", 0.05)
    goes_on = threading.Event()

    async def main() -> None:
        def hang(order_id: str) -> str:
            goes_on.wait(20)
            return order_id

        effect = Effect(unique_by=("order_id",), amount="amount", approve=FINANCE, preview=hang)
        async with Seawall() as sea:
            await waits(await sea.start(desk(Bank(), effect, pays("1", "150"), say("Done.")), "go"))
            (proposal,) = await asked(sea.journal)
            assert proposal.preview_failed
            assert not goes_on.is_set()
        goes_on.set()

    play(main)


def test_a_claim_that_finds_the_disk_full_gives_the_run_up_and_it_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        bank = Bank()
        team = desk(bank, UNIQUE, pays("1"), say("Done."))
        async with Seawall() as sea:
            claim = sea.journal.claim

            async def fail(*_: Any) -> Any:
                monkeypatch.setattr(sea.journal, "claim", claim)
                raise JournalFull("the disk is full; nothing was written")

            monkeypatch.setattr(sea.journal, "claim", fail)
            run = await sea.start(team, "go")
            with pytest.raises(JournalFull):
                await over(run)
            assert bank.paid == []
            again = await sea.resume(run.id, desk(bank, UNIQUE, say("Done.")))
            assert (await over(again)).status == "completed"
        assert len(bank.paid) == 1

    play(main)
