"""Events that are folded and wait to be sent to the journal together with the next events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.clock import Clock, Timer
from seawall.core.events import Event

HOLD_S = 0.05
"""Seconds that events wait at most: a loop that goes on asks for its next step within a few milliseconds."""
HOLD_BYTES = 65_536
"""Bytes of bodies above which events are sent at once: they are written while the loop goes on."""


class HeldEvents:
    """The events that a run has folded and not sent. `send` is called when they have waited long enough."""

    def __init__(self, clock: Clock, send: Callable[[], None]) -> None:
        self._clock, self._send = clock, send
        self._events: list[Event] = []
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<HeldEvents {len(self._events)}>"

    def __len__(self) -> int:
        return len(self._events)

    def hold(self, events: Sequence[Event]) -> None:
        """Keeps events until further events are sent."""
        self._events.extend(events)
        if self._timer is None:
            self._timer = self._clock.call_later(HOLD_S, self._on_time)

    def take(self) -> list[Event]:
        """Returns the held events, which the caller sends now."""
        events, self._events = self._events, []
        return events

    def _on_time(self) -> None:
        self._timer = None
        if self._events:
            self._send()

    def cancel(self) -> None:
        """Cancels the timer, so that `send` is not called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
