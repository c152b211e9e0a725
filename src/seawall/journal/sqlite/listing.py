"""Lists runs: chooses the index for a filter, and the conditions that are checked on each row."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import NamedTuple

from seawall.core.errors import JournalDamaged, Misused
from seawall.journal.protocol import RunFilter, RunRow
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.migrations import PRINCIPAL
from seawall.journal.sqlite.reading import SELECT_ROW, Judge, to_row

_BY_KEY = "r.rk DESC"
_BY_START = "r.started_at DESC, r.rk DESC"
_TENANT = "(SELECT id FROM tenants WHERE name = ?)"
_STATES = {
    "ended": "r.ended_at IS NOT NULL",
    "waiting": "r.ended_at IS NULL AND r.waiting",
    "running": "r.ended_at IS NULL AND NOT r.waiting AND r.owner IS NOT NULL",
    "interrupted": "r.ended_at IS NULL AND NOT r.waiting AND r.epoch > 0",
    "queued": "r.ended_at IS NULL AND NOT r.waiting AND r.epoch = 0",
}
_REQUEST = """
SELECT b.hash, b.data FROM entries e JOIN bodies b
    ON b.tenant = ? AND b.hash = unhex(json_extract(CAST(e.data AS TEXT), '$[0].intent'))
    WHERE e.rk = ? AND e.box = 0 AND e.seq = 0 AND b.data IS NOT NULL
"""


class _Path(NamedTuple):
    """The way in which runs are read: a source, an order and conditions."""

    source: str
    order: str


def list_rows(database: Database, wanted: RunFilter, limit: int, judge: Judge) -> list[RunRow]:
    """Returns the rows of the runs that fit, newest first."""
    if wanted.state is not None and wanted.state not in _STATES:
        raise Misused(f"unknown run state {wanted.state!r}; one of {', '.join(_STATES)}")
    path = _choose_path(wanted)
    where, values = _list_conditions(wanted, by_principal=path is _BY_PRINCIPAL)
    needle = None if wanted.text is None else _fold_case(wanted.text)
    found: list[RunRow] = []
    source = SELECT_ROW.replace("FROM runs r", path.source)
    for record in database.iterate(f"{source} WHERE {' AND '.join(where)} ORDER BY {path.order}", values):
        row = to_row(record, judge)
        if wanted.state is not None and row.state != wanted.state:
            continue
        if needle is not None and needle not in _fold_case(_read_request(database, record)):
            continue
        found.append(row)
        if len(found) >= limit:
            break
    return found


_BY_PRINCIPAL = _Path(
    "FROM entries p INDEXED BY entries_by_principal CROSS JOIN runs r ON r.rk = p.rk", "p.rk DESC"
)


def _choose_path(wanted: RunFilter) -> _Path:
    """Returns the index by which runs are read. SQLite can't choose it, because it does not know how many rows fit each
    condition. A session has few runs, most principals have few, and few runs have not ended.
    """
    has_time = wanted.since is not None or wanted.until is not None
    if wanted.session is not None and wanted.tenant is not None and wanted.state == "running":
        return _Path("FROM runs r", _BY_KEY)  # by `runs_at_work`, an index that a read-only file may lack
    if wanted.session is not None:
        name = "runs_by_session_name" if wanted.tenant is None else "runs_by_session"
        return _Path(f"FROM runs r INDEXED BY {name}", _BY_KEY)
    if wanted.state is not None and wanted.state != "ended":
        return _Path("FROM runs r INDEXED BY runs_unended", _BY_KEY)
    if wanted.principal is not None:
        return _BY_PRINCIPAL
    if wanted.tenant is not None and has_time:
        return _Path("FROM runs r INDEXED BY runs_by_tenant_start", _BY_START)
    if wanted.team is not None and wanted.tenant is None:
        return _Path("FROM runs r INDEXED BY runs_by_team", _BY_START)
    if has_time:
        return _Path("FROM runs r INDEXED BY runs_by_start", _BY_START)
    if wanted.status is not None:
        name = "runs_by_status" if wanted.tenant is None else "runs_by_tenant_status"
        return _Path(f"FROM runs r INDEXED BY {name}", _BY_KEY)
    if wanted.tenant is not None:
        return _Path("FROM runs r INDEXED BY runs_by_tenant", _BY_KEY)
    return _Path("FROM runs r NOT INDEXED", _BY_KEY)


def _list_conditions(wanted: RunFilter, *, by_principal: bool) -> tuple[list[str], list[object]]:
    """Returns the terms of the query, and their values. `by_principal`: the query reads the entries of the
    principal.
    """
    principal = f"(SELECT {PRINCIPAL} FROM entries WHERE rk = r.rk AND box = 0 AND seq = 0) = ?"
    if by_principal:
        principal = f"p.box = 0 AND p.seq = 0 AND {PRINCIPAL.replace('data', 'p.data')} = ?"
    terms = (
        ("r.status = ?", wanted.status),
        ("r.session = ?", wanted.session),
        (f"r.tenant = {_TENANT}", wanted.tenant),
        ("r.team = ?", wanted.team),
        ("r.started_at >= ?", wanted.since),
        ("r.started_at < ?", wanted.until),
        (principal, wanted.principal),
    )
    where = ["1", *(term for term, value in terms if value is not None)]
    if wanted.state is not None:
        where.append(_STATES[wanted.state])
    return where, [value for _, value in terms if value is not None]


def _read_request(database: Database, record: Row) -> str:
    """Returns a run's request; "" if it was erased, or its run was pruned."""
    rk, run, tenant = record[4], record[5], record[6]
    found = database.fetch_first(_REQUEST, (tenant, rk))
    if found is None:
        return ""
    hash_, data = found
    if hashlib.sha256(data).digest() != hash_:
        raise JournalDamaged(f"run {run}: the body of its request is not what its hash says")
    return data.decode("utf-8", "replace")


def _fold_case(text: str) -> str:
    """Returns text with differences of case and of composed accents removed."""
    return unicodedata.normalize("NFC", text.casefold())


_OLDER = "SELECT writer, last_entry FROM batches WHERE id <= ? ORDER BY id DESC LIMIT 1"
_FIRST_ENTRY = "SELECT id FROM entries WHERE rk = ? AND box = 0 AND seq = 0"


def list_older_waits(database: Database, limit: int, judge: Judge) -> list[RunRow]:
    """Returns the waiting runs that were begun by an older version, which asked people without proposals; oldest
    first.
    """
    last = _find_last_older_entry(database)
    found: list[RunRow] = []
    source = SELECT_ROW.replace("FROM runs r", "FROM runs r INDEXED BY runs_unended")
    for record in database.iterate(f"{source} WHERE r.ended_at IS NULL ORDER BY r.rk"):
        row = to_row(record, judge)
        first = database.fetch_value(_FIRST_ENTRY, (record[4],))
        if first is None or first > last or len(found) >= limit:
            break  # keys and entries grow in the same order, so all further runs are newer
        if row.state == "waiting":
            found.append(row)
    return found


def _find_last_older_entry(database: Database) -> int:
    """Returns the last entry that a version without proposals has written; 0 if there is none. Batches of that version
    come first.
    """
    low, high, last = 0, database.fetch_value("SELECT max(id) FROM batches"), 0
    while low <= high:
        middle = (low + high) // 2
        found = database.fetch_first(_OLDER, (middle,))
        if found is not None and found[0] is not None:
            high = middle - 1
            continue
        low, last = middle + 1, last if found is None else found[1]
    return last
