"""Good runs of a recording, played again: the model makes the recorded calls, the tools give the recorded results.

What a limit does to them is what it would have done to the recorded run, up to the call that it takes away.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limits.asked import AskedRun, AskedTool
from limits.cases import RECORDED, SERVED, Called, Case, Say, Seen

SOURCES = ("tau_airline", "agentdojo_benign", "claude_code")
WRITES = re.compile(
    r"(add|append|book|cancel|create|delete|invite|post|reschedule|reserve|schedule|send|share|transfer|update)_"
    r"|(Bash|Edit|Write|KillShell)$"
)
"""Tools that change the world, by name; all others read. A user of Seawall says so of each tool."""
POLLS = frozenset({"BashOutput"})
"""Tools that ask whether something is done."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}$")


class NoRecording(Exception):
    """The recording is not there, or not of the form that this program plays."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One recorded call."""

    tool: str
    arguments: str
    result: str


@dataclass(frozen=True, kw_only=True)
class Good:
    """One good run: what became of each user message, as batches of calls made in one reply."""

    key: str
    source: str
    turns: tuple[tuple[tuple[Call, ...], ...], ...]

    @property
    def longest(self) -> int:
        """Calls after one user message, at most."""
        return max(sum(map(len, batches)) for batches in self.turns)


def load(directory: Path, sources: Sequence[str] = SOURCES) -> dict[str, list[Good]]:
    """The runs that succeeded and made calls, by source. Raises `NoRecording`."""
    found: dict[str, list[Good]] = {}
    for source in sources:
        path = directory / f"{source}.jsonl.gz"
        try:
            rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        except (OSError, EOFError, ValueError) as error:
            raise NoRecording(f"can't read the recording {path}: {error}") from None
        good = [row for row in rows if row["success"] and not row["runaway"] and _playable(row["calls"])]
        found[source] = [_good(row, f"{source}-{n}", source) for n, row in enumerate(good, start=1)]
    return found


def _playable(calls: list[dict[str, Any]]) -> bool:
    return bool(calls) and all(_NAME.match(call["tool"]) for call in calls)


def _good(row: dict[str, Any], key: str, source: str) -> Good:
    turns: list[list[list[Call]]] = []
    before: int | None = None
    for call in row["calls"]:
        turn, made = (
            call["turn"],
            Call(tool=call["tool"], arguments=call["arguments"], result=call["result"] or ""),
        )
        # In tau-bench a reply that follows a result is two messages on; more than that is another user message.
        if before is None or (source.startswith("tau") and turn - before > 2):
            turns.append([[made]])
        elif turn == before:
            turns[-1][-1].append(made)
        else:
            turns[-1].append([made])
        before = turn
    return Good(key=key, source=source, turns=tuple(tuple(map(tuple, batches)) for batches in turns))


def sample(good: dict[str, list[Good]], count: int, seed: int) -> list[Good]:
    """`count` runs, the same number of each source as far as it has them."""
    rng = random.Random(seed)
    each = count // len(good)
    return [one for runs in good.values() for one in rng.sample(runs, min(each, len(runs)))]


def case(runs: Iterable[Good], in_flight: int = 1) -> Case:
    """The case that plays these runs."""
    runs = tuple(runs)
    by_key = {one.key: one for one in runs}
    names = sorted(
        {call.tool for one in runs for batches in one.turns for batch in batches for call in batch}
    )

    def say(seen: Seen) -> Say:
        left = seen.results
        for batch in by_key[seen.run].turns[seen.turn]:
            if left < len(batch):
                return Say(calls=tuple((call.tool, call.arguments) for call in batch[left:]))
            left -= len(batch)
        return Say(text=SERVED)

    def result(called: Called) -> str:
        batches = by_key[called.run].turns[called.turn]
        same = [
            call.result
            for batch in batches
            for call in batch
            if (call.tool, call.arguments) == (called.name, called.arguments)
        ]
        return same[min(called.nth, len(same)) - 1] if same else "Nothing of the kind was recorded."

    return Case(
        name=RECORDED,
        family="good",
        what=f"{len(runs)} recorded runs that succeeded, played again",
        say=say,
        result=result,
        tools=tuple(AskedTool(name=one, effect=bool(WRITES.match(one)), poll=one in POLLS) for one in names),
        runs=tuple(AskedRun(key=one.key, turns=len(one.turns)) for one in runs),
        in_flight=in_flight,
        sources=tuple(one.source for one in runs),
    )
