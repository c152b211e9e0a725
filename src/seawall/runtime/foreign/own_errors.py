"""Distinguishes errors that a model or a tool has raised from errors that the gate raises about its step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from seawall.runtime.foreign.asks import Turn


class OwnErrors:
    """The errors that the performance of steps has raised. An adapter passes them on unchanged, and translates all others."""

    def __init__(self) -> None:
        self._raised: list[BaseException] = []

    def __repr__(self) -> str:
        return f"<OwnErrors {self._raised!r}>"

    def __contains__(self, error: object) -> bool:
        return any(each is error for each in self._raised)

    def add(self, error: BaseException) -> None:
        """Adds an error of the model or the tool."""
        self._raised.append(error)

    def watch(
        self, perform: Callable[[Turn], Awaitable[tuple[Any, Any]]]
    ) -> Callable[[Turn], Awaitable[tuple[Any, Any]]]:
        """Returns a function that performs the step and adds the error that it raises."""

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
