"""Tells the embedding program of proposals: new ones, and those that are reminded of, handed to others, or expired.

Each is told at least once, after it is durable: the journal notes what `notify` has returned for, so a process that dies
meanwhile, or another one, tells it again. What expires and what is handed to others is changed also where nobody is told.
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
"""Calls of `notify` at the same time: one that is slow holds up no other, and a chat takes a few requests a second."""
TIMEOUT_S = 60.0
"""Seconds after which an async `notify` is given up and tried again. A thread can't be given up: it keeps its place."""
PAGE = 100
"""Proposals that one look takes up. The next look follows once these are told."""
MAX_UNTOLD = 1_000
"""Proposals whose notification failed, up to which others are tried as well. With so many nobody can be told now."""
AHEAD_S = 365 * 86_400.0
"""How far ahead the next due time is looked for: no proposal stands so long."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
"""Seconds between two tries of one notification, doubled each time. An outage of the other side ends within hours, and
then it takes five minutes at most until everybody is told."""
LEAST_DELAY_S = 0.05
"""Seconds until the next look, if the clock is a little behind the time that is waited for."""
LATE_S = 1.0
"""Seconds that `close` waits for a `notify` that ignores cancellation."""

_log = logging.getLogger("seawall")


@dataclass(frozen=True)
class Notification:
    """What `notify` is called with."""

    kind: NotificationKind
    """`new`: it was proposed. `reminded`: it still waits. `escalated`: others may decide as well. `expired`: nobody
    decided in time, and nothing is done."""
    approval: Approval
    """The proposal as it is now."""


Notify = Callable[[Notification], "Awaitable[object] | object"]
"""Tells people of a proposal. The embedding program's; it may be async."""


def list_due(proposal: Proposal, now: float) -> list[NotificationKind]:
    """Returns what is to be told of a proposal by now, and was not. That others may decide, or nobody any more, is told
    once it is recorded.
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
    """Marks what is due with proposals, and calls `notify`, until it is closed."""

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
        """By proposal: the task that tells of it."""
        self._places = asyncio.Semaphore(AT_ONCE)
        self._failed: dict[str, _Failed] = {}
        """By proposal."""

    def __repr__(self) -> str:
        return f"<Notifier {len(self._telling)} being told, {len(self._failed)} failed>"

    def open(self, journal: Journal) -> None:
        """Begins to look for what is due."""
        self._journal, self._places = journal, asyncio.Semaphore(AT_ONCE)
        self.look()

    async def close(self) -> None:
        """Stops. What `notify` has not returned for is told again, by the next process."""
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
        """Looks for what is due, now and whenever a process has written to the journal."""
        if self._journal is None:
            return
        if self._looking is not None:
            self._look_again = True
            return
        self._looking = asyncio.get_running_loop().create_task(self._look(self._journal))

    async def _look(self, journal: Journal) -> None:
        try:
            changes_at = await self._mark(journal)  # before anybody is told
            self._set_timer(changes_at, await self._tell_all(journal))
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with the journal, the next look finds it well or not
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
        """Sets the one timer, for the first of these times. Without open proposals there is none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = min((each for each in times if each is not None), default=None)
        if due is not None and self._journal is not None:
            # a timer that comes too early finds nothing, and sets the next one
            delay_s = max(LEAST_DELAY_S, due - self._clock.wall_s())
            self._timer = self._clock.call_later(min(delay_s, AHEAD_S), self.look)

    async def _mark(self, journal: Journal) -> float | None:
        """Changes what has expired, or is handed to others; returns when the next one is due."""
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
        """Begins to tell what is due; returns when the next one is."""
        if self._notify is None:
            return None
        now, monotonic, wait_until = self._clock.wall_s(), self._clock.monotonic_s(), list[float]()
        busy = len(self._failed) + len(self._telling)
        for proposal in await journal.due_proposals(now + AHEAD_S, limit=PAGE + busy):
            if proposal.id in self._telling:
                continue  # the end of the task brings a look
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
        except Exception as raised:  # noqa: BLE001 -- the journal's; whatever it is, this is tried again
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
    """It is not tried before this monotonic time."""
    wait_s: float


def _list_changes(proposal: Proposal) -> list[float]:
    """Returns when an open proposal changes by itself."""
    if proposal.state != "open":
        return []
    times = (proposal.expires_at, None if proposal.escalated else proposal.escalate_at)
    return [at for at in times if at is not None]


def _find_change(proposal: Proposal, now: float) -> Literal["escalated", "expired"] | None:
    """Returns how a proposal is to be changed by now."""
    if proposal.state != "open":
        return None
    if _is_past(proposal.expires_at, now):
        return "expired"
    return "escalated" if not proposal.escalated and _is_past(proposal.escalate_at, now) else None
