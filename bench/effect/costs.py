"""What a step costs, with and without an effect: time, and what waits for the disk."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from crash.job import DyingJournal
from effect.bars import Measured, Sizes
from effects.desk import EUR
from seawall import Agent, Limits, Seawall, Team, ToolContext, tool
from seawall.core.clock import SystemClock
from seawall.core.money import Money
from seawall.effects.options import Effect
from seawall.journal.sqlite import SqliteJournal
from seawall.models.protocol import Assistant, ModelRequest, Usage
from seawall.models.scripted import Reply, call, say
from seawall.testing import ScriptedModel

KINDS = ("read", "read beside effects", "plain effect", "declared effect")
"""What is called: a tool that reads, the same of an agent that has effects too, an `effect=True`, and one that is unique."""


def _tool(kind: str, name: str = "act") -> Any:
    options: Any = {"name": name}
    if kind == "plain effect":
        options["effect"] = True
    elif kind == "declared effect":
        options["effect"] = Effect(
            unique_by=("order_id",), amount="amount", key_ttl_s=86_400.0, per_day=Money("900000", EUR)
        )

    @tool(**options)
    async def act(ctx: ToolContext, order_id: str, amount: Money) -> str:
        """Does it."""
        return f"done {order_id}"

    return act


def _team(kind: str, steps: int) -> Team:
    def reply(request: ModelRequest) -> Reply:
        place = sum(isinstance(message, Assistant) for message in request.messages)
        if place >= steps:
            return say("Done.")
        return call("act", order_id=f"o-{place}", amount={"amount": "0.01", "currency": EUR})

    tools = [_tool("read" if kind.startswith("read") else kind)]
    if kind == "read beside effects":
        tools.append(_tool("declared effect", "pay"))
    model = ScriptedModel(reply, usage=Usage(10, 10), keep_requests=0)
    limits = Limits(active_s=600, tool_calls=10 * steps, model_calls=10 * steps)
    return Team("desk", Agent("desk", model=model, tools=tools), limits=limits)


async def measure_run(directory: Path, kind: str, steps: int, seed: int) -> tuple[float, int, Counter[str]]:
    """Returns the seconds of one run with so many calls, its commits, and its writes by name."""
    inner = SqliteJournal.open(str(directory / "journal.db"), clock=SystemClock())
    journal: Any = DyingJournal(inner, None, directory / "promises")
    async with Seawall(journal, rng=random.Random(seed), environment={}, modes={"loops": "off"}) as sea:
        before = (await inner.head()).batch
        began_s = time.perf_counter()
        outcome = await (await sea.start(_team(kind, steps), "Do it.")).outcome()
        took_s = time.perf_counter() - began_s
        commits = (await inner.head()).batch - before
    if outcome.status != "completed" or outcome.tool_calls != steps:
        raise AssertionError(f"{kind}: {outcome}")
    return took_s, commits, Counter(journal.writes)


def measure(directory: Path, sizes: Sizes) -> Measured:
    """Measures all kinds in turn, round by round, in this process."""
    took_s: dict[str, list[float]] = {kind: [] for kind in KINDS}
    writes: dict[str, Counter[str]] = {}
    commits: dict[str, float] = {}
    for number in range(-1, sizes.rounds):  # the first round warms up
        for place, kind in enumerate(KINDS):
            mine = directory / f"cost-{number}-{place}"
            mine.mkdir()
            seconds, batches, counted = asyncio.run(measure_run(mine, kind, sizes.steps, sizes.seed))
            writes[kind] = counted
            commits[kind] = batches / sizes.steps
            if number >= 0:
                took_s[kind].append(seconds)
    ratios = {
        kind: statistics.median(a / b for a, b in zip(took_s[kind], took_s["read"], strict=True))
        for kind in KINDS
    }
    measured = Measured(
        bar="8: what a step costs",
        what={
            "steps": sizes.steps,
            "us_per_call": {
                kind: round(statistics.median(all_s) / sizes.steps * 1e6) for kind, all_s in took_s.items()
            },
            "ratio_to_a_read": {kind: round(ratio, 3) for kind, ratio in ratios.items()},
            "commits_per_call": {kind: round(each, 2) for kind, each in commits.items()},
            "writes": {kind: dict(counted) for kind, counted in writes.items()},
        },
    )
    more = round(commits["declared effect"] - commits["read"], 2)
    none = round(commits["plain effect"] - commits["read"], 2)
    measured.check(more <= 1.1, f"an effect costs {more} commits more (bar 1)")
    measured.check(none <= 0.1, f"an effect that is not unique costs {none} commits more (bar 0)")
    beside = commits["read beside effects"]
    measured.check(beside <= commits["read"] + 0.1, f"a step without effects takes {beside} commits")
    return measured
