"""The storm program: what it makes of what it saw. The storms themselves take real time, and run in `make bench`."""

from __future__ import annotations

import asyncio

import pytest
import storm

from seawall.testing.wire import ChatRequest


def met(**what: object) -> storm.Met:
    fields = {"storm": "529", "mode": "enforce", "offered": 100, "reached": 110, "ratio": 1.1, "probes": 2}
    return storm.Met(**{**fields, **what})


@pytest.mark.parametrize(
    ("what", "bars"),
    [
        ({}, []),
        ({"ratio": 1.21}, ["529: 1.21 calls for each that was offered (bar 1.2)"]),
        ({"probes": 5}, ["529: 5 probes until it had recovered (bar 4)"]),
        ({"probes": None}, ["529: None probes until it had recovered (bar 4)"]),
        ({"mode": "off", "ratio": 3.0, "probes": None}, []),
    ],
)
def test_a_bar_that_does_not_hold_is_named(what: dict[str, object], bars: list[str]) -> None:
    assert storm.broken([met(**what)]) == bars


def test_a_storm_of_errors_that_ends_costs_no_answer() -> None:
    lost = {"completed": 298, "failed": 2}

    assert storm.broken([met(outcomes=lost)]) == ["529: 2 runs without an answer (bar 0)"]
    assert (
        storm.broken([met(outcomes=lost, storm="429, spend limit"), met(outcomes={"completed": 300})]) == []
    )


def test_a_call_that_is_made_again_is_offered_once() -> None:
    server = storm.Server(storm.STORMS[0])
    messages = [{"role": "user", "content": "Are they there? (7)"}]
    request = ChatRequest(number=1, path="/", headers={}, body={"model": "m", "messages": messages})
    server.arrived = [-1.0] * storm.BEFORE

    async def ask() -> None:
        for _ in range(3):
            assert await server.answer(request) == storm.overloaded()

    asyncio.run(ask())
    found = met(offered=0, reached=0)
    storm._sum_up(found, server, [(-1.0, "closed"), (0.5, "open"), (7.0, "half_open"), (8.0, "closed")])

    assert (found.offered, found.reached, found.ratio) == (1, 3, 3.0)
    assert (found.opened_s, found.closed_s, found.probes) == (0.5, 2.0, 0)


def test_the_table_has_a_line_for_each() -> None:
    lines = storm.table([met(outcomes={"completed": 3}), met(mode="off")]).splitlines()

    assert len(lines) == 3
    assert lines[1].endswith("3 completed")
