"""What is performed is what the model wrote; what is stored and shown has no secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from guards.verdicts import Says
from seawall import Agent, Hold, Run, Seawall, Team, Tool, Waiting
from seawall.models.protocol import Assistant, ToolCall
from seawall.models.scripted import calls
from seawall.run.originals import MAX_CHARS, Originals
from seawall.testing import ScriptedModel, call, say
from team.play import sent

SECRET = "ghp_" + "a1B2" * 9
OTHER = "ghp_" + "c3D4" * 9
HOLDS = Says(Hold("ask"))


def taking(done: list[str], *, effect: bool = True, name: str = "send") -> Tool:
    async def function(key: str) -> str:
        done.append(key)
        return "sent"

    return Tool(function, name=name, description="d", effect=effect)


def team_of(done: list[str], *script: Any, effect: bool = True) -> tuple[Team, ScriptedModel]:
    model = ScriptedModel(list(script))
    return Team(Agent("clerk", model=model, tools=[taking(done, effect=effect)])), model


async def over(run: Run) -> Any:
    async with asyncio.timeout(60):
        return await run.outcome()


async def rest(run: Run) -> Any:
    async with asyncio.timeout(60):
        return await run.rest()


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


@pytest.mark.parametrize("effect", [True, False])
@pytest.mark.parametrize(
    "value", [SECRET, f"a {SECRET} b", "-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"]
)
def test_a_tool_gets_what_the_model_wrote_and_the_journal_does_not(
    tmp_path: Path, value: str, effect: bool
) -> None:
    async def main() -> None:
        done: list[str] = []
        team, model = team_of(done, call("send", key=value), say("Done."), effect=effect)
        async with Seawall(tmp_path / "desk.db") as sea:
            outcome = await over(await sea.start(team, "go"))
        assert outcome.status == "completed"
        assert done == [value]
        assert value not in str(model.requests[-1].messages) or value == "[redacted]"
        assert SECRET.encode() not in written(tmp_path)

    asyncio.run(main())


def test_a_key_in_escapes_is_performed_and_not_stored(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        escaped = '{"key": "\\u0067hp_' + SECRET[4:] + '"}'
        team, _ = team_of(done, Assistant(None, (ToolCall("c", "send", escaped),)), say("Done."))
        async with Seawall(tmp_path / "desk.db") as sea:
            await over(await sea.start(team, "go"))
        assert done == [SECRET]
        assert SECRET[4:].encode() not in written(tmp_path)

    asyncio.run(main())


def test_calls_that_differ_in_their_secrets_only_are_different_calls(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        keys = [f"ghp_{number:036d}" for number in range(8)]
        script = [calls(*[call("send", key=key) for key in keys[:4]])]
        script += [call("send", key=key) for key in keys[4:]]
        team, _ = team_of(done, *script, say("Done."), effect=False)
        async with Seawall(tmp_path / "desk.db") as sea:
            outcome = await over(await sea.start(team, "go"))
        assert outcome.status == "completed"  # the loop guard saw eight questions, not one
        assert sorted(done) == keys

    asyncio.run(main())


def test_what_a_person_approves_is_performed_as_it_was_written(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        team, _ = team_of(done, call("send", key=SECRET), say("Done."))
        async with Seawall(tmp_path / "desk.db", guards=[HOLDS]) as sea:
            run = await sea.start(team, "go")
            waiting = await rest(run)
            assert isinstance(waiting, Waiting)
            assert waiting.arguments == '{"key":"[redacted]"}'
            assert waiting.reason == "ask; the arguments are shown without their secrets"
            await sea.decide(run.id, waiting.step, approve=True, by="u")
            assert (await over(run)).status == "completed"
        assert done == [SECRET]

    asyncio.run(main())


async def hold_then_restart(path: Path, team: Team, then: Callable[[Seawall, str, Waiting], Any]) -> Any:
    """A run that is held with a secret in its arguments, approved, and taken up by another process."""
    async with Seawall(path, guards=[HOLDS]) as sea:
        run = await sea.start(team, "go")
        waiting = await rest(run)
        assert isinstance(waiting, Waiting)
    async with Seawall(path, guards=[HOLDS]) as sea:
        await sea.decide(run.id, waiting.step, approve=True, by="u")
        resumed = await sea.resume(run.id, team)
        again = await rest(resumed)
        assert isinstance(again, Waiting)
        await then(sea, run.id, again)
        return await over(resumed)


@pytest.mark.parametrize("approve", [True, False])
def test_after_a_restart_a_call_with_a_gap_is_held_and_never_performed(tmp_path: Path, approve: bool) -> None:
    async def then(sea: Seawall, run: str, waiting: Waiting) -> None:
        assert waiting.kind == "hold"
        assert "held a secret, which is not stored" in waiting.reason
        await sea.decide(run, waiting.step, approve=approve, by="u")

    done: list[str] = []
    team, model = team_of(done, call("send", key=SECRET), say("Done."))
    outcome = asyncio.run(hold_then_restart(tmp_path / "desk.db", team, then))
    assert done == []
    assert outcome.status == "completed"
    assert ("Write the call again" in sent(model)[-1]) is approve


def test_after_a_restart_a_mark_that_the_model_wrote_itself_is_performed(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        team, _ = team_of(done, call("send", key="[redacted]"), say("Done."))
        async with Seawall(tmp_path / "desk.db", guards=[HOLDS]) as sea:
            run = await sea.start(team, "go")
            waiting = await rest(run)
        async with Seawall(tmp_path / "desk.db", guards=[HOLDS]) as sea:
            await sea.decide(run.id, waiting.step, approve=True, by="u")
            assert (await over(await sea.resume(run.id, team))).status == "completed"
        assert done == ["[redacted]"]

    asyncio.run(main())


def test_what_does_not_validate_is_explained_without_a_part_of_a_secret(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        team, model = team_of(done, call("send", key=["x" * 180 + " " + SECRET]), say("Done."))
        async with Seawall(tmp_path / "desk.db") as sea:
            await over(await sea.start(team, "go"))
        assert done == []
        assert "got ['xxx" in sent(model)[-1]
        assert SECRET[:12].encode() not in written(tmp_path)

    asyncio.run(main())


class Made(BaseModel):
    key: str = Field(pattern=r"^ghp_[A-Za-z0-9]{36}$")


def test_a_structured_answer_is_validated_as_it_was_written(tmp_path: Path) -> None:
    async def main() -> None:
        model = ScriptedModel([call("final_answer", key=SECRET)])
        team = Team(Agent("clerk", model=model, output=Made))
        async with Seawall(tmp_path / "desk.db") as sea:
            outcome = await over(await sea.start(team, "go"))
        assert outcome.error is None
        assert outcome.answer == '{"key":"[redacted]"}'
        assert SECRET.encode() not in written(tmp_path)

    asyncio.run(main())


def test_a_replay_names_no_difference_where_arguments_are_not_stored(tmp_path: Path) -> None:
    async def main() -> None:
        done: list[str] = []
        team, _ = team_of(done, call("send", key=SECRET), say("Done."))
        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(team, "go")
            await over(run)
        async with Seawall(tmp_path / "desk.db") as sea:
            assert (await sea.replay(run.id, team)).differences == ()
        assert done == [SECRET]

    asyncio.run(main())


@pytest.mark.parametrize("effect", [True, False])
def test_a_fork_before_a_call_with_a_secret_simulates_or_holds_it(tmp_path: Path, effect: bool) -> None:
    async def main() -> None:
        done: list[str] = []
        team, model = team_of(done, call("send", key=SECRET), say("Done."), say("Done."), effect=effect)
        async with Seawall(tmp_path / "desk.db") as sea:
            run = await sea.start(team, "go")
            await over(run)
        assert done == [SECRET]
        async with Seawall(tmp_path / "desk.db") as sea:
            waiting = await rest(await sea.fork(run.id, team, at=1))
        assert done == [SECRET]
        if effect:
            assert "simulated" in sent(model)[-1]
        else:
            assert "held a secret, which is not stored" in waiting.reason

    asyncio.run(main())


def test_originals_are_bounded_and_go_with_their_run() -> None:
    originals = Originals(b"key")
    first = originals.keep("r1", "a secret", originals.seal("a secret"))
    assert originals.find("r1", first) == "a secret"
    assert originals.find("r2", first) is None
    second = originals.keep("r2", "b" * MAX_CHARS, originals.seal("b" * MAX_CHARS))
    assert originals.find("r1", first) is None
    assert originals.find("r2", second) is not None
    originals.forget("r2")
    assert originals.find("r2", second) is None


def test_a_seal_says_nothing_without_the_key() -> None:
    assert Originals(b"one").seal("a secret") != Originals(b"two").seal("a secret")
    assert Originals(b"one").seal("a secret") == Originals(b"one").seal("a secret")
