"""Prices from a list: an upper bound for each model, and None if the list does not have it."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import Generator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from seawall import Agent, Limits, Misused, Price, Refused, Seawall, Team
from seawall.models import prices
from seawall.models.prices import find_price, find_window
from seawall.models.protocol import Usage
from seawall.models.providers import resolve
from seawall.models.usage import check_usage, compute_bound_usd
from seawall.testing import ManualClock, ScriptedModel, say
from team.play import play

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def mtok(input_: str, output: str, **more: Any) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(input_), output_mtok=Decimal(output), **more)


def model(name: str, price: Any, **more: Any) -> ModelInfo:
    return ModelInfo(id=name, match=ClauseEquals(name), prices=price, **more)


def from_day(day: date, price: ModelPrice) -> ConditionalPrice:
    return ConditionalPrice(StartDateConstraint(day), prices=price)


TIERED = ModelPrice(
    input_mtok=TieredPrices(Decimal(3), [Tier(200_000, Decimal(6))]),
    output_mtok=TieredPrices(Decimal(15), [Tier(200_000, Decimal("22.5"))]),
)
TIERS = [
    PriceVariant({"service_tier": "flex"}, mtok("1", "4")),
    PriceVariant({"service_tier": "priority"}, mtok("4", "16")),
]
NIGHT = TimeOfDateConstraint(time(22, tzinfo=UTC), time(6, tzinfo=UTC))
OPENAI = [
    model("plain", mtok("1.25", "10"), context_window=400_000),
    model("tiered", TIERED),
    model("cached", mtok("3", "15", cache_read_mtok=Decimal("0.3"), cache_write_mtok=Decimal("3.75"))),
    model("service", mtok("2", "8"), price_variants=TIERS),
    model(
        "changing",
        [
            ConditionalPrice(prices=mtok("9", "90")),
            from_day(date(2026, 1, 1), mtok("2", "20")),
            from_day(date(2026, 6, 1), mtok("3", "10")),
        ],
    ),
    model(
        "nightly", [ConditionalPrice(prices=mtok("2", "4")), ConditionalPrice(NIGHT, prices=mtok("1", "5"))]
    ),
    model("by-the-call", mtok("1", "1", requests_kcount=Decimal(5))),
    model("unpriced", ModelPrice()),
]


@pytest.fixture(autouse=True)
def _list() -> Generator[None]:
    """A list of our own: that of the package changes with each of its releases."""
    providers = [
        Provider("openai", "OpenAI", r"https://api\.openai\.com", models=OPENAI),
        Provider("host", "Host", r"https://host\.example", models=[model("plain", mtok("7", "7"))]),
    ]
    set_custom_snapshot(DataSnapshot(providers, from_auto_update=False))
    yield
    set_custom_snapshot(None)


@pytest.mark.parametrize("name", ["openai:plain", "openai-responses:plain"])
def test_a_model_costs_what_the_list_says(name: str) -> None:
    assert find_price(name, at=NOW) == Price("1.25", 10)


@pytest.mark.parametrize(
    "name", ["openai:other", "openai", "openai:", "scripted", "elsewhere:plain", "openai:unpriced"]
)
def test_what_the_list_does_not_know_has_no_price(name: str) -> None:
    assert find_price(name, at=NOW) is None


def test_a_model_takes_as_many_tokens_as_the_list_says() -> None:
    assert find_window("openai:plain") == 400_000
    assert find_window("openai:plain", "https://api.openai.com/v1") == 400_000
    for unknown in ("openai:tiered", "openai:other", "openai", "scripted", "elsewhere:plain"):
        assert find_window(unknown) is None


def test_an_agent_of_a_listed_model_has_its_window_less_the_reply_as_budget() -> None:
    async def main() -> None:
        async with Seawall(models=lambda name: ScriptedModel([say("ok")], name=name)) as sea:
            agent = Agent("clerk", model="openai:plain", max_output_tokens=4_000)
            await (await sea.start(Team(agent), "hi")).outcome()
            factory: Any = sea.supervisor.factory
            assert factory._find_window(agent) == 400_000

    asyncio.run(main())


def test_of_tiers_the_dearest_holds() -> None:
    assert find_price("openai:tiered", at=NOW) == Price(6, "22.5")


def test_of_prices_that_change_todays_and_those_to_come_hold_and_no_past_one() -> None:
    assert find_price("openai:changing", at=NOW) == Price(3, 20)


def test_any_time_of_the_day_counts() -> None:
    assert find_price("openai:nightly", at=NOW) == Price(2, 5)


def test_a_service_tier_counts_where_an_agent_sets_one() -> None:
    assert find_price("openai:service", at=NOW) == Price(2, 8)
    assert find_price("openai:service", at=NOW, settings={"openai_service_tier": "auto"}) == Price(4, 16)


def test_writing_to_a_cache_counts_where_an_agent_sets_one() -> None:
    assert find_price("openai:cached", at=NOW) == Price(3, 15, "0.3")
    assert find_price("openai:cached", at=NOW, settings={"anthropic_cache_messages": True}) == Price(
        3, 15, "0.3", "3.75"
    )


def test_cached_input_costs_what_the_list_says_and_is_reserved_at_its_dearest() -> None:
    price = find_price("openai:cached", at=NOW, settings={"anthropic_cache_messages": True})
    usage = Usage(1_000_000, 100_000, cache_read_tokens=600_000, cache_write_tokens=200_000)

    assert check_usage(usage, price) == (
        usage,
        Decimal("0.6") + Decimal("0.18") + Decimal("0.75") + Decimal("1.5"),
    )
    assert compute_bound_usd(price, 1_000_000, 100_000) == Decimal("3.75") + Decimal("1.5")
    assert compute_bound_usd(Price(1, 1, 4), 1_000_000, 0) == 4
    assert compute_bound_usd(None, 1, 1) is None


def test_a_run_is_booked_with_what_its_provider_read_from_the_cache() -> None:
    usage = Usage(1_000, 10, cache_read_tokens=800)
    model = ScriptedModel(["Fine."], price=Price(10, 100, 1), usage=usage)

    run = play(Team(Agent("clerk", model=model)))

    assert run.outcome.usd == (Decimal(200) * 10 + 800 + 1_000) / 1_000_000
    assert run.outcome.usage_problems == ()
    assert (run.done(1).input_tokens, run.done(1).cache_read_tokens) == (1_000, 800)


def test_a_price_of_cached_input_is_checked_like_any_other() -> None:
    with pytest.raises(Misused, match="cache_read_usd_per_mtok is -1"):
        Price(1, 1, -1)
    assert Price(1, 1, 0.5).cache_read_usd_per_mtok == Decimal("0.5")
    assert Price(1, 1).cache_read_usd_per_mtok is None


def test_cached_tokens_that_cannot_be_are_booked_at_the_bound() -> None:
    for usage in (Usage(5, 5, cache_read_tokens=6), Usage(5, 5, cache_write_tokens=-1)):
        checked, usd = check_usage(usage, Price(1, 1, 1))
        assert "cache" in checked.problem
        assert (checked.input_tokens, usd) == (0, 0)


def test_a_price_by_the_call_is_no_price_by_the_token() -> None:
    assert find_price("openai:by-the-call", at=NOW) is None


def test_a_server_of_ones_own_is_not_the_providers() -> None:
    assert find_price("openai:plain", at=NOW, base_url="http://127.0.0.1:8080/v1") is None
    assert find_price("openai:plain", at=NOW, base_url="https://host.example/v1") == Price(7, 7)


def test_the_list_of_the_package_has_the_models_of_every_provider() -> None:
    set_custom_snapshot(None)
    for name in (
        "openai:gpt-4o",
        "openai-responses:gpt-4o",
        "anthropic:claude-opus-4-0",
        "google:gemini-2.5-pro",
    ):
        found = find_price(name, at=NOW)
        assert found is not None
        assert found.input_usd_per_mtok > 0
        assert found.output_usd_per_mtok > found.input_usd_per_mtok


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object, **__: object) -> None:
        raise AssertionError("it reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", no)
    monkeypatch.setattr(socket.socket, "connect", no)
    set_custom_snapshot(None)
    assert find_price("openai:gpt-4o", at=NOW) is not None


# ---- in a run


def priced(name: str, price: Price | None = None, **options: Any) -> Team:
    script = ScriptedModel([say("Hi.")], name=name, price=price)
    return Team(Agent("a", model=script, max_output_tokens=10), limits=Limits(usd=Decimal(1)), **options)


def rate(name: str, price: Price | None = None, **host: Any) -> Decimal:
    """What a reserved token of input costs, by the bound of the run's one call."""
    run = play(priced(name, price), clock=ManualClock(), **host)
    [step] = run.steps("model")
    return step.usd / step.tokens * 1_000_000


