"""What lists show of a run that has ended."""

from __future__ import annotations

from seawall.core.errors import SeawallBug
from seawall.journal.protocol import Summary
from seawall.run.state import RunState


def summary(state: RunState) -> Summary:
    """A finished run in one row."""
    ended, ledger = state.ended, state.ledger
    if ended is None:
        raise SeawallBug("a run without an outcome has no summary")
    return Summary(
        status=ended.status,
        stopped_by=None if ended.stopped_by is None else ended.stopped_by.guard,
        usd=str(ledger.usd),
        tokens=ledger.tokens,
        model_calls=ledger.model_calls,
        tool_calls=ledger.tool_calls,
        active_s=round(state.started.limits.active_s - ended.left_s, 6),
    )
