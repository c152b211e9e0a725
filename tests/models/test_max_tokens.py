"""The longest reply: the name under which a server is given it, and a server that does not keep to it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from models.calling import ASK
from seawall import Agent, Limits, Misused, Price, Seawall, Team
from seawall.models.protocol import ModelFailed, ModelRequest, Usage, User
from seawall.models.providers import resolve
from seawall.testing import ModelServer, ScriptedModel, say
from seawall.testing.faults import Answer, ErrorStatus
from seawall.testing.wire import ChatRequest


def send(field: Any = None, *, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a server of the user's own is given of the longest reply."""

    async def main() -> dict[str, Any]:
        async with (
            ModelServer(lambda _: "fine") as server,
            resolve("openai:m", base_url=server.base_url, max_tokens_field=field) as model,
        ):
            request = ModelRequest(messages=(User("go"),), max_output_tokens=77, settings=settings or {})
            await model.respond(request)
        body = server.requests[0].body
        return {name: value for name, value in body.items() if "max" in name or name == "top_k"}

    return asyncio.run(main())


def test_a_server_of_ones_own_gets_both_names_unless_one_is_given() -> None:
    assert send() == {"max_tokens": 77, "max_completion_tokens": 77}
    assert send("both") == send()
    assert send("max_tokens") == {"max_tokens": 77}
    assert send("max_completion_tokens") == {"max_completion_tokens": 77}
    assert send("max_tokens", settings={"extra_body": {"top_k": 3}}) == {"max_tokens": 77, "top_k": 3}


@pytest.mark.parametrize(
    ("base_url", "field"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.mistral.ai/v1", "max_tokens"),
        ("https://notmistral.ai/v1", "both"),
        ("http://127.0.0.1:8080/v1", "both"),
    ],
)
def test_the_name_is_that_of_the_host(base_url: str | None, field: str) -> None:
    model = resolve("openai:m", base_url=base_url, api_key="k")
    assert model.max_tokens_field == field


def test_a_name_that_no_server_has_is_misuse() -> None:
    odd: Any = "max_length"
    with pytest.raises(Misused, match="max_tokens_field is 'max_length'"):
        resolve("openai:m", api_key="k", max_tokens_field=odd)
    with pytest.raises(Misused, match="for openai:NAME only"):
        resolve("anthropic:m", api_key="k", max_tokens_field="both")
    with pytest.raises(Misused, match=r"extra_body'\]\['max_tokens'\] = 5 is not used"):
        send(settings={"extra_body": {"max_tokens": 5}})


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (422, "extra_forbidden: max_completion_tokens"),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model."),
        (400, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."),
        (400, "unknown field: max_completion_tokens"),
    ],
)
def test_a_server_that_refuses_a_name_is_told_with_the_option(status: int, text: str) -> None:
    assert "resolve('openai:m', …, max_tokens_field=…)" in refuse(ErrorStatus(status, text))


def test_another_refusal_says_nothing_of_the_option() -> None:
    assert "max_tokens_field" not in refuse(ErrorStatus(400, "max_tokens is too large: 5"))
    assert "max_tokens_field" not in refuse(ErrorStatus(400, "unknown field: top_k"))


def refuse(answer: Answer) -> str:
    async def main() -> str:
        async with (
            ModelServer(lambda _: answer) as server,
            resolve("openai:m", base_url=server.base_url) as model,
        ):
            with pytest.raises(ModelFailed) as caught:
                await model.respond(ASK)
        assert caught.value.kind == "rejected"
        return str(caught.value)

    return asyncio.run(main())


def test_a_server_that_knows_the_older_name_only_keeps_to_it() -> None:
    def answer(request: ChatRequest) -> Answer:
        return say("fine", usage=Usage(10, min(request.body.get("max_tokens", 90_000), 90_000)))

    async def main() -> None:
        async with (
            ModelServer(answer) as server,
            resolve("openai:m", base_url=server.base_url) as model,
        ):
            agent = Agent("clerk", model=model, max_output_tokens=1_000)
            outcome = await Team(agent, limits=Limits(tokens=20_000)).run("go")
        assert (outcome.tokens, outcome.above_limits) == (1_010, ())

    asyncio.run(main())


# ---- what was spent above a limit


def run(limits: Limits, *, usage: Usage, modes: Any = None, price: Price | None = None) -> Any:
    async def main() -> Any:
        model = ScriptedModel([say("Fine.")], usage=usage, price=price)
        agent = Agent("clerk", model=model, max_output_tokens=1_000)
        async with Seawall(environment={}, modes=modes) as sea:
            return await (await sea.start(Team(agent, limits=limits), "go")).outcome()

    return asyncio.run(main())


def test_what_was_spent_above_a_limit_is_named_with_the_reason() -> None:
    outcome = run(Limits(tokens=20_000), usage=Usage(10, 90_000))

    (above,) = outcome.above_limits
    assert outcome.status == "completed"
    assert (above.limit, above.allowed, above.spent, above.above) == ("tokens", 20_000, 90_010, 70_010)
    assert above.why.startswith("step 1, model 'scripted': 90010 tokens are reported, above the ")
    assert "max_output_tokens" in above.why


def test_dollars_above_a_limit_are_named_too() -> None:
    outcome = run(Limits(usd=Decimal("0.05")), usage=Usage(10, 90_000), price=Price(1, 1))

    (above,) = outcome.above_limits
    assert (above.limit, above.above) == ("usd", Decimal("0.04001"))


def test_a_report_above_what_was_reserved_but_within_the_limit_is_not_above_it() -> None:
    outcome = run(Limits(tokens=100_000), usage=Usage(10, 90_000))

    assert outcome.usage_problems
    assert outcome.above_limits == ()


def test_a_guard_that_only_observes_is_the_reason() -> None:
    outcome = run(Limits(tokens=20), usage=Usage(10, 90), modes={"limits": "observe"})

    (above,) = outcome.above_limits
    assert (above.above, above.why) == (80, "the guard 'limits' is in mode 'observe'")