def test_a_listed_model_may_run_where_money_is_limited() -> None:
    run = play(priced("openai:plain"), clock=ManualClock())

    assert run.outcome.status == "completed"
    assert run.outcome.usd > 0


def test_what_the_host_says_goes_before_what_the_model_says_and_both_before_the_list() -> None:
    def flat(usd: int) -> Price:
        return Price(usd, usd)

    given = {"openai:plain": flat(50), "other": flat(60)}
    assert rate("openai:plain", flat(40), prices=given) == 50
    assert rate("openai:plain", flat(40)) == 40
    assert rate("other", flat(40), prices=given) == 60
    assert rate("openai:plain") < 10


def test_an_agent_that_names_its_model_has_the_price_of_the_place_where_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        team = Team(Agent("a", model="openai:plain"), limits=Limits(usd=Decimal(1)))
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        async with Seawall() as sea:
            sea.supervisor.factory.check(team, team.limits, None)
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
        async with Seawall() as sea:
            with pytest.raises(Refused, match="'openai:plain' is not known"):
                sea.supervisor.factory.check(team, team.limits, None)
        with_model = Team(
            Agent("a", model=resolve("openai:plain", base_url="http://127.0.0.1:1/v1")), limits=team.limits
        )
        async with Seawall() as sea:
            with pytest.raises(Refused, match="'openai:plain' is not known"):
                sea.supervisor.factory.check(with_model, team.limits, None)

    asyncio.run(main())


def test_without_the_extra_a_price_is_not_known_and_the_refusal_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert not prices.is_installed()
    with pytest.raises(Refused, match=r"pip install 'path/to/seawall\[prices\]'"):
        play(priced("openai:plain"))


def test_with_the_extra_a_refusal_does_not_name_it() -> None:
    with pytest.raises(Refused) as refused:
        play(priced("openai:other"))
    assert "pip install" not in str(refused.value)
