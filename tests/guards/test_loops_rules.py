"""The rules beside no news: errors, writes made again, cycles, delegations, write storms, polls, fresh reads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from guards.loop_world import World, advised, counting, one_agent, stopped
from seawall import Agent, Loops, Misused, NotDone, Seawall, Team, Tool
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import Played, play, sent

# ---- errors in a row


def test_errors_that_quote_other_arguments_are_the_same_error() -> None:
    world = World()
    book = world.tool("book", lambda what: ValueError(f"time data '{what}' does not match '%Y-%m-%d'"))

    run = one_agent([book], [call("book", what=f"2026-01-{day}T20:00") for day in range(20)])

    assert len(world.made) == 9
    assert stopped(run) == "errors"
    assert advised(run) == ["errors"] * 7


def test_another_tool_may_still_be_called_after_errors_in_a_row() -> None:
    world = World()
    bad = world.tool("bad", lambda what: ValueError("no"))
    good = world.tool("good", lambda what: "fine")

    run = one_agent([bad, good], [*[call("bad", what=str(i)) for i in range(9)], call("good"), call("bad")])

    assert stopped(run) is None
    assert len(world.made) == 11


def test_a_failing_test_may_run_again_after_each_edit() -> None:
    world = World()
    edit = world.tool("edit", lambda what: "The file was edited.", effect=True)
    check = world.tool("check", lambda what: ValueError("1 failed"))
    script = [each for i in range(12) for each in (call("edit", what=str(i)), call("check"))]

    run = one_agent([edit, check], script, Loops(writes=100))

    assert stopped(run) is None
    assert advised(run) == []


# ---- writes made again, write storms


def test_a_write_made_again_with_a_new_number_each_time_is_stopped() -> None:
    world = World()
    create = world.tool("create", counting("event created, id"), effect=True)

    run = one_agent([create], [call("create", what="lunch with Ann")] * 9)

    assert len(world.made) == 5
    assert stopped(run) == "again"


@pytest.mark.parametrize("again", [1, 4])
@pytest.mark.parametrize("what", ["down", "10482", ""])
def test_a_write_without_a_text_may_be_made_twice_as_often(what: str, again: int) -> None:
    world = World()
    press = world.tool("press", lambda what: "ok", effect=True)

    run = one_agent([press], [call("press", what=what)] * 20, Loops(again=again))

    assert len(world.made) == 1 + 2 * again
    assert stopped(run) == "again"


def test_a_read_whose_number_changes_is_news() -> None:
    world = World()
    read = world.tool("read", counting("unread:"))

    run = one_agent([read], [call("read")] * 9)

    assert len(world.made) == 9
    assert advised(run) == []


def test_a_write_made_again_after_other_work_is_counted_anew() -> None:
    world = World()
    press = world.tool("press", counting("volume"), effect=True)
    look = world.tool("look", counting("something"))
    script = [call("press"), call("press"), call("press"), call("look")] * 4

    run = one_agent([press, look], [*script], Loops(writes=100))

    assert stopped(run) is None


@pytest.mark.parametrize("together", [False, True])
def test_a_write_storm_is_capped_exactly_also_in_one_reply(together: bool) -> None:
    world = World()
    send = world.tool("send", lambda what: f"sent to {what}", effect=True)
    single = [call("send", what=f"u{i}") for i in range(40)]

    run = one_agent([send], [calls(*single)] if together else single, Loops(writes=10))

    assert len(world.made) == 10 or (together and len(world.made) <= 10)
    assert stopped(run) == "writes"


def test_a_write_that_was_not_done_does_not_count() -> None:
    world = World()
    send = world.tool("send", lambda what: NotDone(f"busy {what}"), effect=True)

    run = one_agent([send], [call("send", what=chr(97 + i)) for i in range(8)], Loops(writes=2, errors=50))

    assert stopped(run) is None
    assert len(world.made) == 8


# ---- cycles


def test_a_state_that_is_flipped_to_and_fro_is_a_cycle_though_every_answer_is_news() -> None:
    world = World()
    on = {"now": False}

    def flip(what: str) -> str:
        on["now"] = not on["now"]
        return f"airplane mode is {'on' if on['now'] else 'off'}"

    toggle = world.tool("toggle", flip, effect=True)
    check = world.tool("check", lambda what: "no service")

    run = one_agent([toggle, check], [call("toggle"), call("check")] * 20, Loops(writes=100))

    assert len(world.made) == 19  # on, look, off; then four rounds of four, each call as once before
    assert stopped(run) == "cycles"


def test_a_cycle_that_goes_through_two_agents_is_found_in_the_run_tree() -> None:
    world = World()
    look = world.tool("look", lambda what: f"{what}: ask the other one")
    clerk = Agent(
        "clerk", model=ScriptedModel([call("look", what="shop"), say("Ask the carrier.")] * 20), tools=[look]
    )
    driver = Agent(
        "driver", model=ScriptedModel([call("look", what="van"), say("Ask the shop.")] * 20), tools=[look]
    )
    boss = Agent(
        "boss", model=ScriptedModel([call("ask_clerk", task="find"), call("ask_driver", task="find")] * 20)
    )

    run = play(
        Team("desk", boss, specialists=[clerk, driver]),
        guards=[Loops(no_news=50, stretch=50, delegations=50)],
    )

    assert stopped(run) == "cycles"
    assert len(world.made) == 10


def test_one_call_that_repeats_is_no_cycle() -> None:
    world = World()
    read = world.tool("read", lambda what: "same")

    run = one_agent([read], [call("read")] * 30, Loops(no_news=20, stretch=30))

    assert stopped(run) == "no_news"
    assert set(advised(run)) == {"no_news"}


# ---- delegations


def delegated(tasks: Sequence[str], **options: Any) -> tuple[ScriptedModel, Played]:
    answers = iter(range(100))
    clerk = ScriptedModel(lambda request: say(f"I found {next(answers)} things."))
    boss = Agent(
        "boss", model=ScriptedModel([*[call("ask_clerk", task=task) for task in tasks], say("Done.")])
    )
    return clerk, play(
        Team("desk", boss, specialists=[Agent("clerk", model=clerk)]), guards=[Loops(**options)]
    )


def test_nearly_the_same_task_for_one_agent_is_not_handed_out_for_ever() -> None:
    tasks = [
        "Please find the order 1042 and tell me its status",
        "Find the order 1042 and tell me its status now",
        "Please find order 1042 and tell me its status",
        "Find the order 1042 and tell me the status",
        "Please find the order 1042 and tell its status",
    ]
    clerk, run = delegated(tasks)

    assert clerk.request_count == 4
    assert stopped(run) == "delegations"
    assert advised(run) == ["delegations"] * 3


@pytest.mark.parametrize(
    "tasks",
    [
        [f"Please find the order {number} and tell me its status" for number in range(1042, 1050)],
        [
            f"Please ask for the report of {name} and sum it up"
            for name in ("Ada", "Bob", "Eve", "Kim", "Lee")
        ],
        [f"Read the file src/{name}.py and list its functions" for name in ("a", "b", "c", "d", "e")],
        ["Find the order", "Who is the customer?", "What does it weigh?", "When was it sent?", "Pay it back"],
    ],
)
def test_tasks_that_name_other_things_are_other_tasks(tasks: list[str]) -> None:
    clerk, run = delegated(tasks)

    assert clerk.request_count == len(tasks)
    assert run.judged == []


# ---- polls


def poll_until(ready: int, script: int, **options: Any) -> tuple[World, Played, ManualClock]:
    world, clock = World(), ManualClock()
    answers = iter(["still running"] * ready + ["done"] * 100)
    poll = world.tool("status", lambda what: next(answers), poll=True)
    run = one_agent([poll], [call("status")] * script, Loops(**options), clock=clock)
    return world, run, clock


def test_a_poll_may_get_the_same_answer_and_is_spaced_out() -> None:
    world, run, clock = poll_until(7, 8)

    assert len(world.made) == 8
    assert run.outcome.status == "completed"
    assert run.judged == []
    assert clock.monotonic_s() == pytest.approx(1 + 2 + 4 + 8 + 16 + 32)


def test_a_poll_has_a_cap_of_its_own_and_is_advised_on_from_half_of_it() -> None:
    world, run, _ = poll_until(100, 100, polls=6, poll_wait_s=0)

    assert len(world.made) == 7
    assert stopped(run) == "polls"
    assert advised(run) == ["polls"] * 4


def test_a_poll_waits_no_longer_than_the_most() -> None:
    _, _, clock = poll_until(5, 6, poll_wait_s=4, poll_wait_max_s=5)

    assert clock.monotonic_s() == pytest.approx(4 + 5 + 5 + 5)


@pytest.mark.parametrize(
    "options", [{"poll": True, "effect": True}, {"fresh_s": 0}, {"fresh_s": 5, "effect": True}]
)
def test_options_that_contradict_each_other_are_misuse(options: dict[str, Any]) -> None:
    with pytest.raises(Misused, match=r"poll|fresh_s"):
        World().tool("t", lambda what: "x", **options)


# ---- volatile results


VOLATILE = [
    "up since 2026-01-31T10:11:1{n}.123Z",
    "[10:11:1{n}] still here",
    "request 3f2504e0-4f89-11d3-9a0c-0305e82c330{n} was answered",
    "<object at 0x7f3060fd3e9{n}>",
    "1 failed in 0.0{n}s",
    "started as pid 471{n}",
    "written to /tmp/tmpab{n}x_9/out.txt",
    '{{"state": "open", "request_id": "r{n}", "duration_ms": {n}}}',
    "epoch 17000000{n}0",
]


@pytest.mark.parametrize("text", VOLATILE)
def test_a_result_that_differs_only_in_what_means_nothing_is_no_news(text: str) -> None:
    world, numbers = World(), iter(range(10))
    read = world.tool("read", lambda what: text.format(n=next(numbers)))

    run = one_agent([read], [call("read")] * 9)

    assert len(world.made) == 4
    assert stopped(run) == "no_news"


@pytest.mark.parametrize(
    "text",
    [
        "balance: {n}",
        "{n} tests failed",
        "line {n}: no such name",
        "free at 2026-01-31 1{n}:00",
        "/tmp/out_{n}.txt",
        '{{"id": {n}}}',
    ],
)
def test_a_number_that_was_asked_for_is_news(text: str) -> None:
    world, numbers = World(), iter(range(10))
    read = world.tool("read", lambda what: text.format(n=next(numbers)))

    run = one_agent([read], [call("read")] * 9)

    assert len(world.made) == 9
    assert run.judged == []


def test_a_tool_says_what_else_is_volatile() -> None:
    world, numbers = World(), iter(range(20))

    def answer(what: str) -> dict[str, Any]:
        return {"ticket": next(numbers), "text": f"lot-{next(numbers)} is full"}

    read = world.tool("read", answer, volatile=("Ticket", re.compile(r"lot-\d+")))

    run = one_agent([read], [call("read")] * 9)

    assert len(world.made) == 4
    assert stopped(run) == "no_news"


# ---- fresh reads


def fresh(script: Sequence[Any], *, waits_s: Iterator[float]) -> tuple[World, Played, ScriptedModel]:
    world, clock, numbers = World(), ManualClock(), iter(range(100))

    async def read(what: str = "") -> str:
        world.made.append(("read", what))
        return f"answer {next(numbers)}"

    async def pause() -> str:
        """Let time pass."""
        await clock.sleep(next(waits_s))
        return "rested"

    tools = [
        Tool(read, description="d", fresh_s=10.0),
        Tool(pause),
        world.tool("write", lambda what: "written", effect=True),
    ]
    model = ScriptedModel([*script, say("Done.")])
    run = play(Team(Agent("clerk", model=model, tools=tools)), clock=clock)
    return world, run, model


def test_an_equal_read_is_answered_with_what_is_known_while_that_is_fresh() -> None:
    world, run, model = fresh([call("read")] * 6, waits_s=iter(()))

    assert [name for name, _ in world.made] == ["read"]
    assert {verdict for _, verdict, _ in run.judged} == {"replace"}
    assert sent(model).count("answer 0") == 6
    assert run.outcome.status == "completed"


def test_a_read_is_made_again_once_it_is_not_fresh_or_something_was_written() -> None:
    script = [call("read"), call("pause"), call("read"), call("write"), call("read"), call("read")]
    world, _, _ = fresh(script, waits_s=iter([11.0]))

    assert [name for name, _ in world.made] == ["read", "read", "write", "read"]


def test_other_arguments_and_other_processes_get_no_known_answer() -> None:
    world, _, _ = fresh(
        [call("read", what="a"), call("read", what="b"), call("read", what="a")], waits_s=iter(())
    )

    assert world.made == [("read", "a"), ("read", "b")]


# ---- scopes


def two_frames(scope: Any) -> tuple[World, Played]:
    world = World()
    look = world.tool("look", lambda what: "same")
    clerk = Agent("clerk", model=ScriptedModel([call("look"), say("It is the same.")] * 9), tools=[look])
    asks = [call("ask_clerk", task=f"Question {i} about it") for i in range(9)]
    boss = Agent("boss", model=ScriptedModel([*asks, say("Done.")]))
    return world, play(Team("desk", boss, specialists=[clerk]), guards=[Loops(scope=scope)])


def test_with_scope_run_what_another_frame_saw_is_no_news() -> None:
    world, narrow = two_frames("frame")
    _, wide = two_frames("run")

    assert len(world.made) == 9
    assert advised(narrow) == []
    assert advised(wide) == ["no_news"] * 8


@pytest.mark.parametrize(("scope", "made"), [("frame", 6), ("run", 6), ("session", 4)])
def test_with_scope_session_a_run_begins_with_what_the_one_before_knew(scope: Any, made: int) -> None:
    world = World()
    look = world.tool("look", lambda what: "same")
    model = ScriptedModel([*[call("look"), call("look"), say("The same.")] * 3])
    team = Team(Agent("clerk", model=model, tools=[look]), guards=[Loops(scope=scope)])

    async def talk() -> list[str]:
        async with Seawall(environment={}) as sea:
            found: list[str] = []
            for number in range(3):
                run = await sea.start(team, f"Look {number}.", session="s")
                found.append((await run.outcome()).status)
            return found

    statuses = asyncio.run(talk())

    assert len(world.made) == made
    assert statuses[-1] == ("halted" if scope == "session" else "completed")


# ---- advice


def test_an_agent_that_heeds_advice_goes_on_unharmed() -> None:
    """It begins to loop, reads what it is told, and does something else: with every rule it comes to its end."""
    world = World()
    tools = [
        world.tool("look", lambda what: "same"),
        world.tool("fail", lambda what: ValueError("no such thing")),
        world.tool("send", counting("sent"), effect=True),
        world.tool("other", counting("other")),
    ]
    stuck = {"look": call("look"), "fail": call("fail"), "send": call("send", what="x")}
    order = iter(stuck)
    state = {"doing": next(order)}

    def heeds(request: Any) -> Any:
        newest = request.messages[-1].content or ""
        if "]" in newest and "step" in newest.rpartition("[")[2]:  # advice: turn to the next thing
            state["doing"] = next(order, "")
            return call("other", what=state["doing"])
        return stuck[state["doing"]] if state["doing"] else say("All done.")

    model = ScriptedModel(heeds)
    run = play(Team(Agent("clerk", model=model, tools=tools)), guards=[Loops()])

    assert run.outcome.status == "completed"
    assert run.outcome.answer == "All done."
    assert advised(run) == ["no_news", "no_news", "again"]


def test_advice_heeded_at_the_last_moment_is_heeded() -> None:
    world = World()
    look, other = world.tool("look", lambda what: "same"), world.tool("other", counting())

    run = one_agent([look, other], [*[call("look")] * 4, call("other"), call("look")])

    assert stopped(run) is None
    assert len(world.made) == 6
