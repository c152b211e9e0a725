"""No query of the journal reads more, the more runs there are: every statement's plan is looked at.

The statements are those that the contract runs, taken down as they are executed. So a query that is added later is
looked at too, and a call that the contract never makes fails the second test.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from journal.contract import JournalContract, SharedContract
from journal.story import Open
from seawall.journal import sqlite
from seawall.journal.sqlite import SqliteJournal
from seawall.journal.sqlite.database import Database
from seawall.testing import ManualClock

FOLDER = Path(inspect.getfile(sqlite)).parent
METHODS = ("run", "run_many", "fetch_all", "iterate", "fetch_first", "fetch_one", "fetch_value")
Site = tuple[str, int]
"""File and line of a call that executes a statement."""

BOUNDED = re.compile(
    r"(?:SCALAR|CORRELATED SCALAR|LIST|REUSE|REUSE LIST|LEFT-MOST) SUBQUERY.*|CO-ROUTINE .*|COMPOUND QUERY|UNION ALL"
    r"|USE TEMP B-TREE FOR ORDER BY"  # of what was read
    r"|SCAN (?:CONSTANT ROW|t|\d+-ROW VALUES CLAUSE|\w+ VIRTUAL TABLE INDEX 1:)"
    r"|SCAN (?:workers|sqlite_schema)"  # one row for each process that is alive
    r"|SCAN pragma_(?:user_version|application_id) VIRTUAL TABLE INDEX 0:"  # one value of the file's header
    r"|SCAN sqlite_sequence"  # one row for each table that has it
    r"|SEARCH \w+ USING INDEX effects_by_call \(run=\? AND call=\?\)"  # of one call
    r"|SEARCH \w+ USING INDEX effects_by_identity \(identity=\?(?: AND number=\?)?\)"  # with a limit of two
    r"|SEARCH \w+ USING INDEX runs_at_work \(tenant=\? AND session=\?\)"  # the one that is driven
    r"|SEARCH \w+ USING PRIMARY KEY \(effect=\? AND run=\? AND step=\?\)"
    r"|SEARCH sums USING PRIMARY KEY \(tenant=\? AND tool=\? AND day=\? AND currency=\?\)"
    r"|SCAN reservations"  # what is reserved at this moment for calls that are about to be made
    r"|SEARCH reservations USING PRIMARY KEY \(owner=\?(?: AND run=\?(?: AND day=\?)?)?\)"
    r"|SEARCH (?:batches|entries|runs)"  # the highest key
    r"|SEARCH \w+ USING (?:INTEGER PRIMARY KEY|(?:COVERING )?INDEX \w+|PRIMARY KEY) "
    r"\((?:rowid|run|name|key|owner|hash|id|effect|key_hash)=\?\)(?: LEFT-JOIN)?"
    r"|SEARCH \w+ USING (?:COVERING )?INDEX bodies_by_hash \(tenant=\? AND hash=\?\)"
    r"|SEARCH \w+ USING INDEX runs_by_request \(tenant=\? AND request_id=\?\)"
    r"|SEARCH \w+ USING COVERING INDEX runs_by_tenant \(tenant=\? AND rowid=\?\)"
    r"|SEARCH \w+ USING (?:COVERING )?INDEX entries_by_run \(rk=\? AND box=\?.*\)"  # of one run
    r"|SEARCH \w+ USING PRIMARY KEY \(tenant=\? AND (?:day|hash)=\?\)"
    r"|SEARCH \w+ USING PRIMARY KEY "
    r"\((?:tenant=\? AND scope=\?(?: AND text=\?)?|source=\? AND target=\?|run=\? AND entry=\?)\)"
    r"|SEARCH \w+ USING INDEX memories_live \(tenant=\? AND scope=\? AND key=\? AND quarantined=\?\)"
    r"|SEARCH \w+ USING COVERING INDEX memor(?:ies_by_key|y_keys_by_key) \(tenant=\? AND key=\? AND scope=\?\)"
    r"|SCAN memory_search VIRTUAL TABLE INDEX 0:="
    r"|CREATE BLOOM FILTER"
)
"""The lines of plans that find single rows by their key, or the rows of one run."""

MAY_READ_ON = {
    "_read_newest": "the newest batch",
    "read_head": "the newest batch",
    "explain_loss": "the newest batch",
    "hold_all_rows": "once, when the journal is made or an older one is migrated",
    "find_run": "the newest run",
    "find_session_tail": "the newest run of a session",
    "list_rows": "the newest runs in the index of what is asked for, up to the limit; for a text it looks at the request "
    "of each by its key",
    "list_older_waits": "those that an older version began and that have not ended, and one more",
    "_find_last_older_entry": "the newest batch up to an id, for each step of a binary search",
    "_search_runs": "up to six runs",
    "read_commands": "what came after the cursor",
    "find_rejected": "the rejections of one call that still hold",
    "has_principals": "one of them",
    "_find": "up to six ids",
    "_find_latest": "the newest batch",
    "_iterate_proposals": "the oldest of those in the index of what is asked for, up to the limit; all of them to count",
    "_list_by_role": "the oldest of each set of roles, up to the limit",
    "list_effects": "the newest in the index of what is asked for, up to the limit",
    "list_due": "the first that are due, up to the limit",
    **dict.fromkeys(("list_woken", "list_facts", "list_principals"), "returns all that it reads"),
    "read_accounts": "returns all that it reads, but for one look at each tenant",
    "_count_recorded": "the events of one run that goes on, as its fold reads them",
    "_fetch": "returns all that it reads",
    **dict.fromkeys(
        ("find_newest", "find_before", "find_at"), "the newest of one key, but for quarantined ones"
    ),
    "find_last_reviewed": "the newest version of one scope",
    "find_words": "the newest that have the words, up to the limit",
    "filter_by_words": "what died since a snapshot, in an index of its own",
    **dict.fromkeys(("iterate_scope", "_list_words"), "what died since a snapshot"),
    "_iterate_live": "the newest of one scope, up to the limit",
    "find_damage": "one row of the index of words",
    **dict.fromkeys(
        (
            "find_prefix",
            "list_scopes",
            "list_of_subject",
            "_add_written",
            "_read_edges",
            "plan_revert",
            "list_derived",
        ),
        "returns all that it reads",
    ),
    **dict.fromkeys(
        ("find_sources", "_find_conflicts"),
        "what a step has written, and the conflicts that are open",
    ),
    "list_since": "what became of one scope since a version",
    "list_log": "the newest of a tenant or a scope, up to the limit",
    "list_conflicts": "the oldest of a tenant, up to the limit",
    "_read": "what leads to one node of the lineage and away from it, and the reads of one run or one entry",
    "_forget_words": "when bodies are erased: what holds now",
    "_find_oldest_snapshot": "the runs that have not ended",
    **dict.fromkeys(
        ("_remove_entries", "_list_scopes", "_is_empty", "_list_gone_versions", "_find"),
        "a collection reads everything that may go",
    ),
    "_read_effects": "forgetting a person reads all effects of a tenant",
    "_read_records": "forgetting a person reads all records of a tenant",
    "_read_others": "forgetting a person reads runs that were shown what is theirs",
    "release_all": "at the end of a process: what has not ended",
    "_erase_next": "up to a number of rows, and goes on from there",
    "list_chunk": "the bodies of one chunk of a prune",
    "walk": "the bodies that a prune has not looked at",
    **dict.fromkeys(
        ("read", "catch_up", "_add_records", "_list_old_runs"),
        "prune reads everything",
    ),
    **dict.fromkeys(
        ("_measure_share", "_list_tenants", "_collapse", "_replace"),
        "prune reads everything",
    ),
    **dict.fromkeys(
        ("_check_effects", "_check_facts", "_check_principals", "_check_proposals"), "verify reads everything"
    ),
    **dict.fromkeys(
        (
            "_check_entries",
            "_check_words",
            "_check_keys",
            "_check_versions",
            "_check_conflicts",
            "_check_scopes",
        ),
        "verify reads everything",
    ),
    **dict.fromkeys(
        (
            "_check_counters",
            "_check_end",
            "_check_sequences",
            "check_bodies",
            "check_chain",
            "check_rows",
            "check_runs",
        ),
        "verify reads everything",
    ),
}
"""Functions whose statements find more than single rows, and why that is not too much."""

_RUNNING = "r.owner IS NOT NULL"

NEVER_IN_THE_CONTRACT = (
    "memory_shown.py: ",  # likewise
    "memory_forgetting.py: ",  # effects of the person, and results that others were shown: test_memory_forgetting.py
    "langgraph_store.py: ",  # a file of another system, read once as a whole
    "verify.py: ",  # what it says about a damaged file
    "memory_check.py: database.fetch_first(_LISTED",  # of two keys with one text
    "holding.py: ",  # once, when an older journal is migrated
    "backup.py: ",
    "structure.py: database.run(step)",  # the schema in memory, made once in a process
    "mark.py: database.fetch_value('SELECT max(id) FROM batches')",
    "reading.py: database.fetch_first(_LOST",
    "transaction.py: self.database.fetch_value('SELECT max(id) FROM batches",
    "liveness.py: database.run('DELETE FROM workers WHERE owner = ?'",
    "retention.py: database.fetch_all(f'PRAGMA incremental_vacuum",
    "transaction.py: self.database.fetch_one(_ROW, (state.rk,))",
)
"""Calls that only other tests make; each finds single rows by their key."""


class Contract(JournalContract, SharedContract):
    """All tests of the contract."""

    __test__ = False


class Plans:
    """What SQLite says how it will execute each statement, and where each was called."""

    def __init__(self) -> None:
        self.sites: set[Site] = set()
        self.lines: dict[tuple[str, str], list[str]] = {}
        """By function and statement: the lines of the plan."""

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Takes down every statement that any connection executes from now on."""
        for name in METHODS:
            patch.setattr(Database, name, self._wrap(getattr(Database, name)))

    def _wrap(self, method: Any) -> Any:
        def call(database: Database, sql: str, values: Any = ()) -> Any:
            frame = sys._getframe(1)
            if frame.f_code.co_filename != inspect.getfile(Database):
                self.sites.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
                rows = [values]
                if method.__name__ == "run_many":
                    rows = values = list(values)
                if rows:
                    self._explain(database, frame.f_code.co_name, sql, rows[0])
            return method(database, sql, values)

        return call

    def _explain(self, database: Database, function: str, sql: str, values: Sequence[object]) -> None:
        key = function, " ".join(sql.split())
        if key in self.lines or not sql.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")):
            return
        rows = database._raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        self.lines[key] = [row[3] for row in rows]


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """The plans of all statements of the contract."""
    plans = Plans()
    with pytest.MonkeyPatch.context() as patch:
        plans.watch(patch)
        for number, (test, arguments) in enumerate(_list_tests()):
            clock = ManualClock()
            path = str(tmp_path_factory.mktemp("plans") / f"{number}.db")
            given: dict[str, Any] = {"clock": clock, "open_journal": _opener(path, clock), **arguments}
            wanted = inspect.signature(test).parameters
            test(Contract(), **{name: value for name, value in given.items() if name in wanted})
    return plans


