"""The guard `loops`: answers that stay the same whatever is asked, and calls from which nothing came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from guards.loop_world import World, advised, one_agent, stopped
from seawall import Loops, Tool
from seawall.testing import call

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "hazel",
    "inlet",
    "jetty",
    "kelp",
    "larch",
    "maple",
    "north",
    "olive",
]


def reworded(times: int) -> list[str]:
    """Questions in which the same few words stand, each once."""
    rest = itertools.permutations(("how", "to", "reset", "the", "router"))
    return [" ".join(each) for each in itertools.islice(rest, times)]


def paged(world: World, answer: Callable[[int], str]) -> Tool:
    """A tool that shows one page at a time."""

    async def function(page: int) -> str:
        world.made.append(("pages", str(page)))
        return answer(page)

    return Tool(function, name="pages", description="d")


def read_pages(times: int) -> list[Any]:
    return [call("pages", page=number) for number in range(times)]


def make_errors() -> Iterator[Exception]:
    """Errors of which no two in a row begin alike."""
    return (RuntimeError(f"{one} {other}") for other, one in itertools.product(WORDS, WORDS))


def searching(world: World, answer: str = "no results") -> Tool:
    return world.tool("search", lambda what: answer)


def test_a_search_whose_words_are_put_into_another_order_is_stopped() -> None:
    world = World()

    run = one_agent([searching(world)], [call("search", what=each) for each in reworded(40)])

    assert stopped(run) == "reworded"
    assert len(world.made) == 1 + 10
    assert advised(run) == ["reworded"] * 6


def test_the_same_with_news_from_another_tool_in_between_goes_on_half_as_long_again() -> None:
    world = World()
    read = world.tool("read", lambda what: f"text of {len(world.made)}")
    script = [each for text in reworded(40) for each in (call("search", what=text), call("read", what="a"))]

    run = one_agent([searching(world), read], script)

    assert stopped(run) == "reworded"
    assert [name for name, _ in world.made].count("search") == 1 + 15


def test_a_search_is_reworded_also_if_its_result_repeats_the_question() -> None:
    world = World()
    search = world.tool("search", lambda what: f"nothing found for '{what}'")

    run = one_agent([search], [call("search", what=each) for each in reworded(40)])

    assert stopped(run) == "reworded"


def test_names_that_nobody_knows_are_looked_up_one_after_the_other() -> None:
    world = World()
    script = [call("search", what=f"address of {one} {other}") for one, other in itertools.pairwise(WORDS)]
    script += [call("search", what=f"address of number {number}") for number in range(20)]

    run = one_agent([searching(world)], script)

    assert stopped(run) is None
    assert advised(run) == []


def test_a_limit_that_is_raised_brings_no_word() -> None:
    world = World()

    async def rows(customer: str, limit: int) -> str:
        world.made.append(("rows", customer))
        return "[1, 2, 3]"

    tool = Tool(rows, name="rows", description="d")
    script = [call("rows", customer="C-4", limit=10 * number) for number in range(1, 40)]

    run = one_agent([tool], script)

    assert stopped(run) == "reworded"
    assert len(world.made) == 1 + 10


def test_another_answer_ends_the_row() -> None:
    world = World()
    search = world.tool("search", lambda what: "one hit" if len(world.made) % 9 == 0 else "no results")

    run = one_agent([search], [call("search", what=each) for each in reworded(60)])

    assert stopped(run) is None


@pytest.mark.parametrize("kinds", [1, 2, 3, 4])
def test_a_server_that_begins_its_pages_anew_is_stopped(kinds: int) -> None:
    world = World()

    run = one_agent([paged(world, lambda page: WORDS[page % kinds])], read_pages(35))

    assert stopped(run) == "reworded"
    assert len(world.made) == 20 + kinds


def test_a_fifth_page_that_comes_again_is_none_of_the_newest_answers() -> None:
    world = World()

    run = one_agent([paged(world, lambda page: WORDS[page % 5])], read_pages(35))

    assert stopped(run) is None


def test_empty_parts_of_one_thing_are_twice_as_many_as_questions_in_other_words() -> None:
    world = World()

    run = one_agent([paged(world, lambda page: "nothing" if page < 20 else "data")], read_pages(21))

    assert stopped(run) is None


def test_texts_that_get_one_of_two_labels_are_no_questions_in_other_words() -> None:
    world = World()
    label = world.tool("label", lambda what: ("good", "bad", "bad")[len(world.made) % 3])

    run = one_agent([label], [call("label", what=f"{word} and {word}s") for word in WORDS])

    assert stopped(run) is None


def test_a_write_ends_the_row() -> None:
    world = World()
    note = world.tool("note", lambda what: f"entry {len(world.made)}", effect=True)
    script: list[object] = [call("search", what=each) for each in reworded(30)]
    for place in (8, 17, 26):
        script.insert(place, call("note", what=WORDS[place // 8]))

    run = one_agent([searching(world), note], script)

    assert stopped(run) is None


def test_how_many_questions_of_one_tool_may_have_one_answer_is_bounded() -> None:
    world = World()
    lint = world.tool("lint", lambda what: "clean")
    script = [call("lint", what=f"file-{number}") for number in range(36)]

    assert stopped(one_agent([lint], script)) is None
    world.made.clear()
    run = one_agent([lint], script, Loops(same_answer=20))

    assert stopped(run) == "same_answer"
    assert len(world.made) == 1 + 20


def test_a_thought_between_two_equal_reads_is_no_news() -> None:
    world = World()
    think, read = world.tool("think", lambda what: "noted"), world.tool("read", lambda what: "text")
    script = [
        each
        for number in range(30)
        for each in (
            call("think", what=f"{WORDS[number % 15]} or {WORDS[number % 14]}"),
            call("read", what="a"),
        )
    ]

    run = one_agent([think, read], script)

    assert stopped(run) == "alike"
    assert [name for name, _ in world.made].count("read") == 1 + 16


@pytest.mark.parametrize("tools", [1, 3])
def test_calls_that_fail_each_in_another_way_are_stopped(tools: int) -> None:
    world = World()
    texts = make_errors()
    broken = [world.tool(f"broken_{number}", lambda what: next(texts)) for number in range(tools)]
    script = [call(f"broken_{number % tools}", what=WORDS[number % 15]) for number in range(60)]

    run = one_agent(broken, script)

    assert stopped(run) == "fruitless"
    assert len(world.made) == 24


def test_known_reads_between_them_are_no_help_and_news_is() -> None:
    world = World()
    texts = make_errors()
    broken = world.tool("broken", lambda what: next(texts))
    known, new = world.tool("known", lambda what: "a"), world.tool("new", lambda what: f"{len(world.made)}")

    stuck = one_agent([broken, known], [call("known"), *[call("broken"), call("broken"), call("known")] * 20])
    made = len(world.made)
    works = one_agent([broken, new], [*[call("broken"), call("broken"), call("new")] * 20])

    assert stopped(stuck) == "fruitless"
    assert made == 1 + 24 + 1, "what is known already counts from the third time on"
    assert stopped(works) is None


@pytest.mark.parametrize(
    "answer",
    [
        '{{"title": "a", "views": {n}}}',
        '{{"state": "open", "x-ratelimit-remaining": {n}}}',
        '{{"state": "bad", "uptime_s": {n}}}',
        "opened {n} minutes ago",
        "running for {n} min",
        '{{"hits": [{{"text": "a", "score": 0.8{n}}}]}}',
    ],
)
def test_what_grows_by_itself_may_be_noise(answer: str) -> None:
    world = World()
    look = world.tool("look", lambda what: answer.format(n=100 + len(world.made)))

    run = one_agent([look], [call("look")] * 30)

    assert stopped(run) == "alike"
    assert len(world.made) == 17


def test_rows_in_any_order_may_be_the_same() -> None:
    world, orders = World(), itertools.permutations(WORDS[:6])
    rows = world.tool("rows", lambda what: "\n".join(next(orders)))

    run = one_agent([rows], [call("rows")] * 30)

    assert stopped(run) == "alike"


def test_a_measurement_is_what_was_asked_for() -> None:
    world = World()
    ping = world.tool("ping", lambda what: f"{len(world.made)}.5 ms")
    load = world.tool("load", lambda what: f'{{"latency_ms": {len(world.made)}}}')

    run = one_agent([ping, load], [*[call("ping")] * 12, *[call("load")] * 12])

    assert stopped(run) is None


@pytest.mark.parametrize("answer", ["still running", '{"status": "pending"}'])
def test_an_answer_that_says_that_it_is_not_ready_may_come_more_often(answer: str | Exception) -> None:
    world = World()
    look = world.tool("look", lambda what: answer if len(world.made) < 8 else "done")

    works = one_agent([look], [call("look")] * 8)
    world.made.clear()
    stuck = one_agent([world.tool("stuck", lambda what: answer)], [call("stuck")] * 20)

    assert stopped(works) is None
    assert stopped(stuck) == "unfinished"
    assert len(world.made) == 1 + 16
