"""A process keeps the texts of conversations in memory between their runs, up to a bound."""

from __future__ import annotations

import asyncio

import pytest

from seawall import Agent, Seawall, Team, Tool
from seawall.core.redact import Redactor
from seawall.core.refs import refs_of
from seawall.run.bodies import Bodies
from seawall.runtime import sessions as module
from seawall.runtime.sessions import Sessions
from seawall.testing import ScriptedModel, call
from team.play import sent

MB = 1024 * 1024


async def _remembered(sea: Seawall, run_id: str, sessions: Sessions) -> None:
    """Remembers a run that has ended, as the process does that drove it, with all bodies that the run had."""
    state = await sea.state(run_id)
    bodies = Bodies(Redactor(), sessions.get_bodies("", state.started.session))
    bodies.load(await sea.journal.bodies("", refs_of(await sea.journal.events(run_id))))
    sessions.remember(state, bodies)


def test_only_the_texts_of_a_conversation_are_kept_and_not_the_other_bodies_of_its_runs() -> None:
    async def main() -> None:
        async def look(what: str) -> str:
            """Look."""
            return what * MB

        script = [entry for what in "abcde" for entry in (call("look", what=what), f"Seen {what}.")]
        team = Team(
            Agent("clerk", model=ScriptedModel(script), tools=[Tool(look)], retries=0), history="answers"
        )
        sessions = Sessions()
        async with Seawall(environment={}) as sea:
            for what in "abcde":
                run = await sea.start(team, what, session="s")
                assert (await run.outcome()).answer == f"Seen {what}."
                await _remembered(sea, run.id, sessions)

        known = sessions.get_bodies("", "s")
        assert known is not None
        assert len(known) == 10, "five requests and five answers"
        assert sum(map(len, known.values())) == sessions.size_bytes < 1_000

    asyncio.run(main())


def test_the_least_recently_used_conversations_are_dropped_when_together_they_are_too_big(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        monkeypatch.setattr(module, "SESSIONS_BYTES", 900)
        team = Team(Agent("clerk", model=ScriptedModel([f"{n}" * 300 for n in range(5)])))
        sessions = Sessions()
        async with Seawall(environment={}) as sea:
            for number in range(5):
                run = await sea.start(team, "hi", session=f"s-{number}")
                await run.outcome()
                await _remembered(sea, run.id, sessions)
                assert sessions.size_bytes <= 900

        # Each has 300 bytes of answer and some of request and framing: two fit into the bound, three do not.
        assert [number for number in range(5) if sessions.get_bodies("", f"s-{number}")] == [3, 4]

    asyncio.run(main())


@pytest.mark.parametrize("bound_bytes", [0, 30, 64 * MB])
def test_a_conversation_that_is_not_in_memory_is_read_from_the_journal(
    bound_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(module, "SESSIONS_BYTES", bound_bytes)
        model = ScriptedModel(["One.", "Two.", "Three."])
        team = Team(Agent("clerk", model=model))
        async with Seawall(environment={}) as sea:
            for request in ("first", "second", "third"):
                await (await sea.start(team, request, session="s")).outcome()

        assert sent(model) == ["You are clerk.", "first", "One.", "second", "Two.", "third"]

    asyncio.run(main())
