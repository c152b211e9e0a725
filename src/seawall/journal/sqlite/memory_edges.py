"""The lineage of memory: which entry or answer was made of which. It outlives the entries and runs along the way, as
long as something was made of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from seawall.journal.memory_rules import answer_node, is_entry, read_entry, step_node
from seawall.journal.sqlite.database import Row
from seawall.journal.sqlite.row_sum import check_row
from seawall.journal.sqlite.transaction import Transaction

MOST_EDGES = 4_096
"""Most edges that replace a removed node. If more would be needed, the node stays."""
_EDGE = "SELECT leaf, source, target, value FROM memory_edges WHERE source = ? AND target = ?"
_FROM = "SELECT leaf, source, target, value FROM memory_edges WHERE source = ?"
_TO = "SELECT leaf, source, target, value FROM memory_edges WHERE target = ?"
_FROM_STEPS = "SELECT leaf, source, target, value FROM memory_edges WHERE source >= ? AND source < ?"
_TO_STEPS = "SELECT leaf, source, target, value FROM memory_edges WHERE target >= ? AND target < ?"
_RUNS = "SELECT run FROM runs WHERE rk IN (SELECT value FROM json_each(?))"
_READS = "SELECT leaf, run, entry FROM memory_reads WHERE run = ?"
_READS_OF = "SELECT leaf, run, entry FROM memory_reads WHERE entry = ?"


def add_edges(tx: Transaction, edges: Mapping[tuple[str, str], bool]) -> None:
    """Adds to the lineage. An edge of exposure may become an edge of a value, but not the reverse."""
    for (source, target), value in edges.items():
        row = next(iter(_read(tx, "memory_edges", _EDGE, (source, target))), None)
        if row is None or row[2] < value:
            tx.tables["memory_edges"].put(row, (source, target, int(value)))
            tx.wrote = True


def find_values(tx: Transaction, nodes: Iterable[str]) -> set[int]:
    """Returns the numbers of the entries from which answers took a value, directly or through other answers."""
    waiting, seen, numbers = list(nodes), set[str](), set[int]()
    while waiting:
        node = waiting.pop()
        rows = [] if node in seen else _read(tx, "memory_edges", _TO, (node,))
        seen.add(node)
        for source, _, value in rows:
            if value and is_entry(source):
                numbers.add(read_entry(source))
            elif value:
                waiting.append(source)
    return numbers


def remove_node(tx: Transaction, node: str, *, alias: str | None = None) -> None:
    """Removes a node from the lineage, and links its sources to its targets. `alias` replaces it as a source."""
    before = _read(tx, "memory_edges", _TO, (node,))
    after = _read(tx, "memory_edges", _FROM, (node,))
    sources = [(source, value) for source, _, value in before]
    if alias is not None:
        sources.append((alias, 1))
    if len(sources) * len(after) > MOST_EDGES:
        return
    edges: dict[tuple[str, str], bool] = {}
    for source, first in sources:
        for _, target, second in after:
            if source != target:
                edges[source, target] = edges.get((source, target), False) or bool(first and second)
    add_edges(tx, edges)
    for row in (*before, *after):
        tx.tables["memory_edges"].delete(row)
        tx.wrote = True


def leave_runs(tx: Transaction, keys: Sequence[int]) -> None:
    """Removes pruned runs from the lineage: their answers, their steps, and the record of what they have read."""
    for (run,) in tx.database.fetch_all(_RUNS, (json.dumps([*keys]),)):
        remove_node(tx, answer_node(run))
        first = step_node(run, 0)[:-1]
        between = first, first + "~"
        steps = [row[0] for row in _read(tx, "memory_edges", _FROM_STEPS, between)]
        steps += [row[1] for row in _read(tx, "memory_edges", _TO_STEPS, between)]
        for node in dict.fromkeys(steps):
            remove_node(tx, node)
        _delete_reads(tx, _read(tx, "memory_reads", _READS, (run,)))


def leave_reads(tx: Transaction, number: int) -> None:
    """Deletes the record of which runs have read an entry."""
    _delete_reads(tx, _read(tx, "memory_reads", _READS_OF, (number,)))


def _delete_reads(tx: Transaction, rows: Iterable[Row]) -> None:
    for row in rows:
        tx.tables["memory_reads"].delete(row)
        tx.wrote = True


def _read(tx: Transaction, table: str, sql: str, values: Sequence[object]) -> list[Row]:
    rows = tx.database.fetch_all(sql, values)
    for row in rows:
        check_row(table, row[1:], row[0])
    return [row[1:] for row in rows]
