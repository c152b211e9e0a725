"""A secret that anybody says never reaches the journal: looked for in the bytes of its files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guards.verdicts import Says
from seawall import Advise, Agent, Guard, Halt, Hold, Refuse, Replace, Run, Seawall, Team, Tool, Waiting
from seawall.core.redact import MARK
from seawall.models.protocol import Assistant, TextDelta, ToolCall
from seawall.models.scripted import calls
from seawall.testing import ScriptedModel, call, fail, say
from team.play import sent

KNOWN = "correct horse battery"
SHAPED = "sk-" + "a1B2" * 6
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEdeadbeef"
SECRETS = [KNOWN, SHAPED, KEY]


def written(folder: Path) -> bytes:
    """All bytes of all files."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


async def over(run: Run) -> Any:
    async with asyncio.timeout(60):
        return await run.outcome()


def recorded(folder: Path, team: Team, *guards: Guard, request: str = "go", **options: Any) -> bytes:
    """The journal's bytes after one run, while it is open and once it is closed."""

    async def main() -> bytes:
        async with Seawall(folder / "desk.db", guards=guards, secrets=[KNOWN], environment={}) as sea:
            run = await sea.start(team, request, **options)
            await over(run)
            return written(folder)

    return asyncio.run(main()) + written(folder)


def clean(data: bytes, secret: str) -> None:
    first, *_ = secret.splitlines()
    assert first.encode() not in data
    assert secret.splitlines()[-1].encode() not in data


def returning(value: Any, name: str = "look") -> Tool:
    async def function(what: str = "") -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    return Tool(function, name=name, description="d")


@pytest.mark.parametrize("secret", SECRETS, ids=["known", "shaped", "key"])
@pytest.mark.parametrize(
    "where",
    [
        "request",
        "text",
        "result",
        "bytes",
        "big",
        "late in a big one",
        "json",
        "exception",
        "arguments",
        "name",
        "id",
        "failure",
        "raised",
    ],
)
def test_whoever_says_it_it_is_not_written_down(tmp_path: Path, where: str, secret: str) -> None:
    request, result = "go", "fine"
    script: list[Any] = [call("look", what="x"), say("Done.")]
    match where:
        case "request":
            request = f"my key is {secret}"
        case "text":
            script = [say(f"it is {secret}")]
        case "result" | "exception" | "raised":
            result = f"it is {secret}"
        case "bytes":
            result = f"\x00\x01it is {secret}".encode()
        case "big":
            result = f"it is {secret} " * 10_000
        case "late in a big one":
            result = "x " * 995 + secret + " y" * 50_000
        case "json":
            result = {"key": secret, "more": [secret]}
        case "arguments":
            script[0] = call("look", what=f"it is {secret}")
        case "name":
            script[0] = call(secret)
        case "id":
            script[0] = Assistant(None, (ToolCall(secret, "look", "{}"),))
        case _:
            script[1] = fail("rejected", f"bad key {secret}")
    if where in ("exception", "raised"):
        result = ValueError(result) if where == "exception" else KeyError(result)
    team = Team(Agent("clerk", model=ScriptedModel(script), tools=[returning(result)]))

    data = recorded(tmp_path, team, request=request)

    clean(data, secret)
    assert MARK.encode() in data  # it was written down, without the secret


@pytest.mark.parametrize("verdict", [Advise, Replace, Refuse, Halt, Hold])
def test_a_guard_s_words_are_redacted_too(tmp_path: Path, verdict: Any) -> None:
    said = (
        verdict(f"saw {KNOWN}", KNOWN)
        if verdict in (Advise, Replace)
        else verdict(f"saw {KNOWN}", KNOWN, KNOWN)
    )
    team = Team(Agent("clerk", model=ScriptedModel([call("look"), say("Done.")]), tools=[returning("x")]))

    data = recorded(tmp_path, team, Says(said), modes={"says": "observe"})

    clean(data, KNOWN)
    assert f"saw {MARK}".encode() in data


def test_what_a_person_writes_with_a_decision_or_a_cancellation_is_redacted(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", guards=[Says(Hold("ask"))], secrets=[KNOWN]) as sea:
            model = ScriptedModel([call("look"), call("look"), say("Done.")])
            run = await sea.start(Team(Agent("clerk", model=model, tools=[returning("x")])), "go")
            first = await run.rest()
            assert isinstance(first, Waiting)
            await sea.decide(run.id, first.step, approve=False, by="u", reason=f"no {KNOWN}")
            assert isinstance(await run.rest(), Waiting)
            await run.cancel(reason=f"no {KNOWN}")
            await over(run)
            clean(written(tmp_path), KNOWN)
        clean(written(tmp_path), KNOWN)

    asyncio.run(main())


def test_streamed_text_is_redacted_across_its_pieces(tmp_path: Path) -> None:
    async def main() -> None:
        async with Seawall(tmp_path / "desk.db", secrets=[KNOWN]) as sea:
            team = Team(Agent("clerk", model=ScriptedModel([say(f"It is {KNOWN} and so on.")])))
            run = await sea.start(team, "go", stream=True)
            async with asyncio.timeout(60):
                text = "".join([each.text async for each in run.events() if isinstance(each, TextDelta)])
            outcome = await over(run)
        assert text == outcome.answer == "It is [redacted] and so on."

    asyncio.run(main())


def test_a_conversation_with_a_secret_in_a_call_keeps_its_form(tmp_path: Path) -> None:
    both = calls(
        call("look", what=f"{KEY}\n-----END RSA PRIVATE KEY-----"),
        call("look", what=SHAPED),
        text=f"with {KEY}",
    )
    model = ScriptedModel([both, say("Done.")])

    recorded(tmp_path, Team(Agent("clerk", model=model, tools=[returning("fine")])))

    messages = model.requests[-1].messages
    reply = messages[2]
    assert isinstance(reply, Assistant)
    assert reply.content == "with [redacted]"
    assert len(reply.calls) == 2
    assert sent(model)[-2:] == ["fine", "fine"]


def test_variables_named_like_secrets_are_secrets(tmp_path: Path) -> None:
    async def main() -> None:
        environment = {"SHOP_API_KEY": "open sesame 1", "HOME": "nobody's home"}
        async with Seawall(tmp_path / "desk.db", environment=environment) as sea:
            team = Team(Agent("clerk", model=ScriptedModel(["open sesame 1 at nobody's home"])))
            assert (await over(await sea.start(team, "go"))).answer == "[redacted] at nobody's home"
        assert b"open sesame" not in written(tmp_path)

    asyncio.run(main())
