"""The state of a run in the writer: its row, with the changes of the commit that is being made."""

from __future__ import annotations

from seawall.core.errors import JournalDamaged
from seawall.journal.sqlite.database import Row
from seawall.journal.sqlite.row_sum import RUN, check_row

STORED = f"events, commands, taken, leaf, {RUN}"
"""The columns of a run's row that `load_run` takes."""


class StoredRun:
    """A run's row, with the changes of the commit that is being made."""

    __slots__ = (
        *(
            "app",
            "digest",
            "ended",
            "ended_at",
            "epoch",
            "next_inbox",
            "next_seq",
            "owner",
            "problem",
            "pruned",
        ),
        *(
            "request_id",
            "rk",
            "run",
            "session",
            "started_at",
            "status",
            "summary",
            "taken",
            "team",
            "tenant",
            "waiting",
        ),
    )

    def __init__(self, values: Row) -> None:
        rk, run, tenant, session, team, app, request_id, started_at, *changing = values
        ended_at, waiting, owner, epoch, status, summary, pruned = changing
        self.rk: int = rk
        self.run: str = run
        self.tenant: int = tenant
        self.session: str | None = session
        self.team: str = team
        self.app: str | None = app
        self.request_id: str | None = request_id
        self.started_at: float = started_at
        self.ended_at: float | None = ended_at
        self.waiting = bool(waiting)
        self.owner: str | None = owner
        self.epoch: int = epoch
        self.status: str | None = status
        self.summary: bytes | None = summary
        self.pruned: int = pruned
        self.ended = ended_at is not None
        self.next_seq = 0
        self.next_inbox = 0
        self.taken = 0
        """The number of commands that the run has taken from its inbox."""
        self.digest: bytes | None = None
        """The digest of the row in the file; None if the row is not in the file yet."""
        self.problem: str | None = None
        """The reason why the run can't be used: its row is not what was written. None if it can."""

    def to_row(self) -> Row:
        """Returns the columns that the chain holds."""
        return (
            *(self.rk, self.run, self.tenant, self.session, self.team, self.app, self.request_id),
            *(self.started_at, self.ended_at, int(self.waiting), self.owner, self.epoch),
            *(self.status, self.summary, self.pruned),
        )


def load_run(row: Row) -> StoredRun:
    """Returns a run's state from its row in the file, with the columns of `STORED`."""
    next_seq, next_inbox, taken, leaf, *values = row
    state = StoredRun(tuple(values))
    state.next_seq, state.next_inbox, state.taken = next_seq, next_inbox, taken
    try:
        state.digest = check_row("runs", values, leaf)
    except JournalDamaged as error:
        state.problem = str(error)
    return state
