"""Scenes of one run: what goes wrong, what is claimed, and what the measured figures say in words."""

from __future__ import annotations

from seawall.cli.demo import scripts
from seawall.cli.demo.directions import before_it_answers, through_a_crash
from seawall.cli.demo.scene import (
    Ask,
    Scene,
    answered,
    calls_were,
    calls_were_at_most,
    fewer,
    let_pass,
    stopped,
    stops,
)
from seawall.cli.demo.take import Claim, Take
from seawall.cli.demo.world import ORDERS, SLOW_S
from seawall.core.limits import Limits
from seawall.guards.loops import LoopOptions
from seawall.team.planner import Planner

REFUND = "Refund order 1042, it never arrived."
WHERE = "Where is my order 1042?"
CHECK_ALL = "Is every order all right? Check them all."
REFUSED = "I do not want order 1042 any more, and I did pay."
SORRY = "Apologise to our customers."

PAID = "51.40 EUR"
"""What the shop says of order 1042."""
BUDGET_CALLS = 24
DEADLINE_S = 0.6
LONGEST_S = 10.0
"""A machine that can't have an answer within this does not play in real time."""
LOOPS = LoopOptions()
ERROR_CALLS = LOOPS.no_news + 1
"""The first error is news, the next three are not."""
RUNAROUND_CALLS = 2 * (LOOPS.no_news + 1)
"""The first round of the two tools is news, the next three are not."""
REPLY_SHARE = 6
"""Of the user's time the planner keeps a sixth for a reply or a review: a few times what it takes here."""
UNDONE_CALLS = 2 * (LOOPS.cycles + 1)
"""The first round, and as often again."""


def _good_claims(observe: Take, enforce: Take) -> list[Claim]:
    same = (
        observe.answer == enforce.answer
        and observe.calls_by_tool == enforce.calls_by_tool
        and (observe.model_calls, observe.tokens, observe.usd)
        == (enforce.model_calls, enforce.tokens, enforce.usd)
    )
    return [
        *(Claim(f"{take.mode}: answered and reviewed", answered(take)) for take in (observe, enforce)),
        *(
            Claim(f"{take.mode}: the refund was paid once", len(take.payments) == 1)
            for take in (observe, enforce)
        ),
        Claim("observe: no guard would have halted it", observe.would_stop is None),
        Claim("answer, calls, tokens and money are the same in both modes", same),
    ]


def _slow_claims(observe: Take, enforce: Take) -> list[Claim]:
    return [
        *let_pass(observe, "deadline"),
        *stopped(enforce, "deadline"),
        *calls_were(observe, 1),
        *calls_were_at_most(enforce, 1),
        Claim(f"observe: the user waited for the slow hop ({observe.seconds} s)", observe.seconds >= SLOW_S),
        Claim(
            f"enforce: the user was told before it answered ({enforce.seconds} s)",
            enforce.seconds >= DEADLINE_S and enforce.figures["unanswered"] == enforce.calls,
        ),
    ]


def _killed(take: Take) -> list[Claim]:
    kill = take.kill
    return [
        Claim(f"{take.mode}: the process died of signal 9", kill is not None and kill.signal == 9),
        Claim(
            f"{take.mode}: no recorded call was made again",
            kill is not None and kill.recorded > 0 == kill.repeated,
        ),
        Claim(f"{take.mode}: the refund was paid once", len(take.payments) == 1),
    ]


def _crash_claims(observe: Take, enforce: Take) -> list[Claim]:
    claims: list[Claim] = []
    for take in (observe, enforce):
        claims += [
            *_killed(take),
            Claim(f"{take.mode}: answered and reviewed after the resume", answered(take)),
            Claim(
                f"{take.mode}: the read in flight was made again, and nothing else",
                take.calls_by_tool == {"find_order": 1, "track_parcel": 1, "refund": 1, "find_payment": 2},
            ),
        ]
    return claims


def _unknown_claims(observe: Take, enforce: Take) -> list[Claim]:
    claims: list[Claim] = []
    for take in (observe, enforce):
        claims += [
            *_killed(take),
            Claim(f"{take.mode}: the refund's fate is unknown", take.effects == ["unknown"]),
            Claim(f"{take.mode}: the run waits for a person", take.state == "waiting"),
            Claim(f"{take.mode}: nothing was called again", take.kill is not None and take.kill.again == 0),
        ]
    return claims


def _good_lesson(observe: Take, enforce: Take) -> str:
    without = [take.mode for take in (observe, enforce) if not answered(take)]
    if without:
        return f"No reviewed answer came of it: {', '.join(without)}."
    if observe.answer != enforce.answer or observe.calls != enforce.calls:
        return "Two reviewed answers by the same team; no guard stopped either."
    cost = "" if enforce.usd is None else ", same cost"
    return f"A good run is left alone: same {enforce.calls} calls{cost}, same reviewed answer."


