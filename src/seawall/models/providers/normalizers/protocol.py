"""What the normalizers of all protocols have in common."""

from __future__ import annotations

from typing import Any, Protocol

from seawall.models.providers.finish_markers import judge_marker
from seawall.models.providers.normalizers.counts import UsageReports

NamedEvent = tuple[str | None, dict[str, Any]]
"""The `event:` line, if the protocol has one, and the data."""


class Normalizer(Protocol):
    """Reads one reply, whole or event by event. Its methods raise `Unreadable` for what can't be read in any way."""

    finish: FinishSoFar
    usage: UsageReports

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a whole reply in the protocol's form."""
        ...

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns the events that take the place of one."""
        ...

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns a whole reply as events: some servers send one although a stream was asked for."""
        ...

    def finish_stream(self) -> list[NamedEvent]:
        """Returns what is left to say when the stream ends. The second call returns nothing."""
        ...


class FinishSoFar:
    """The finish marker of one reply, of all that a stream brings.

    A later marker takes the place of an earlier one, unless the earlier one says that the reply was cut or
    filtered, or that the context is full.
    """

    def __init__(self) -> None:
        self.marker: str | None = None

    def __repr__(self) -> str:
        return f"<FinishSoFar {self.marker}>"

    def add(self, given: object) -> None:
        """Takes a marker in. What is no text, or stands for nothing, is none."""
        if not isinstance(given, str) or given.strip().lower() in ("", "null", "none"):
            return
        if self.marker is None or judge_marker(self.marker) in ("finished", "unknown"):
            self.marker = given.strip()


def is_error(body: dict[str, Any]) -> bool:
    """Returns whether a body or event reports an error, which is not changed."""
    return bool(body.get("error")) or body.get("type") == "error"
