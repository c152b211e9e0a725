"""What a model or a tool has raised itself, apart from what the gate raises about its step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from seawall.runtime.foreign.asks import Turn


class OwnErrors:
    """The errors that performing one step has raised. An adapter passes them on as they are, and translates all others."""

    def __init__(self) -> None:
        self._raised: list[BaseException] = []

    def __repr__(self) -> str:
        return f"<OwnErrors {self._raised!r}>"

    def __contains__(self, error: object) -> bool:
        return any(each is error for each in self._raised)

    def add(self, error: BaseException) -> None:
        """Counts an error as one of the model's or the tool's own."""
        self._raised.append(error)

    def watch(
        self, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]
    ) -> Callable[[Turn], Awaitable[tuple[Any, Any]]]:
        """Returns what performs the step, and adds what that raises."""

        async def watched(turn: Turn) -> tuple[Any, Any]:
            try:
                return await perform(turn)
            except BaseException as error:
                self.add(error)
                raise

        return watched

    def watch_sync(self, perform: Callable[[Turn], tuple[Any, Any]]) -> Callable[[Turn], tuple[Any, Any]]:
        """As `watch`, for a caller that blocks its thread."""

        def watched(turn: Turn) -> tuple[Any, Any]:
            try:
                return perform(turn)
            except BaseException as error:
                self.add(error)
                raise

        return watched