def _slow_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"The user heard after {enforce.seconds:.1f} s instead of {observe.seconds:.1f} s: {enforce.reason}."
    )


def _crash_lesson(observe: Take, enforce: Take) -> str:
    kill = enforce.kill
    if kill is None:
        return "No process was killed."
    again = f"{kill.repeated} of these were" if kill.repeated else "None of these was"
    return (
        f"Killed with {kill.recorded} calls recorded. {again} made again; what was in flight, a read, was. "
        f"The world paid {_times(enforce)}."
    )


def _unknown_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"Killed between paying and hearing so. The world paid {_times(enforce)}; Seawall can't know that, so it "
        "neither pays again nor says that it did."
    )


def _times(take: Take) -> str:
    times = len(take.payments)
    return f"once ({take.payments[0]})" if times == 1 else f"{times} times"


def _heed_claims(observe: Take, enforce: Take) -> list[Claim]:
    return [
        *(Claim(f"{take.mode}: answered and reviewed", answered(take)) for take in (observe, enforce)),
        *(
            Claim(f"{take.mode}: the refund was paid once", len(take.payments) == 1)
            for take in (observe, enforce)
        ),
        Claim("observe: the journal says that loops would have halted it", observe.would_stop == "loops"),
        Claim(
            f"observe: the carrier was asked {scripts.HEEDLESS_CALLS} times",
            observe.calls_by_tool["track_parcel"] == scripts.HEEDLESS_CALLS,
        ),
        Claim("enforce: the carrier was asked twice", enforce.calls_by_tool["track_parcel"] == 2),
    ]


def _heed_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"Told at the second equal answer that it was nothing new, the clerk went on: {enforce.calls} calls instead "
        f"of {observe.calls}, and the same refund."
    )


def _writes_claims(observe: Take, enforce: Take) -> list[Claim]:
    return [
        *stops("loops", ORDERS, LOOPS.writes)(observe, enforce),
        Claim(f"observe: {ORDERS} payments", len(observe.payments) == ORDERS),
        Claim(f"enforce: {LOOPS.writes} payments", len(enforce.payments) == LOOPS.writes),
    ]


def _writes_lesson(observe: Take, enforce: Take) -> str:
    return f"{len(enforce.payments)} payments instead of {len(observe.payments)}: {enforce.reason}."


def _pruned_claims(observe: Take, enforce: Take) -> list[Claim]:
    facts = enforce.answer or ""
    return [
        *stopped(observe, "deadline"),
        Claim("observe: nobody was answered", observe.answer is None),
        Claim("enforce: answered in time", enforce.state == "completed"),
        Claim(f"enforce: with what the shop had said ({facts})", PAID in facts),
        Claim(
            f"enforce: the outcome names what is missing ({', '.join(enforce.pruned)})",
            "tool:track_parcel" in enforce.pruned,
        ),
        *calls_were_at_most(observe, 2),
        *calls_were_at_most(enforce, 2),
    ]


def _pruned_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"The deadline alone leaves the user with nothing after {observe.seconds:.1f} s; with the planner there is an "
        f"answer after {enforce.seconds:.1f} s, and it says what it lacks ({', '.join(enforce.pruned)})."
    )


def _wrong_claims(observe: Take, enforce: Take) -> list[Claim]:
    claims: list[Claim] = []
    for take in (observe, enforce):
        claims += [
            Claim(f"{take.mode}: not caught: answered, reviewed, and no guard says a word", _uncaught(take)),
            Claim(f"{take.mode}: it is wrong: a delivered parcel was paid back", take.figures["wrong"] == 1),
        ]
    return claims


def _uncaught(take: Take) -> bool:
    return answered(take) and take.stopped_by is None and take.would_stop is None


def _wrong_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"Not caught: the answer is wrong, its figures are all sourced, the auditor approved, and the world paid "
        f"{_times(enforce)}. Seawall does not know what is true. What bounds it is how many effects and calls a run, "
        "and a tenant in a day, may make; what would stop it is a guard of your own that holds refunds for a person, or "
        "a tool that asks the carrier itself before it pays."
    )


def pruned(deadline_s: float, attempt: int = 1) -> Scene:
    """The slow hop with a planner, for a user who waits so long."""
    reply_s = deadline_s / REPLY_SHARE

    def slower(enforce: Take) -> Scene | None:
        in_time = enforce.state == "completed" and PAID in (enforce.answer or "")
        return None if in_time or 2 * deadline_s > LONGEST_S else pruned(2 * deadline_s, attempt + 1)

    return Scene(
        name="pruned",
        title="The same slow hop, with a planner",
        story=f"The user waits {deadline_s:g} s in both takes; the planner gives up the carrier in time to answer.",
        asks=(Ask(text=WHERE),),
        play=scripts.candid,
        claims=_pruned_claims,
        lesson=_pruned_lesson,
        trouble="carrier_slow",
        direct=before_it_answers,
        limits=Limits(active_s=deadline_s, tool_calls=80, model_calls=300),
        planner=Planner(priors={"model:clerk": reply_s, "model:desk": reply_s, "agent:auditor": reply_s}),
        enforced=("deadline",),
        attempt=attempt,
        slower=slower,
    )


