"""The operation that reopens a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.core.errors import Misused, Refused
from seawall.core.events import Event
from seawall.journal.sqlite.migrations import TAKEN
from seawall.journal.sqlite.ops import Bodies, QueuedOp, count_taken, encode
from seawall.journal.sqlite.records import Box
from seawall.journal.sqlite.transaction import Transaction

_COUNT_TAKEN = f"SELECT coalesce(({TAKEN}) + 1, 0) FROM runs WHERE rk = ?"


class ReopenOp(QueuedOp):
    """Appends to a run that has ended, and marks it as not ended."""

    __slots__ = ("bodies", "events", "first_seq", "name")

    def __init__(self, run: str, first_seq: int, events: Sequence[Event], bodies: Bodies) -> None:
        super().__init__()
        self.name = run
        self.first_seq = first_seq
        self.events = events
        self.bodies = bodies

    def get_runs(self) -> Sequence[str]:
        """See `Op.get_runs`."""
        return (self.name,)

    def plan(self, tx: Transaction) -> None:
        """See `Op.plan`."""
        run, state = self.name, tx.get_run(self.name)
        if state.pruned:
            raise Misused(f"run {run}: its events were pruned, so it can't go on")
        if not state.ended:
            raise Misused(f"run {run} has not ended; it needs no reopening")
        if state.next_seq != self.first_seq:
            raise Misused(
                f"run {run} has {state.next_seq} events, not {self.first_seq}: events were added meanwhile; try again"
            )
        if state.session is not None:
            newest = tx.find_session_tail(tx.find_tenant_name(state.tenant), state.session)
            if newest != run:
                raise Refused(
                    f"session {state.session!r}: run {newest} was started after run {run} had ended, and goes on from "
                    "that; ask in the session again",
                    guard="session",
                    limit=run,
                    value=newest,
                )
        state.epoch += 1  # appends that the last owner still has in flight are refused
        # While a run has ended nothing holds its count, and older versions have left it at 0.
        state.taken = max(_count_recorded(tx, state.rk) if state.next_inbox else 0, count_taken(self.events))
        tx.add_run_entry(state, Box.LOG, len(self.events), encode(self.events))
        tx.add_bodies(state.tenant, self.bodies)
        tx.reopen(state)


def _count_recorded(tx: Transaction, rk: int) -> int:
    """Returns how many commands a run has taken by its record."""
    taken: int = tx.database.fetch_value(_COUNT_TAKEN, (rk,))
    return taken
