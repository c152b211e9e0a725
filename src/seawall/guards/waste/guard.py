"""The guard `waste`: work that another agent has already done, and texts that are rewritten again and again."""

from __future__ import annotations

from typing import Any, Unpack

from seawall.core.events import Mode
from seawall.guards.waste import messages
from seawall.guards.waste.options import WasteKeywords, WasteOptions
from seawall.run.guard import Guard
from seawall.run.state import RunState
from seawall.run.step import Result, Step
from seawall.run.verdict import ALLOW, Replace, Verdict
from seawall.run.waste import TextHistory


class WasteGuard(Guard):
    """Advises on reads that another agent has made and on repeated rewrites of a text; at a bound, answers with a
    checked version.

    Takes the fields of `WasteOptions` as keywords, and `mode`. Raises `Misused` for values out of bounds. It has no
    memory: the state by which it judges is part of the run's state, even if the guard is off.
    """

    name = "waste"

    def __init__(self, *, mode: Mode = "enforce", **options: Unpack[WasteKeywords]) -> None:
        self.mode = mode
        self.options = WasteOptions(**options)

    def __repr__(self) -> str:
        return f"<WasteGuard {self.mode}, share={self.options.share:g}, bound={self.options.bound:g}>"

    def before(self, step: Step, run: RunState, memory: Any) -> Verdict:
        """Advises the agent that asks for rewrites, answers with a checked version at the bound, and answers known
        reads.
        """
        if step.kind == "model":
            return self._judge_turn(step, run) if run.waste.texts else ALLOW
        if step.kind == "handoff":
            return self._judge_round(step, run) if step.about else ALLOW
        return self._answer_read(step, run) if self.options.give_known else ALLOW

    def after(self, step: Step, result: Result, run: RunState, memory: Any) -> Verdict:
        """Advises on a read whose result another agent has had before, and names the step with that result."""
        if step.kind != "tool" or step.effect or step.poll or result.status != "ok":
            return ALLOW
        known = run.waste.find_same(step.number, step.name, step.arguments_key, result.fingerprint)
        if known is None or step.agent in known.agents:
            return ALLOW
        return messages.advise_duplicate(step, known)

    def _judge_turn(self, step: Step, run: RunState) -> Verdict:
        """Advises an agent once when rewrites that it asks for reach the share, and once when they reach the bound."""
        frame = run.frames.get(step.frame)
        text = self._find_argued(run, step.frame)
        if text is None or frame is None:
            return ALLOW
        share = _compute_share(text, run)
        limit = (
            f"bound={self.options.bound:g}"
            if share >= self.options.bound
            else f"share={self.options.share:g}"
        )
        if (self.name, limit) in frame.advised:
            return ALLOW
        return messages.advise_turn(step, text, share, limit)

    def _judge_round(self, step: Step, run: RunState) -> Verdict:
        """At the bound, answers with the newest version that has passed a check, in place of another rewrite."""
        text = run.waste.texts.get(step.about)
        if text is None or text.passed is None or step.name not in text.authors:
            return ALLOW
        share, bound = _compute_share(text, run), self.options.bound
        if text.rewrites < self.options.rewrites or share < bound:
            return ALLOW
        reason = messages.explain_taken(step, text, text.passed, share)
        return Replace(reason, "", f"bound={bound:g}", round(share, 3), ref=text.passed.ref)

    def _find_argued(self, run: RunState, frame: int) -> TextHistory | None:
        """Returns the text with the most expensive rewrites that a frame asks for or makes, if they cost too much; else
        None.
        """
        options = self.options
        found = [
            text
            for text in run.waste.texts.values()
            if text.rewrites >= options.rewrites
            and frame in (text.newest.frame, text.newest.parent)
            and _compute_share(text, run) >= options.share
        ]
        return max(found, key=lambda text: text.tokens, default=None)

    def _answer_read(self, step: Step, run: RunState) -> Verdict:
        """Answers a read with the result of another agent's equal read, while the tool declares that result as
        fresh.
        """
        if step.kind != "tool" or step.effect or step.poll or step.fresh_s is None:
            return ALLOW
        known = run.waste.find_read(step.name, step.arguments_key)
        if known is None or known.output is None or step.agent in known.agents or run.left_s <= 0:
            return ALLOW
        age_s = known.left_s - run.left_s
        if not 0 <= age_s < step.fresh_s or any(each.effect for each in run.in_flight):
            return ALLOW
        reason = messages.explain_given(step, known, age_s)
        return Replace(reason, "", f"fresh_s={step.fresh_s:g}", round(age_s, 3), ref=known.output)


def _compute_share(text: TextHistory, run: RunState) -> float:
    """Returns the share of the run's tokens that were spent on rewrites of a text, from 0 to 1."""
    return text.tokens / run.ledger.tokens if run.ledger.tokens else 0.0
