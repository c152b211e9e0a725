"""The usage that a provider reports while it streams a reply.

Each report is of the whole reply so far, whether a server sends one at the end or one with each chunk. So a later one
takes the place of those before it, and none is below one before it.
"""

from __future__ import annotations

from typing import Any

from pydantic_ai.models import StreamedResponse
from pydantic_ai.usage import RequestUsage

_COUNTS = ("input_tokens", "output_tokens")


class UsageReports:
    """Follows the reports of one stream. Some of the clients' classes add them up; they no longer do in this stream."""

    def __init__(self, streamed: StreamedResponse) -> None:
        self._streamed = streamed
        self._newest = (0, 0)
        self.problem = ""
        """What is wrong with the reports; "" if they can be true."""
        self._record: Any = getattr(streamed, "_add_usage", None)
        if self._record is not None:
            streamed._add_usage = self._replace  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- the one place where all reports but Anthropic's arrive

    def __repr__(self) -> str:
        return f"<UsageReports {self._newest} {self.problem}>"

    def _replace(self, usage: RequestUsage, *, reported: bool, cumulative: bool = True) -> None:
        if reported:  # a chunk without a report says nothing about the ones before it
            self._record(usage, reported=True, cumulative=True)
            self.check()

    def check(self) -> None:
        """Looks at the newest report."""
        usage = self._streamed.usage
        newest = (usage.input_tokens, usage.output_tokens)
        for name, before, after in zip(_COUNTS, self._newest, newest, strict=True):
            if not self.problem and _is_number(before) and _is_number(after) and after < before:
                self.problem = f"{name} was reported as {before} and then as {after}"
        self._newest = newest


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
