"""`seawall breakers`: what a person sees of the endpoints, and sets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cli.desks import Desks
from seawall import Agent, Broken, Seawall, tool
from seawall.testing import ScriptedModel, call, say


def runs(path: Path, count: int, *, up: bool = False) -> list[str]:
    """As many runs that call the bank; what became of each call, as the agent was told."""
    told: list[str] = []

    @tool(endpoint="bank")
    async def balance(account: str) -> str:
        """Look up a balance."""
        if not up:
            raise Broken("the bank is down")
        return "10 EUR"

    def answer(request: Any) -> Any:
        last = request.messages[-1]
        if last.role == "user":
            return call("balance", account="a")
        told.append(str(last.content))
        return say("done")

    async def work() -> None:
        model = ScriptedModel(answer, name="gpt")
        async with Seawall(path, environment={}) as sea:
            for _ in range(count):
                run = await sea.start(Agent("desk", model=model, tools=[balance]), "go")
                async with asyncio.timeout(60):
                    await run.outcome()

    asyncio.run(work())
    return told


def rows(desks: Desks, *arguments: str) -> dict[str, dict[str, Any]]:
    return {row["endpoint"]: row for row in desks("breakers", *arguments, "--json").document["breakers"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seawall.db"


def test_a_journal_on_which_nothing_was_called_says_so(desks: Desks, path: Path) -> None:
    runs(path, 0)
    done = desks("breakers")

    assert (done.exit_code, done.out) == (0, "")
    assert "has called a tool or a model yet" in done.err


def test_every_endpoint_is_listed_with_its_calls_and_why_it_is_open(desks: Desks, path: Path) -> None:
    runs(path, 10)
    listed = rows(desks)
    bank = listed["tool:bank"]

    assert listed["model:gpt"]["state"] == "closed"
    assert (listed["model:gpt"]["calls"], listed["model:gpt"]["failed"]) == (20, 0)
    assert (bank["state"], bank["cause"], bank["calls"], bank["failed"]) == ("open", "failed", 10, 10)
    assert 0 <= bank["next_probe_s"] <= 2.0
    lines = desks("breakers").out.splitlines()
    assert " ".join(lines[0].split()) == "ENDPOINT STATE SINCE CALLS FAILED SLOW IN FLIGHT NEXT PROBE"
    assert lines[2].split()[:2] == ["tool:bank", "open"]
    assert lines[3] == "  └ opened because too many calls failed"


def test_an_isolated_endpoint_is_not_called_until_a_person_lifts_it(desks: Desks, path: Path) -> None:
    assert runs(path, 1, up=True) == ["10 EUR"]
    done = desks("breakers", "--isolate", "tool:bank", "--for", "30m", "--by", "kim", "--why", "they migrate")
    assert done.exit_code == 0
    assert done.out.splitlines()[1].split()[:2] == ["tool:bank", "isolated"]
    note = done.out.splitlines()[2]
    assert note.startswith("  └ kept isolated by kim until ") and note.endswith(" min): they migrate")

    assert "kim isolated it (they migrate)" in runs(path, 1, up=True)[0]
    desks("breakers", "--auto", "tool:bank", "--by", "kim")

    assert runs(path, 1, up=True) == ["10 EUR"]


def test_a_breaker_that_a_person_closes_begins_with_a_clean_slate(desks: Desks, path: Path) -> None:
    runs(path, 10)
    closed = rows(desks, "--close", "bank")["tool:bank"]
    assert (closed["state"], closed["set_to"], closed["calls"]) == ("closed", "closed", 0)
    assert closed["by"]

    assert len([text for text in runs(path, 15) if "the bank is down" in text]) == 15


def test_a_breaker_that_a_person_opens_recovers_by_itself(desks: Desks, path: Path) -> None:
    runs(path, 1, up=True)
    opened = rows(desks, "--open", "tool:bank", "--for", "90s", "--by", "kim")["tool:bank"]

    assert (opened["state"], opened["cause"], opened["set_to"]) == ("open", "person", None)
    assert 80.0 < opened["next_probe_s"] <= 90.0
    assert "kim opened its breaker" in runs(path, 1, up=True)[0]
    assert "└ opened by kim" in desks("breakers").out


def test_a_breaker_that_a_person_opened_goes_by_its_calls_again_on_auto(desks: Desks, path: Path) -> None:
    runs(path, 1, up=True)
    desks("breakers", "--open", "tool:bank", "--for", "1h30m")
    closed = rows(desks, "--auto", "tool:bank", "--by", "kim")["tool:bank"]

    assert (closed["state"], closed["calls"], closed["next_probe_s"]) == ("closed", 0, None)
    assert "opened its breaker" not in runs(path, 1, up=True)[0]


def test_a_breaker_that_its_calls_opened_is_left_open_by_auto(desks: Desks, path: Path) -> None:
    runs(path, 15)
    opened = rows(desks)["tool:bank"]
    assert opened["state"] != "closed"

    assert rows(desks, "--auto", "tool:bank")["tool:bank"]["state"] == opened["state"]


def test_why_a_model_was_not_called_is_told_once_in_each_place(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")
    model = next(name for name in rows(desks) if name.startswith("model:"))
    desks("breakers", "--isolate", model, "--by", "kim")
    assert desks("run", desks.app("desk"), "Where is 1042?").exit_code == 3

    def told(command: str) -> int:
        return " ".join(desks(command).out.split()).count("kim isolated it")

    assert told("why") == 1
    assert told("show") == 2  # what stopped it, and what was said of the step


def test_several_endpoints_are_set_at_once_or_none(desks: Desks, path: Path) -> None:
    runs(path, 1, up=True)
    assert desks("breakers", "--isolate", "bank", "--isolate", "shop").exit_code == 2
    assert rows(desks)["tool:bank"]["set_to"] is None

    found = rows(desks, "--isolate", "bank", "--isolate", "model:gpt", "--for", "1h30m", "--by", "kim")

    assert {name: each["set_to"] for name, each in found.items()} == {
        "tool:bank": "isolated",
        "model:gpt": "isolated",
    }
    assert "kept isolated by kim until " in desks("breakers").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--isolate", "tool:shop"), "no run has called it; there are: model:gpt, tool:bank. To set it"),
        (("--isolate", "shop"), "an endpoint is written tool:NAME or model:NAME; there are: model:gpt"),
        (("--open", "bank", "--close", "bank"), "--open and --close: set one of them at a time"),
        (("--for", "30m"), "go with --open, --close, --isolate or --auto"),
        (("--open", "bank", "--for", "soon"), "--for soon: write a number"),
        (("--auto", "bank", "--for", "3m"), "--for: --auto has no end"),
    ],
)
def test_what_can_not_be_set_is_told_with_what_can(
    desks: Desks, path: Path, arguments: tuple[str, ...], words: str
) -> None:
    runs(path, 1, up=True)
    done = desks("breakers", *arguments)

    assert (done.exit_code, done.out) == (2, "")
    assert words in done.err


def test_an_endpoint_that_was_never_called_can_be_set_on_a_word(desks: Desks, path: Path) -> None:
    runs(path, 0)
    done = desks("breakers", "--isolate", "tool:bank", "--unseen")

    assert (done.exit_code, "isolated" in done.out) == (0, True)
    assert "isolated it" in runs(path, 1, up=True)[0]
