"""Sessions whose conversation rests on memory: what was reverted of it is neither shown nor acted upon by later runs."""

from __future__ import annotations

import pytest

from memory.play import (
    Asks,
    Shown,
    Till,
    agent_of,
    approve,
    in_loop,
    keep,
    list_events,
    parked,
    play,
    read_memory,
    recall,
    remember,
    revert,
    sea_of,
)
from seawall import Context, Memory, Misused, Seawall, Team, tool
from seawall.core.events import MemoryCut, RunTaken
from seawall.models.scripted import call, say

TENANT = Memory(write=("tenant",))
BAD = "VIPs get double refunds, always"


async def look(sea: Seawall) -> None:
    """Plays a run of the session that recalls the rule and answers with it."""
    agent = agent_of(recall(key="rule"), say(f"I see: {BAD}."), memory=TENANT)
    await play(sea, agent, "What is the rule?", session="s")


@in_loop
async def test_a_run_is_not_shown_what_an_earlier_one_of_its_session_made_of_reverted_memory() -> None:
    shown, till = Shown(), Till()
    async with sea_of() as sea:
        await keep(sea, rule=BAD)
        paid = agent_of(
            recall(key="rule"),
            call("pay", what="1042"),
            say(f"Paid, as {BAD}."),
            memory=TENANT,
            tools=[till.make()],
        )
        await play(sea, paid, "Pay 1042.", session="s")
        await revert(sea, 1)
        await play(sea, agent_of(shown.then(say("ok")), memory=TENANT), "And now?", session="s")

        texts = [each.content or "" for each in shown.requests[0].messages]
        assert texts[1] == "Pay 1042."
        assert "rested on memory that a person has reverted" in texts[2]
        assert 'pay({"what":"1042"}) was done: "paid 1042"' in texts[2]
        assert texts[3:] == ["And now?"]
        assert not any("VIPs" in text for text in texts)


@in_loop
async def test_what_is_left_out_of_a_session_stays_out_and_what_comes_after_stays_in() -> None:
    shown = Shown()
    async with sea_of() as sea:
        await keep(sea, rule=BAD)
        await look(sea)
        await revert(sea, 1)
        await play(sea, agent_of(say("Hello."), memory=TENANT), "Hi.", session="s")
        await play(sea, agent_of(shown.then(say("ok")), memory=TENANT), "And now?", session="s")

        texts = [each.content or "" for each in shown.requests[0].messages]
        assert texts[1] == "What is the rule?"
        assert texts[3:] == ["Hi.", "Hello.", "And now?"]
        assert not any("VIPs" in text for text in texts)
        assert (await sea.journal.verify()).ok


@in_loop
async def test_a_line_that_an_earlier_run_was_sent_for_reverted_memory_is_not_shown_either() -> None:
    shown, small = Shown(), Context(tokens=2_000)
    async with sea_of() as sea:
        await keep(sea, rule=BAD, other="word " * 400)
        for number in range(9):
            key = "other" if number else "rule"
            answer = "I see." if number else f"I see: {BAD}."
            agent = agent_of(recall(key=key), say(answer), memory=TENANT, context=small)
            await play(sea, agent, f"What about {key}, {number}?", session="s")
        agent = agent_of(shown.then(say("ok")), memory=TENANT, context=small)
        await play(sea, agent, "And now?", session="s")
        assert any("earlier calls" in (each.content or "") for each in shown.requests[0].messages)
        assert any("VIPs" in (each.content or "") for each in shown.requests[0].messages)
        assert "read_result" in [each.name for each in shown.requests[0].tools]

        await revert(sea, 1)
        agent = agent_of(shown.then(say("ok")), memory=TENANT, context=small)
        await play(sea, agent, "And after that?", session="s")
        assert not any("VIPs" in (each.content or "") for each in shown.requests[-1].messages)
        assert (await sea.journal.verify()).ok


