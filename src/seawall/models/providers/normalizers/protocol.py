"""The protocol of normalizers, and what all of them use."""

from __future__ import annotations

from typing import Any, Protocol

from seawall.models.providers.finish_markers import judge_marker
from seawall.models.providers.normalizers.counts import UsageReports

NamedEvent = tuple[str | None, dict[str, Any]]
"""The `event:` line, if the protocol has one, and the data."""


class Normalizer(Protocol):
    """Reads one reply, whole or event by event. Its methods raise `Unreadable` for a reply that can't be read."""

    finish: FinishSoFar
    usage: UsageReports

    def read_whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns a whole reply in the protocol's form."""
        ...

    def read_event(self, name: str | None, data: dict[str, Any]) -> list[NamedEvent]:
        """Returns the events that replace this one."""
        ...

    def split_whole(self, body: dict[str, Any]) -> list[NamedEvent]:
        """Returns a whole reply as events: some servers send one although a stream was asked for."""
        ...

    def finish_stream(self) -> list[NamedEvent]:
        """Returns the events that are still missing when the stream ends. The second call returns nothing."""
        ...


class FinishSoFar:
    """The finish marker of one reply; a stream may bring several.

    A later marker replaces an earlier one, unless the earlier one says that the reply was cut or filtered, or that the
    context is full.
    """

    def __init__(self) -> None:
        self.marker: str | None = None

    def __repr__(self) -> str:
        return f"<FinishSoFar {self.marker}>"

    def add(self, given: object) -> None:
        """Adds a marker. A value that is not text, or text that means no marker, is ignored."""
        if not isinstance(given, str) or given.strip().lower() in ("", "null", "none"):
            return
        if self.marker is None or judge_marker(self.marker) in ("finished", "unknown"):
            self.marker = given.strip()


def is_error(body: dict[str, Any]) -> bool:
    """Returns whether a body or event reports an error. Errors are passed on unchanged."""
    return bool(body.get("error")) or body.get("type") == "error"
