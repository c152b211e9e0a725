"""The sequences that the chain holds, and the records in it that are not events of runs: the journal writes these
itself.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from seawall.journal.protocol import Setting, Summary

_summary: msgspec.json.Decoder[Summary] = msgspec.json.Decoder(Summary)


class Box(enum.IntEnum):
    """The sequences that the entries of one `rk` belong to."""

    LOG = 0  # the run's events
    INBOX = 1  # commands to the run
    GUARDS = 2  # guards' modes as schema 1 wrote them (rk 0): they are still read, but not written any more
    NOTES = 3  # what was pruned and erased (rk 0)
    END = 4  # the run's row when it ended, and [] when it was reopened after that; never pruned
    SETTINGS = 5  # live settings (rk 0)
    DECISIONS = 6  # who decided what about effects and proposals (rk 0); never pruned


class Ending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run's row as it was when the run ended. It is kept when the run's events are pruned."""

    run: str
    tenant: str
    session: str | None = None
    team: str
    app: str | None = None
    request_id: str | None = None
    started_at: float
    ended_at: float
    summary: Summary


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that something was removed from the journal on purpose."""

    what: str
    """`pruned`, `collapsed` or `erased`; `held` for bodies that were erased before the chain recorded erasing."""
    at: float
    tenant: str | None = None
    runs: int = 0
    events: int = 0
    bodies: int = 0
    refs: tuple[str, ...] = ()
    """The bodies that were erased."""
    collapsed: tuple[tuple[int, int, str], ...] = ()
    """For each row that replaced pruned batches: the first and the last batch, and the hash before them."""


class GuardMode(msgspec.Struct, frozen=True, kw_only=True):
    """A guard's live mode as schema 1 recorded it."""

    guard: str
    mode: Literal["off", "observe", "enforce"]
    by: str
    at: float
    until: float | None = None

    def to_setting(self) -> Setting:
        """Returns the mode as a setting of today."""
        return Setting(
            kind="guard", name=self.guard, value=self.mode, by=self.by, at=self.at, until=self.until
        )


def ending_of(
    run: str,
    tenant: str,
    session: str | None,
    team: str,
    app: str | None,
    request_id: str | None,
    started_at: float,
    ended_at: float,
    status: str,
    summary: bytes,
) -> Ending | None:
    """Returns the end record that belongs to a run's row; None if the row contradicts itself."""
    decoded = _summary.decode(summary)
    if decoded.status != status:
        return None
    return Ending(
        run=run,
        tenant=tenant,
        session=session,
        team=team,
        app=app,
        request_id=request_id,
        started_at=started_at,
        ended_at=ended_at,
        summary=decoded,
    )
