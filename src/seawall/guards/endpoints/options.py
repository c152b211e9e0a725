"""Options of an endpoint, with the reason of each default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from seawall.core.canonical import check_texts
from seawall.core.errors import Misused

KINDS = ("model", "tool")
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
}
"""By annotation: the types that a field accepts, and their name in messages."""


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """When the breaker of one endpoint opens and how it closes again, and how many calls the endpoint gets at once.

    Given by name (`tool:bank`, `model:openai:gpt-5.2`), or for all of a kind (`tool`, `model`).
    """

    failed_ratio: float = 0.5
    """The share of failed calls from which on the breaker opens. Half, as in other breakers: below it a call is still
    more likely to be answered than not."""
    slow_ratio: float = 0.8
    """The share of failed or slow calls from which on the breaker opens. It is above `failed_ratio`, because a slow
    answer is still an answer."""
    slow_s: float = 60.0
    """Seconds from which on a call is slow, also while it is in flight. A long reply of a model takes tens of seconds;
    set less for tools that answer at once. A call that was cut because its run ended also counts as slow if it had
    taken half of the run's total time, and longer than most of the newest answered calls."""
    hang_s: float = 60.0
    """Seconds of silence after which a call may be given up and made again, if it has also been silent for four times
    the longest of the newest calls of its agent or tool. With fewer than ten such calls, the bound is ten times
    `hang_s`. A call is given up in any case after two thirds of its run's remaining time, unless a call might take a
    third of that. A call that is given up has failed. Only calls that may `outlast` an outage are given up; `inf` gives
    up none. As long as `slow_s`: a long reply takes tens of seconds."""
    minimum_calls: int = 10
    """Calls that must be known before a share is judged: at a failure rate of 5%, half of ten calls fail by chance once
    in 15,000 times."""
    window_s: float = 180.0
    """Seconds that the breaker looks back, in twelve steps. It is longer than the longest call (a run has 120 s by
    default), because otherwise an endpoint whose calls all hang would never have enough calls. The newest
    `minimum_calls` are enough to open it; on a busy endpoint, the newest twice `minimum_calls` alone are enough if
    `slow_ratio` of them failed or were slow. So good calls before an outage never hide it."""
    open_s: float = 2.0
    """Seconds that the breaker stays open the first time: short enough for a run of ten seconds to wait it out."""
    open_max_s: float = 60.0
    """Longest open time in seconds; the open time doubles with each failed probe. 60: two probes a minute do no harm,
    and a recovery is noticed within a minute. The open time is never more than half of the longest time that a waiting
    step has left, and never less than `open_s`, so that waiting steps notice a recovery in time."""
    jitter: float = 0.2
    """The greatest share of the open time that is subtracted at random, so that processes without a common journal do
    not probe at the same moments."""
    probes: int = 2
    """Calls that a half-open breaker lets through, over all processes. All must succeed; one alone could be luck."""
    retry_ratio: float = 0.1
    """The share of a retry token that a first try earns; a retry costs 1. So in a storm, retries add a tenth to the
    calls."""
    retry_reserve: int = 5
    """Most retry tokens that can be saved, and the number at the start: a single run on a quiet endpoint can retry, and
    a good hour does not pay for a storm. They come back by themselves over `window_s`. Several processes share them,
    but each has at least one."""
    outlast: bool = True
    """Whether a call that failed in an outage waits until the endpoint answers again and is then made once more, as
    long as its run has the time. It needs an agent or a tool that allows `retries`. Tries in an outage do not count as
    such retries, and need no retry tokens. While the endpoint is down it gets no more calls than its probes; once it is
    well, each of these calls comes on top of the tenth. On, because a user would rather wait than get no answer; turn
    it off if retries must never add more than a tenth."""
    hold_max_s: float = 300.0
    """The longest `Retry-After` that holds for the whole endpoint, in seconds: a wrong header must not shut it for a
    day, and one more call in five minutes costs little."""
    spend_limit_s: float = 300.0
    """Seconds between probes after a server said that the money is used up: only a person can change that, and a call
    every five minutes finds out whether it was changed."""
    at_once: int = 512
    """Calls in flight at once, over all processes; further ones wait in a queue. Half of the 1,024 files that a
    process may commonly have open."""

    def __post_init__(self) -> None:
        """Raises `Misused` for values that are out of bounds or contradict each other."""
        self._check_types()
        for name in ("failed_ratio", "slow_ratio"):
            value: float = getattr(self, name)
            if not 0 < value <= 1:
                raise Misused(f"EndpointOptions: {name} is {value}; it must be above 0 and at most 1")
        for name in ("minimum_calls", "probes", "at_once"):
            if getattr(self, name) < 1:
                raise Misused(f"EndpointOptions: {name} is {getattr(self, name)}; it must be at least 1")
        for name in ("slow_s", "hang_s", "open_s", "hold_max_s", "spend_limit_s"):
            if not getattr(self, name) > 0:
                raise Misused(f"EndpointOptions: {name} is {getattr(self, name)}; it must be above zero")
        for name in ("retry_ratio", "retry_reserve"):
            if getattr(self, name) < 0:
                raise Misused(f"EndpointOptions: {name} is {getattr(self, name)}; it must be zero or more")
        if not 0 <= self.jitter < 1:
            raise Misused(f"EndpointOptions: jitter is {self.jitter}; it must be zero or more and below 1")
        if self.open_max_s < self.open_s:
            raise Misused(f"EndpointOptions: open_max_s is {self.open_max_s}, below open_s ({self.open_s})")
        if not self.window_s > self.slow_s:
            raise Misused(
                f"EndpointOptions: window_s is {self.window_s}; it must be longer than the longest call, "
                f"and above slow_s ({self.slow_s})"
            )

    def _check_types(self) -> None:
        for each in fields(self):
            given: object = getattr(self, each.name)
            types, words = _TYPES[str(each.type)]
            if not isinstance(given, types) or (isinstance(given, bool) and bool not in types):
                raise Misused(f"EndpointOptions: {each.name} is {given!r}; it must be {words}")


def check_options(endpoints: Mapping[str, EndpointOptions]) -> dict[str, EndpointOptions]:
    """Returns the options by endpoint or kind. Raises `Misused` for a name that is neither."""
    if not isinstance(endpoints, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- what callers give
        raise Misused(f"endpoints is {endpoints!r}; it must be a dict of EndpointOptions(…) by name")
    for name, options in endpoints.items():
        check_texts(endpoint=name)
        kind, _, rest = name.partition(":")
        if kind not in KINDS or (":" in name and not rest):
            raise Misused(
                f"endpoints: {name!r} is not an endpoint: write 'tool:NAME' or 'model:NAME', or 'tool' or 'model' for all"
            )
        if not isinstance(options, EndpointOptions):  # pyright: ignore[reportUnnecessaryIsInstance] -- what callers give
            raise Misused(f"endpoints: {name!r} has {options!r}; it must be EndpointOptions(...)")
    return dict(endpoints)
