"""One-line rules, as in `bench/loops.py`, on a script."""

from __future__ import annotations

from loop.rivals import RIVALS, Rule

from loop_hard.play import Judgement
from loop_hard.script import Script

RULES: dict[str, Rule] = {
    "same tool > 3": RIVALS["same tool > 3"],
    "5 same calls in a row": RIVALS["5 same calls in a row"],
    "same call > 3 anywhere": RIVALS["same call > 3 anywhere"],
    "OpenHands' stuck detector, tool part": RIVALS["stuck detector"],
    "nothing new 3 in a row": RIVALS["no news 3 in a row"],
}


def judge(rule: Rule, script: Script) -> Judgement:
    """What a rule does with a script."""
    calls = script.calls()
    index = rule([call for _, call, _ in calls])
    return Judgement() if index is None else Judgement(stopped_at=calls[index][0], by="rule")
