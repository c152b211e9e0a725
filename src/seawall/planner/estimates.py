"""What a step and the mandatory rest of a run take: quantiles of what was seen, put together.

The rest of a run is several things one after the other. The quantile of their sum is far below the sum of their
quantiles, which would have all of them slow at once: they are put together as tolerances are, the likely times
added, and the spreads above them as the root of the sum of their squares. That is exact for the variance of
independent times, and an approximation for their quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seawall.core.errors import SeawallBug
from seawall.core.events import StepDone
from seawall.planner.latencies import Latencies
from seawall.run.frame import Frame
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.team.planner import Planner
from seawall.team.team import Team


class Time(NamedTuple):
    """How long something takes."""

    likely_s: float
    most_s: float
    """At the planner's quantile."""


NOT_KNOWN = Time(0.0, 0.0)
ALONE = 0.99
"""Quantile for a fallback agent with nothing behind it: where it takes longer there is no answer."""
SELDOM = 2.0
"""Times that quantile are kept for it: it is asked seldom, so its slowest calls were hardly seen yet, and whoever
has brought nothing until then loses nothing that was likely to come."""


def combine_s(times: Iterable[Time]) -> float:
    """Seconds at the planner's quantile for several things one after the other."""
    likely_s = spread = 0.0
    for time in times:
        likely_s += time.likely_s
        spread += (time.most_s - time.likely_s) ** 2
    return likely_s + math.sqrt(spread)


class Estimator:
    """Latencies as one team's runs need them."""

    def __init__(self, team: Team, options: Planner, latencies: Latencies) -> None:
        self._team = team
        self._options = options
        self._latencies = latencies
        self._asked: set[str] = set()

    def __repr__(self) -> str:
        return f"<Estimator of {self._team.name}, {self._latencies!r}>"

    # ---- learning and forgetting

    def learn(self, step: Step, done: StepDone) -> None:
        """Take in how long a step took. A failure says nothing, but that it was given up says "at least"."""
        if done.duration_s <= 0 or step.kind in ("memory", "approval"):
            return
        given_up = done.status in ("timeout", "cancelled") or done.error == "timeout"
        if done.status == "ok" or given_up:
            self._latencies.learn(self._key(*name_latency(step)), done.duration_s, censored=given_up)

    def begin(self) -> None:
        """A decision begins: nothing was reckoned with yet."""
        self._asked.clear()

    def forget(self) -> None:
        """Something was pruned for what this decision reckoned with: it is held a little less.

        Not what is known of the fallback agent, which is learned from pruning and is the last to be wrong about.
        """
        fallback = self._team.fallback
        kept = (
            set[str]()
            if fallback is None
            else {self._key(kind, fallback.name) for kind in ("agent", "model")}
        )
        for name in self._asked - kept:
            self._latencies.forget(name)

    def _key(self, kind: str, name: str) -> str:
        """Latencies are of a team's agents: a model is as fast as what that agent asks of it."""
        model = f":{self._team.members[name].agent.model_name}" if kind == "model" else ""
        return f"{self._team.name}/{kind}:{name}{model}"

    # ---- reckoning

    def time(self, kind: str, name: str, *, at_least: float = 0.0) -> Time:
        """What one reply, call, or whole hand-off or review takes, at the planner's quantile or a higher one."""
        if kind != "tool" and name not in self._team.members:
            return NOT_KNOWN
        key = self._key(kind, name)
        self._asked.add(key)
        learned = self._latencies.quantiles(
            key, (self._options.chance, max(at_least, self._options.quantile))
        )
        if learned is not None:
            return Time(*learned)
        prior = self._options.priors.get(f"{kind}:{name}")
        if prior is not None:
            prior *= self._latencies.prior_share(key)
            return Time(prior, prior)
        # An agent at work asks its model at least once.
        return self.time("model", name, at_least=at_least) if kind == "agent" else NOT_KNOWN

    def rest_s(
        self, kind: str, frame: Frame, state: RunState, *, reviews: bool, fallback: str | None
    ) -> float:
        """Seconds that must stay for what follows a step of `kind` in `frame`: until the run has its answer."""
        return combine_s(self._rest(kind, frame, state, reviews, fallback)) + self._options.margin_s

    def _rest(
        self, kind: str, frame: Frame, state: RunState, reviews: bool, fallback: str | None
    ) -> Iterator[Time]:
        if kind in ("tool", "handoff"):  # its result goes to the frame's agent
            yield self.time("model", frame.agent)
        if frame.id != 0 and frame.id == state.plan.fallback_step:
            return
        reviewed = kind == "review"
        for each in walk_up(frame, state):
            if each is not frame and not reviewed:  # the answer from below goes to its agent
                yield self.time("model", each.agent)
            member = self._team.members.get(each.agent)
            reviewer = None if member is None or each.review.approved else member.reviewer
            if reviews and reviewer is not None and not reviewed and each.id not in state.plan.unreviewed:
                yield self.time("agent", reviewer)
            reviewed = each.kind == "review"
        if fallback is not None and state.frames[0].answer is None:
            yield self.fallback(fallback, alone=kind == "model" and frame.id == 0 and not state.plan.findings)

    def fallback(self, agent: str, *, alone: bool) -> Time:
        """What is kept for the fallback agent. Where something is verified by then the record stands behind it,
        and its likely time is enough; `alone` there is no other answer.
        """
        if not alone:
            likely_s = self.time("agent", agent).likely_s
            return Time(likely_s, likely_s)
        time = self.time("agent", agent, at_least=ALONE)
        return Time(time.likely_s, SELDOM * time.most_s)


def walk_up(frame: Frame, state: RunState) -> Iterator[Frame]:
    """A frame and the frames above it, innermost first."""
    while True:
        yield frame
        parent = state.frames.get(frame.parent)
        if frame.kind == "root" or parent is None:
            return
        frame = parent


def name_latency(step: Step) -> tuple[str, str]:
    """What a step's duration is of."""
    match step.kind:
        case "model":
            return "model", step.agent
        case "tool":
            return "tool", step.name
        case "handoff" | "review":
            return "agent", step.name
        case "memory" | "approval":
            raise SeawallBug(f"a {step.kind} step has no latency")
