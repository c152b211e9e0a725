"""The tables of a journal, as the steps from each schema to the next one.

Tables (all content is in `entries` and `bodies`; `runs` is an index that a fold can make again):

- `runs`: one row for each run. `rk` is its short key; rk 0 stands for the journal itself.
- `entries`: one row for each append. `box` is the sequence that it belongs to (see `records.Box`), `seq` its first
  number there, `n` how many events it holds, `data` the events as a JSON array, `leaf` the first bytes of
  its hash. A pruned entry has no data, but its whole hash.
- `bodies`: contents by tenant and SHA-256. An erased body has no data.
- `batches`: one row for each commit: the last entry in it and the hash over everything so far. A collapsed row
  stands for batches `since`..`id`, all pruned, and holds the hash `prev` of the batch before them. `state` is the sum
  of all held rows in the newest batch, and its hash in the others; `mac` signs the batch. A note names each collapse.
- `workers`: heartbeats. They are advice.

From schema 2 on (`prune` does not change them):

- `shared`: values that all processes agree on, by key. Those without a `leaf` are advice: losing them costs time and
  nothing else.
- `accounts`: what a tenant has spent and reserved on a day; day `*` stands for all days, tenant -1 for all
  tenants. Money is decimal text.

From schema 3 on the chain also holds the rows that are changed in place (see `row_sum.py`): `leaf` is the first bytes
of such a row's digest. `runs.events` and `runs.commands` count a run's events and the commands to it, so that an index
that has lost an entry does not pass for a shorter run.

Schema 4 adds indexes, so that each list and each search of runs reads about as many rows as it returns.

Schema 5 adds `reservations`: the part of what accounts hold as reserved that a process has reserved for its runs, and
that no recorded step has taken over yet. What an older version had reserved stands in the accounts alone.

Schema 6 adds indexes for lists of runs by team, time and principal.

Schema 7 adds what is true across runs (see `protocol/effects.py`). `prune` does not change these tables, and the chain
holds their rows:

- `effects`, `proposals`: one row for each record, as JSON, and the columns that it is looked up by.
- `sums`: what a tool's effects have reserved and spent for a tenant on a day, in one currency; day `*` stands for all.
- `waits`: steps that wait until an effect of another call is settled.
- `principals`: who may decide. Of a key it has the hash.
- `facts`: what the next run of a session is to be told.

Who decided what is an entry of the journal itself (`Box.DECISIONS`). `runs.taken` counts the commands that the run has
taken, so that runs with new ones are found. `batches.writer` is not empty: a process that knows only schema 6 would
begin effects without a claim, so the journal rejects its batches.

Schema 8 adds memory (see `protocol/memory.py`). The chain holds all of it but the last two tables, which are made from
the others and from bodies:

- `memories`: one row for each version of an entry; `quarantined` ones have a live version of their own beside the other.
- `memory_versions`: one row for each version of a scope; `memory_scopes`: what holds of a scope now.
- `memory_edges`: what was made of what, from source to target; `value` is 0 for mere exposure.
- `memory_reads`: which entries a run has read; `memory_conflicts`: what a run wrote and is not in memory.
- `memory_keys`: the text of each key, by which prefixes are found; `memory_search`: the words of live entries (FTS5).
"""

from __future__ import annotations

