"""Tools of MCP servers in a native team: over the real wire, to a process that the test rules."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.mcp_place import Place, make_tool, play, wait_for
from seawall import Effect, Misused, Seawall, always
from seawall.adapters.mcp import McpBroken, McpOptions, mcp_tools
from seawall.run.outcome import Waiting

BANK = (make_tool("balance", {"text": "12 EUR"}), make_tool("refund", {"text": "refunded"}))


def test_a_tool_is_called_on_its_server_and_its_result_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, *BANK)

    async def scenario() -> None:
        async with (
            Seawall() as sea,
            mcp_tools({"bank": place.command}, sea, effects=["bank.refund"]) as tools,
        ):
            assert [tool.name for tool in tools] == ["bank__balance", "bank__refund"]
            assert [tool.effect for tool in tools] == [False, True]
            assert tools[0].spec.description == "What balance does."
            found = await play(sea, tools, ("bank__balance", {}), ("bank__refund", {"order": "1042"}))
            assert found.told == ["12 EUR", "refunded"]
            assert [effect.state for effect in found.rest.effects] == ["committed"]  # pyright: ignore[reportAttributeAccessIssue] - an outcome

    asyncio.run(scenario())
    assert place.calls == ["balance", "refund"]
    assert place.sessions == 1


def test_a_server_of_another_library_is_called_on_its_stdin(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(
        """
from fastmcp import FastMCP

bank = FastMCP("bank")

@bank.tool
def balance(order: str) -> dict[str, int]:
    return {"eur": len(order)}

@bank.tool
def history(order: str) -> str:
    raise ValueError("no such order")

