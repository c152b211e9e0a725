"""Growth of memory: 100,000 writes over 10,000 runs, beside LangGraph's SQLite store doing the same.

    python bench/memory.py [--runs 10000] [--seed 1] [--quick] [--alone]

Ten writes a run, in 20 scopes, one run after the other, each durable before the next begins. Measured are the merge (the
commit of a run's end), reading by key and by words what is there, and the revert of a chain of 100 entries of which
each took a value from the one before, at the beginning and at the end. It is done twice:

- `versions`: 1,000 keys, all of them written once at the beginning. What holds stays as large as it is, and what grows is
  the number of versions. The bars are about this.
- `keys`: 20,000 keys. What holds grows to twenty times as much.

LangGraph's store has neither versions nor reverts; it puts the same ten items in one batch, with `synchronous=FULL` as
here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw

import seawall
from seawall.core.canonical import ref_of
from seawall.core.clock import SystemClock
from seawall.core.events import RunEnded, RunStarted
from seawall.core.limits import Limits
from seawall.journal.protocol import Journal, Lineage, MemoryFilter, MemoryMerge, MemoryWrite, Summary
from seawall.journal.sqlite import SqliteJournal

RESULTS = Path(__file__).parent / "results" / "memory.json"
WRITES = 10
SCOPES = 20
KEYS = {"versions": 50, "keys": 1_000}
"""Keys in each scope."""
CHAIN = 100
CHAINS = 20
READS = 500
TENANT = "acme"
MERGE_BAR = 1.3
REVERT_BAR_S = 0.050
FLAT_BAR = 1.5
LIVE_BAR = 2.0


def write(scope: str, key: str, value: str, base: int, causes: tuple[Lineage, ...] = ()) -> MemoryWrite:
    """Returns one write of a run."""
    return MemoryWrite(
        scope=scope, key=ref_of(key.encode()), value=ref_of(value.encode()), base=base, step=1, causes=causes
    )


class Ours:
    """Runs that only begin, write to memory and end."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.runs = 0

    async def merge(
        self, writes: dict[tuple[str, str], str], causes: tuple[Lineage, ...] = ()
    ) -> tuple[float, str]:
        """Records a run with these writes; returns the seconds of its last commit, and its id."""
        self.runs += 1
        run = f"r-{self.runs:07}"
        intent = b"Remember what you are told."
        started = RunStarted(
            at=1.0,
            run=run,
            team="desk",
            team_version="1",
            agent="desk",
            intent=ref_of(intent),
            limits=Limits(),
            guards={},
            tenant=TENANT,
        )
        lease = await self.journal.create(started, [], {ref_of(intent): intent})
        base = await self.journal.memory_version()
        merged = MemoryMerge(
            writes=tuple(write(*place, value, base, causes) for place, value in writes.items())
        )
        texts = [text.encode() for (_, key), value in writes.items() for text in (key, value)]
        bodies = {ref_of(text): text for text in texts}
        ended = RunEnded(at=2.0, status="completed", memory="merged")
        began_s = time.perf_counter()
        await self.journal.append(
            lease, 1, [ended], bodies, summary=Summary(status="completed"), merge=merged
        )
        return time.perf_counter() - began_s, run

    async def measure_reverts(self, label: str, chains: int) -> list[float]:
        """Returns the seconds that a revert of a chain takes, with its plan; every chain is reverted once."""
        took_s: list[float] = []
        for number in range(chains):
            scope, causes = f"session:chain-{label}-{number}", ()
            first = ""
            for place in range(CHAIN + 1):
                _, run = await self.merge({(scope, f"link {place}"): f"{label} {number} {place}"}, causes)
                first = first or run
                (entry,) = await self.journal.memory_of_run(run)
                causes = (Lineage(tie="value", entry=entry.number),)
            (seed,) = await self.journal.memory_of_run(first)
            began_s = time.perf_counter()
            plan = await self.journal.plan_revert(first, 1, [Lineage(tie="value", entry=seed.number)])
            await self.journal.apply_revert(plan, by="bench")
            took_s.append(time.perf_counter() - began_s)
            if len(plan.removes) != CHAIN + 1:
                raise AssertionError(f"{len(plan.removes)} of {CHAIN + 1} entries are removed")
        return took_s

    async def measure_reads(self, places: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
        """Returns the seconds of reads by key and by words, as a run does it."""
        took_s: dict[str, list[float]] = {"key": [], "text": []}
        for scope, key in places:
            scopes = (scope, "tenant")
            for kind, wanted in (
                ("key", MemoryFilter(scopes=scopes, key=key, limit=10)),
                ("text", MemoryFilter(scopes=scopes, text=key, limit=10)),
            ):
                began_s = time.perf_counter()
                found = await self.journal.memory_entries(TENANT, wanted)
                took_s[kind].append(time.perf_counter() - began_s)
                if not found:
                    raise AssertionError(f"{scope} has nothing for {key}, by its {kind}")
        return took_s


def measure_bytes(directory: Path) -> int:
    """Returns the size of all files."""
    return sum(each.stat().st_size for each in directory.iterdir() if each.is_file())


async def measure_live(journal: Journal, directory: Path, runs: int) -> int:
    """Returns the size of a journal with as many runs, of which the first wrote what holds now, ten entries a run.

    What has been pruned leaves a record of each run, also there.
    """
    place = directory / "live"
    place.mkdir()
    other = SqliteJournal.open(str(place / "journal.db"), clock=SystemClock())
    ours = Ours(other)
    for scope, _, _ in await journal.memory_scopes(TENANT):
        entries = await journal.memory_entries(TENANT, MemoryFilter(scopes=(scope,), limit=1_000_000))
        refs = [ref for entry in entries for ref in (entry.key, entry.value) if ref is not None]
        bodies = await journal.bodies(TENANT, refs)
        texts = {bodies[e.key].decode(): bodies[e.value].decode() for e in entries if e.value is not None}
        places = [((scope, key), value) for key, value in texts.items()]
        for start in range(0, len(places), WRITES):
            await ours.merge(dict(places[start : start + WRITES]))
    while ours.runs < runs:
        await ours.merge({})
    await other.prune(before=time.time() + 1)
    size = measure_bytes(place)
    await other.close()
    return size


class Work:
    """What the runs write, the same for each system: values that are all new."""

    def __init__(self, name: str, seed: int) -> None:
        self._keys = KEYS[name]
        self._first = list(range(self._keys)) if name == "versions" else []
        self._seed = seed
        self._draw = random.Random(seed)
        self._places: dict[tuple[str, str], None] = {}

    def draw_writes(self, number: int) -> dict[tuple[str, str], str]:
        """Returns what the next run writes, which is run `number`."""
        scope = f"session:s-{number % SCOPES}"
        start = number // SCOPES * WRITES
        keys = self._first[start : start + WRITES] or self._draw.sample(range(self._keys), WRITES)
        writes = {(scope, f"order {key}"): f"the address is {number} Elm Street, door {key}" for key in keys}
        self._places.update(dict.fromkeys(writes))
        return writes

    def draw_reads(self) -> list[tuple[str, str]]:
        """Returns scopes and keys that were written."""
        return random.Random(self._seed).choices(list(self._places), k=READS)


async def measure_ours(
    directory: Path, name: str, runs: int, few: int, chains: int, seed: int
) -> dict[str, Any]:
    """Writes, reads and reverts with Seawall's journal."""
    journal = SqliteJournal.open(str(directory / "journal.db"), clock=SystemClock())
    ours, work = Ours(journal), Work(name, seed)
    try:
        took_s: list[float] = []

        async def fill(until: int) -> None:
            while len(took_s) < until:
                took_s.append((await ours.merge(work.draw_writes(len(took_s))))[0])
                if len(took_s) % 1_000 == 0:
                    print(f"seawall, {name}: {len(took_s):,} runs", file=sys.stderr)

        await fill(max(1, few // WRITES))
        small = await ours.measure_reads(work.draw_reads()), await ours.measure_reverts("small", chains)
        await fill(runs)
        large = await ours.measure_reads(work.draw_reads()), await ours.measure_reverts("large", chains)
        size = measure_bytes(directory)
        collected = await journal.collect_memory(TENANT, before=time.time() + 1)
        await journal.prune(before=time.time() + 1)
        left = measure_bytes(directory)
        return {
            "live bytes": await measure_live(journal, directory, ours.runs),
            "merge": took_s,
            "reads": [small[0], large[0]],
            "reverts": [small[1], large[1]],
            "bytes": size,
            "bytes after gc and prune": left,
            "superseded collected": collected.superseded,
        }
    finally:
        await journal.close()


def measure_langgraph(directory: Path, name: str, runs: int, few: int, seed: int) -> dict[str, Any]:
    """Writes and reads with LangGraph's SQLite store."""
    from langgraph.store.base import PutOp, SearchOp
    from langgraph.store.sqlite import SqliteStore

    connection = sqlite3.connect(directory / "store.db", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    store: Any = SqliteStore(connection)
    store.setup()
    work = Work(name, seed)
    took_s: list[float] = []

    def read() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {"key": [], "text": []}
        for scope, key in work.draw_reads():
            space = (TENANT, scope[8:])
            began_s = time.perf_counter()
            store.get(space, key)
            found["key"].append(time.perf_counter() - began_s)
            began_s = time.perf_counter()
            store.batch([SearchOp(space, filter={"key": key}, limit=10)])
            found["text"].append(time.perf_counter() - began_s)
        return found

    reads: list[Any] = []
    for number in range(runs):
        items = work.draw_writes(number)
        puts = [
            PutOp((TENANT, scope[8:]), key, {"key": key, "text": value})
            for (scope, key), value in items.items()
        ]
        began_s = time.perf_counter()
        store.batch(puts)
        took_s.append(time.perf_counter() - began_s)
        if number + 1 in (max(1, few // WRITES), runs):
            reads.append(read())
    connection.close()
    return {"merge": took_s, "reads": reads, "bytes": measure_bytes(directory)}


def p50(values: list[float]) -> float:
    """Returns the median."""
    return statistics.median(values)


def p95(values: list[float]) -> float:
    """Returns the value that one in twenty is above."""
    return sorted(values)[int(len(values) * 0.95)]


def describe(name: str, found: dict[str, Any], part: int) -> dict[str, Any]:
    """Returns and prints what came out, in milliseconds."""
    merge, (first, last) = found["merge"], found["reads"]
    rows = {
        "merge p50 ms, first": p50(merge[:part]) * 1e3,
        "merge p50 ms, last": p50(merge[-part:]) * 1e3,
        "merge ratio": p50(merge[-part:]) / p50(merge[:part]),
        **{f"read by {kind} p50 ms, few": p50(first[kind]) * 1e3 for kind in first},
        **{f"read by {kind} p50 ms, many": p50(last[kind]) * 1e3 for kind in last},
        **{f"read by {kind} ratio": p50(last[kind]) / p50(first[kind]) for kind in last},
        "MB": found["bytes"] / 1e6,
    }
    if "reverts" in found:
        few, many = found["reverts"]
        rows |= {
            "revert p95 ms, few": p95(few) * 1e3,
            "revert p95 ms, many": p95(many) * 1e3,
            "revert p50 ratio": p50(many) / p50(few),
            "MB after gc and prune": found["bytes after gc and prune"] / 1e6,
            "MB of what is live": found["live bytes"] / 1e6,
            "file / live": found["bytes after gc and prune"] / found["live bytes"],
        }
    print(name)
    for what, value in rows.items():
        print(f"    {what}: {value:,.3f}")
    return rows


def main() -> None:
    """Measures both, prints, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="200 runs; writes no results")
    parser.add_argument("--alone", action="store_true", help="without LangGraph; writes no results")
    given = parser.parse_args()
    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false")
    runs, few, chains = (200, 1_000, 1) if given.quick else (given.runs, 1_000, CHAINS)
    part = min(1_000, runs // 3)
    versions = {
        "seawall": seawall.__version__,
        "apsw": apsw.apsw_version(),
        "python": platform.python_version(),
    }
    if not given.alone:
        versions["langgraph-checkpoint-sqlite"] = version("langgraph-checkpoint-sqlite")
    rows: dict[str, dict[str, Any]] = {}
    for name in KEYS:
        with tempfile.TemporaryDirectory() as directory:
            found = asyncio.run(measure_ours(Path(directory), name, runs, few, chains, given.seed))
        rows[f"seawall, {name}"] = describe(f"seawall, {name}", found, part)
        if not given.alone:
            with tempfile.TemporaryDirectory() as directory:
                found = measure_langgraph(Path(directory), name, runs, few, given.seed)
            rows[f"langgraph, {name}"] = describe(f"langgraph, {name}", found, part)
    ours = rows["seawall, versions"]
    bars = {
        f"the last merges take at most {MERGE_BAR}x of the first": ours["merge ratio"] <= MERGE_BAR,
        f"reads take at most {FLAT_BAR}x": max(ours["read by key ratio"], ours["read by text ratio"])
        <= FLAT_BAR,
        f"a revert of {CHAIN} takes under {REVERT_BAR_S * 1e3:.0f} ms (p95)": ours["revert p95 ms, many"]
        < REVERT_BAR_S * 1e3,
        f"a revert takes at most {FLAT_BAR}x": ours["revert p50 ratio"] <= FLAT_BAR,
        f"the file is at most {LIVE_BAR}x of what is live": ours["file / live"] <= LIVE_BAR,
    }
    for bar, holds in bars.items():
        print(f"{'holds' if holds else 'MISSED'}: {bar}")
    if not given.quick and not given.alone:
        command = f"python bench/memory.py --runs {given.runs} --seed {given.seed}"
        result = {
            "command": command,
            "versions": versions,
            "writes": runs * WRITES,
            "rows": rows,
            "bars": bars,
        }
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
