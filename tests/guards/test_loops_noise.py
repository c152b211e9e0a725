"""Noise and news in results, other spellings, failures of one kind, and rounds with other calls in between."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from guards.loop_world import World, advised, counting, one_agent, stopped
from seawall import Agent, Loops, Team, Tool
from seawall.testing import ScriptedModel, call, say
from team.play import play


def job(n: int) -> str:
    return str(uuid.UUID(int=n * 7919))


def token(n: int) -> str:
    return f"V1St{n:03}GXR8z5jdHi6B{n:03}myT"


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        '{{"job": "{job}"}}',
        "ticket 17123450{n:02}",
        "{left} s left",
        '{{"last_seen": "2026-01-{n:02}T10:00:00Z"}}',
        '{{"duration": {n}}}',
    ],
)
def test_what_may_be_the_next_of_a_queue_is_not_stopped_soon(text: str, effect: bool) -> None:
    numbers = iter(range(1, 99))

    async def look() -> str:
        n = next(numbers)
        return text.format(n=n, job=job(n), left=900 - n)

    run = one_agent([Tool(look, description="d", effect=effect)], [call("look")] * 14)

    assert stopped(run) is None
    assert next(numbers) == 15


@pytest.mark.parametrize("make_id", [job, token])
def test_answers_that_are_only_alike_are_advised_on_at_once_and_stopped_late(
    make_id: Callable[[int], str],
) -> None:
    world, numbers = World(), iter(range(99))
    look = world.tool("look", lambda what: f"next: {make_id(next(numbers))}")

    run = one_agent([look], [call("look")] * 40)

    assert len(world.made) == 17
    assert stopped(run) == "alike"
    assert advised(run) == ["alike"] * 16


def test_an_id_that_was_looked_up_is_another_answer_to_another_question() -> None:
    world = World()
    find = world.tool("find", lambda what: f'{{"id": "{token(len(world.made))}"}}')
    script = [call("find", what=f"customer {n}") for n in range(36)]

    run = one_agent([find], script, Loops(same_answer=20))

    assert stopped(run) is None
    assert advised(run) == []


@pytest.mark.parametrize("failing", [False, True])
def test_a_request_id_of_any_form_hides_no_error(failing: bool) -> None:
    world = World()

    def answer(what: str) -> str:
        if failing:
            raise OSError(f"503 from the bank, reference {token(len(world.made))}")
        return f"Error: 503 from the bank, reference {token(len(world.made))}"

    run = one_agent([world.tool("look", answer)], [call("look", what="a")] * 30)

    assert len(world.made) == (4 if failing else 10)
    assert stopped(run) == ("no_news" if failing else "failures")


@pytest.mark.parametrize("make_id", [job, token])
def test_an_id_that_later_calls_use_is_news(make_id: Callable[[int], str]) -> None:
    world, numbers = World(), iter(range(99))
    take = world.tool("take", lambda what: f"next: {make_id(next(numbers))}")
    work = world.tool("work", lambda what: "ok")
    script = [each for n in range(18) for each in (call("take"), call("work", what=make_id(n)))]

    run = one_agent([take, work], script)

    assert stopped(run) is None
    assert advised(run) == []


def test_alike_answers_of_several_questions_in_turn_are_stopped() -> None:
    world, numbers = World(), iter(range(999))
    look = world.tool("look", lambda what: f"{what}: {job(next(numbers))}")

    run = one_agent([look], [call("look", what=letter) for letter in "abcd"] * 20)

    assert stopped(run) == "alike"
    assert len(world.made) == 4 + 3 + 32  # three of the first round again are still beside something new


def test_equal_answers_are_not_counted_as_alike() -> None:
    world = World()
    read = world.tool("read", lambda what: "same")

    run = one_agent([read], [call("read")] * 40, Loops(no_news=30, stretch=50, cycles=50))

    assert len(world.made) == 31
    assert stopped(run) == "no_news"


SPELLINGS = ["red shoes", "Red shoes", "red shoes ", "RED  shoes", "red Shoes", " red shoes", "rEd shoes"]


def test_a_question_is_the_same_in_another_spelling_if_it_brings_the_same() -> None:
    world = World()
    search = world.tool("search", lambda what: "nothing")

    run = one_agent([search], [call("search", what=what) for what in SPELLINGS])

    assert len(world.made) == 4
    assert stopped(run) == "no_news"
    assert advised(run) == ["no_news"] * 3


def test_a_question_is_another_one_in_another_spelling_if_it_brings_something_else() -> None:
    world = World()
    read = world.tool("read", {"readme": "one text", "README": "another"}.__getitem__)
    script = [call("read", what=what) for what in ("readme", "README")] * 2

    run = one_agent([read], script)

    assert len(world.made) == 4
    assert advised(run) == ["no_news"] * 2


def test_a_spelling_that_was_never_asked_is_not_forbidden_for_another() -> None:
    world = World()
    read = world.tool("read", lambda what: f"text of {what}")

    run = one_agent([read], [*[call("read", what="README")] * 4, call("read", what="readme")])

    assert len(world.made) == 5
    assert stopped(run) is None


@pytest.mark.parametrize(
    "reason",
    [
        lambda what: LookupError(f"there is no order {what}"),
        lambda what: FileNotFoundError(f"no such file: /srv/{what}/a.txt"),
        lambda what: RuntimeError(
            f"404 Not Found for url: https://example.org/{what} (Request ID: {job(len(what))})"
        ),
        lambda what: f"cat: src/{what}.py: No such file or directory\n[exit code 1]",
        lambda what: {"error": f"unknown customer {what}@example.org"},
    ],
)
def test_one_tool_that_fails_for_one_kind_of_reason_is_stopped_also_among_other_calls(reason: Any) -> None:
    world = World()
    fetch = world.tool("fetch", reason)
    look = world.tool("look", counting("something"))
    script = [each for n in range(30) for each in (call("fetch", what=f"x{n}"), call("look"))]

    run = one_agent([fetch, look], script)

    assert stopped(run) == "failures"
    assert len(world.made) == 2 * 15


def test_errors_of_other_kinds_and_a_success_end_the_row() -> None:
    world, numbers = World(), iter(range(999))

    def answer(what: str) -> Any:
        n = next(numbers)
        return f"text {n}" if n % 9 == 8 else LookupError(f"there is no order {n}")

    fetch = world.tool("fetch", answer)

    run = one_agent([fetch], [call("fetch", what=f"x{n}") for n in range(40)], Loops(errors=99))

    assert stopped(run) is None


def test_failures_are_counted_over_the_frames_of_a_run() -> None:
    world = World()
    export = world.tool("export", lambda what: PermissionError(f"licence expired (ref {what})"))
    script = [each for n in range(30) for each in (call("export", what=f"r{n}"), say(f"No {n}."))]
    clerk = Agent("clerk", model=ScriptedModel(script), tools=[export])
    boss = Agent(
        "boss", model=ScriptedModel([call("ask_clerk", task=f"Export report {n}") for n in range(30)])
    )

    run = play(Team("desk", boss, specialists=[clerk]), guards=[Loops()])

    assert stopped(run) == "failures"
    assert len(world.made) == 15


def test_a_round_with_a_write_comes_again_though_other_calls_stand_between() -> None:
    world = World()
    look = world.tool("look", lambda what: "same")
    save = world.tool("save", lambda what: "saved", effect=True)
    other = world.tool("other", counting("something"))
    script = [
        each
        for n in range(30)
        for each in (call("look", what="a"), call("other", what=str(n)), call("save"), call("look", what="b"))
    ]

    run = one_agent([look, save, other], script, Loops(writes=99))

    assert stopped(run) == "rounds"
    assert len(world.made) == 4 * 9
    assert set(advised(run)) == {"rounds"}


def test_work_on_a_list_may_look_at_the_same_for_each_item() -> None:
    world = World()
    look = world.tool("look", lambda what: "same")
    done = world.tool("done", counting("done"), effect=True)
    script = [
        each
        for n in range(12)
        for each in (call("look", what="rules"), call("look", what="rates"), call("done", what=str(n)))
    ]

    run = one_agent([look, done], script)

    assert stopped(run) is None


def test_one_look_between_new_calls_is_no_round() -> None:
    world = World()
    look = world.tool("look", lambda what: "same")
    other = world.tool("other", counting("something"))
    script = [each for n in range(18) for each in (call("look"), call("other", what=str(n)))]

    run = one_agent([look, other], script)

    assert stopped(run) is None


@pytest.mark.parametrize(
    "text", ["row\n" * 20_000 + "2026-01-01T10:00:{n:02}Z", '{{"rows": "' + "r" * 80_000 + '", "took": {n}}}']
)
def test_a_result_that_is_cut_for_the_context_is_compared_as_a_whole(text: str) -> None:
    world, numbers = World(), iter(range(60))
    read = world.tool("read", lambda what: text.format(n=next(numbers)))

    run = one_agent([read], [call("read")] * 20)

    assert len(world.made) == 4
    assert stopped(run) == "no_news"
