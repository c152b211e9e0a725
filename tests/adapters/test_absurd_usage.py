"""What a server reports of its tokens may be anything: no reply is lost over it, and no limit is lifted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from seawall.models.protocol import Usage
from seawall.models.usage import check_usage
from seawall.runtime.foreign.results import add_counts, read_usage

ABSURD = [-5, -(10**30), 10**30]


def is_booked_at_its_bound(usage: Usage) -> bool:
    """A usage with a problem counts as the most that was reserved for its call."""
    return bool(check_usage(usage, None)[0].problem)


def test_a_report_that_raises_has_a_problem() -> None:
    assert "ZeroDivisionError" in read_usage(lambda: Usage(1 // 0, 1)).problem


@pytest.mark.parametrize(
    ("counts", "total"), [((3, 4), 7), ((None, 4), 4), ((-90, 100), -90), ((100, -90), -90)]
)
def test_a_count_below_zero_does_not_hide_behind_another(counts: tuple[Any, Any], total: int) -> None:
    assert add_counts(*counts) == total


@pytest.mark.parametrize(
    "told",
    [
        {"total_tokens": 12},
        {"input_tokens": 7},
        *({"input_tokens": value, "output_tokens": 5} for value in ABSURD),
        *({"input_tokens": 7, "output_tokens": value} for value in ABSURD),
        {"input_tokens": 7, "output_tokens": 5, "input_token_details": {"cache_read": 99}},
        {"input_tokens": 7, "output_tokens": 5, "input_token_details": {"cache_read": -99}},
    ],
)
def test_langchain(told: Any) -> None:
    messages = pytest.importorskip("langchain_core.messages")
    from seawall.adapters.langchain_core.messages import read_reply

    reply = messages.AIMessage("Done.")
    reply.usage_metadata = told
    result = read_reply(reply)

    assert result.text == "Done."
    assert is_booked_at_its_bound(result.usage)


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_read_tokens"])
def test_pydantic_ai(name: str, value: Any) -> None:
    messages = pytest.importorskip("pydantic_ai.messages")
    usage = pytest.importorskip("pydantic_ai.usage")
    from seawall.adapters.pydantic_ai.messages import (
        read_response,
    )

    told = {"input_tokens": 7, "output_tokens": 5, "cache_read_tokens": 2}
    reply = messages.ModelResponse(parts=[messages.TextPart("Done.")], usage=usage.RequestUsage(**told))
    setattr(reply.usage, name, value)
    result = read_response(reply)

    assert result.text == "Done."
    assert is_booked_at_its_bound(result.usage)


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_openai_agents(name: str, value: Any) -> None:
    agents = pytest.importorskip("agents")
    from seawall.adapters.openai_agents.replies import read_response

    usage = dataclasses.replace(agents.Usage(input_tokens=7, output_tokens=5), **{name: value})
    result = read_response(agents.ModelResponse(output=[], usage=usage, response_id=None))

    assert is_booked_at_its_bound(result.usage)