_CHAIN = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE tenants(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE runs(
    rk INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    session TEXT,
    team TEXT NOT NULL,
    app TEXT,
    request_id TEXT,
    started_at REAL NOT NULL,
    ended_at REAL,
    waiting INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    status TEXT,
    summary BLOB,
    pruned INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX runs_by_request ON runs(tenant, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX runs_by_session ON runs(tenant, session, rk) WHERE session IS NOT NULL;
CREATE INDEX runs_by_end ON runs(ended_at) WHERE ended_at IS NOT NULL AND pruned = 0;
CREATE INDEX runs_unended ON runs(rk) WHERE ended_at IS NULL;
CREATE TABLE entries(
    id INTEGER PRIMARY KEY,
    rk INTEGER NOT NULL,
    box INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    data BLOB,
    leaf BLOB
);
CREATE UNIQUE INDEX entries_by_run ON entries(rk, box, seq);
CREATE INDEX entries_inbox ON entries(id) WHERE box = 1;
CREATE TABLE bodies(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, hash BLOB NOT NULL, data BLOB);
CREATE UNIQUE INDEX bodies_by_hash ON bodies(tenant, hash);
CREATE TABLE batches(
    id INTEGER PRIMARY KEY,
    last_entry INTEGER NOT NULL,
    at REAL NOT NULL,
    hash BLOB NOT NULL,
    since INTEGER,
    prev BLOB
);
CREATE TABLE workers(owner TEXT PRIMARY KEY, beat INTEGER NOT NULL, until_wall REAL NOT NULL,
    until_mono REAL NOT NULL) WITHOUT ROWID;
"""
_BESIDE = """
CREATE TABLE shared(key BLOB PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE accounts(
    tenant INTEGER NOT NULL,
    day TEXT NOT NULL,
    spent_usd TEXT NOT NULL,
    spent_tokens INTEGER NOT NULL,
    spent_model_calls INTEGER NOT NULL,
    spent_tool_calls INTEGER NOT NULL,
    reserved_usd TEXT NOT NULL,
    reserved_tokens INTEGER NOT NULL,
    reserved_model_calls INTEGER NOT NULL,
    reserved_tool_calls INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) WITHOUT ROWID;
"""
_HELD = """
ALTER TABLE runs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN commands INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN leaf BLOB;
ALTER TABLE accounts ADD COLUMN leaf BLOB;
ALTER TABLE tenants ADD COLUMN leaf BLOB;
ALTER TABLE shared ADD COLUMN leaf BLOB;
ALTER TABLE batches ADD COLUMN state BLOB;
ALTER TABLE batches ADD COLUMN mac BLOB;
CREATE TRIGGER batches_have_state BEFORE INSERT ON batches WHEN new.state IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
"""


def _make_tail(column: str) -> str:
    return "||".join(f"substr({column}, -{place}, 1)" for place in range(1, 8))


RUN_ID_TAIL = _make_tail("run")
"""The last seven characters of a run's id, in reverse order: these are random, and people name a run by the last
few."""
_LISTS = f"""
CREATE INDEX runs_by_tenant ON runs(tenant);
CREATE INDEX runs_by_tenant_status ON runs(tenant, status) WHERE status IS NOT NULL;
CREATE INDEX runs_by_status ON runs(status) WHERE status IS NOT NULL;
CREATE INDEX runs_by_session_name ON runs(session) WHERE session IS NOT NULL;
CREATE INDEX runs_by_tail ON runs({RUN_ID_TAIL});
"""
_RESERVATIONS = """
CREATE TABLE reservations(
    owner TEXT NOT NULL,
    run TEXT NOT NULL,
    day TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    usd TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    model_calls INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (owner, run, day)
) WITHOUT ROWID;
"""
PRINCIPAL = """CASE WHEN json_valid(CAST(data AS TEXT))
    THEN coalesce(json_extract(CAST(data AS TEXT), '$[0].principal'), '') END"""
"""The principal in an entry that holds a run's first event. The expression never fails, even for a damaged entry,
because SQLite evaluates it for every write."""
_FILTERS = f"""
CREATE INDEX runs_by_start ON runs(started_at);
CREATE INDEX runs_by_tenant_start ON runs(tenant, started_at);
CREATE INDEX runs_by_team ON runs(team, started_at);
CREATE INDEX entries_by_principal ON entries({PRINCIPAL}, rk) WHERE box = 0 AND seq = 0;
"""
ID_TAIL = _make_tail("id")
"""The last seven characters of the id of an effect or a proposal, in reverse order."""
ABOUT = """CASE WHEN json_valid(CAST(data AS TEXT))
    THEN coalesce(json_extract(CAST(data AS TEXT), '$[0].about'), '') END"""
"""The subject of a decision's entry. Like `PRINCIPAL`, the expression never fails."""
TAKEN = """
SELECT max(each.value ->> '$.inbox') FROM entries e,
    json_each(CASE WHEN json_valid(CAST(e.data AS TEXT)) THEN CAST(e.data AS TEXT) ELSE '[]' END) AS each
WHERE e.rk = runs.rk AND e.box = 0 AND each.value ->> '$.type' = 'command'
"""
"""The number of the newest command that a run has taken, by its events; NULL if there is none."""
_EFFECTS = f"""
ALTER TABLE batches ADD COLUMN writer INTEGER;
DROP TRIGGER batches_have_state;
CREATE TRIGGER batches_know_effects BEFORE INSERT ON batches WHEN new.writer IS NULL BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
ALTER TABLE runs ADD COLUMN taken INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET taken = coalesce(({TAKEN}) + 1, 0)
    WHERE ended_at IS NULL AND EXISTS (SELECT 1 FROM entries WHERE rk = runs.rk AND box = 1);
CREATE INDEX runs_woken ON runs(team, rk) WHERE ended_at IS NULL AND waiting AND commands > taken;
CREATE INDEX entries_by_decision ON entries({ABOUT}, seq) WHERE rk = 0 AND box = 6;
CREATE TABLE effects(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    number INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    run TEXT NOT NULL,
    call TEXT NOT NULL,
    state TEXT NOT NULL,
    tool TEXT NOT NULL,
    session TEXT,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE UNIQUE INDEX effects_by_identity ON effects(identity, number) WHERE identity != '';
CREATE INDEX effects_by_call ON effects(run, call);
CREATE INDEX effects_unsettled ON effects(state) WHERE state != 'committed';
CREATE INDEX effects_begun ON effects(run) WHERE state IN ('proposed', 'approved', 'attempting');
CREATE INDEX effects_by_tenant ON effects(tenant);
CREATE INDEX effects_by_tool ON effects(tool);
CREATE INDEX effects_by_session ON effects(session) WHERE session IS NOT NULL;
CREATE INDEX effects_by_tail ON effects({ID_TAIL});
CREATE TABLE proposals(
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    hash TEXT NOT NULL,
    roles TEXT NOT NULL,
    escalate_at REAL,
    due REAL,
    changes REAL,
    rejected_until REAL,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE INDEX proposals_by_run ON proposals(run);
CREATE INDEX proposals_by_state ON proposals(state);
CREATE INDEX proposals_by_tenant ON proposals(tenant, state);
CREATE INDEX proposals_by_roles ON proposals(roles, pk, escalate_at, tenant) WHERE state = 'open';
CREATE INDEX proposals_due ON proposals(due) WHERE due IS NOT NULL;
CREATE INDEX proposals_changing ON proposals(changes) WHERE changes IS NOT NULL;
CREATE INDEX proposals_rejected ON proposals(tenant, hash, rejected_until) WHERE rejected_until IS NOT NULL;
CREATE INDEX proposals_by_tail ON proposals({ID_TAIL});
CREATE TABLE sums(
    tenant INTEGER NOT NULL,
    tool TEXT NOT NULL,
    day TEXT NOT NULL,
    currency TEXT NOT NULL,
    reserved TEXT NOT NULL,
    spent TEXT NOT NULL,
    leaf BLOB,
    PRIMARY KEY (tenant, tool, day, currency)
) WITHOUT ROWID;
CREATE TABLE waits(
    effect TEXT NOT NULL,
    run TEXT NOT NULL,
    step INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (effect, run, step)
) WITHOUT ROWID;
CREATE INDEX waits_by_run ON waits(run);
CREATE TABLE principals(
    name TEXT PRIMARY KEY,
    key_hash TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL,
    leaf BLOB
) WITHOUT ROWID;
CREATE TABLE facts(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    session TEXT NOT NULL,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE INDEX facts_by_session ON facts(tenant, session);
"""
_AT_WORK = """
CREATE INDEX IF NOT EXISTS runs_at_work ON runs(tenant, session)
    WHERE session IS NOT NULL AND ended_at IS NULL AND owner IS NOT NULL;
"""
"""An index that leads to the run at work in a session, however many runs the session has had. Some files of schema 7
have it already."""
_MEMORY = """
DROP TRIGGER batches_know_effects;
CREATE TRIGGER batches_know_memory BEFORE INSERT ON batches WHEN coalesce(new.writer, 0) < 8 BEGIN
    SELECT RAISE(ABORT, 'a newer seawall has migrated this journal: end the process of the older one');
END;
CREATE TABLE memories(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    scope TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB,
    born INTEGER NOT NULL,
    died INTEGER,
    died_at REAL,
    run TEXT NOT NULL,
    step INTEGER,
    agent TEXT NOT NULL,
    principal TEXT NOT NULL,
    labels TEXT NOT NULL,
    loose TEXT NOT NULL,
    at REAL NOT NULL,
    expires_at REAL,
    reviewed INTEGER NOT NULL,
    flagged INTEGER,
    reverted INTEGER,
    quarantined INTEGER NOT NULL,
    leaf BLOB
);
CREATE UNIQUE INDEX memories_live ON memories(tenant, scope, key, quarantined) WHERE died IS NULL;
CREATE INDEX memories_newest ON memories(tenant, scope, quarantined, number) WHERE died IS NULL AND value IS NOT NULL;
CREATE INDEX memories_forgotten ON memories(tenant, number) WHERE died IS NULL AND value IS NULL;
CREATE INDEX memories_dead ON memories(tenant, scope, died) WHERE died IS NOT NULL;
CREATE INDEX memories_expiring ON memories(tenant, expires_at) WHERE died IS NULL AND expires_at IS NOT NULL;
CREATE INDEX memories_by_key ON memories(tenant, key, scope, born);
CREATE INDEX memories_by_run ON memories(run, step) WHERE run != '';
CREATE INDEX memories_by_principal ON memories(tenant, principal) WHERE principal != '';
CREATE TABLE memory_versions(
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    scope TEXT NOT NULL,
    at REAL NOT NULL,
    origin TEXT NOT NULL,
    run TEXT NOT NULL,
    actor TEXT NOT NULL,
    reviewed INTEGER NOT NULL,
    written INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    about TEXT NOT NULL,
    leaf BLOB
);
CREATE INDEX memory_versions_by_scope ON memory_versions(tenant, scope, version);
CREATE INDEX memory_versions_by_tenant ON memory_versions(tenant, version);
CREATE INDEX memory_versions_reviewed ON memory_versions(tenant, scope, version) WHERE reviewed;
CREATE TABLE memory_scopes(
    tenant INTEGER NOT NULL,
    scope TEXT NOT NULL,
    version INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    live INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (tenant, scope)
) WITHOUT ROWID;
CREATE TABLE memory_edges(
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    value INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (source, target)
) WITHOUT ROWID;
CREATE INDEX memory_edges_back ON memory_edges(target, source);
CREATE TABLE memory_reads(
    run TEXT NOT NULL,
    entry INTEGER NOT NULL,
    leaf BLOB,
    PRIMARY KEY (run, entry)
) WITHOUT ROWID;
CREATE INDEX memory_reads_of ON memory_reads(entry, run);
CREATE TABLE memory_conflicts(
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    state TEXT NOT NULL,
    record BLOB NOT NULL,
    leaf BLOB
);
CREATE INDEX memory_conflicts_by_tenant ON memory_conflicts(tenant, state);
CREATE TABLE memory_keys(
    tenant INTEGER NOT NULL,
    scope TEXT NOT NULL,
    text TEXT NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (tenant, scope, text)
) WITHOUT ROWID;
CREATE INDEX memory_keys_by_key ON memory_keys(tenant, key, scope);
CREATE VIRTUAL TABLE memory_search USING fts5(words, tokenize = 'unicode61');
"""
MIGRATIONS = (_CHAIN, _BESIDE, _HELD, _LISTS, _RESERVATIONS, _FILTERS, _EFFECTS, _AT_WORK + _MEMORY)
"""The statements that lead from each schema to the next one."""
