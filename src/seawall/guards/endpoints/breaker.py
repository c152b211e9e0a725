"""The breaker of one endpoint in one process: pure, told the time, and asked what may be done.

It proposes a new phase (`end`, `look`, `half_opened`) and takes one over when it is in force (`adopt`): whether
its own or that of another process is for the caller to find out. All times are seconds of one monotonic clock.
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections import deque
from collections.abc import Hashable
from typing import Literal, NamedTuple

import msgspec

from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import LEASE_S, SILENT_S, Cause, Phase, ProcessCounts
from seawall.guards.endpoints.retry_tokens import RetryTokens
from seawall.guards.endpoints.window import Aged, CallWindow, Counts

Answer = Literal["answered", "failed", "cut", "spend_limit", "unasked"]
"""What a call says of its endpoint. `cut`: it was given up on for reasons that are not the endpoint's, so all
that is known is that it took at least so long. `unasked`: it was not made."""
Why = Literal["isolated", "spend_limit", "open", "probing", "due", "held"]
Forced = Literal["auto", "closed", "isolated"]


class Block(NamedTuple):
    """Why no call may begin."""

    why: Why
    until_s: float | None = None
    """When that is over; None: nobody knows."""


class CallInFlight(msgspec.Struct):
    """A call in flight."""

    began_s: float
    serial: int
    """The phase in which it began: in a later one it says nothing."""
    probe: bool
    half_s: float
    """Half of all the time its run has."""


class PeerCounts(msgspec.Struct, frozen=True):
    """What another process told, and when it was heard here."""

    part: ProcessCounts
    heard_s: float


class Breaker:
    """Counts the calls to one endpoint before and after they are made, and opens when too many are no good."""

    def __init__(self, name: str, options: EndpointOptions, owner: str = "") -> None:
        self.name = name
        self.options = options
        self.owner = owner
        self.phase = Phase()
        self.until_s = 0.0
        """Open: when it may be half open. Half open: when the right to probe lapses."""
        self.since_s = 0.0
        self.passed = 0
        """Half open: probes that succeeded."""
        self.hold_s = float("-inf")
        """Until when the other side asked to be left alone."""
        self.hold_asked_s = 0.0
        """For how long it asked."""
        self.forced: Forced = "auto"
        self.forced_until_s: float | None = None
        self.window = CallWindow(options.window_s)
        self.tokens = RetryTokens(options.retry_ratio, options.retry_reserve, options.window_s)
        self._newest: deque[Literal["good", "failed", "slow"]] = deque(maxlen=2 * options.minimum_calls)
        """Of this process. A bucket is seconds long, and a busy endpoint has thousands of good calls in one."""
        self._took_s: deque[float] = deque(maxlen=2 * options.minimum_calls)
        """What the newest good calls of this process took."""
        self.others: dict[str, PeerCounts] = {}
        self._fresh: dict[Hashable, CallInFlight] = {}
        """In the order in which they began."""
        self._delayed: dict[Hashable, CallInFlight] = {}
        """Admitted to begin later, or begun so; few, as they are further tries."""
        self._overdue: dict[Hashable, CallInFlight] = {}
        self._probes: set[Hashable] = set()
        self._now_s = 0.0

    def __repr__(self) -> str:
        state: str = self.phase.state if self.forced == "auto" else f"{self.forced} by a person"
        if self.phase.state == "closed":
            calls, failed, slow = self._totals(self._now_s)
            what = f"{failed}/{calls} failed, {slow} slow"
        else:
            what = f"{self.phase.bad}/{self.phase.calls} {self.phase.cause or 'failed'}"
        return f"<Breaker {self.name} {state} {what} since {self._now_s - self.since_s:.1f}s>"

    # ---- what may be done

    @property
    def in_flight(self) -> int:
        """Calls of this process that are under way."""
        return len(self._fresh) + len(self._delayed) + len(self._overdue)

    @property
    def probing(self) -> int:
        """Probes of this process that are under way, and not for too long."""
        return len(self._probes)

    def is_probe(self, key: Hashable) -> bool:
        """Whether this call in flight is a probe."""
        return key in self._probes

    @property
    def quota(self) -> int:
        """Probes of one half-open phase."""
        return 1 if self.phase.cause == "spend_limit" else self.options.probes

    def block(self, now_s: float, delay_s: float = 0.0) -> Block | None:
        """Why a call that would begin in `delay_s` may not; None where it may, as far as there are places."""
        self._now_s = now_s
        forced = self.forced_now(now_s)
        if forced == "isolated":
            return Block("isolated", self.forced_until_s)
        if forced == "auto" and (block := self._phase_block(now_s)) is not None:
            return block
        if self.hold_s > now_s + delay_s:
            return Block("held", self.hold_s)
        return None

    def _phase_block(self, now_s: float) -> Block | None:
        phase = self.phase
        if phase.state == "closed":
            return None
        if now_s >= self.until_s:
            return Block("due")
        if phase.cause == "spend_limit" and not (phase.state == "half_open" and self.places(now_s)):
            return Block("spend_limit", self.until_s)
        if phase.state == "open":
            return Block("open", self.until_s)
        return None if self.places(now_s) > 0 else Block("probing")

    def places(self, now_s: float) -> int:
        """How many more calls may be in flight."""
        free = self.options.at_once - self.in_flight - self._elsewhere(now_s)
        if self.phase.state == "closed" or self.forced_now(now_s) == "closed":
            return max(0, free)
        if self.phase.state == "open" or self.phase.prober != self.owner:
            return 0
        return max(0, min(free, self.quota - self.passed - len(self._probes)))

    def forced_now(self, now_s: float) -> Forced:
        """What a person has set, unless its time is over."""
        if self.forced_until_s is not None and now_s >= self.forced_until_s:
            return "auto"
        return self.forced

    def next_s(self, now_s: float) -> float | None:
        """When something may change by itself that whoever waits wants to know of."""
        times = [self.hold_s] if self.hold_s > now_s else []
        if self.phase.state != "closed":
            times.append(max(now_s, self.until_s))
        if self.forced_until_s is not None and self.forced_until_s > now_s:
            times.append(self.forced_until_s)
        if (late_s := self.late_s) is not None:
            times.append(late_s)
        return min(times, default=None)

    @property
    def late_s(self) -> float | None:
        """When the next of the calls in flight has taken too long."""
        oldest = [*self._delayed.values(), *itertools.islice(self._fresh.values(), 1)]
        return min((flight.began_s + self.options.slow_s for flight in oldest), default=None)

    def afford_retry(self, now_s: float) -> bool:
        """Whether one more further try can be paid for by first tries; if so it is."""
        others = sum(now_s - other.heard_s < SILENT_S for other in self.others.values())
        return self.tokens.spend(now_s, 1 + others)

    # ---- calls

    def begin(
        self, key: Hashable, now_s: float, *, delay_s: float = 0.0, again: bool = False, run_s: float = 0.0
    ) -> None:
        """A call begins, in `delay_s`. `again`: it is a further try. `run_s`: all the time that its run has."""
        probe = self.phase.state == "half_open" and self.places(now_s) > 0
        half_s = run_s / 2 if run_s > 0 else float("inf")
        flights = self._delayed if delay_s > 0 else self._fresh
        flights[key] = CallInFlight(now_s + delay_s, self.phase.serial, probe, half_s)
        if probe:
            self._probes.add(key)
        if not again:
            self.tokens.earn()

    def end(self, key: Hashable, now_s: float, answer: Answer, *, rng: random.Random) -> Phase | None:
        """A call has ended. The phase that follows from it, if it is another one."""
        self._now_s = now_s
        flight = self._fresh.pop(key, None) or self._delayed.pop(key, None)
        self._overdue.pop(key, None)  # counted as slow when it was noticed
        self._probes.discard(key)
        if flight is None or flight.serial != self.phase.serial:
            return None
        took_s = now_s - flight.began_s
        slow = took_s >= self.options.slow_s or (answer == "cut" and self._hung(took_s, flight))
        if answer == "unasked" or (answer == "cut" and not slow) or self.phase.state == "open":
            return None
        failed = answer in ("failed", "spend_limit")
        if self.phase.state == "half_open":
            return self._probed(flight, failed or slow, answer, rng)
        self._count(now_s, "failed" if failed else "slow" if slow else "good")
        if not failed and not slow:
            self._took_s.append(took_s)
        if answer == "spend_limit" and self.forced_now(now_s) == "auto":
            return self._opened("spend_limit", 1, 1, rng)
        return self._tripped(now_s, rng) if failed or slow else None

    def _hung(self, took_s: float, flight: CallInFlight) -> bool:
        """Whether a call that was cut had taken too long: half of its run's time, and longer than most good ones.

        A run with less time than the endpoint usually takes says nothing of it, or it would shut it for all others.
        """
        return took_s >= flight.half_s and (not self._took_s or took_s > statistics.median(self._took_s))

    def _count(self, now_s: float, how: Literal["good", "failed", "slow"]) -> None:
        self._newest.append(how)
        counts = self.window.at(now_s)
        counts.calls += 1
        counts.failed += how == "failed"
        counts.slow += how == "slow"

    def _probed(self, flight: CallInFlight, bad: bool, answer: Answer, rng: random.Random) -> Phase | None:
        if not flight.probe:
            return None
        if bad:
            cause: Cause = "spend_limit" if answer == "spend_limit" else self.phase.cause
            if cause == "spend_limit" and answer != "spend_limit":
                cause = "failed"
            return self._opened(cause, self.phase.bad, self.phase.calls, rng)
        self.passed += 1
        if self.passed < self.quota:
            return None
        return Phase(serial=self.phase.serial + 1)

    def look(self, now_s: float, *, rng: random.Random) -> Phase | None:
        """Count calls as slow that are in flight for too long. The phase that follows, if it is another one."""
        self._now_s = now_s
        late = self._late(now_s)
        for key, flight in late:
            self._fresh.pop(key, None)
            self._delayed.pop(key, None)
            self._overdue[key] = flight
            self._probes.discard(key)
            if flight.serial == self.phase.serial and self.phase.state == "closed":
                self._count(now_s, "slow")
        if not late or self.phase.state == "open":
            return None
        if self.phase.state == "closed":
            return self._tripped(now_s, rng)
        if any(flight.probe and flight.serial == self.phase.serial for _, flight in late):
            return self._opened(self.phase.cause, self.phase.bad, self.phase.calls, rng)
        return None

    def _late(self, now_s: float) -> list[tuple[Hashable, CallInFlight]]:
        """Calls that are in flight for longer than a slow one takes, and were not noticed yet."""
        before = now_s - self.options.slow_s
        late = list(itertools.takewhile(lambda item: item[1].began_s <= before, self._fresh.items()))
        return late + [item for item in self._delayed.items() if item[1].began_s <= before]

    def held(self, now_s: float, seconds: float) -> float:
        """The other side asked to be left alone for so long; for how long it will be."""
        seconds = min(seconds, self.options.hold_max_s)
        if now_s + seconds > self.hold_s:
            self.hold_s, self.hold_asked_s = now_s + seconds, seconds
        return seconds

    # ---- phases

    def _tripped(self, now_s: float, rng: random.Random) -> Phase | None:
        """Open, if of the newest calls, as many as are needed or more, too many were no good."""
        if self.forced_now(now_s) == "closed":
            return None
        calls = failed = slow = 0
        for counts in self._sums(now_s):
            calls += counts.calls
            failed += counts.failed
            slow += counts.slow
            if calls < self.options.minimum_calls:
                continue
            if failed >= self.options.failed_ratio * calls:
                return self._opened("failed", failed, calls, rng)
            if failed + slow >= self.options.slow_ratio * calls:
                return self._opened("slow", failed + slow, calls, rng)
        calls, failed, slow = (len(self._newest), *map(self._newest.count, ("failed", "slow")))
        if calls == self._newest.maxlen and failed + slow >= self.options.slow_ratio * calls:
            return self._opened("slow" if slow > failed else "failed", failed + slow, calls, rng)
        return None

    def _opened(self, cause: Cause, bad: int, calls: int, rng: random.Random) -> Phase:
        options = self.options
        openings = self.phase.openings + 1
        if cause == "spend_limit":
            open_s = options.spend_limit_s
        else:  # 2 ** 60 would do no harm, and no float is that patient
            open_s = min(options.open_max_s, options.open_s * 2.0 ** min(openings - 1, 60))
        open_s *= 1 - rng.uniform(0.0, options.jitter)
        return Phase(
            serial=self.phase.serial + 1,
            state="open",
            cause=cause,
            bad=bad,
            calls=calls,
            openings=openings,
            open_s=round(open_s, 3),
        )

    def half_opened(self) -> Phase:
        """Half open, with the right to probe for this process."""
        return msgspec.structs.replace(
            self.phase, serial=self.phase.serial + 1, state="half_open", prober=self.owner, beat=0
        )

    def adopt(self, phase: Phase, now_s: float, *, age_s: float = 0.0, instead: bool = False) -> bool:
        """Take over a phase that is in force since `age_s`; False if it is not newer than this one.

        `instead`: also another one of the same place, which two processes moved to at once.
        """
        if phase.place < self.phase.place or phase == self.phase:
            return False
        if phase.place == self.phase.place and not instead:
            return False
        renewed = phase.serial == self.phase.serial and phase.prober == self.phase.prober != ""
        self.phase = phase
        age_s = max(0.0, age_s)
        if phase.state == "open":
            self.until_s = now_s + max(0.0, phase.open_s - age_s)
        elif phase.state == "half_open":
            self.until_s = now_s + max(0.0, LEASE_S - age_s)
        if renewed:
            return True
        self.since_s = now_s - age_s
        self.passed = 0
        if phase.state == "closed":
            self.window.forget()
            self._newest.clear()
            if phase.by:
                self.hold_s = float("-inf")
        return True

    # ---- other processes

    def hear(self, owner: str, part: ProcessCounts, now_s: float, *, age_s: float = 0.0) -> None:
        """Another process told something."""
        known = self.others.get(owner)
        if known is None or known.part.number != part.number:
            self.others[owner] = PeerCounts(part, now_s - max(0.0, age_s))

    def told(self, now_s: float, wall_s: float, number: int) -> ProcessCounts:
        """What this process tells."""
        return ProcessCounts(
            at=wall_s,
            number=number,
            serial=self.phase.serial,
            in_flight=self.in_flight,
            buckets=self.window.told(now_s),
            window_s=self.options.window_s,
        )

    def _sums(self, now_s: float) -> list[Counts]:
        found = self.window.sums(now_s)
        for other in self.others.values():
            told: tuple[Aged, ...] = other.part.buckets
            if other.part.serial == self.phase.serial:
                self.window.add_told(found, told, now_s, other.heard_s)
        return found

    def _totals(self, now_s: float) -> tuple[int, int, int]:
        found = self._sums(now_s)
        return (
            sum(counts.calls for counts in found),
            sum(counts.failed for counts in found),
            sum(counts.slow for counts in found),
        )

    def _elsewhere(self, now_s: float) -> int:
        return sum(other.part.in_flight for other in self.others.values() if now_s - other.heard_s < SILENT_S)