def _opener(path: str, clock: ManualClock) -> Open:
    return lambda: SqliteJournal.open(path, clock=clock)


def _list_tests() -> Iterable[tuple[Any, dict[str, Any]]]:
    """Yields each test of the contract, with the arguments of each of its cases."""
    for name, test in inspect.getmembers(Contract, inspect.isfunction):
        marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        if not name.startswith("test_"):
            continue
        if not marks:
            yield test, {}
        for mark in marks:
            names = (
                [each.strip() for each in mark.args[0].split(",")]
                if isinstance(mark.args[0], str)
                else mark.args[0]
            )
            for case in mark.args[1]:
                values = getattr(case, "values", case if len(names) > 1 else [case])
                yield test, dict(zip(names, values, strict=True))


def test_no_statement_reads_more_the_more_runs_there_are(plans: Plans) -> None:
    long: dict[str, list[str]] = {}
    for (function, sql), lines in plans.lines.items():
        if unbounded := [line for line in lines if not BOUNDED.fullmatch(line)]:
            long.setdefault(function, []).append(f"{sql}: {unbounded}")

    assert {
        function: statements for function, statements in long.items() if function not in MAY_READ_ON
    } == {}
    assert set(MAY_READ_ON) - set(long) == set(), "needs no exception any more"


