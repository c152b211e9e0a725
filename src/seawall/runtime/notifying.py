"""Notifies the embedding program of proposals that are new, still wait, are escalated, or have expired.

Each notification is sent at least once, after the proposal is durable. The journal notes the notifications for which
`notify` has returned, so that after a crash this or another process sends the others again. Proposals expire and are
escalated also without a `notify` function.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from seawall.core.clock import Clock, Timer
from seawall.core.errors import Misused, describe_error
from seawall.journal.protocol import Journal, Proposal
from seawall.runtime.approval_views import Approval, build_approvals
from seawall.runtime.calls import call_apart

NotificationKind = Literal["new", "reminded", "escalated", "expired"]

AT_ONCE = 8
"""The most calls of `notify` at the same time. A slow call does not hold up the others, and a chat service takes a few
requests a second."""
TIMEOUT_S = 60.0
"""Seconds after which an async `notify` is given up and tried again. A thread can't be given up, and keeps its slot."""
PAGE = 100
"""How many proposals one look handles. The next look follows once their notifications are sent."""
MAX_UNTOLD = 1_000
"""The number of failed notifications from which on no others are tried, because the service is down then."""
AHEAD_S = 365 * 86_400.0
"""Seconds ahead in which the next due time is searched, because no proposal is open for longer."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
"""The longest pause, in seconds, between two tries of one notification; pauses double each time. After an outage of the
other system, it takes at most five minutes until all notifications are sent."""
LEAST_DELAY_S = 0.05
"""The shortest pause, in seconds, before the next look, because the timer may fire a little early."""
LATE_S = 1.0
"""The most seconds that `close` waits for a `notify` that ignores cancellation."""

_log = logging.getLogger("seawall")


@dataclass(frozen=True)
class Notification:
    """The argument of `notify`."""

    kind: NotificationKind
    """`new`: the call was proposed. `reminded`: it still waits. `escalated`: other people may decide, too. `expired`: it
    was not decided in time, and nothing is done."""
    approval: Approval
    """The proposal as it is now."""


Notify = Callable[[Notification], "Awaitable[object] | object"]
"""A function of the embedding program that tells people of a proposal. It may be async."""


def list_due(proposal: Proposal, now: float) -> list[NotificationKind]:
    """Returns the notifications of a proposal that are due and were not sent.

    An escalation and an expiry are due once they are recorded.
    """
    kinds: list[NotificationKind] = []
    if proposal.state == "expired":
        kinds = ["expired"]
    elif proposal.state == "open" and not _is_past(proposal.expires_at, now):
        kinds = ["new"]
        if _is_past(proposal.remind_at, now):
            kinds.append("reminded")
        if proposal.escalated:
            kinds.append("escalated")
    return [kind for kind in kinds if not proposal.notified.count(kind)]


def _is_past(at: float | None, now: float) -> bool:
    return at is not None and at <= now


class Notifier:
    """Records escalations and expiries that are due, and calls `notify`, until it is closed."""

    def __init__(self, clock: Clock, notify: Notify | None, redact: Callable[[str], str]) -> None:
        if notify is not None and not callable(notify):
            raise Misused(f"Seawall: notify is {notify!r}; it must be a function")
        self._clock = clock
        self._notify = notify
        self._redact = redact
        self._journal: Journal | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._timer: Timer | None = None
        self._telling: dict[str, asyncio.Task[None]] = {}
        """The task that sends a proposal's notifications, by proposal."""
        self._places = asyncio.Semaphore(AT_ONCE)
        self._failed: dict[str, _Failed] = {}
        """The failed notifications, by proposal."""

    def __repr__(self) -> str:
        return f"<Notifier {len(self._telling)} being told, {len(self._failed)} failed>"

    def open(self, journal: Journal) -> None:
        """Begins to look for proposals with something due."""
        self._journal, self._places = journal, asyncio.Semaphore(AT_ONCE)
        self.look()

    async def close(self) -> None:
        """Stops. The next process sends notifications for which `notify` has not returned again."""
        self._journal = None
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._telling.values(), *(() if self._looking is None else (self._looking,))]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LATE_S)
        self._telling.clear()
        self._failed.clear()

    def look(self) -> None:
        """Looks for proposals with something due. It is called at each write to the journal."""
        if self._journal is None:
            return
        if self._looking is not None:
            self._look_again = True
            return
        self._looking = asyncio.get_running_loop().create_task(self._look(self._journal))

    async def _look(self, journal: Journal) -> None:
        try:
            changes_at = await self._mark(journal)  # before notifications are sent
            self._set_timer(changes_at, await self._tell_all(journal))
        except Exception as error:  # noqa: BLE001 -- after any failure of the journal, the next look tries again
            _log.warning(
                "proposals could not be looked after, and are again later: %s", describe_error(error)
            )
            self._set_timer(self._clock.wall_s() + FIRST_RETRY_S)
        finally:
            self._looking = None
            if self._look_again:
                self._look_again = False
                self.look()

    def _set_timer(self, *times: float | None) -> None:
        """Sets the timer for the first of these times. Without open proposals there is no timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = min((each for each in times if each is not None), default=None)
        if due is not None and self._journal is not None:
            # a timer that comes too early finds nothing, and sets the next one
            delay_s = max(LEAST_DELAY_S, due - self._clock.wall_s())
            self._timer = self._clock.call_later(min(delay_s, AHEAD_S), self.look)

    async def _mark(self, journal: Journal) -> float | None:
        """Records expiries and escalations that are due. Returns when the next one is due."""
        while True:
            now = self._clock.wall_s()
            found = await journal.due_proposals(now + AHEAD_S, told=False, limit=PAGE)
            changed = 0
            for proposal in found:
                kind = _find_change(proposal, now)
                if kind is not None:
                    marked = await journal.mark_proposal(proposal.id, kind, told=False)
                    changed += marked != proposal
            if changed < PAGE:
                return min((at for each in found for at in _list_changes(each) if at > now), default=None)

    async def _tell_all(self, journal: Journal) -> float | None:
        """Begins to send the notifications that are due. Returns when the next one is due."""
        if self._notify is None:
            return None
        now, monotonic, wait_until = self._clock.wall_s(), self._clock.monotonic_s(), list[float]()
        busy = len(self._failed) + len(self._telling)
        for proposal in await journal.due_proposals(now + AHEAD_S, limit=PAGE + busy):
            if proposal.id in self._telling:
                continue  # the end of the task starts a look
            kinds = list_due(proposal, now)
            failed = self._failed.get(proposal.id)
            if not kinds:
                wait_until += [at for at in (proposal.remind_at, *_list_changes(proposal)) if at and at > now]
            elif failed is not None and failed.until > monotonic:
                wait_until.append(now + failed.until - monotonic)
            elif failed is not None or busy < MAX_UNTOLD:
                task = asyncio.get_running_loop().create_task(self._tell(journal, proposal, kinds))
                self._telling[proposal.id] = task
        return min(wait_until, default=None)

    async def _tell(self, journal: Journal, proposal: Proposal, kinds: Sequence[NotificationKind]) -> None:
        error: BaseException | None = None
        try:
            async with self._places:
                for kind in kinds:
                    (approval,) = await build_approvals(journal, [proposal])
                    assert self._notify is not None
                    _, error = await call_apart(
                        self._notify,
                        Notification(kind, approval),
                        thread="seawall-notify",
                        timeout_s=TIMEOUT_S,
                    )
                    if error is not None:
                        break
                    proposal = await journal.mark_proposal(proposal.id, kind)
        except Exception as raised:  # noqa: BLE001 -- any failure of the journal is tried again
            error = raised
        finally:
            self._telling.pop(proposal.id, None)
        self._note(proposal.id, error)
        self.look()

    def _note(self, proposal: str, error: BaseException | None) -> None:
        if error is None:
            self._failed.pop(proposal, None)
            return
        before = self._failed.get(proposal)
        wait_s = FIRST_RETRY_S if before is None else min(2 * before.wait_s, LONGEST_RETRY_S)
        self._failed[proposal] = _Failed(self._clock.monotonic_s() + wait_s, wait_s)
        _log.warning(
            "nobody could be told of proposal %s, it is tried again in %g s: %s",
            proposal,
            wait_s,
            self._redact(describe_error(error)),
        )


class _Failed(NamedTuple):
    """A notification that failed."""

    until: float
    """The monotonic time before which it is not tried again."""
    wait_s: float


def _list_changes(proposal: Proposal) -> list[float]:
    """Returns when an open proposal is escalated or expires."""
    if proposal.state != "open":
        return []
    times = (proposal.expires_at, None if proposal.escalated else proposal.escalate_at)
    return [at for at in times if at is not None]


def _find_change(proposal: Proposal, now: float) -> Literal["escalated", "expired"] | None:
    """Returns the change of a proposal that is due now; None if none is due."""
    if proposal.state != "open":
        return None
    if _is_past(proposal.expires_at, now):
        return "expired"
    return "escalated" if not proposal.escalated and _is_past(proposal.escalate_at, now) else None