SCENES = (
    Scene(
        name="good",
        title="A plain good request",
        story="The desk asks clerk and cashier, and the auditor checks the answer.",
        asks=(Ask(text=REFUND),),
        play=scripts.good,
        claims=_good_claims,
        lesson=_good_lesson,
        provider=True,
    ),
    Scene(
        name="error",
        title="A tool that fails the same way for ever",
        story="The carrier is down; the clerk keeps asking.",
        scripted=f"Its script stops after {scripts.STUBBORN_CALLS}.",
        asks=(Ask(text=WHERE),),
        play=scripts.stubborn,
        claims=stops("loops", scripts.STUBBORN_CALLS, ERROR_CALLS),
        lesson=fewer,
        trouble="carrier_down",
        provider=True,
    ),
    Scene(
        name="ping-pong",
        title="Two tools that send each other the work",
        story="Shop and carrier point at each other.",
        scripted=f"The clerk's script stops after {scripts.STUBBORN_CALLS}.",
        asks=(Ask(text=WHERE),),
        play=scripts.runaround,
        claims=stops("loops", scripts.STUBBORN_CALLS, RUNAROUND_CALLS),
        lesson=fewer,
        trouble="runaround",
        provider=True,
    ),
    Scene(
        name="undo",
        title="Two agents that undo each other's work",
        story="The clerk stops a parcel, the cashier sends it on, and the desk begins again: each step is news.",
        scripted=f"The desk's script stops after {scripts.UNDONE_ROUNDS} rounds.",
        asks=(Ask(text=REFUSED),),
        play=scripts.undone,
        claims=stops("loops", 2 * scripts.UNDONE_ROUNDS, UNDONE_CALLS),
        lesson=fewer,
    ),
    Scene(
        name="heed",
        title="An agent that listens",
        story="The clerk asks the carrier the same again and again, until it is told that it learns nothing.",
        scripted="Where guards only observe nobody tells it.",
        asks=(Ask(text=REFUND),),
        play=scripts.heedful,
        claims=_heed_claims,
        lesson=_heed_lesson,
    ),
    Scene(
        name="writes",
        title="A storm of payments, each one different",
        story="The cashier pays every customer an apology of another amount, all in one reply.",
        asks=(Ask(text=SORRY),),
        play=scripts.generous,
        claims=_writes_claims,
        lesson=_writes_lesson,
    ),
    Scene(
        name="fan-out",
        title="An agent that fans out past its budget",
        story=f"The desk hands out {ORDERS} checks at once; the run may make {BUDGET_CALLS} calls.",
        asks=(Ask(text=CHECK_ALL),),
        play=scripts.greedy,
        claims=stops("limits", ORDERS, BUDGET_CALLS),
        lesson=fewer,
        limits=Limits(tool_calls=BUDGET_CALLS, model_calls=300, handoffs=100),
    ),
    Scene(
        name="slow",
        title="A hop too slow for the time left",
        story=f"The carrier takes {SLOW_S:g} s to answer; the user waits {DEADLINE_S:g} s.",
        asks=(Ask(text=WHERE),),
        play=scripts.patient,
        claims=_slow_claims,
        lesson=_slow_lesson,
        trouble="carrier_slow",
        direct=before_it_answers,
        limits=Limits(active_s=DEADLINE_S, tool_calls=80, model_calls=300),
    ),
    pruned(DEADLINE_S),
    Scene(
        name="crash",
        title="kill -9 in the middle, then resume",
        story="A child process is killed in its fourth call; this process goes on. That is the journal's work, not a guard's.",
        asks=(Ask(text=REFUND),),
        play=scripts.good,
        claims=_crash_claims,
        lesson=_crash_lesson,
        direct=through_a_crash,
        kill_at=4,
    ),
    Scene(
        name="unknown",
        title="kill -9 while money is on its way",
        story="Killed when the bank has paid and its answer is not recorded yet.",
        asks=(Ask(text=REFUND),),
        play=scripts.good,
        claims=_unknown_claims,
        lesson=_unknown_lesson,
        direct=through_a_crash,
        kill_at=3,
    ),
)

NOT_CAUGHT = Scene(
    name="wrong",
    title="What is not caught: a wrong answer, well sourced",
    story="The carrier says that the parcel was delivered. The desk reads `lost`, and refunds it.",
    asks=(Ask(text=REFUND),),
    play=scripts.good,
    claims=_wrong_claims,
    lesson=_wrong_lesson,
    trouble="delivered",
    counts=lambda world: {"wrong": world.calls_in("delivered", "refund")},
)
