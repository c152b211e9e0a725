"""Reads effects, proposals, decisions, principals and facts, and chooses the index for each query."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, cast

import msgspec
from msgspec.structs import replace

from seawall.core.errors import JournalDamaged, Misused
from seawall.journal.effect_rules import has_expired
from seawall.journal.protocol import (
    DecisionRecord,
    EffectFilter,
    EffectRecord,
    Fact,
    PrincipalRecord,
    Proposal,
    ProposalFilter,
)
from seawall.journal.sqlite.chain import LEAF_PREFIX_BYTES, leaf_of
from seawall.journal.sqlite.database import Database, Row
from seawall.journal.sqlite.effect_rows import (
    SELECT_EFFECT,
    SELECT_FACT,
    SELECT_PRINCIPAL,
    SELECT_PROPOSAL,
    decode_effect,
    decode_fact,
    decode_principal,
    decode_proposal,
)
from seawall.journal.sqlite.migrations import ABOUT, ID_TAIL
from seawall.journal.sqlite.records import Box

_TENANT = "(SELECT id FROM tenants WHERE name = ?)"
_LAST = chr(0x10FFFF)
_LISTED_BY = {"effect": "effects", "proposal": "approvals"}
"""The command that lists records of a kind."""
_decisions: msgspec.json.Decoder[list[DecisionRecord]] = msgspec.json.Decoder(list[DecisionRecord])
_ROLE_SETS = """
WITH RECURSIVE sets(roles) AS (
    SELECT (SELECT min(roles) FROM proposals INDEXED BY proposals_by_roles WHERE state = 'open')
    UNION ALL
    SELECT (SELECT min(roles) FROM proposals INDEXED BY proposals_by_roles WHERE state = 'open' AND roles > sets.roles)
    FROM sets WHERE roles IS NOT NULL
)
SELECT roles FROM sets WHERE roles IS NOT NULL
"""
"""Selects the distinct sets of roles of open proposals: one step in the index for each set, however many proposals
there are."""
_SELECT_GROUP = """
SELECT e.id, coalesce(json_extract(CAST(e.record AS TEXT), '$.group'), ''),
    json_extract(CAST(e.record AS TEXT), '$.expires_at'),
    e.roles, e.escalate_at
