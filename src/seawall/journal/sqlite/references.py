"""Finds the bodies that are still referred to: by runs that were not pruned, by records that outlive runs, and by
memory.

Everything in an event or a body that looks like a reference counts as one: keeping too much is a smaller fault than
losing something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import apsw

from seawall.journal.sqlite.database import Database

RUNS = 100
"""Runs that are pruned in one transaction: about 10 ms at a dozen steps each."""
CACHE_KIB = 65_536
"""KiB of memory for the references that are found: about 600,000 of them. Further ones are in a temporary file."""

_RECORDS = {"effects": "pk", "proposals": "pk", "facts": "number", "memory_conflicts": "number"}
"""Tables of records that outlive their runs, with their keys. The bodies that they refer to outlive the runs too."""
_DECIDED = "SELECT data FROM entries WHERE id > ? AND rk = 0 AND box = 6"
_ref = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MEMORIES = "SELECT number, key, value FROM memories WHERE tenant = ? AND number > ? ORDER BY number"


class References:
    """The references found so far: hash → number of the chunk of runs. References beyond the cache are kept on disk."""

    def __init__(self, links: Mapping[bytes, Sequence[bytes]] | None = None) -> None:
        """`links`: by body, the references that count for it, instead of everything in it that looks like a
        reference.
        """
        self._links = links or {}
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self._database = Database("", flags=flags, vfs=None)
        self._database.run_pragma("journal_mode", "off")
        self._database.run_pragma("cache_size", -CACHE_KIB)
        self._database.run(
            "CREATE TABLE found(hash BLOB PRIMARY KEY, chunk INTEGER NOT NULL, size INTEGER, "
            "walked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID; CREATE INDEX unwalked ON found(walked) "
            "WHERE walked = 0; CREATE INDEX by_chunk ON found(chunk); BEGIN"
        )

    def add(self, hashes: Iterable[bytes], chunk: int) -> None:
        """Adds references. The highest chunk of a hash counts; a hash that gets a higher one is followed again."""
        self._database.run_many(
            "INSERT INTO found(hash, chunk) VALUES (?, ?) ON CONFLICT(hash) DO UPDATE "
            "SET chunk = excluded.chunk, walked = 0 WHERE excluded.chunk > chunk",
            [(hash_, chunk) for hash_ in hashes],
        )

    def walk(self, database: Database, tenant: int) -> None:
        """Follows references through bodies until there are no new ones."""
        while rows := self._database.fetch_all("SELECT hash, chunk FROM found WHERE walked = 0 LIMIT 200"):
            for hash_, chunk in rows:
                row = database.fetch_first(
                    "SELECT data, coalesce(length(data), 0) FROM bodies WHERE tenant = ? AND hash = ?",
                    (tenant, hash_),
                )
                self._database.run(
                    "UPDATE found SET walked = 1, size = ? WHERE hash = ?", (row and row[1], hash_)
                )
                if row is not None and row[0] is not None:
                    links = self._links.get(hash_)
                    self.add(find_refs([row]) if links is None else links, chunk)

    def has(self, hash_: bytes) -> bool:
        """Returns True if something refers to the body."""
        return self._database.fetch_first("SELECT 1 FROM found WHERE hash = ?", (hash_,)) is not None

    def list_chunk(self, chunk: int) -> list[tuple[bytes, int | None]]:
        """Returns hash and size of the bodies whose last reference is in `chunk`."""
        return [
            (row[0], row[1])
            for row in self._database.fetch_all("SELECT hash, size FROM found WHERE chunk = ?", (chunk,))
        ]

    def close(self) -> None:
        """Deletes the references."""
        self._database.close()


def find_refs(data: Iterable[tuple[Any, ...]]) -> Iterable[bytes]:
    """Yields what looks like a reference in the first column of rows."""
    return (bytes.fromhex(ref.decode()) for row in data for ref in _ref.findall(row[0]))


class KeptBodies:
    """The bodies of a tenant that its runs, its records and its memory refer to, except for those that are about to be
    removed.
    """

    def __init__(
        self,
        tenant: int,
        without: Mapping[str, Container[int]] | None = None,
        links: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> None:
        """`without`: by table, the keys of records that are about to be removed. `links`: as for `References`."""
        self.tenant = tenant
        self._without = without or {}
        self._found = References(links)
        self._scanned = 0  # the references of entries up to this id are found
        self._scanned_records = dict.fromkeys(
            (*_RECORDS, "memories"), 0
        )  # and those of records up to these keys

    def read(self, database: Database, going: Container[int]) -> None:
        """Reads all references of the tenant in one snapshot, except those of runs that are about to be removed."""
        self._scanned = database.fetch_value("SELECT coalesce(max(id), 0) FROM entries")
        self._add_records(database)
        for rk, data in database.iterate(
            "SELECT e.rk, e.data FROM runs r JOIN entries e ON e.rk = r.rk AND e.box IN (0, 1) "
            "WHERE r.tenant = ? AND r.pruned = 0 AND e.data IS NOT NULL",
            (self.tenant,),
        ):
            if rk not in going:
                self._found.add(find_refs([(data,)]), 0)
        self._found.walk(database, self.tenant)

    def _add_records(self, database: Database) -> None:
        """Adds the references of records that were added since the last time."""
        for table, key_name in _RECORDS.items():
            after = self._scanned_records[table]
            index = "NOT INDEXED" if after else ""  # the first read goes by tenant, later ones by key
            rows = database.iterate(
                f"SELECT {key_name}, record FROM {table} {index} WHERE tenant = ? AND {key_name} > ?",
                (self.tenant, after),
            )
            without = self._without.get(table, ())
            for key, record in rows:
                if key not in without:
                    self._found.add(find_refs([(record,)]), 0)
                self._scanned_records[table] = max(key, self._scanned_records[table])

        after, without = self._scanned_records["memories"], self._without.get("memories", ())
        for number, *hashes in database.iterate(_MEMORIES, (self.tenant, after)):
            if number not in without:
                self._found.add([hash_ for hash_ in hashes if hash_ is not None], 0)
            self._scanned_records["memories"] = number

    def catch_up(self, database: Database) -> None:
        """Adds the references that were recorded after `read`. A new reference of an older record also stands in an
        event, a command or a decision, so these are enough.
        """
        self._add_records(database)
        decided = database.fetch_all(_DECIDED, (self._scanned,))
        self._found.add(find_refs(decided), 0)
        data = database.fetch_all(
            "SELECT e.data FROM entries e CROSS JOIN runs r ON r.rk = e.rk AND r.tenant = ? "
            "WHERE e.id > ? AND e.data IS NOT NULL",
            (self.tenant, self._scanned),
        )
        self._found.add(find_refs(data), 0)
        self._found.walk(database, self.tenant)
        self._scanned = database.fetch_value("SELECT coalesce(max(id), 0) FROM entries")

    def keep(self, hashes: Iterable[bytes]) -> None:
        """Adds bodies to those that are referred to."""
        self._found.add(hashes, 0)

    def has(self, hash_: bytes) -> bool:
        """Returns whether something refers to a body."""
        return self._found.has(hash_)

    def close(self) -> None:
        """Drops the references."""
        self._found.close()


class PrunePlan:
    """The plan of a prune for one tenant: chunks of runs, and the bodies to which only these runs refer."""

    def __init__(
        self,
        tenant: int,
        without: Mapping[str, Container[int]] | None = None,
        links: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> None:
        """`without` and `links`: as for `KeptBodies`."""
        self.tenant = tenant
        self.chunks: list[list[int]] = []
        self.pruned = References()
        self.kept = KeptBodies(tenant, without, links)

    def make(self, database: Database, find_runs: Callable[[Database, int], Sequence[int]]) -> None:
        """Makes the plan: reads all references of the tenant, in one snapshot. `find_runs` returns the keys of the runs
        to prune.
        """
        keys = find_runs(database, self.tenant)
        self.chunks = [list(keys[i : i + RUNS]) for i in range(0, len(keys), RUNS)]
        for number, chunk in enumerate(self.chunks):
            data = database.iterate(
                "SELECT data FROM entries WHERE box IN (0, 1) AND data IS NOT NULL "
                "AND rk IN (SELECT value FROM json_each(?))",
                (json.dumps(chunk),),
            )
            self.pruned.add(find_refs(data), number)
        self.pruned.walk(database, self.tenant)
        self.kept.read(database, set(keys))

    def list_bodies(self, chunk: int) -> list[tuple[bytes, int]]:
        """Returns hash and size of the bodies that are removed with a chunk."""
        return [
            (hash_, size)
            for hash_, size in self.pruned.list_chunk(chunk)
            if size is not None and not self.kept.has(hash_)
        ]

    def close(self) -> None:
        """Drops the plan."""
        self.pruned.close()
        self.kept.close()
