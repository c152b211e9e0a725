"""Checks whether a run still belongs to this process, right before an effect is made, in the task or thread that makes
it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable

from seawall.core.clock import Clock
from seawall.core.errors import Broken

RECENT_S = 0.5
"""Seconds for which a recorded intent proves that the run belongs to this process. It is far above the time of a commit
and far below any lease. If a person takes a run by force from a live process, effects may still be made for this
long."""
MAX_LOOKS = 5
"""Most checks of the journal whose answers may come too late, one after the other; then the effect is not made."""


class LeaseCheck:
    """`run.step.Ownership` of one effect.

    The effect is made only while no other process can have gone on with the run, however long its call was delayed
    after the record of its intent: by a queue for a thread, a pause, a stopped process or a suspended machine.
    """

    def __init__(
        self, clock: Clock, look: Callable[[], Awaitable[None]], assured_s: float, recorded_s: float | None
    ) -> None:
        """`look` is called on the running loop, and raises if the run does not belong to this process any more.

        The run is assured for `assured_s` seconds from each look, and from `recorded_s`, the boot time at which the
        intent was sent to the journal (None: the time is not known).
        """
        self._clock = clock
        self._look = look
        self._assured_s = assured_s
        self._loop = asyncio.get_running_loop()
        since_s = float("-inf") if recorded_s is None else recorded_s
        self._enough_until_s = since_s + min(RECENT_S, assured_s)
        self._until_s = since_s + assured_s

    def __repr__(self) -> str:
        return f"<LeaseCheck {self._until_s - self._clock.boottime_s():.1f} s left>"

    async def confirm(self) -> float | None:
        """See `Ownership.confirm`."""
        for _ in range(MAX_LOOKS):
            if (until := self.find_deadline()) is not None:
                return until
            await self._take_look()
        return self.find_deadline()

    def confirm_in_thread(self) -> float | None:
        """See `Ownership.confirm_in_thread`."""
        for _ in range(MAX_LOOKS):
            if (until := self.find_deadline()) is not None:
                return until
            look = self._take_look()
            try:
                answer = asyncio.run_coroutine_threadsafe(look, self._loop)
            except RuntimeError:  # the loop is closed, so nothing can be recorded any more
                look.close()
                raise Broken("the event loop was closed before an effect was made") from None
            try:
                answer.result()
            except concurrent.futures.CancelledError:
                raise Broken("the event loop was stopped before an effect was made") from None
        return self.find_deadline()

    def find_deadline(self) -> float | None:
        """See `Ownership.find_deadline`."""
        now_s = self._clock.boottime_s()
        return self._clock.wall_s() + self._until_s - now_s if now_s < self._enough_until_s else None

    async def _take_look(self) -> None:
        asked_s = self._clock.boottime_s()
        await self._look()
        self._until_s = self._enough_until_s = asked_s + self._assured_s
