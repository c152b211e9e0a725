"""Counts the tokens of one call of a model, and says whether a model is being called."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

from seawall.models.protocol import Usage
from seawall.runtime.foreign.results import NO_USAGE, add_counts

_COUNTED = ("prompt_tokens", "completion_tokens", "cached_prompt_tokens", "cache_creation_tokens")


class Meter:
    """The tokens of one call, as CrewAI counts them."""

    def __init__(self) -> None:
        self.counted = dict.fromkeys(_COUNTED, 0)

    def read(self) -> Usage:
        """Returns the usage of the call; a model that counts nothing has none."""
        sent, got, read, written = (self.counted[name] for name in _COUNTED)
        if not (sent or got):
            return NO_USAGE
        return Usage(sent, got, cache_read_tokens=read, cache_write_tokens=written)


called: ContextVar[Meter | None] = ContextVar("seawall_crewai_called", default=None)
"""Set while a model is called. A call that the model's class makes to itself or to a client below it is the same step."""
_meter_lock = threading.Lock()


@contextlib.contextmanager
def mark_call(meter: Meter | None) -> Generator[None]:
    """Marks a block as the call of a model, whose tokens `meter` counts; None: the block calls no model."""
    token = called.set(meter)
    try:
        yield
    finally:
        called.reset(token)


def leave_call() -> contextlib.AbstractContextManager[None]:
    """Returns a context in which a call of a model is a step of its own: a tool makes it, not the model that is being called."""
    return mark_call(None)


def meter_usage(track: Callable[..., Any]) -> Callable[..., Any]:
    """Returns CrewAI's method that counts tokens, so that it counts them for the single call, too. CrewAI's own counters sum up
    all calls of a model.
    """

    @functools.wraps(track)
    def tracked(llm: Any, *arguments: Any, **options: Any) -> Any:
        meter = called.get()
        if meter is None:
            return track(llm, *arguments, **options)
        with _meter_lock, leave_call():  # a class may count by its base class
            before = llm.get_token_usage_summary()
            result = track(llm, *arguments, **options)
            after = llm.get_token_usage_summary()
        for name in _COUNTED:
            counted = getattr(after, name, 0) - getattr(before, name, 0)
            meter.counted[name] = add_counts(meter.counted[name], counted)
        return result

    return tracked