FROM proposals e
"""
_WOKEN = """
SELECT r.rk, r.run, r.owner FROM json_each(?) AS wanted
CROSS JOIN runs r INDEXED BY runs_woken ON r.team = wanted.value
WHERE r.ended_at IS NULL AND r.waiting AND r.commands > r.taken ORDER BY r.rk
"""


def find_effect(database: Database, part: str, now: float) -> EffectRecord:
    """Returns the effect whose id begins or ends with `part`."""
    return _read_effect(
        database, _find(database, "effects", SELECT_EFFECT, part), _find_latest(database, now)
    )


def _read_effect(database: Database, row: Row, now: float) -> EffectRecord:
    """Returns the effect of a row. It is shown as `approved` as soon as its proposal is approved, while the approval
    holds. The row itself gets that state once its run has taken up the approval: until then the effect may not
    begin.
    """
    record = decode_effect(row)
    if record.state != "proposed" or not record.proposal:
        return record
    asked = database.fetch_first(f"{SELECT_PROPOSAL} WHERE e.id = ?", (record.proposal,))
    proposal = None if asked is None else decode_proposal(asked)
    if proposal is None or proposal.state != "approved" or has_expired(proposal, now):
        return record
    return replace(record, state="approved")


def find_proposal(database: Database, part: str) -> Proposal:
    """Returns the proposal whose id begins or ends with `part`."""
    return decode_proposal(_find(database, "proposals", SELECT_PROPOSAL, part))


def _find(database: Database, table: str, select: str, part: str) -> Row:
    what = table.removesuffix("s")
    row = database.fetch_first(f"{select} WHERE e.id = ?", (part,))
    if row is not None:
        return row
    found: list[str] = []
    if part:
        backwards = part[:-8:-1]
        rows = database.fetch_all(
            f"SELECT id FROM {table} WHERE id >= ? AND id < ? LIMIT 6", (part, part + _LAST)
        )
        rows += database.fetch_all(
            f"SELECT id FROM {table} WHERE {ID_TAIL} >= ? AND {ID_TAIL} < ? AND substr(id, -?) = ? LIMIT 6",
            (backwards, backwards + _LAST, len(part), part),
        )
        found = list(dict.fromkeys(row[0] for row in rows))
    if len(found) != 1:
        _raise_not_found(what, part, found)
    return database.fetch_one(f"{select} WHERE e.id = ?", (found[0],))


def _raise_not_found(what: str, part: str, found: Sequence[str]) -> NoReturn:
    if not found:
        raise Misused(f"no {what}'s id starts or ends with {part!r}: seawall {_LISTED_BY[what]} lists them")
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    raise Misused(f"{part!r} fits several {what}s: {shown}")


def _find_key(database: Database, table: str, key: str) -> int:
    found = database.fetch_value(f"SELECT pk FROM {table} WHERE id = ?", (key,))
    if found is None:
        raise Misused(
            f"{table.removesuffix('s')} {key} is not in the journal; a page begins after one that is"
        )
    return found


def list_proposals(database: Database, wanted: ProposalFilter, limit: int, now: float) -> list[Proposal]:
    """Returns the proposals that fit, oldest first. `now` is in wall seconds: proposals that are escalated by then may
    be decided by more roles.
    """
    now = _find_latest(database, now)
    if wanted.role is not None and wanted.state == "open" and wanted.run is None:
        after = _find_key(database, "proposals", wanted.after) if wanted.after else 0
        return _list_by_role(database, wanted, limit, now, after)
    found: list[Proposal] = []
    for row in _iterate_proposals(database, SELECT_PROPOSAL, wanted):
        if wanted.role is not None and not _may_decide(row[9], row[10], wanted.role, now):
            continue
        found.append(decode_proposal(row))
        if len(found) >= limit:
            break
    return found


def list_groups(database: Database, wanted: ProposalFilter, now: float) -> list[tuple[str, str]]:
    """Returns id and group of the proposals that fit and have not expired, oldest first; see `EffectStore`."""
    now = _find_latest(database, now)
    return [
        (key, group)
        for key, group, expires_at, roles, escalate_at in _iterate_proposals(database, _SELECT_GROUP, wanted)
        if expires_at is None or now < expires_at
        if wanted.role is None or _may_decide(roles, escalate_at, wanted.role, now)
    ]


def _find_latest(database: Database, now: float) -> float:
    return max(now, database.fetch_value("SELECT at FROM batches ORDER BY id DESC LIMIT 1"))


def _iterate_proposals(database: Database, select: str, wanted: ProposalFilter) -> Iterator[Row]:
    """Yields the rows of the proposals that fit, with the role left unchecked, oldest first. It uses the index that
    leads to the fewest other rows.
    """
    after = _find_key(database, "proposals", wanted.after) if wanted.after else 0
    terms = {
        f"e.tenant = {_TENANT}": wanted.tenant,
        "e.run = ?": wanted.run,
        "e.state = ?": wanted.state,
    }
    where = [f"{term} AND" for term, value in terms.items() if value is not None]
    values: list[object] = [value for value in terms.values() if value is not None]
    index = "NOT INDEXED"
    if wanted.run is not None:
        index = "INDEXED BY proposals_by_run"
    elif wanted.state is not None:
        index = "INDEXED BY proposals_by_" + ("state" if wanted.tenant is None else "tenant")
    select = select.replace("proposals e", f"proposals e {index}")
    yield from database.iterate(f"{select} WHERE {' '.join(where)} e.pk > ? ORDER BY e.pk", (*values, after))


def _list_by_role(
    database: Database, wanted: ProposalFilter, limit: int, now: float, after: int
) -> list[Proposal]:
    """Returns the open proposals on which a person with a role may decide: it reads the oldest ones of each set of
    roles, and merges them.
    """
    role = wanted.role or ""
    keys: list[list[int]] = []
    of_tenant, tenant = ("", ()) if wanted.tenant is None else (f" AND tenant = {_TENANT}", (wanted.tenant,))
    for (roles,) in database.fetch_all(_ROLE_SETS):
        later = not _may_decide(roles, None, role, now)
        if later and not _may_decide(roles, now, role, now):
            continue
        rows = database.fetch_all(
            f"SELECT pk FROM proposals INDEXED BY proposals_by_roles WHERE state = 'open' AND roles = ? AND pk > ? "
            f"AND (NOT ? OR escalate_at <= ?){of_tenant} ORDER BY pk LIMIT ?",
            (roles, after, later, now, *tenant, limit),
        )
        keys.append([row[0] for row in rows])
    pages = list(heapq.merge(*keys))[:limit]
    rows = database.fetch_all(
        f"{SELECT_PROPOSAL} WHERE e.pk IN (SELECT value FROM json_each(?)) ORDER BY e.pk",
        (json.dumps(pages),),
    )
    return [decode_proposal(row) for row in rows]


def _may_decide(roles: object, escalate_at: object, role: str, now: float) -> bool:
    """Returns whether a role may decide at this time, by the roles that `encode_roles` has written."""
    first, later = cast("tuple[list[str], list[str]]", json.loads(str(roles)))
    escalated = isinstance(escalate_at, float | int) and escalate_at <= now
    return not first or role in first or (escalated and role in later)


def list_due(database: Database, now: float, told: bool, limit: int) -> list[Proposal]:
    """Returns the proposals with a notification that is due by `now` or, without `told`, those that change by `now`."""
    column = "due" if told else "changes"
    rows = database.fetch_all(
        f"{SELECT_PROPOSAL} WHERE e.{column} IS NOT NULL AND e.{column} <= ? ORDER BY e.{column}, e.pk LIMIT ?",
        (now, limit),
    )
    return [decode_proposal(row) for row in rows]


_APPROVED = """
e.pk IN (
    SELECT a.pk FROM effects a INDEXED BY effects_unsettled WHERE a.state = 'approved' AND a.state != 'committed'
    UNION ALL
    SELECT a.pk FROM proposals p INDEXED BY proposals_by_state
    CROSS JOIN effects a ON a.id = json_extract(CAST(p.record AS TEXT), '$.effect') WHERE p.state = 'approved'
) AND e.state IN ('proposed', 'approved') AND"""
"""A condition for the effects that `_read_effect` may show as approved. They are few, because a run takes up an
approval as soon as it goes on."""


def list_effects(database: Database, wanted: EffectFilter, limit: int, now: float) -> list[EffectRecord]:
    """Returns the effects that fit, newest first."""
    now = _find_latest(database, now)
    before = _find_key(database, "effects", wanted.before) if wanted.before else 1 << 62
    terms = {
        f"e.tenant = {_TENANT}": wanted.tenant,
        "e.tool = ?": wanted.tool,
        "e.run = ?": wanted.run,
        "e.session = ?": wanted.session,
        "e.state = ?": None if wanted.state == "approved" else wanted.state,
    }
    where = [f"{term} AND" for term, value in terms.items() if value is not None]
    values: list[object] = [value for value in terms.values() if value is not None]
    select = SELECT_EFFECT.replace("effects e", f"effects e {_choose_index(wanted)}")
    if wanted.state == "approved":
        where.append(_APPROVED)
    elif wanted.state is not None and wanted.state != "committed":
        where.append("e.state != 'committed' AND")
    found: list[EffectRecord] = []
    for row in database.iterate(
        f"{select} WHERE {' '.join(where)} e.pk < ? ORDER BY e.pk DESC", (*values, before)
    ):
        record = _read_effect(database, row, now)
        if wanted.state in (None, record.state):
            found.append(record)
        if len(found) >= limit:
            break
    return found


def _choose_index(wanted: EffectFilter) -> str:
    """Returns the index by which effects are read: a run and a session have few effects, and few effects are not
    committed.
    """
    if wanted.run is not None:
        return "INDEXED BY effects_by_call"
    if wanted.session is not None:
        return "INDEXED BY effects_by_session"
    if wanted.state == "approved":
        return "NOT INDEXED"
    if wanted.state is not None and wanted.state != "committed":
        return "INDEXED BY effects_unsettled"
    if wanted.tenant is not None:
        return "INDEXED BY effects_by_tenant"
    return "INDEXED BY effects_by_tool" if wanted.tool is not None else "NOT INDEXED"


def list_principals(database: Database) -> list[PrincipalRecord]:
    """Returns all principals by name."""
    return [decode_principal(row) for row in database.fetch_all(f"{SELECT_PRINCIPAL} ORDER BY name")]


def list_facts(database: Database, tenant: str, session: str) -> list[Fact]:
    """Returns the facts of a session that were not told yet."""
    rows = database.fetch_all(
        f"{SELECT_FACT} WHERE e.tenant = {_TENANT} AND e.session = ? ORDER BY e.number", (tenant, session)
    )
    return [decode_fact(row)[2] for row in rows]


def list_decisions(database: Database, about: str, limit: int) -> list[DecisionRecord]:
    """Returns the newest decisions about a proposal, an effect or a principal ("": about all), oldest first."""
    where = f"{ABOUT} = ? AND " if about else ""
    rows = database.fetch_all(
        f"SELECT seq, data, leaf FROM entries WHERE {where}rk = 0 AND box = 6 ORDER BY seq DESC LIMIT ?",
        (*([about] if about else []), limit),
    )
    found: list[DecisionRecord] = []
    for seq, data, leaf in rows:
        if data is None or leaf_of("", Box.DECISIONS, seq, 1, data)[:LEAF_PREFIX_BYTES] != leaf:
            raise JournalDamaged(f"decision {seq} is not what was written")
        found.extend(_decisions.decode(data))
    return found[::-1]


def list_woken(
    database: Database, teams: Sequence[str], limit: int, is_alive: Callable[[str], bool]
) -> list[str]:
    """Returns waiting runs with commands that no process has taken, except runs that a live process has taken up."""
    found: list[str] = []
    for _, run, owner in database.iterate(_WOKEN, (json.dumps(list(teams)),)):
        if owner is None or not is_alive(owner):
            found.append(run)
            if len(found) >= limit:
                break
    return found
