"""The estimator: how long a step and the mandatory rest of a run take, from the durations seen so far.

The rest of a run is several things one after the other. The quantile of their sum is far below the sum of their
quantiles, because the sum of quantiles assumes that all of them are slow at once. The estimator combines them as
engineers combine tolerances: it adds the likely times, and takes the root of the sum of the squared spreads above
them. That is exact for the variance of independent times, and an approximation for their quantiles.
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


class Estimate(NamedTuple):
    """How long something takes."""

    likely_s: float
    """Seconds at the planner's `chance`."""
    upper_s: float
    """Seconds at the planner's `quantile`, or at a higher one."""


UNKNOWN = Estimate(0.0, 0.0)
SOLE_FALLBACK_QUANTILE = 0.99
"""Quantile for a fallback agent that is the only answer: if it takes longer, the run ends without an answer."""
SOLE_FALLBACK_FACTOR = 2.0
"""Multiple of this quantile that such a fallback agent gets. It is rarely called, so its slowest calls have hardly been
seen yet; and a team without a result until then was unlikely to bring one."""


def combine_s(estimates: Iterable[Estimate]) -> float:
    """Returns the seconds at the planner's quantile for several things one after the other."""
    likely_s = spread = 0.0
    for estimate in estimates:
        likely_s += estimate.likely_s
        spread += (estimate.upper_s - estimate.likely_s) ** 2
    return likely_s + math.sqrt(spread)


class Estimator:
    """Estimates for the runs of one team, from the latencies of all runs."""

    def __init__(self, team: Team, options: Planner, latencies: Latencies) -> None:
        self._team = team
        self._options = options
        self._latencies = latencies
        self._used_keys: set[str] = set()
        """The keys of the latencies that the current decision has used."""

    def __repr__(self) -> str:
        return f"<Estimator of {self._team.name}, {self._latencies!r}>"

    # ---- learning and forgetting

    def learn(self, step: Step, done: StepDone) -> None:
        """Learns how long a step took. A failure says nothing; a step that was given up took at least so long."""
        if done.duration_s <= 0 or step.kind in ("memory", "approval"):
            return
        given_up = done.status in ("timeout", "cancelled") or done.error == "timeout"
        if done.status == "ok" or given_up:
            self._latencies.learn(self._make_key(*name_latency(step)), done.duration_s, censored=given_up)

    def begin_decision(self) -> None:
        """Begins a decision: it has used no latencies yet."""
        self._used_keys.clear()

    def forget_used(self) -> None:
        """Makes the latencies that this decision used count a little less, because something was pruned for them.

        The latencies of the fallback agent are excepted. They are learned from pruning, and an error there costs
        the answer.
        """
        fallback = self._team.fallback
        excepted = (
            set[str]()
            if fallback is None
            else {self._make_key(kind, fallback.name) for kind in ("agent", "model")}
        )
        for key in self._used_keys - excepted:
            self._latencies.forget(key)

    def _make_key(self, kind: str, name: str) -> str:
        """Returns the key of a latency. Each agent of a team has its own: how fast a model is depends on its task."""
        model = f":{self._team.members[name].agent.model_name}" if kind == "model" else ""
        return f"{self._team.name}/{kind}:{name}{model}"

    # ---- estimates

    def estimate(self, kind: str, name: str, *, at_least: float = 0.0) -> Estimate:
        """Returns how long one model reply, tool call, or whole hand-off or review takes.

        The upper estimate is at the planner's quantile, or at the quantile `at_least` if that is higher.
        """
        if kind != "tool" and name not in self._team.members:
            return UNKNOWN
        key = self._make_key(kind, name)
        self._used_keys.add(key)
        learned = self._latencies.compute_quantiles(
            key, (self._options.chance, max(at_least, self._options.quantile))
        )
        if learned is not None:
            return Estimate(*learned)
        prior = self._options.priors.get(f"{kind}:{name}")
        if prior is not None:
            prior *= self._latencies.get_prior_share(key)
            return Estimate(prior, prior)
        # An agent at work calls its model at least once.
        return self.estimate("model", name, at_least=at_least) if kind == "agent" else UNKNOWN

    def estimate_rest_s(
        self, kind: str, frame: Frame, state: RunState, *, reviews: bool, fallback: str | None
    ) -> float:
        """Returns the seconds between the end of a step of `kind` in `frame` and the run's answer.

        With `reviews` they include the reviews on the way; with `fallback` the time of that agent.
        """
        return combine_s(self._list_rest(kind, frame, state, reviews, fallback)) + self._options.margin_s

    def _list_rest(
        self, kind: str, frame: Frame, state: RunState, reviews: bool, fallback: str | None
    ) -> Iterator[Estimate]:
        """Yields an estimate for each thing that must follow the step."""
        if kind in ("tool", "handoff"):  # the frame's agent reads the result
            yield self.estimate("model", frame.agent)
        if frame.id != 0 and frame.id == state.plan.fallback_step:
            return
        reviewed = kind == "review"
        for each in walk_up(frame, state):
            if each is not frame and not reviewed:  # its agent reads the answer from below
                yield self.estimate("model", each.agent)
            member = self._team.members.get(each.agent)
            reviewer = None if member is None or each.review.approved else member.reviewer
            if reviews and reviewer is not None and not reviewed and each.id not in state.plan.unreviewed:
                yield self.estimate("agent", reviewer)
            reviewed = each.kind == "review"
        if fallback is not None and state.frames[0].answer is None:
            sole = kind == "model" and frame.id == 0 and not state.plan.findings
            yield self.estimate_fallback(fallback, sole=sole)

    def estimate_fallback(self, agent: str, *, sole: bool) -> Estimate:
        """Returns the time that is kept for the fallback agent.

        `sole`: there is no other answer. Otherwise something is verified by then and the record can answer in the
        agent's place, so its likely time is enough.
        """
        if not sole:
            likely_s = self.estimate("agent", agent).likely_s
            return Estimate(likely_s, likely_s)
        found = self.estimate("agent", agent, at_least=SOLE_FALLBACK_QUANTILE)
        return Estimate(found.likely_s, SOLE_FALLBACK_FACTOR * found.upper_s)


def walk_up(frame: Frame, state: RunState) -> Iterator[Frame]:
    """Yields a frame and the frames above it, innermost first."""
    while True:
        yield frame
        parent = state.frames.get(frame.parent)
        if frame.kind == "root" or parent is None:
            return
        frame = parent


def name_latency(step: Step) -> tuple[str, str]:
    """Returns the kind and the name under which a step's duration is learned."""
    match step.kind:
        case "model":
            return "model", step.agent
        case "tool":
            return "tool", step.name
        case "handoff" | "review":
            return "agent", step.name
        case "memory" | "approval":
            raise SeawallBug(f"a {step.kind} step has no latency")
