"""A limit of a framework's run is raised on record; its own loop goes on once it asks for the same request again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seawall
from runtime.foreign.scripted_loop import ScriptedLoop
from seawall import Limits, Misused, Outcome
from seawall.core.events import LimitsRaised, RunStarted
from seawall.runtime.foreign.asks import Halted
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.own_loop import BY_REQUEST, explain_own_loop

ADAPTERS = Path(seawall.__file__).parent / "adapters"
REPLIES = [[(f"c{page}", "look", {"page": page})] for page in range(4)]


class Shelf:
    """The outside world: counts what was looked at, and what was sent."""

    def __init__(self) -> None:
        self.looked: list[int] = []

    def look(self, page: int) -> str:
        self.looked.append(page)
        return f"page {page} is about {page * 7}"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "desk.db", effects=["look"]) as engine:
        yield engine


def ask(engine: Engine, shelf: Shelf, **options: Any) -> tuple[Outcome[Any], ScriptedLoop]:
    """One invocation of the application."""
    loop = ScriptedLoop([*REPLIES, "Seen."], {"look": shelf.look})
    with engine.begin(
        "Look", loop="own", request_id="q-1", limits=Limits(tool_calls=2), **options
    ) as session:
        return session.end_sync(loop.run_sync(session, "Look")), loop


def halt(engine: Engine, shelf: Shelf) -> str:
    with pytest.raises(Halted) as halted:
        ask(engine, shelf)
    return halted.value.outcome.run


def raise_limits(engine: Engine, run: str, limits: Limits) -> None:
    team = engine.make_team("own")
    engine.call(lambda sea: sea.resume(run, team, limits=limits, by="ann", reason="two more pages"))


def test_the_next_ask_with_the_same_request_goes_on(engine: Engine) -> None:
    shelf = Shelf()
    run = halt(engine, shelf)
    with pytest.raises(Halted):  # as long as nobody has raised it
        ask(engine, shelf)
    raise_limits(engine, run, Limits(tool_calls=4))
    outcome, loop = ask(engine, shelf)

    assert (outcome.run, outcome.status, outcome.answer) == (run, "completed", "Seen.")
    assert shelf.looked == [0, 1, 2, 3], "what is recorded is given again, and not made again"
    assert [settled.replayed for settled in loop.settled] == [True] * 5 + [False] * 4
    raised = [
        each for each in engine.call(lambda sea: sea.journal.events(run)) if isinstance(each, LimitsRaised)
    ]
    assert [(each.by, each.reason, each.limits.tool_calls) for each in raised] == [
        ("ann", "two more pages", 4)
    ]
    assert engine.call(lambda sea: sea.replay(run)).differences == ()


def test_another_process_may_raise_it(engine: Engine, tmp_path: Path) -> None:
    shelf = Shelf()
    run = halt(engine, shelf)
    with Engine(tmp_path / "desk.db") as other:
        raise_limits(other, run, Limits(tool_calls=4))
    assert ask(engine, shelf)[0].status == "completed"
    assert shelf.looked == [0, 1, 2, 3]


def test_it_is_halted_again_at_the_raised_limit(engine: Engine) -> None:
    shelf = Shelf()
    run = halt(engine, shelf)
    raise_limits(engine, run, Limits(tool_calls=3))
    assert halt(engine, shelf) == run
    raise_limits(engine, run, Limits(tool_calls=4))
    assert ask(engine, shelf)[0].status == "completed"
    assert shelf.looked == [0, 1, 2, 3]


def test_what_can_not_be_raised_is_said(engine: Engine) -> None:
    run = halt(engine, Shelf())
    with pytest.raises(Misused, match=r"tool_calls is 1, and run .* has spent 2"):
        raise_limits(engine, run, Limits(tool_calls=1))
    raise_limits(engine, run, Limits(tool_calls=4))
    with pytest.raises(Misused, match=r"the loop of own, which alone goes on with it.*request_id='q-1'"):
        engine.call(lambda sea: sea.resume(run, engine.make_team("other")))
    with pytest.raises(Misused, match=r"has not ended.*the loop of own"):
        raise_limits(engine, run, Limits(tool_calls=5))


def started(**fields: Any) -> RunStarted:
    known = {
        "run": "r-1",
        "team": "t",
        "team_version": "",
        "agent": "a",
        "intent": "",
        "limits": Limits(),
        "guards": {},
    }
    return RunStarted(**{"at": 1.0, **known, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loop": "langchain", "request_id": "q-1"}, ["[\"seawall_request_id\"] = 'q-1'"]),
        (
            {"loop": "langgraph", "request_id": "q-1", "session": "s-7"},
            ["'q-1'", '{"configurable": {"thread_id": \'s-7\'}}', "Command(resume=…)"],
        ),
        ({"loop": "openai-agents", "request_id": "q-1", "session": "s-7"}, ["request_id='q-1'"]),
        ({"loop": "pydantic-ai", "request_id": "q-1"}, ["metadata={\"seawall_request_id\": 'q-1'}"]),
        ({"loop": "crewai", "request_id": "q-1"}, ["crewai.gate(…, request_id='q-1')"]),
        ({"loop": "google-adk", "request_id": "q-1"}, ["custom_metadata={\"seawall_request_id\": 'q-1'}"]),
        ({"loop": "mcp", "request_id": "q-1"}, ["MCP client", "'q-1'"]),
        ({"loop": "own", "request_id": "q-1"}, ["loop='own', request_id='q-1'"]),
        ({"loop": "own", "session": "s-7"}, ["session='s-7'", "resume=True"]),
        ({"loop": "own"}, ["neither a request id nor a session", "seawall cancel r-1"]),
    ],
)
def test_how_a_loop_goes_on_is_said_for_each_framework(fields: dict[str, Any], words: list[str]) -> None:
    told = explain_own_loop(started(**fields))
    assert [word for word in words if word not in told] == [], told


def test_each_adapters_loop_is_known() -> None:
    """Adapters are read and not imported, because some of their frameworks can't be installed beside each other."""
    texts = [path.read_text(encoding="utf-8") for path in ADAPTERS.rglob("*.py")]
    loops = {
        name for text in texts for name in re.findall(r'(?:^LOOP = |\bloop=)"([\w-]+)"', text, re.MULTILINE)
    }
    assert {"langgraph", "mcp"} <= loops
    assert loops - set(BY_REQUEST) == set()
