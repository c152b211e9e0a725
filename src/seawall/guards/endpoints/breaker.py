"""The breaker of one endpoint in one process. It is pure: the time and all events are passed in as arguments. The
breaker proposes a new phase (`end`, `check_overdue`, `build_half_open`), and moves to a phase that is in force
(`enter`). The caller finds out whether that is the proposed phase or one of another process. All times are seconds of
one monotonic clock.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Hashable
from typing import Literal, NamedTuple

import msgspec

from seawall.guards.endpoints.options import EndpointOptions
from seawall.guards.endpoints.record import LEASE_S, SILENT_S, OpenCause, Phase, ProcessCounts
from seawall.guards.endpoints.window import BucketCounts, CallWindow

CallResult = Literal["answered", "failed", "cut", "spend_limit", "unasked"]
"""What a call tells about its endpoint. `cut`: it was stopped for reasons outside of the endpoint, so only a lower
bound of its duration is known. `unasked`: it did not reach the endpoint."""
BlockReason = Literal["isolated", "spend_limit", "open", "probing", "due", "retry_after"]
"""Why no call may begin. `probing`: half open, and the probes are in flight. `due`: the open time, or another process's
right to probe, is over, and no process probes yet. `retry_after`: the server asked not to be called."""
ManualState = Literal["auto", "closed", "isolated"]
"""The state that a person has set; `auto`: none."""


class Block(NamedTuple):
    """Why no call may begin."""

    reason: BlockReason
    until_s: float | None = None
    """Monotonic seconds when the block ends; None if that is not known."""


class CallInFlight(msgspec.Struct):
    """A call that has begun, or will begin after its delay, and has not ended."""

    began_s: float
    serial: int
    """The phase in which the call began. In a later phase its result does not count."""
    is_probe: bool
    half_s: float
    """Seconds: half of the total time of its run."""


class PeerCounts(msgspec.Struct, frozen=True):
    """The newest report of another process, and when this process received it."""

    counts: ProcessCounts
    received_s: float


_ENOUGH = 1 - 1e-9  # ten tenths, added as floats, may be less than 1


class RetryTokens:
    """A first try earns a share of a token, a retry costs one, and at most `reserve` tokens can be saved up.

    The reserve is small, because otherwise a minute of good traffic would pay for a storm of retries. Spent tokens come
    back over `window_s`, so that a single run on a quiet endpoint can retry again later.
    """

    def __init__(self, ratio: float, reserve: int, window_s: float) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._per_s = reserve / window_s
        self._tokens = float(reserve)
        self._now_s: float | None = None

    def __repr__(self) -> str:
        return f"<RetryTokens {self._tokens:.1f}/{self._reserve}>"

    def earn(self) -> None:
        """Adds the share that a first try earns."""
        self._tokens = min(max(1.0, self._reserve), self._tokens + self._ratio)

    def spend(self, now_s: float, processes: int = 1) -> bool:
        """Spends a token if there is one, and returns whether there was.

        `processes` is the number of processes that call the endpoint; they share the reserve.
        """
        if self._now_s is not None:
            self._tokens += self._per_s * (now_s - self._now_s)
        self._now_s = now_s
        self._tokens = min(self._tokens, max(1.0, self._reserve / processes))
        if self._tokens < _ENOUGH:
            return False
        self._tokens -= 1
        return True


class Breaker:
    """Counts the calls to one endpoint before and after they are made, and opens when too many of them failed."""

    def __init__(self, name: str, options: EndpointOptions, owner: str = "") -> None:
        self.name = name
        self.options = options
        self.owner = owner
        """The name of this process in the journal."""
        self.phase = Phase()
        self.until_s = 0.0
        """Monotonic seconds. Open: when the breaker may become half open. Half open: when the right to probe ends."""
        self.since_s = 0.0
        """Monotonic seconds when the phase began."""
        self.probes_passed = 0
        """Half open: probes that succeeded."""
        self.retry_after_until_s = float("-inf")
        """Monotonic seconds when the newest `Retry-After` ends."""
        self.retry_after_s = 0.0
        """The seconds that the newest `Retry-After` asked for."""
        self.manual: ManualState = "auto"
        self.manual_until_s: float | None = None
        """Monotonic seconds when the state that a person has set ends; None: when a person lifts it."""
        self.window = CallWindow(options.window_s)
        self.tokens = RetryTokens(options.retry_ratio, options.retry_reserve, options.window_s)
        self.newest: deque[Literal["good", "failed", "slow"]] = deque(maxlen=2 * options.minimum_calls)
        """The newest calls of this process. A bucket of the window is seconds long, and a busy endpoint has thousands
        of good calls in one bucket, which would hide current failures."""
        self.peers: dict[str, PeerCounts] = {}
        """The reports of other processes, by process."""
        self._good_s: deque[float] = deque(maxlen=2 * options.minimum_calls)
        """The durations, in seconds, of the newest good calls of this process."""
        self._calls: dict[Hashable, CallInFlight] = {}
        """Calls that began when they were admitted, oldest first."""
        self._delayed: dict[Hashable, CallInFlight] = {}
        """Calls that were admitted to begin later; few, as they are retries."""
        self._overdue: dict[Hashable, CallInFlight] = {}
        """Calls that are still in flight and were counted as slow already."""
        self._probes: set[Hashable] = set()
        self._now_s = 0.0
        """The newest time that was given; for `repr`."""

    def __repr__(self) -> str:
        state: str = self.phase.state if self.manual == "auto" else f"{self.manual} by a person"
        if self.phase.state == "closed":
            calls, failed, slow = self._sum_counts(self._now_s)
            what = f"{failed}/{calls} failed, {slow} slow"
        else:
            what = f"{self.phase.bad}/{self.phase.calls} {self.phase.cause or 'failed'}"
        return f"<Breaker {self.name} {state} {what} since {self._now_s - self.since_s:.1f}s>"

    # ---- what may be done

    @property
    def in_flight(self) -> int:
        """The calls of this process in flight."""
        return len(self._calls) + len(self._delayed) + len(self._overdue)

    @property
    def probes_in_flight(self) -> int:
        """The probes of this process in flight, without those that are overdue."""
        return len(self._probes)

    def is_probe(self, key: Hashable) -> bool:
        """Returns whether this call in flight is a probe."""
        return key in self._probes

    @property
    def probe_quota(self) -> int:
        """The number of probes of one half-open phase."""
        return 1 if self.phase.cause == "spend_limit" else self.options.probes

    def find_block(self, now_s: float, delay_s: float = 0.0) -> Block | None:
        """Returns why a call that would begin in `delay_s` may not begin; None if it may, given a free slot."""
        self._now_s = now_s
        manual = "auto" if self.manual == "auto" else self.get_manual(now_s)
        if manual == "isolated":
            return Block("isolated", self.manual_until_s)
        if (
            manual == "auto"
            and self.phase.state != "closed"
            and (block := self._find_phase_block(now_s)) is not None
        ):
            return block
        if self.retry_after_until_s > now_s + delay_s:
            return Block("retry_after", self.retry_after_until_s)
        return None

    def _find_phase_block(self, now_s: float) -> Block | None:
        phase = self.phase
        if now_s >= self.until_s:
            return Block("due")
        if phase.cause == "spend_limit" and not (phase.state == "half_open" and self.count_free_slots(now_s)):
            return Block("spend_limit", self.until_s)
        if phase.state == "open":
            return Block("open", self.until_s)
        return None if self.count_free_slots(now_s) > 0 else Block("probing")

    def count_free_slots(self, now_s: float) -> int:
        """Returns how many more calls may be in flight."""
        free = self.options.at_once - len(self._calls)
        if self._delayed or self._overdue:
            free -= len(self._delayed) + len(self._overdue)
        if self.peers:
            free -= self._count_peers_in_flight(now_s)
        if self.phase.state == "closed" or self.get_manual(now_s) == "closed":
            return max(0, free)
        if self.phase.state == "open" or self.phase.prober != self.owner:
            return 0
        return max(0, min(free, self.probe_quota - self.probes_passed - len(self._probes)))

    def get_manual(self, now_s: float) -> ManualState:
        """Returns what a person has set, unless its time is over."""
        if self.manual_until_s is not None and now_s >= self.manual_until_s:
            return "auto"
        return self.manual

    def find_next_s(self, now_s: float) -> float | None:
        """Returns the monotonic second of the next change by time alone that matters to waiting steps."""
        times = [self.retry_after_until_s] if self.retry_after_until_s > now_s else []
        if self.phase.state != "closed":
            times.append(max(now_s, self.until_s))
        if self.manual_until_s is not None and self.manual_until_s > now_s:
            times.append(self.manual_until_s)
        if (overdue_s := self.next_overdue_s) is not None:
            times.append(overdue_s)
        return min(times, default=None)

    @property
    def next_overdue_s(self) -> float | None:
        """Monotonic seconds when the next call in flight will have taken too long."""
        oldest = [*self._delayed.values(), *itertools.islice(self._calls.values(), 1)]
        return min((call.began_s + self.options.slow_s for call in oldest), default=None)

    def afford_retry(self, now_s: float) -> bool:
        """Pays for one more retry with the tokens that first tries have earned; returns whether there were enough."""
        peers = sum(now_s - peer.received_s < SILENT_S for peer in self.peers.values())
        return self.tokens.spend(now_s, 1 + peers)

    # ---- calls

    def begin(
        self,
        key: Hashable,
        now_s: float,
        *,
        delay_s: float = 0.0,
        is_retry: bool = False,
        run_s: float = 0.0,
    ) -> None:
        """Counts a call that begins in `delay_s`. `run_s` is the total time of its run in seconds; 0: not limited."""
        self._now_s = now_s
        probe = self.phase.state == "half_open" and self.count_free_slots(now_s) > 0
        half_s = run_s / 2 if run_s > 0 else float("inf")
        calls = self._delayed if delay_s > 0 else self._calls
        calls[key] = CallInFlight(now_s + delay_s, self.phase.serial, probe, half_s)
        if probe:
            self._probes.add(key)
        if not is_retry:
            self.tokens.earn()

    def end(self, key: Hashable, now_s: float, result: CallResult, *, rng: random.Random) -> Phase | None:
        """Counts a call that has ended; returns the phase that follows, if it differs from the present one."""
        self._now_s = now_s
        call = self._calls.pop(key, None) or self._delayed.pop(key, None)
        if self._overdue:
            self._overdue.pop(key, None)  # an overdue call was counted as slow before
        if self._probes:
            self._probes.discard(key)
        if call is None or call.serial != self.phase.serial:
            return None
        took_s = now_s - call.began_s
        slow = took_s >= self.options.slow_s or (result == "cut" and self._was_hanging(took_s, call))
        if result == "unasked" or (result == "cut" and not slow) or self.phase.state == "open":
            return None
        failed = result in ("failed", "spend_limit")
        if self.phase.state == "half_open":
            return self._end_probe(call, failed or slow, result, rng)
        if not failed and not slow:
            self._count(now_s, "good")
            self._good_s.append(took_s)
            return None
        self._count(now_s, "failed" if failed else "slow")
        if result == "spend_limit" and self.get_manual(now_s) == "auto":
            return self._build_open("spend_limit", 1, 1, rng)
        return self._check_ratios(now_s, rng)

    def _was_hanging(self, took_s: float, call: CallInFlight) -> bool:
        """Returns whether a call that was cut took too long: half of its run's time, and longer than most good calls.

        A run with less time than the endpoint usually takes tells nothing about the endpoint; otherwise it would open
        the breaker for all others.
        """
        from statistics import median  # noqa: PLC0415 -- takes 3 ms to import, and few calls are slow

        return took_s >= call.half_s and (not self._good_s or took_s > median(self._good_s))

    def _count(self, now_s: float, how: Literal["good", "failed", "slow"]) -> None:
        self.newest.append(how)
        counts = self.window.get_bucket(now_s)
        counts.calls += 1
        counts.failed += how == "failed"
        counts.slow += how == "slow"

    def _end_probe(
        self, call: CallInFlight, bad: bool, result: CallResult, rng: random.Random
    ) -> Phase | None:
        if not call.is_probe:
            return None
        if bad:
            cause: OpenCause = "spend_limit" if result == "spend_limit" else self.phase.cause
            if cause == "spend_limit" and result != "spend_limit":
                cause = "failed"
            return self._build_open(cause, self.phase.bad, self.phase.calls, rng)
        self.probes_passed += 1
        if self.probes_passed < self.probe_quota:
            return None
        return Phase(serial=self.phase.serial + 1)

    def check_overdue(self, now_s: float, *, rng: random.Random) -> Phase | None:
        """Counts calls that are in flight for too long as slow; returns the phase that follows, if it differs from the
        present one.
        """
        self._now_s = now_s
        before_s = now_s - self.options.slow_s
        if not self._delayed:  # only the oldest call decides, and mostly it still has time
            oldest = next(iter(self._calls.values()), None)
            if oldest is None or oldest.began_s > before_s:
                return None
        overdue = list(itertools.takewhile(lambda item: item[1].began_s <= before_s, self._calls.items()))
        overdue += [item for item in self._delayed.items() if item[1].began_s <= before_s]
        for key, call in overdue:
            self._calls.pop(key, None)
            self._delayed.pop(key, None)
            self._overdue[key] = call
            self._probes.discard(key)
            if call.serial == self.phase.serial and self.phase.state == "closed":
                self._count(now_s, "slow")
        if not overdue or self.phase.state == "open":
            return None
        if self.phase.state == "closed":
            return self._check_ratios(now_s, rng)
        if any(call.is_probe and call.serial == self.phase.serial for _, call in overdue):
            return self._build_open(self.phase.cause, self.phase.bad, self.phase.calls, rng)
        return None

    def accept_retry_after(self, now_s: float, seconds: float) -> float:
        """Begins a `Retry-After` of `seconds`; returns the seconds that are honoured."""
        seconds = min(seconds, self.options.hold_max_s)
        if now_s + seconds > self.retry_after_until_s:
            self.retry_after_until_s, self.retry_after_s = now_s + seconds, seconds
        return seconds

    # ---- phases

    def _check_ratios(self, now_s: float, rng: random.Random) -> Phase | None:
        """Returns an open phase if too many of the newest calls failed or were slow.

        It checks the newest buckets that hold `minimum_calls`, then one bucket more, and so on; and last the newest
        calls of this process alone, twice `minimum_calls` of them.
        """
        if self.get_manual(now_s) == "closed":
            return None
        calls = failed = slow = 0
        for counts in self._merge_buckets(now_s):
            calls += counts.calls
            failed += counts.failed
            slow += counts.slow
            if calls < self.options.minimum_calls:
                continue
            if failed >= self.options.failed_ratio * calls:
                return self._build_open("failed", failed, calls, rng)
            if failed + slow >= self.options.slow_ratio * calls:
                return self._build_open("slow", failed + slow, calls, rng)
        calls, failed, slow = (len(self.newest), *map(self.newest.count, ("failed", "slow")))
        if calls == self.newest.maxlen and failed + slow >= self.options.slow_ratio * calls:
            return self._build_open("slow" if slow > failed else "failed", failed + slow, calls, rng)
        return None

    def _build_open(self, cause: OpenCause, bad: int, calls: int, rng: random.Random) -> Phase:
        options = self.options
        openings = self.phase.openings + 1
        if cause == "spend_limit":
            open_s = options.spend_limit_s
        else:  # 60 doublings are longer than any `open_max_s`, and the power stays a finite number
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

    def build_half_open(self) -> Phase:
        """Returns the half-open phase in which this process has the right to probe."""
        return msgspec.structs.replace(
            self.phase, serial=self.phase.serial + 1, state="half_open", prober=self.owner, beat=0
        )

    def enter(self, phase: Phase, now_s: float, *, age_s: float = 0.0, replace: bool = False) -> bool:
        """Moves to a phase that is in force for `age_s`; returns False if it is not newer than the present one.

        With `replace` it also moves to another phase of the same version, which exists if two processes moved at the
        same time.
        """
        if phase.version < self.phase.version or phase == self.phase:
            return False
        if phase.version == self.phase.version and not replace:
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
        self.probes_passed = 0
        if phase.state == "closed":
            self.window.clear()
            self.newest.clear()
            if phase.by:
                self.retry_after_until_s = float("-inf")
        return True

    # ---- other processes

    def receive_peer(self, owner: str, counts: ProcessCounts, now_s: float, *, age_s: float = 0.0) -> None:
        """Stores the report that another process made `age_s` seconds ago, if it is new."""
        known = self.peers.get(owner)
        if known is None or known.counts.number != counts.number:
            self.peers[owner] = PeerCounts(counts, now_s - max(0.0, age_s))

    def report(self, now_s: float, wall_s: float, number: int) -> ProcessCounts:
        """Returns the report of this process for the others."""
        return ProcessCounts(
            at=wall_s,
            number=number,
            serial=self.phase.serial,
            in_flight=self.in_flight,
            buckets=self.window.report(now_s),
            window_s=self.options.window_s,
        )

    def _merge_buckets(self, now_s: float) -> list[BucketCounts]:
        """Returns the merged buckets of all processes, the newest first."""
        buckets = self.window.copy_buckets(now_s)
        for peer in self.peers.values():
            if peer.counts.serial == self.phase.serial:
                self.window.add_reported(buckets, peer.counts.buckets, now_s, peer.received_s)
        return buckets

    def _sum_counts(self, now_s: float) -> tuple[int, int, int]:
        buckets = self._merge_buckets(now_s)
        return (
            sum(counts.calls for counts in buckets),
            sum(counts.failed for counts in buckets),
            sum(counts.slow for counts in buckets),
        )

    def _count_peers_in_flight(self, now_s: float) -> int:
        return sum(
            peer.counts.in_flight for peer in self.peers.values() if now_s - peer.received_s < SILENT_S
        )
