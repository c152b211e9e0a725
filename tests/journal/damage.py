"""Damages copies of a journal, seeded, and looks what `verify` and every reader make of it.

    python -m journal.damage [--seed 1] [--number 5000]

(with `tests` on the path). A mutation is *missed* if `verify` says ok while something reads differently, and *acted
on* if something reads differently without an error, whatever `verify` says: erased-looking bodies and rows that are
gone can only be told by `verify`. An *accident* is an error that no command may end with.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer.testing
from msgspec.structs import replace

from journal.edits import write_mark
from journal.effects_story import tell_of_effects
from journal.memory_story import SCOPE, merge, texts, written
from journal.story import begin
from seawall import Agent, Budget, Caps, Seawall, Team, tool
from seawall.adapters.mcp.definitions import ToolDefinition
from seawall.adapters.mcp.pin_store import PinStore
from seawall.adapters.mcp.pins import FirstLook
from seawall.cli.app import app
from seawall.core.clock import SystemClock
from seawall.core.errors import SeawallBug, SeawallError
from seawall.core.refs import refs_of
from seawall.journal.protocol import (
    EffectFilter,
    Journal,
    Lineage,
    MemoryConflicts,
    MemoryFilter,
    ProposalFilter,
)
from seawall.journal.sqlite import SqliteJournal
from seawall.testing import ScriptedModel, call, say

TABLES = (
    "meta",
    "tenants",
    "runs",
    "entries",
    "bodies",
    "batches",
    "accounts",
    "shared",
    "workers",
    "reservations",
    "effects",
    "proposals",
    "sums",
    "waits",
    "principals",
    "facts",
    "memories",
    "memory_versions",
    "memory_scopes",
    "memory_edges",
    "memory_reads",
    "memory_conflicts",
    "memory_keys",
    "memory_search_content",
    "memory_search_docsize",
    "memory_search_data",
    "memory_search_idx",
    "memory_search_config",
    "sqlite_sequence",
)
WANTED = {
    "memory": MemoryFilter(scopes=(SCOPE,)),
    "memory and what is imported": MemoryFilter(scopes=(SCOPE,), quarantined=True),
    "memory by key": MemoryFilter(scopes=(SCOPE,), key="order 1042"),
    "memory by prefix": MemoryFilter(scopes=(SCOPE,), prefix="order"),
    "memory by words": MemoryFilter(scopes=(SCOPE,), text="it"),
    "memory by a word": MemoryFilter(scopes=(SCOPE,), text="lost"),
    "memory by words of what is imported": MemoryFilter(scopes=(SCOPE,), text="wanted", quarantined=True),
}
EXITS = {0, 1, 2, 3, 4, 5, 6, 7, 8}
_ACME = ("--tenant", "acme")
COMMANDS = (
    *(("runs",), ("runs", "--json"), ("show", "{run}"), ("show", "{run}", "--json"), ("why", "{run}")),
    *(
        ("context", "{run}"),
        ("roles",),
        ("replay", "{run}"),
        ("verify", "--json"),
        ("backup", "{copy}", "--force"),
    ),
    *(
        ("budget",),
        ("budget", "--json"),
        ("breakers",),
        ("guards",),
        ("pause", "tool:x"),
        ("unpause", "tool:pay"),
    ),
    *(("effects",), ("effects", "--json"), ("effects", "e-1"), ("approvals", "--all"), ("approvals", "p-1")),
    *(("principals",), ("principals", "add", "eve"), ("approve", "p-1"), ("reject", "p-1", "--reason", "no")),
    *(("cancel", "{run}"), ("resume", "{run}"), ("resume",), ("fork", "{run}", "--at", "1")),
    *(("prune", "--older-than", "0s", "--dry-run"), ("prune", "--older-than", "0s")),
    *(("erase", "--tenant", "acme", "--yes"), ("reconcile", "e-1", "--failed", "it says so", "--by", "eve")),
    *(("mcp", "list"), ("mcp", "diff", "bank"), ("mcp", "accept", "bank", "--by", "eve")),
    *(
        ("memory", "log", *_ACME),
        ("memory", "log", *_ACME, "--json"),
        ("memory", "show", *_ACME, "--scope", SCOPE),
    ),
    *(
        ("memory", "show", *_ACME, "--scope", SCOPE, "--json"),
        ("memory", "diff", *_ACME, "--scope", SCOPE, "1", "3"),
    ),
    *(
        ("memory", "conflicts", *_ACME),
        ("memory", "resolve", "1", "--by", "eve"),
        ("memory", "gc", *_ACME, "--yes"),
    ),
    *(
        ("memory", "rollback", *_ACME, "--scope", SCOPE, "1", "--yes", "--by", "eve"),
        ("memory", "revert", "m-1", "3", *_ACME, "--yes"),
    ),
    *(("memory", "export", *_ACME, "7"), ("memory", "forget", *_ACME, "7", "--yes")),
    ("memory", "accept", *_ACME, "5", "--yes", "--by", "eve"),
)


@tool
def find_order(order_id: str) -> str:
    """Look up one order."""
    return f"order {order_id} is in the warehouse"


@tool(effect=True)
def pay(order: str) -> str:
    """Pay."""
    return f"paid {order}"


async def make_journal(path: str) -> None:
    """Records runs of every kind: ended, pruned, waiting, erased, of sessions, of tenants with caps."""

    def desk(*script: Any) -> Team[None]:
        model = ScriptedModel([*script], by="position")
        return Team(Agent("desk", model=model, tools=[find_order, pay]))

    budget = Budget(tenant=Caps(model_calls=1_000), tenants={"acme": Caps(model_calls=500)})
    async with Seawall(path, budget=budget) as sea:
        for number in range(4):
            looked = desk(call("find_order", order_id=f"{number}"), say("found"))
            await (await sea.start(looked, f"old {number}", tenant="acme", session="s")).outcome()
        await sea.journal.prune(before=SystemClock().wall_s() + 1, tenant="acme")
        for number in range(3):
            looked = desk(call("find_order", order_id=f"{number}"), say(f"found {number}"))
            tenant = ("acme", "other", "")[number]
            run = await sea.start(
                looked, f"where {number}", tenant=tenant, session="t", request_id=f"r-{number}"
            )
            await run.outcome()
        await (await sea.start(desk(say("second")), "and?", tenant="acme", session="t")).outcome()
        await (await sea.start(desk(say("gone")), "secret", tenant="erased")).outcome()
        await sea.journal.erase("erased")
        await sea.pause("tool:pay", by="ops")
        await tell_of_effects(sea.journal)
        await _tell_of_memory(sea.journal)
        definition = ToolDefinition({"name": "pay", "inputSchema": {"type": "object"}})
        first = FirstLook(True, "alice")
        store = PinStore(sea.journal, SystemClock())
        await store.note_first_use("bank", "alice")
        await store.look("bank", [definition], first=first, known={})
        paying = desk(call("pay", order="1"), say("paid"))
        await (await sea.start(paying, "pay", tenant="acme")).rest()


async def _tell_of_memory(journal: Journal) -> None:
    """Records entries that hold, that died, that wait for somebody, and that two runs wrote at once."""
    await merge(journal, "m-1", {"order 1042": "it is paid", "customer": "Ann Lee"}, principal="7")
    await merge(journal, "m-2", {"order 1042": "it is sent", "order 1043": "it is lost"}, 1, read=[1])
    ours: dict[str, str | None] = {"order 1042": "it is back"}
    lease = await begin(journal, "m-3")
    try:
        await merge(journal, "m-3", ours, 1, lease=lease, read=[2])
    except MemoryConflicts as error:
        await merge(journal, "m-3", ours, 1, lease=lease, read=[2], conflicts=error.conflicts)
    await journal.import_memory("acme", [written("order 1044", "wanted")], texts("order 1044", "wanted"))
    await merge(journal, "m-4", {"customer": None}, 4)


_DIE_IN_DEBT = """
import asyncio, os, sys
from seawall.core.clock import SystemClock
from seawall.journal.protocol import Spend
from seawall.journal.protocol import EffectFilter, Journal, ProposalFilter
from seawall.journal.sqlite import SqliteJournal

