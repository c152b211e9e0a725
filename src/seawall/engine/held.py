"""Events that are folded and wait to be sent to the journal together with what follows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seawall.core.clock import Clock, Timer
from seawall.core.events import Event

HOLD_S = 0.05
"""The longest time that events wait: a loop that goes on asks for its next step within a few milliseconds."""
HOLD_BYTES = 65_536
"""Bodies of more bytes are sent at once: they are written while the loop goes on."""


class HeldEvents:
    """What a run has folded and not sent. `send` is called when it has waited long enough."""

    def __init__(self, clock: Clock, send: Callable[[], None]) -> None:
        self._clock, self._send = clock, send
        self._events: list[Event] = []
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<HeldEvents {len(self._events)}>"

    def __len__(self) -> int:
        return len(self._events)

    def hold(self, events: Sequence[Event]) -> None:
        """Keeps events until something is sent after them."""
        self._events.extend(events)
        if self._timer is None:
            self._timer = self._clock.call_later(HOLD_S, self._on_time)

    def take(self) -> list[Event]:
        """Returns what is held: it is sent now."""
        events, self._events = self._events, []
        return events

    def _on_time(self) -> None:
        self._timer = None
        if self._events:
            self._send()

    def cancel(self) -> None:
        """Calls nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