def test_what_is_at_work_in_a_session_is_found_in_one_step_however_many_runs_it_has_had(plans: Plans) -> None:
    found = [
        line
        for (function, sql), lines in plans.lines.items()
        if function == "find_at_work"
        or (function == "list_rows" and "r.session = ? AND r.tenant" in sql and _RUNNING in sql)
        for line in lines
        if "runs" in line or " r " in line
    ]

    assert len(found) == 2
    for line in found:
        assert re.fullmatch(r"SEARCH \w+ USING INDEX runs_at_work \(tenant=\? AND session=\?\)", line)


def test_the_plan_of_every_statement_in_the_code_was_looked_at(plans: Plans) -> None:
    never = [
        f"{path.name}: {ast.unparse(call)}"
        for path in sorted(FOLDER.glob("*.py"))
        if path.name != "database.py"
        for call in _list_calls(ast.parse(path.read_text(encoding="utf-8")))
        if not any(
            (path.name, line) in plans.sites for line in range(call.lineno, (call.end_lineno or 0) + 1)
        )
    ]
    assert [site for site in never if not site.startswith(NEVER_IN_THE_CONTRACT)] == []


def _list_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yields the calls that execute a statement: those of a method of something called `database`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in METHODS and ast.unparse(node.func.value).endswith("database"):
            yield node