bank.run(show_banner=False)
""",
        encoding="utf-8",
    )

    async def scenario() -> None:
        servers = {"bank": [sys.executable, str(tmp_path / "server.py")]}
        async with Seawall() as sea, mcp_tools(servers, sea) as tools:
            found = await play(
                sea, tools, ("bank__balance", {"order": "1042"}), ("bank__history", {"order": "7"})
            )
            assert found.told[0] == '{"eur":4}'
            assert found.told[1].startswith("Error: ") and "no such order" in found.told[1]

    asyncio.run(scenario())


def test_arguments_that_do_not_fit_the_schema_never_reach_the_server(tmp_path: Path) -> None:
    place = Place(tmp_path, *BANK)

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea) as tools:
            found = await play(sea, tools, ("bank__balance", {"order": 1042}))
            assert "1042 is not of type 'string'" in found.told[0]

    asyncio.run(scenario())
    assert place.calls == []


def test_an_effect_is_made_once_and_carries_the_key_of_its_call(tmp_path: Path) -> None:
    place = Place(tmp_path, *BANK)
    effects = {"bank.refund": Effect(unique_by=("order",))}

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, effects=effects) as tools:
            first = await play(sea, tools, ("bank__refund", {"order": "1042"}))
            second = await play(sea, tools, ("bank__refund", {"order": "1042"}))
            assert first.told == ["refunded"]
            assert "refunded" in second.told[0]

    asyncio.run(scenario())
    assert place.calls == ["refund"]
    (made,) = [line for line in place.log if "call" in line]
    assert made["meta"]["seawall/idempotency-key"]


def test_an_effect_waits_for_a_person_where_it_was_declared_so(tmp_path: Path) -> None:
    place = Place(tmp_path, *BANK)
    effects = {"bank.refund": Effect(approve=always())}

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, effects=effects) as tools:
            found = await play(sea, tools, ("bank__refund", {"order": "1042"}))
            assert isinstance(found.rest, Waiting)

    asyncio.run(scenario())
    assert place.calls == []


def test_a_server_that_dies_during_a_read_is_started_anew_and_asked_once_more(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("balance", {"die": True, "text": "12 EUR"}))

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea) as tools:
            found = await play(sea, tools, ("bank__balance", {}))
            assert found.told == ["12 EUR"]

    asyncio.run(scenario())
    assert place.calls == ["balance", "balance"]
    assert place.sessions == 2


def test_an_effect_whose_server_died_is_unknown_and_never_made_again(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("refund", {"die": True}))

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, effects=["bank.*"]) as tools:
            found = await play(sea, tools, ("bank__refund", {"order": "1042"}))
            assert isinstance(found.rest, Waiting)
            (effect,) = await sea.effects()
            assert effect.state == "unknown"

    asyncio.run(scenario())
    assert place.calls == ["refund"]


def test_a_server_that_died_between_two_effects_is_started_anew_before_the_second(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("balance", {"die": True}), make_tool("refund", {"text": "refunded"}))
    options = McpOptions(effects=["bank.refund"], retries=0)

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, options) as tools:
            found = await play(sea, tools, ("bank__balance", {}), ("bank__refund", {}))
            assert "went away during the call" in found.told[0]
            assert found.told[1] == "refunded"

    asyncio.run(scenario())
    assert place.calls == ["balance", "refund"]


def test_an_error_of_the_server_is_told_and_not_tried_again(tmp_path: Path) -> None:
    place = Place(
        tmp_path,
        make_tool("balance", {"error": "no such order"}),
        make_tool("history", {"code": -32000, "message": "closed on Sundays"}),
    )

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea) as tools:
            found = await play(sea, tools, ("bank__balance", {}), ("bank__history", {}))
            assert found.told[0] == "Error: no such order"
            assert found.told[1] == "Error: closed on Sundays (code -32000)"

    asyncio.run(scenario())
    assert place.calls == ["balance", "history"]
    assert place.sessions == 1  # the client library uses this code for a connection that was closed


@pytest.mark.parametrize("told", [{"error": "too much"}, {"code": -32000, "message": "too much"}])
def test_an_error_of_an_effect_is_unknown_unless_it_was_said_to_mean_nothing_done(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    place = Place(tmp_path, make_tool("refund", told), make_tool("post", {"error": "too long"}))
    options = McpOptions(effects=["bank.*"], not_done=["bank.refund"])

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, options) as tools:
            found = await play(sea, tools, ("bank__refund", {}), ("bank__post", {}))
            assert len(found.told) == 1 and found.told[0].startswith("Error: not done: too much")
            assert isinstance(found.rest, Waiting)
            assert sorted(effect.state for effect in await sea.effects()) == ["failed", "unknown"]

    asyncio.run(scenario())


def test_an_answer_that_can_not_be_read_says_nothing_of_what_was_done(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("refund", {"content": [{"type": "text"}]}))
    options = McpOptions(effects=["bank.refund"], not_done=["bank.refund"])

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, options) as tools:
            await play(sea, tools, ("bank__refund", {}))
            assert [effect.state for effect in await sea.effects()] == ["unknown"]

    asyncio.run(scenario())


def test_a_call_that_takes_too_long_is_cancelled_on_the_server(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("balance", {"hang": True}), make_tool("history"))
    options = McpOptions(timeout_s=1.5, retries=0)  # the second call has as long

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, options) as tools:
            found = await play(sea, tools, ("bank__balance", {}), ("bank__history", {}))
            assert "1.5 s" in found.told[0]
            assert found.told[1] == "fine"
            await wait_for(place, "cancelled")

    asyncio.run(scenario())
    assert place.sessions == 1


def test_what_is_no_text_is_told_as_what_it_is(tmp_path: Path) -> None:
    data = base64.b64encode(b"x" * 1_000).decode()
    content = [
        {"type": "text", "text": "See:"},
        {"type": "image", "mimeType": "image/png", "data": data},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "whole"}},
        {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": data, "mimeType": "a/b"}},
        {"type": "resource_link", "name": "a page", "uri": "http://169.254.169.254/"},
    ]
    place = Place(tmp_path, make_tool("look", {"content": content, "structuredContent": {"n": 1}}))

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"files": place.command}, sea) as tools:
            found = await play(sea, tools, ("files__look", {}))
            first, image, where, text, blob, link, structured = found.told[0].splitlines()
            assert (first, where, text, structured) == ("See:", "[file:///a.txt]", "whole", '{"n":1}')
            assert image.startswith("[a picture of the type image/png, 1,000 bytes, sha256 ")
            assert blob.startswith("[a file file:///a.bin of the type a/b, 1,000 bytes, sha256 ")
            assert link == "[a link to a page: http://169.254.169.254/, which was not read]"

    asyncio.run(scenario())


def test_structured_content_that_is_the_text_once_more_is_told_once(tmp_path: Path) -> None:
    twice = {"content": [{"type": "text", "text": '{"eur": 12}'}], "structuredContent": {"eur": 12}}
    wrapped = {"content": [{"type": "text", "text": "12 EUR"}], "structuredContent": {"result": "12 EUR"}}
    place = Place(tmp_path, make_tool("balance", twice), make_tool("history", wrapped))

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea) as tools:
            found = await play(sea, tools, ("bank__balance", {}), ("bank__history", {}))
            assert found.told == ['{"eur": 12}', "12 EUR"]

    asyncio.run(scenario())


def test_a_long_result_is_kept_by_reference_as_those_of_other_tools_are(tmp_path: Path) -> None:
    place = Place(tmp_path, make_tool("export", {"text": "row\n" * 500_000}))

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea) as tools:
            found = await play(sea, tools, ("bank__export", {}))
            assert "[the first 2,000 of 2,000,000 characters; whole: " in found.told[0]

    asyncio.run(scenario())


def test_a_tool_that_counts_as_a_read_and_says_that_it_writes_is_advised_on_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(
        tmp_path,
        make_tool("send_letter"),
        make_tool("bank_delete_all"),
        make_tool("tidy", annotations={"destructiveHint": True}),
        make_tool("look", annotations={"readOnlyHint": False}),
        make_tool("find", annotations={"readOnlyHint": True}),
        make_tool("list"),
    )
    options = McpOptions(effects=["bank.bank_delete_all"], reads=["bank.look"])

    async def scenario() -> None:
        async with Seawall() as sea, mcp_tools({"bank": place.command}, sea, options) as tools:
            assert [line.partition(" counts")[0] for line in tools.advice] == [
                "bank.send_letter",
                "bank.tidy",
            ]
            await play(sea, tools, ("bank__send_letter", {}), ("bank__send_letter", {"order": "2"}))

    with caplog.at_level(logging.WARNING, "seawall.mcp"):
        asyncio.run(scenario())
    assert sum("send_letter" in record.getMessage() for record in caplog.records) == 1
    assert "its name says that it writes: add 'bank.send_letter' to effects=" in caplog.text


def test_patterns_that_can_match_nothing_are_refused_and_others_that_match_nothing_are_told(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, *BANK)

    async def scenario() -> None:
        async with Seawall() as sea:
            with pytest.raises(Misused, match=r"effects: 'bnak\.\*' matches no tool; .*servers: bank"):
                async with mcp_tools({"bank": place.command}, sea, effects=["bnak.*"]):
                    pass
            async with mcp_tools({"bank": place.command}, sea, effects=["bank.pay"]) as tools:
                assert "effects: 'bank.pay' matches none of the tools that are there now" in tools.advice
            options = McpOptions(polls=["bank.balance", "bank.job"])
            async with mcp_tools({"bank": place.command}, sea, options) as tools:
                assert "polls: 'bank.job' matches none of the tools that are there now" in tools.advice
                assert [tool.name for tool in tools if tool.poll] == ["bank__balance"]

    asyncio.run(scenario())


def test_a_server_that_can_not_be_started_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Seawall() as sea:
            with pytest.raises(McpBroken, match=r"MCP server 'bank' \(no-such-program\) can't be reached"):
                async with mcp_tools({"bank": [str(tmp_path / "no-such-program")]}, sea):
                    pass

    asyncio.run(scenario())


def test_a_known_server_that_is_away_at_the_start_is_asked_when_it_is_back(tmp_path: Path) -> None:
    place = Place(tmp_path / "bank", *BANK)
    script = tmp_path / "server.sh"

    async def scenario() -> None:
        async with Seawall() as sea:
            async with mcp_tools({"bank": place.command}, sea):
                pass
            async with mcp_tools({"bank": [str(script)]}, sea, McpOptions(retries=0)) as tools:
                away = await play(sea, tools, ("bank__balance", {}))
                assert "can't be reached" in away.told[0]
                script.write_text("#!/bin/sh\nexec " + " ".join(place.command), encoding="utf-8")
                script.chmod(0o700)
                back = await play(sea, tools, ("bank__balance", {}))
                assert back.told == ["12 EUR"]

    asyncio.run(scenario())


def test_no_call_is_sent_once_the_connection_was_closed(tmp_path: Path) -> None:
    place = Place(tmp_path, *BANK)

    async def scenario() -> None:
        async with Seawall() as sea:
            async with mcp_tools({"bank": place.command}, sea) as tools:
                kept = tools
            found = await play(sea, kept, ("bank__balance", {}))
            assert found.told == ["Error: the connection to MCP server 'bank' was closed"]

    asyncio.run(scenario())
    assert place.calls == []
