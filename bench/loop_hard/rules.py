"""One-line rules and the loop guards of other libraries, as in `bench/loops.py`, on a script."""

from __future__ import annotations

import contextlib
import io

from loop.peers import Peer
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


def judge_peer(peer: Peer, script: Script) -> Judgement:
    """What a library does with a script."""
    tools: dict[str, bool | None] = {}
    for move in script.moves:
        tools[move.tool] = bool(tools.get(move.tool)) or move.step.effect
    advised = False
    with contextlib.redirect_stdout(io.StringIO()):  # some of them print
        watch = peer.begin(tools)
        for moves, call, at_s in script.calls():
            said = watch(call, at_s)
            if said in ("stop", "end"):
                return Judgement(stopped_at=moves, advised=advised, by=peer.package)
            advised = advised or said == "advise"
    return Judgement(advised=advised)
