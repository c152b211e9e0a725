"""`Context`: how long an agent's context may get, and when it is shortened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

from seawall.core.errors import Misused
from seawall.models.usage import MAX_TOKENS

LEAST_TOKENS = 500
"""Tokens of the smallest budget. Instructions, tools, a request and one result do not fit into less."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """How long the context of an agent's model calls may get, and when old parts of it are shortened.

    Below `fold_at` of the budget nothing is changed, unless there is junk. Instructions, the current request, facts of
    the session and open questions are never shortened. What is shortened stays in the journal, and the agent can read
    results again with the tool `read_result`. Raises `Misused` for an option out of range or of another type.
    """

    tokens: int | None = None
    """The budget: tokens of instructions, tools and messages together. None: the model's window less
    `max_output_tokens`, if the window is known from the model (`context_window`) or from the list of the extra
    `prices`; otherwise there is no budget, and only a model that answers "context too long" makes the context shorter."""
    fold_at: float = 0.8
    """The share of the budget from which on the context is shortened, above 0 and up to 1. Tokens are estimated, within
    a few per cent once the provider has counted a call; one more result of ordinary size must fit as well."""
    fold_to: float = 0.5
    """The share of the budget to which the context is shortened, below `fold_at`. Between two such steps, the messages
    that were sent stay byte-equal, so that a provider's prompt cache stays valid; the lower the share, the rarer the steps."""
    junk_at: float = 0.3
    """The share of failures, repeats and outdated results from which on these are shortened even below the budget; 1:
    never. Folding gives up the prompt cache, so it must remove a good part of the context: of the longer model calls of
    recorded coding agents, 17% are above this share and 22% above 0.2 (`python bench/context.py`)."""
    head_chars: int = 300
    """Characters that are kept of a large result's beginning. Results shorter than twice that are never cut, because a
    reference has some hundred characters itself."""

    def __post_init__(self) -> None:
        for name, number in (("tokens", self.tokens or LEAST_TOKENS), ("head_chars", self.head_chars)):
            if isinstance(number, bool) or not isinstance(cast("object", number), int):
                raise Misused(f"Context: {name} is {number!r}; it must be a whole number")
        if self.tokens is not None and not LEAST_TOKENS <= self.tokens <= MAX_TOKENS:
            raise Misused(
                f"Context: tokens is {self.tokens}; it must be at least {LEAST_TOKENS}, at most {MAX_TOKENS:,}"
            )
        if self.head_chars < 1:
            raise Misused(f"Context: head_chars is {self.head_chars}; it must be at least 1")
        for name, share in (("fold_at", self.fold_at), ("fold_to", self.fold_to), ("junk_at", self.junk_at)):
            number = isinstance(cast("object", share), int | float) and not isinstance(share, bool)
            if not number or math.isnan(share) or not 0 < share <= 1:
                raise Misused(f"Context: {name} is {share!r}; it must be a share above 0, up to 1")
        if self.fold_to >= self.fold_at:
            raise Misused(f"Context: fold_to is {self.fold_to}; it must be below fold_at ({self.fold_at})")


DEFAULT_CONTEXT = Context()


def check_context(what: str, given: object) -> Context | None:
    """Returns the context options that `what` was given. Raises `Misused` for anything else."""
    if given is None or isinstance(given, Context):
        return given
    raise Misused(f"{what}: context is {given!r}; it must be Context(…)")