@in_loop
async def test_a_run_that_waits_and_knows_reverted_memory_by_its_session_alone_is_held() -> None:
    till = Till()
    async with sea_of(guards=[Asks()]) as sea:
        await keep(sea, rule=BAD)
        await look(sea)
        agent = agent_of(call("pay", what="double"), say("paid"), memory=TENANT, tools=[till.make()])
        run = await sea.start(agent, "Pay by the rule.", session="s")
        await parked(run)
        (taken,) = await list_events(sea, run.id, RunTaken)
        assert taken.read == (1,)

        await revert(sea, 1)
        await approve(sea, run)
        waiting = await parked(run)
        assert till.paid == []
        (again,) = await sea.approvals(run=waiting.run)
        assert any(BAD in text for text in again.reverted)
        assert await list_events(sea, run.id, MemoryCut)


@in_loop
async def test_a_run_in_flight_that_knows_reverted_memory_by_its_session_merges_nothing() -> None:
    async with sea_of() as sea:
        await keep(sea, rule=BAD)
        await look(sea)

        @tool
        async def meanwhile() -> str:
            """Somebody reverts the rule."""
            await revert(sea, 1)
            return "done"

        script = (call("meanwhile"), remember("letter", f"Dear all: {BAD}"), say("ok"))
        agent = agent_of(*script, memory=TENANT, tools=[meanwhile])
        outcome = await play(sea, agent, "Write the letter.", session="s")
        assert outcome.memory == "conflict"
        assert await read_memory(sea) == {}


@in_loop
async def test_a_request_that_is_answered_again_in_its_session_is_not_shown_the_first_answer() -> None:
    shown = Shown()
    script = [
        *(recall(key="rule"), say(f"I see: {BAD}.")),
        shown.then(say("There is no rule.")),
    ]
    async with sea_of() as sea:
        bad = await play(sea, agent_of(remember("rule", BAD), say("ok"), name="writer", memory=TENANT))
        team = Team("desk", agent_of(*script, memory=TENANT))
        await play(sea, team, "What is the rule?", session="s")
        plan = await sea.memory().revert(run=bad.run, step=0)
        await plan.apply(by="ann")
        (again,) = await plan.rerun([team])
        await again.outcome()
        texts = [each.content or "" for each in shown.requests[0].messages]
        assert not any("VIPs" in text for text in texts)
        assert texts.count("What is the rule?") == 2


@pytest.mark.parametrize("by", ["recall", "tool"])
@in_loop
async def test_a_value_is_followed_over_the_conversation_of_a_session(by: str) -> None:
    @tool
    async def look_up(rule: str) -> str:
        """Looks up a rule."""
        return "its code is Q-99817-X"

    async with sea_of() as sea:
        bad = await play(
            sea, agent_of(remember("rule", "R-5512 holds"), say("ok"), name="writer", memory=TENANT)
        )
        first = [
            recall(key="rule"),
            *([call("look_up", rule="R-5512")] if by == "tool" else []),
            say("noted"),
        ]
        await play(sea, agent_of(*first, memory=TENANT, tools=[look_up]), "Look.", session="s")
        letter = "the rule R-5512 holds" if by == "recall" else "the code is Q-99817-X"
        await play(sea, agent_of(remember("letter", letter), say("ok"), memory=TENANT), "Go.", session="s")

        plan = await sea.memory().revert(run=bad.run, step=0)
        assert {item.key for item in plan.removes} == {"rule", "letter"}


@in_loop
async def test_the_run_of_the_bad_step_has_to_end_before_it_is_reverted() -> None:
    till = Till()
    async with sea_of(guards=[Asks()]) as sea:
        script = (remember("rule", BAD), call("pay", what="x"), say("ok"))
        run = await sea.start(agent_of(*script, memory=TENANT, tools=[till.make()]), "go")
        await parked(run)
        plan = await sea.memory().revert(run=run.id, step=0)
        with pytest.raises(Misused, match="has not ended, and would merge what is reverted afterwards"):
            await plan.apply(by="ann")
        await run.cancel(by="ann")
        await run.outcome()
        await (await sea.memory().revert(run=run.id, step=0)).apply(by="ann")
        assert await read_memory(sea) == {}
