"""What may be set of an endpoint, and why each default is what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from seawall.core.errors import Misused

KINDS = ("model", "tool")
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
}
"""What a field takes, by its annotation; and in words."""


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """When the breaker of one endpoint opens, how it closes again, and how much is asked of the endpoint at once.

    Given by name (`tool:bank`, `model:openai:gpt-5.2`), or for all of a kind (`tool`, `model`).
    """

    failed_ratio: float = 0.5
    """Share of calls that failed, from which the breaker opens: half, as in other breakers; below it a call is
    still more likely to be answered than not."""
    slow_ratio: float = 0.8
    """Share of calls that failed or were slow, from which it opens. Above `failed_ratio`: a slow answer is still
    an answer."""
    slow_s: float = 60.0
    """Seconds from which a call is slow, also while it is in flight. A long reply of a model takes tens of
    seconds; for tools that answer at once set less. A call that its run's end cut off counts as slow, too, if it
    had taken half of all the run's time, and longer than most of the newest calls that were answered."""
    minimum_calls: int = 10
    """Calls that must be known before a share means anything: at a failure rate of 5%, half of ten fail by chance
    once in 15,000 times."""
    window_s: float = 180.0
    """Seconds that are looked back on, in twelve steps. Longer than the longest call (a run has 120 s if nobody
    says otherwise), or an endpoint whose calls all hang would never have enough of them. The newest calls that
    are `minimum_calls` suffice, and where there are many the newest twice `minimum_calls` by themselves, if
    `slow_ratio` of them were no good: no number of good calls of before hides an outage of now."""
    open_s: float = 2.0
    """Seconds that it stays open the first time: short enough for a run of ten seconds to outwait it."""
    open_max_s: float = 60.0
    """It stays open twice as long each time that a probe fails, up to this many seconds: at two probes a minute
    nobody is harmed, and a recovery is noticed within a minute."""
    jitter: float = 0.2
    """Up to this share of the open time is taken off at random, so that processes without a common journal do not
    probe in step."""
    probes: int = 2
    """Calls that a half-open breaker lets through, over all processes. All must succeed, and one could be luck."""
    retry_ratio: float = 0.1
    """What a first try earns; a further try costs 1. So in a storm they add a tenth to what is asked of it."""
    retry_reserve: int = 5
    """What can be saved up, and is there at first: a single run on a quiet endpoint may try again, and no good hour
    pays for a storm. It comes back by itself over `window_s`. Several processes share it, down to one for each."""
    outlast: bool = False
    """Whether a model call that met the outage waits for its end, and is made once more then, within its run's time
    and its agent's retries. The sick endpoint is asked no more often, but each such call comes on top of the tenth:
    of a hundred runs that all met it, a hundred. Off, as that promise is kept first; on, if being answered late is
    worth a call."""
    hold_max_s: float = 300.0
    """The longest `Retry-After` that is honoured for the whole endpoint, in seconds: a wrong header must not shut it
    for a day, and one more call in five minutes costs little."""
    spend_limit_s: float = 300.0
    """Seconds between probes once the other side said that money is used up: only a person can change that, and a
    call every five minutes finds out that one did."""
    at_once: int = 512
    """Calls in flight at once, over all processes; more wait in line. Half of the 1,024 open files that a process
    commonly may have."""

    def __post_init__(self) -> None:
        """Raise `Misused` for what can't be."""
        self._check_types()
        for name in ("failed_ratio", "slow_ratio"):
            value: float = getattr(self, name)
            if not 0 < value <= 1:
                raise Misused(f"EndpointOptions: {name} is {value}; it must be above 0 and at most 1")
        for name in ("minimum_calls", "probes", "at_once"):
            if getattr(self, name) < 1:
                raise Misused(f"EndpointOptions: {name} is {getattr(self, name)}; it must be at least 1")
        for name in ("slow_s", "open_s", "hold_max_s", "spend_limit_s"):
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
            kinds, told = _KINDS[str(each.type)]
            if not isinstance(given, kinds) or (isinstance(given, bool) and bool not in kinds):
                raise Misused(f"EndpointOptions: {each.name} is {given!r}; it must be {told}")


def check_options(endpoints: Mapping[str, EndpointOptions]) -> dict[str, EndpointOptions]:
    """Options by endpoint or kind. Raises `Misused` for a name that can be neither."""
    if not isinstance(endpoints, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] -- what callers give
        raise Misused(f"endpoints is {endpoints!r}; it must be a dict of EndpointOptions(…) by name")
    for name, options in endpoints.items():
        kind, _, rest = name.partition(":")
        if kind not in KINDS or (":" in name and not rest):
            raise Misused(
                f"endpoints: {name!r} is no endpoint: write 'tool:NAME' or 'model:NAME', or 'tool' or 'model' for all"
            )
        if not isinstance(options, EndpointOptions):  # pyright: ignore[reportUnnecessaryIsInstance] -- what callers give
            raise Misused(f"endpoints: {name!r} has {options!r}; it must be EndpointOptions(...)")
    return dict(endpoints)
