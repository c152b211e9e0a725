"""The guard `context`: an agent whose context is mostly junk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, cast

from seawall.core.errors import Misused
from seawall.core.events import Mode
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.verdict import ALLOW, Halt, Verdict


@dataclass(frozen=True, kw_only=True)
class ContextGuardOptions:
    """How much junk a model may be sent. The figures are from `python bench/context.py`; see docs/benchmarks.md."""

    junk_share: float = 0.5
    """The share of failures, repeats and outdated results (0 to 1) from which on the model is not called, because the
    agent would read more junk than anything else. Of the longer model calls of recorded coding agents, 11% are above
    it. If junk is folded from `Context(junk_at=…)` on, none is: the guard finds agents whose junk is not folded."""
    least_tokens: int = 2_000
    """Estimated tokens of a context below which its share is not judged: in a short context, one error of two messages
    is half of it, and nothing is wrong."""

    def __post_init__(self) -> None:
        """Raises `Misused` for values that are out of bounds or of another type."""
        share, tokens = cast("object", self.junk_share), cast("object", self.least_tokens)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise Misused(f"ContextGuard: junk_share is {share!r}; it must be a share above 0, up to 1")
        if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
            raise Misused(
                f"ContextGuard: least_tokens is {tokens!r}; it must be a whole number, zero or more"
            )


class ContextGuardKeywords(TypedDict, total=False):
    """The fields of `ContextGuardOptions`."""

    junk_share: float
    least_tokens: int


class ContextGuard(Guard):
    """Halts a run before a model call whose context is mostly junk. It only observes unless its mode is changed.

    Takes the fields of `ContextGuardOptions` as keywords, and `mode`. Raises `Misused` for values out of bounds.
    """

    name = "context"
    mode: Mode = "observe"

    def __init__(self, *, mode: Mode = "observe", **options: Unpack[ContextGuardKeywords]) -> None:
        self.mode = mode
        self.options = ContextGuardOptions(**options)

    def __repr__(self) -> str:
        return f"<ContextGuard {self.mode}, junk_share={self.options.junk_share:g}>"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Judges a model call by the messages that it would be sent."""
        limit = self.options.junk_share
        if step.kind != "model" or step.junk < limit or step.context_tokens < self.options.least_tokens:
            return ALLOW
        reason = (
            f"{step.junk:.0%} of what {step.agent!r} would be sent are failures, repeats and results out of date "
            f"(limit {limit:.0%})"
        )
        return Halt(reason, f"junk_share={limit:g}", round(step.junk, 3))