async def main():
    journal = SqliteJournal.open(sys.argv[1], clock=SystemClock())
    for tenant, run in (("acme", "r-1"), ("acme", "r-2"), ("other", "r-3")):
        await journal.reserve(tenant, "2026-01-01", Spend(tokens=100, model_calls=1), [], run)
    os._exit(0)

asyncio.run(main())
"""


async def _look_at_memory(
    journal: SqliteJournal, note: Callable[[str, Awaitable[Any]], Awaitable[Any]]
) -> None:
    for at in (None, 1, 3):
        for name, wanted in WANTED.items():
            await note(f"{name} at {at}", journal.memory_entries("acme", replace(wanted, at=at)))
    await note("memory by number", journal.memory_numbered(range(1, 9)))
    await note("memory of m-2", journal.memory_of_run("m-2"))
    await note("memory changed", journal.memory_changed(range(1, 9), 1))
    await note("memory behind", journal.memory_behind(["m-1", "m-2", "m-3"]))
    await note("memory log", journal.memory_log("acme"))
    await note("memory scopes", journal.memory_scopes("acme"))
    await note("memory diff", journal.memory_diff("acme", SCOPE, 1, 3))
    await note("memory since", journal.memory_since("acme", SCOPE, 1))
    await note("memory conflicts", journal.memory_conflicts("acme", state=None))
    await note("memory plan", journal.plan_revert("m-1", 3, [Lineage(tie="value", entry=1)], exposed=True))
    await note("memory of 7", journal.export_subject("acme", "7"))


async def look(path: str) -> dict[str, Any]:
    """Returns everything that a fold, an account or a decision reads: values, or the errors that were raised."""
    seen: dict[str, Any] = {}

    async def note(name: str, reading: Awaitable[Any]) -> Any:
        try:
            seen[name] = await reading
        except SeawallBug:
            raise
        except SeawallError as error:
            seen[name] = error
            return None
        return seen[name]

    journal = SqliteJournal.open(path, clock=SystemClock(), create=False)
    try:
        rows = await note("runs", journal.runs())
        for row in rows or ():
            events = await note(f"events {row.run}", journal.events(row.run))
            await note(f"inbox {row.run}", journal.inbox(row.run))
            if events:
                await note(f"bodies {row.run}", journal.bodies(row.tenant, refs_of(events)))
        await note("settings", journal.settings())
        await note("accounts", journal.accounts())
        await note("caps", journal.shared("caps"))
        await note("effects", journal.effects())
        await note("unknown effects", journal.effects(EffectFilter(state="unknown")))
        await note("proposals", journal.proposals(ProposalFilter(state=None)))
        await note("open proposals", journal.proposals(ProposalFilter(role="finance")))
        await note("decisions", journal.decisions())
        await note("decisions of p-1", journal.decisions("p-1"))
        await note("principals", journal.principals())
        await note("facts", journal.facts("acme", "s"))
        await note("woken", journal.woken_runs(["desk"]))
        for number, tenant in enumerate(("acme", "other", "")):
            await note(f"request {number}", journal.run_of_request(tenant, f"r-{number}"))
            await note(f"tail {number}", journal.session_tail(tenant, "t"))
        await note("pins", journal.shared("mcp/"))
        await _look_at_memory(journal, note)
        seen["found"] = await journal.verify()
    finally:
        await journal.close()
    return seen


@dataclass
class Damager:
    """Makes mutations of copies of one journal."""

    base: Path
    rng: random.Random
    place: Path
    values: dict[tuple[str, str], list[Any]] = field(default_factory=dict[tuple[str, str], list[Any]])

    def damage(self) -> str:
        """Makes a fresh copy and damages it; returns what was done."""
        for old in self.place.parent.glob(self.place.name + "*"):
            old.unlink()
        for end in ("", ".mark", "-wal"):
            shutil.copy(f"{self.base}{end}", f"{self.place}{end}")
        if self.rng.random() < 0.1:
            return self._harm_log()
        self._connect().execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
        kinds = [self._edit] * 12 + [self._delete, self._double, self._forge, self._flip, self._flip]
        kinds += [self._flip_index, self._flip_index, self._scribble, self._cut, self._harm_mark, self._drop]
        return self.rng.choice(kinds)()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.place, isolation_level=None)
        database.text_factory = lambda data: data.decode("utf-8", "replace")
        return database

    def _pick(self, database: sqlite3.Connection) -> tuple[str, list[str], str, tuple[Any, ...]]:
        table = self.rng.choice(TABLES)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        keys = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[5]] or ["rowid"]
        rows = database.execute(f"SELECT {', '.join(keys)} FROM {table}").fetchall()
        if not rows:
            return self._pick(database)
        return table, columns, " AND ".join(f"{key} IS ?" for key in keys), self.rng.choice(rows)

    def _edit(self) -> str:
        database = self._connect()
        try:
            for _ in range(50):
                table, columns, where, key = self._pick(database)
                column = self.rng.choice(columns)
                (old,) = database.execute(f"SELECT {column} FROM {table} WHERE {where}", key).fetchone()
                new = self._change(database, table, column, old)
                if new == old and type(new) is type(old):
                    continue
                try:
                    database.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *key))
                except (sqlite3.Error, OverflowError):
                    continue
                return f"{table}.{column} of {key}: {old!r:.60} -> {new!r:.60}"
            return "nothing"
        finally:
            database.close()

    def _change(self, database: sqlite3.Connection, table: str, column: str, old: Any) -> Any:
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            return None
        if kind == 1:
            return rng.choice([0, 1, -1, 2, 7, 1 << 62, 1.5, float("inf"), -1e300])
        if kind == 2:
            return rng.choice(["x", "", "1", "NaN", "\ud800".encode("utf-8", "replace").decode(), "é"])
        if kind == 3:
            return rng.choice([b"", b"\0", b"\xff\xfe", bytes(32), bytes(256), b"[]", b"{}"])
        if kind == 4:
            others = [row[0] for row in database.execute(f"SELECT {column} FROM {table}")]
            return rng.choice(others)
        if isinstance(old, int | float):
            return old + rng.choice([1, -1, 2, 10])
        if isinstance(old, str | bytes) and old:
            cut = rng.randrange(len(old))
            if rng.random() < 0.4:
                return old[:cut]
            if isinstance(old, bytes):
                return old[:cut] + bytes([old[cut] ^ (1 << rng.randrange(8))]) + old[cut + 1 :]
            return old[:cut] + chr(ord(old[cut]) ^ 1) + old[cut + 1 :]
        return old

    def _delete(self) -> str:
        database = self._connect()
        table, _, where, key = self._pick(database)
        database.execute(f"DELETE FROM {table} WHERE {where}", key)
        database.close()
        return f"{table}: row {key} deleted"

    def _forge(self) -> str:
        """Adds a row that the chain holds by nothing."""
        return self._double(leaf=False)

    def _double(self, *, leaf: bool = True) -> str:
        database = self._connect()
        table, columns, where, key = self._pick(database)
        row = list(database.execute(f"SELECT * FROM {table} WHERE {where}", key).fetchone())
        if isinstance(row[0], int):
            row[0] += 1_000
        for at, value in enumerate(row[1:3], 1):
            if isinstance(value, str):
                row[at] = value + "x"
        if isinstance(row[0], bytes):
            row[0] += b"x"
        if not leaf and "leaf" in columns:
            row[columns.index("leaf")] = None
        try:
            database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", row)
        except sqlite3.Error:
            return "nothing"
        finally:
            database.close()
        return f"{table}: row {key} doubled{'' if leaf else ', without a leaf'}"

    def _drop(self) -> str:
        database = self._connect()
        objects = database.execute("SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
        kind, name = self.rng.choice(objects)
        try:
            database.execute(f"DROP {kind} {name}")
        except sqlite3.Error:  # SQLite's own
            return "nothing"
        finally:
            database.close()
        return f"{kind} {name} dropped"

    def _write(self, at: int, data: bytes) -> None:
        with self.place.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def _flip(self) -> str:
        data = self.place.read_bytes()
        at, bit = self.rng.randrange(len(data)), self.rng.randrange(8)
        self._write(at, bytes([data[at] ^ (1 << bit)]))
        return f"bit {bit} of byte {at} (page {at // 4096 + 1}) flipped"

    def _flip_index(self) -> str:
        """Flips a bit of the first page of an index, which of a small one is all of it."""
        database = self._connect()
        pages = database.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'index'").fetchall()
        database.close()
        name, page = self.rng.choice(pages)
        at, bit = (page - 1) * 4096 + self.rng.randrange(4096), self.rng.randrange(8)
        old = self.place.read_bytes()[at]
        self._write(at, bytes([old ^ (1 << bit)]))
        return f"bit {bit} of byte {at} (index {name}) flipped"

    def _harm_log(self) -> str:
        """Damages the write-ahead log, in which the newest commits are."""
        log = Path(f"{self.place}-wal")
        data = bytearray(log.read_bytes())
        at = self.rng.randrange(len(data))
        kind = self.rng.choice(["flipped", "cut", "gone", "zeroed"])
        if kind == "gone":
            log.unlink()
            return "the log is gone"
        if kind == "cut":
            log.write_bytes(data[:at])
        else:
            frame = at - at % 4096
            data[frame if kind == "zeroed" else at : at + 1] = (
                bytes(at + 1 - frame)
                if kind == "zeroed"
                else bytes([data[at] ^ (1 << self.rng.randrange(8))])
            )
            log.write_bytes(data)
        return f"the log was {kind} at byte {at} of {len(data)}"

    def _scribble(self) -> str:
        at = self.rng.randrange(self.place.stat().st_size)
        self._write(at, self.rng.randbytes(self.rng.choice([1, 4, 16, 512])))
        return f"bytes from {at} (page {at // 4096 + 1}) overwritten"

    def _cut(self) -> str:
        size = self.rng.randrange(self.place.stat().st_size)
        with self.place.open("r+b") as file:
            file.truncate(size)
        return f"cut to {size} bytes"

    def _harm_mark(self) -> str:
        mark = Path(f"{self.place}.mark")
        if self.rng.random() < 0.3:
            mark.unlink()
            return "mark deleted"
        data = bytearray(mark.read_bytes())
        at = self.rng.randrange(len(data))
        data[at] ^= 1 << self.rng.randrange(8)
        mark.write_bytes(data)
        return f"byte {at} of the mark changed"


@dataclass
class Report:
    """What became of the mutations."""

    counts: Counter[str] = field(default_factory=Counter[str])
    missed: list[str] = field(default_factory=list[str])
    acted_on: list[str] = field(default_factory=list[str])
    accidents: list[str] = field(default_factory=list[str])

    def add(self, what: str, base: dict[str, Any], seen: dict[str, Any] | Exception) -> None:
        """Judges one mutation."""
        if isinstance(seen, Exception):
            if isinstance(seen, SeawallError) and not isinstance(seen, SeawallBug):
                self.counts["refused to open"] += 1
            else:
                self.accidents.append(f"{what}: {type(seen).__name__}: {seen}")
            return
        ok = seen["found"].ok
        others = {name: value for name, value in seen.items() if name != "found" and value != base.get(name)}
        others |= {name: "nothing" for name in base if name not in seen}
        failed = any(isinstance(value, SeawallError) for value in others.values())
        gone = {"nothing"} if failed else set[str]()
        changed = [
            name
            for name, value in others.items()
            if not isinstance(value, SeawallError) and not (isinstance(value, str) and value in gone)
        ]
        self.counts["verify says ok" if ok else "verify names it"] += 1
        if ok and others:
            self.missed.append(f"{what}: {dict(list(others.items())[:2])!r:.300}")
        if changed:
            self.acted_on.append(f"{what}: {sorted(changed)!r:.120}")


def run_command(rng: random.Random, path: Path, run: str) -> str | None:
    """Runs one command on the file; returns what is wrong with how it ended."""
    command = [each.format(run=run, copy=f"{path}.backup") for each in rng.choice(COMMANDS)]
    done = typer.testing.CliRunner().invoke(app, [*command, "--journal", str(path)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return f"{' '.join(command)}: {type(done.exception).__name__}: {done.exception}"
    return (
        None if done.exit_code in EXITS else f"{' '.join(command)}: exit code {done.exit_code}: {done.output}"
    )


def fuzz(place: Path, seed: int, number: int, progress: Callable[[int], None] | None = None) -> Report:
    """Makes and judges mutations."""
    base = place / "base.db"
    asyncio.run(make_journal(str(base)))
    subprocess.run([sys.executable, "-c", _DIE_IN_DEBT, str(base)], check=True)
    assert Path(f"{base}-wal").stat().st_size > 0, "the process that died has left no log"
    sound_copy = place / "sound.db"
    for end in ("", "-wal"):
        shutil.copy(f"{base}{end}", f"{sound_copy}{end}")
    write_mark(str(sound_copy))  # the mark lags, and the process has died before it was due
    shutil.copy(f"{sound_copy}.mark", f"{base}.mark")
    sound = asyncio.run(look(str(sound_copy)))
    assert sound["found"].ok, sound["found"]
    rng = random.Random(seed)
    runs = [row.run for row in sound["runs"]]
    damager = Damager(base, rng, place / "copy.db")
    report = Report()
    for count in range(number):
        what = f"{count}: {damager.damage()}"
        try:
            if count % 3 == 0:
                wrong = run_command(rng, damager.place, rng.choice(runs))
                report.counts["commands"] += 1
                if wrong is not None:
                    report.accidents.append(f"{what}: {wrong}")
            else:
                report.add(what, sound, asyncio.run(look(str(damager.place))))
        except Exception as error:  # noqa: BLE001 -- whatever comes is judged
            report.add(what, sound, error)
        if progress is not None:
            progress(count)
    return report


def main() -> None:
    """Prints what became of the mutations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=5_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        report = fuzz(Path(place), options.seed, options.number)
    lines = [str(dict(report.counts))]
    for name in ("missed", "acted_on", "accidents"):
        found: list[str] = getattr(report, name)
        lines += [f"{name}: {len(found)}", *(f"  {line}" for line in found[:40])]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(report.missed or report.accidents))


if __name__ == "__main__":
    main()
