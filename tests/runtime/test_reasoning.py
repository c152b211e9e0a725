"""What a model's server wants back is recorded beside the message, goes back to it, and meets nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from guards.verdicts import Says
from seawall import ALLOW, Agent, Guard, Outcome, Replace, Run, Seawall, Team, tool
from seawall.cli import app
from seawall.core.events import StepDone, StepIntended
from seawall.core.redact import Redactor
from seawall.models.protocol import Assistant, Finish, ModelReply, Reasoning, ToolCall, Usage
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import Verdict
from seawall.team.context import bound_tokens, encode_reasoning, read_message
from seawall.testing import ScriptedModel, call, hang, say

SECRET = "ghp_" + "a1B2" * 9
THOUGHT = "Order-77441 is what I think of \N{GREEK SMALL LETTER ALPHA} and c:\\path."


def reason(text: str = THOUGHT) -> Reasoning:
    rows = [["thought", text, None, "c2lnbmF0dXJl+/==", None], ["call", "c", None, None, None]]
    return Reasoning("anthropic:m", json.dumps(rows))


def think(text: str = THOUGHT, finish: Finish = "tool_calls", content: str | None = None) -> ModelReply:
    message = Assistant(content, (ToolCall("c", "look", "{}"),), reason(text))
    return ModelReply(message=message, usage=Usage(9, 9), finish=finish)


@tool
async def look() -> str:
    """Looks."""
    return "seen"


def clerk(model: ScriptedModel, **options: Any) -> Team:
    return Team(Agent("clerk", model=model, tools=[look], **options))


async def over(run: Run) -> Outcome:
    async with asyncio.timeout(60):
        return await run.outcome()


def reasoning_of(model: ScriptedModel, request: int = -1) -> list[Reasoning | None]:
    return [one.reasoning for one in model.requests[request].messages if isinstance(one, Assistant)]


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def test_reasoning_comes_back_with_the_next_request_of_the_run_and_of_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        model, other = ScriptedModel([think(), say("There."), say("Yes.")]), ScriptedModel([say("Sure.")])
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            for request in ("Where?", "Sure?"):
                await over(await sea.start(clerk(model), request, session="s"))
        async with Seawall(tmp_path / "j.db", environment={}) as sea:  # another process
            await over(await sea.start(clerk(other), "Really?", session="s"))
        assert reasoning_of(model, 1) == [reason()]
        assert reasoning_of(model, 2) == [reason(), None]
        assert reasoning_of(other) == [reason(), None, None]

    asyncio.run(main())


def test_reasoning_comes_back_in_a_run_that_is_taken_up_again(tmp_path: Path) -> None:
    async def main() -> None:
        before, after = ScriptedModel([think(), hang()]), ScriptedModel([say("There.")])
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            run = await sea.start(clerk(before), "Where?")
            while before.request_count < 2:
                await asyncio.sleep(0)
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            outcome = await over(await sea.resume(run.id, clerk(after)))
        assert (outcome.status, outcome.answer) == ("completed", "There.")
        assert reasoning_of(after) == [reason()]

    asyncio.run(main())


def test_a_secret_in_reasoning_goes_back_while_the_run_lasts_and_is_never_stored(tmp_path: Path) -> None:
    """A signature covers every byte: with a hole in it, it would be refused."""
    hidden = think(f"The key is {SECRET}.")

    async def main() -> None:
        model, again = ScriptedModel([hidden, say("There."), say("Yes.")]), ScriptedModel([say("Sure.")])
        stopped, resumed = ScriptedModel([hidden, hang()]), ScriptedModel([say("There.")])
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            await over(await sea.start(clerk(model), "Where?", session="s"))
            await over(await sea.start(clerk(model), "Sure?", session="s"))
            run = await sea.start(clerk(stopped), "And this?")
            while stopped.request_count < 2:
                await asyncio.sleep(0)
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            await over(await sea.start(clerk(again), "Really?", session="s"))
            await over(await sea.resume(run.id, clerk(resumed)))
        assert reasoning_of(model, 1) == [hidden.message.reasoning]
        assert reasoning_of(model, 2) == [None, None]
        assert reasoning_of(again) == [None, None, None]
        assert reasoning_of(resumed) == [None]

    asyncio.run(main())
    data = written(tmp_path)
    assert SECRET.encode() not in data
    assert b"The key is [redacted]" in data


def test_no_command_shows_reasoning(tmp_path: Path) -> None:
    async def main() -> tuple[str, list[str]]:
        async with Seawall(tmp_path / "j.db", environment={}) as sea:
            run = await sea.start(clerk(ScriptedModel([think(), say("There.")])), "Where?")
            outcome = await over(run)
            events = await sea.journal.events(run.id)
            done = [event for event in events if isinstance(event, StepDone)]
            assert "77441" not in repr(outcome) + str([await run.body(one.output) for one in done])
            assert [one.reasoning is not None for one in done] == [True, False, False]
        return run.id, ["show", "why", "replay"]

    run, commands = asyncio.run(main())
    for command in commands:
        for more in ([], ["--json"], ["--full"]):
            said = CliRunner().invoke(app, [command, run, "--journal", str(tmp_path / "j.db"), *more])
            assert "77441" not in said.output
            assert said.exit_code in (0, 1, 2), said.output
    shown = CliRunner().invoke(app, ["show", run, "--journal", str(tmp_path / "j.db"), "--json"])
    assert json.loads(shown.output)["steps"][0]["status"] == "ok"
    assert CliRunner().invoke(app, ["verify", "--journal", str(tmp_path / "j.db")]).exit_code == 0


def test_reasoning_counts_as_tokens_of_the_context() -> None:
    message = think().message
    bare = msgspec.structs.replace(message, reasoning=None)
    assert message.reasoning is not None
    assert bound_tokens(message) - bound_tokens(bare) == len(message.reasoning.parts)

    async def reserve(reply: ModelReply) -> int:
        async with Seawall(environment={}) as sea:
            run = await sea.start(clerk(ScriptedModel([reply, say("There.")])), "Where?")
            await over(run)
            events = await sea.journal.events(run.id)
        return [event.tokens for event in events if isinstance(event, StepIntended)][-1]

    uncounted = msgspec.structs.replace(think(), usage=Usage())
    without = msgspec.structs.replace(uncounted, message=bare)
    assert asyncio.run(reserve(uncounted)) - asyncio.run(reserve(without)) == len(message.reasoning.parts)


def test_another_agent_meets_none_of_it() -> None:
    async def main() -> None:
        boss = ScriptedModel([call("ask_clerk", task="Look."), say("Order-77441 it is.")])
        helper = ScriptedModel([think(), say("There.")])
        team = Team(Agent("boss", model=boss), specialists=[Agent("clerk", model=helper, tools=[look])])
        async with Seawall(environment={}) as sea:
            await over(await sea.start(team, "Where?"))
        assert "77441" not in str(boss.requests)
        assert reasoning_of(helper) == [reason()]

    asyncio.run(main())


def test_a_reply_that_was_cut_is_recorded_without_its_reasoning() -> None:
    async def main() -> None:
        cut = ModelReply(message=Assistant("It w", (), reason()), usage=Usage(9, 9), finish="length")
        model = ScriptedModel([cut, say("There.")])
        async with Seawall(environment={}) as sea:
            await over(await sea.start(clerk(model), "Where?"))
        assert reasoning_of(model) == [None]

    asyncio.run(main())


def test_a_reply_that_is_no_more_than_thoughts_is_told_to_be_empty() -> None:
    async def main() -> None:
        bare = ModelReply(message=Assistant(None, (), reason()), usage=Usage(9, 9))
        model = ScriptedModel([bare, say("There.")])
        async with Seawall(environment={}) as sea:
            assert (await over(await sea.start(clerk(model), "Where?"))).answer == "There."
        assert reasoning_of(model) == [None]

    asyncio.run(main())


def test_guards_and_memories_meet_none_of_it() -> None:
    met: list[str] = []

    class Reads(Guard):
        name = "reads"

        def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
            met.append(f"{step} {result} {run}")
            return ALLOW

    async def main() -> None:
        async with Seawall(environment={}, guards=[Reads()]) as sea:
            model = ScriptedModel([think(), say("There.")])
            await over(await sea.start(clerk(model), "Where?"))
            assert reasoning_of(model) == [reason()]

    asyncio.run(main())
    assert len(met) == 3
    assert "77441" not in str(met)


def test_what_a_guard_says_in_a_models_place_has_no_reasoning() -> None:
    async def main() -> None:
        guard = Says(Replace("answered", "Not now."), stage="after", of="model")
        async with Seawall(environment={}, guards=[guard]) as sea:
            run = await sea.start(clerk(ScriptedModel([think(), say("There.")])), "Where?")
            await over(run)
            done = [one for one in await sea.journal.events(run.id) if isinstance(one, StepDone)]
        assert done[0].reasoning is None

    asyncio.run(main())


def test_an_erased_or_damaged_body_of_reasoning_is_left_out() -> None:
    bodies = Bodies(Redactor())
    said = bodies.put('{"role":"assistant","content":"hi"}')
    kept = MessageRef("assistant", said, reasoning=bodies.put_opaque("r", encode_reasoning(reason())))
    assert read_message(kept, bodies, "r") == Assistant("hi", (), reason())
    for text in ("", "[erased]", "[]", "[1,2]", '["a"]', '["sealed","x","y"]', '["sealed",1]'):
        broken = MessageRef("assistant", said, reasoning=bodies.put(text))
        assert read_message(broken, bodies, "r") == Assistant("hi"), text
    gone = msgspec.json.decode(
        msgspec.json.encode(kept).replace(str(kept.reasoning)[:8].encode(), b"00000000"), type=MessageRef
    )
    assert read_message(gone, bodies, "r") == Assistant("hi")


def test_a_message_that_an_earlier_version_recorded_is_read() -> None:
    assert msgspec.json.decode(b'["assistant","ab",3]', type=MessageRef) == MessageRef("assistant", "ab", 3)  # pyright: ignore[reportArgumentType] -- a reference is a text
