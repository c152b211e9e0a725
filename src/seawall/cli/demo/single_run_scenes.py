"""Scenes of one run: their trouble, their claims, and their lessons."""

from __future__ import annotations

from seawall.cli.demo import scripts
from seawall.cli.demo.claims import (
    check_calls,
    check_calls_at_most,
    check_halted,
    check_let_pass,
    describe_halt,
    describe_payments,
    is_answered,
    make_halt_claims,
)
from seawall.cli.demo.results import CheckedClaim, ModeResult
from seawall.cli.demo.scene import Request, Scene
from seawall.cli.demo.world import ORDERS, SLOW_S
from seawall.core.limits import Limits
from seawall.core.money import Money
from seawall.effects.options import Effect, above
from seawall.guards.loops import LoopOptions
from seawall.team.planner import Planner

REFUND = "Refund order 1042, it never arrived."
WHERE = "Where is my order 1042?"
CHECK_ALL = "Is every order all right? Check them all."
REFUSED = "I do not want order 1042 any more, and I did pay."
SORRY = "Apologise to our customers."

PAID = "51.40 EUR"
"""The price of order 1042, as the shop gives it."""
LIMIT_CALLS = 24
DEADLINE_S = 0.6
LONGEST_DEADLINE_S = 10.0
"""The longest deadline in seconds. A machine that can't answer within it is too slow for a demo in real time."""
LOOPS = LoopOptions()
ERROR_CALLS = LOOPS.no_news + 1
"""Calls before the loop guard stops equal errors: the first error is new, the next three are not."""
RUNAROUND_CALLS = 2 * (LOOPS.no_news + 1)
"""Calls before the loop guard stops the two tools: the first round is new, the next three are not."""
REPLY_SHARE = 6
"""The divisor of the user's time that gives the planner's reserve for a reply or a review: a sixth of the time is a
few times what these take here."""
UNDONE_CALLS = 2 * (LOOPS.cycles + 1)
"""Calls before the loop guard stops the undoing: the first round, and as many further rounds as the limit allows."""


# ---- a good request


def _check_good(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    both = (observe, enforce)
    same = (
        observe.answer == enforce.answer
        and observe.calls_by_tool == enforce.calls_by_tool
        and (observe.model_calls, observe.tokens, observe.usd)
        == (enforce.model_calls, enforce.tokens, enforce.usd)
    )
    return [
        *(CheckedClaim(f"{each.mode}: answered and reviewed", is_answered(each)) for each in both),
        *(CheckedClaim(f"{each.mode}: the refund was paid once", len(each.payments) == 1) for each in both),
        CheckedClaim("observe: no guard would have halted it", observe.would_stop is None),
        CheckedClaim("answer, calls, tokens and money are the same in both modes", same),
    ]


def _describe_good(observe: ModeResult, enforce: ModeResult) -> str:
    without = [each.mode for each in (observe, enforce) if not is_answered(each)]
    if without:
        return f"There was no reviewed answer: {', '.join(without)}."
    if observe.answer != enforce.answer or observe.calls != enforce.calls:
        return "Two reviewed answers by the same team; no guard stopped either."
    cost = "" if enforce.usd is None else ", same cost"
    return f"A good run is left alone: same {enforce.calls} calls{cost}, same reviewed answer."


GOOD = Scene(
    name="good",
    title="A good request",
    story="The desk asks clerk and cashier, and the auditor checks the answer.",
    requests=(Request(text=REFUND),),
    scripts=scripts.behave_well,
    claims=_check_good,
    lesson=_describe_good,
    real_model=True,
)


# ---- loops

ERROR = Scene(
    name="error",
    title="A tool that fails in the same way every time",
    story="The carrier is down; the clerk keeps calling it.",
    script_note=f"Its script stops after {scripts.STUBBORN_CALLS} calls.",
    requests=(Request(text=WHERE),),
    scripts=scripts.repeat_failing_call,
    claims=make_halt_claims("loops", scripts.STUBBORN_CALLS, ERROR_CALLS),
    lesson=describe_halt,
    trouble="carrier_down",
    real_model=True,
)

PING_PONG = Scene(
    name="ping-pong",
    title="Two tools that point at each other",
    story="The shop says to ask the carrier, and the carrier says to ask the shop.",
    script_note=f"The clerk's script stops after {scripts.STUBBORN_CALLS} calls.",
    requests=(Request(text=WHERE),),
    scripts=scripts.alternate_tools,
    claims=make_halt_claims("loops", scripts.STUBBORN_CALLS, RUNAROUND_CALLS),
    lesson=describe_halt,
    trouble="runaround",
    real_model=True,
)

UNDO = Scene(
    name="undo",
    title="Two agents that undo each other's work",
    story="The clerk stops a parcel, the cashier sends it on, and the desk begins again.",
    script_note=f"The desk's script stops after {scripts.UNDONE_ROUNDS} rounds.",
    requests=(Request(text=REFUSED),),
    scripts=scripts.undo_each_other,
    claims=make_halt_claims("loops", 2 * scripts.UNDONE_ROUNDS, UNDONE_CALLS),
    lesson=describe_halt,
)


def _check_advice(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    both = (observe, enforce)
    return [
        *(CheckedClaim(f"{each.mode}: answered and reviewed", is_answered(each)) for each in both),
        *(CheckedClaim(f"{each.mode}: the refund was paid once", len(each.payments) == 1) for each in both),
        CheckedClaim(
            "observe: the journal says that loops would have halted it", observe.would_stop == "loops"
        ),
        CheckedClaim(
            f"observe: the carrier was asked {scripts.HEEDLESS_CALLS} times",
            observe.calls_by_tool["track_parcel"] == scripts.HEEDLESS_CALLS,
        ),
        CheckedClaim("enforce: the carrier was asked twice", enforce.calls_by_tool["track_parcel"] == 2),
    ]


def _describe_advice(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"The second equal answer came with the advice that it was nothing new, and the clerk went on: "
        f"{enforce.calls} calls instead of {observe.calls}, and the same refund."
    )


HEED = Scene(
    name="heed",
    title="An agent that listens to advice",
    story="The clerk asks the carrier the same again and again, until it is told that it learns nothing.",
    script_note="Where guards only observe, nobody tells it.",
    requests=(Request(text=REFUND),),
    scripts=scripts.listen_to_advice,
    claims=_check_advice,
    lesson=_describe_advice,
)


def _check_writes(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    return [
        *make_halt_claims("loops", ORDERS, LOOPS.writes)(observe, enforce),
        CheckedClaim(f"observe: {ORDERS} payments", len(observe.payments) == ORDERS),
        CheckedClaim(f"enforce: {LOOPS.writes} payments", len(enforce.payments) == LOOPS.writes),
    ]


def _describe_writes(observe: ModeResult, enforce: ModeResult) -> str:
    return f"{len(enforce.payments)} payments instead of {len(observe.payments)}: {enforce.reason}."


WRITES = Scene(
    name="writes",
    title="Many payments, each one different",
    story="The cashier pays every customer another amount as an apology, all in one reply.",
    requests=(Request(text=SORRY),),
    scripts=scripts.pay_everybody,
    claims=_check_writes,
    lesson=_describe_writes,
)


def _check_fan_out(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    return [
        *check_let_pass(observe, "limits"),
        *check_calls(observe, ORDERS),
        *check_calls(enforce, LIMIT_CALLS),
        CheckedClaim("enforce: the user was answered all the same", is_answered(enforce)),
        CheckedClaim(
            f"enforce: the outcome says that a limit was used up ({', '.join(enforce.pruned)})",
            enforce.pruned == ["limits"],
        ),
    ]


def _describe_fan_out(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"{enforce.calls} calls instead of {observe.calls}. The last reply was kept from the start, so there is an answer, "
        f"and the outcome says what was left out ({', '.join(enforce.pruned)})."
    )


FAN_OUT = Scene(
    name="fan-out",
    title="An agent that hands out more work than its limit",
    story=f"The desk hands out {ORDERS} checks at once; the run may make {LIMIT_CALLS} calls.",
    requests=(Request(text=CHECK_ALL),),
    scripts=scripts.fan_out,
    claims=_check_fan_out,
    lesson=_describe_fan_out,
    limits=Limits(tool_calls=LIMIT_CALLS, model_calls=300, handoffs=100),
)


# ---- time


def _check_slow(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    return [
        *check_let_pass(observe, "deadline"),
        *check_halted(enforce, "deadline"),
        *check_calls(observe, 1),
        *check_calls_at_most(enforce, 1),
        CheckedClaim(
            f"observe: the user waited for the slow carrier ({observe.seconds} s)", observe.seconds >= SLOW_S
        ),
        CheckedClaim(
            f"enforce: the user was told before it answered ({enforce.seconds} s)",
            enforce.seconds >= DEADLINE_S and enforce.figures["unanswered"] == enforce.calls,
        ),
    ]


def _describe_slow(observe: ModeResult, enforce: ModeResult) -> str:
    return f"The user was told after {enforce.seconds:.1f} s instead of {observe.seconds:.1f} s: {enforce.reason}."


SLOW = Scene(
    name="slow",
    title="A tool too slow for the time left",
    story=f"The carrier takes {SLOW_S:g} s to answer; the user waits {DEADLINE_S:g} s.",
    requests=(Request(text=WHERE),),
    scripts=scripts.wait_for_carrier,
    claims=_check_slow,
    lesson=_describe_slow,
    trouble="carrier_slow",
    workload="slow_carrier",
    limits=Limits(active_s=DEADLINE_S, tool_calls=80, model_calls=300),
)


def _check_pruned(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    answer = enforce.answer or ""
    return [
        *check_halted(observe, "deadline"),
        CheckedClaim("observe: nobody was answered", observe.answer is None),
        CheckedClaim("enforce: answered in time", enforce.state == "completed"),
        CheckedClaim(f"enforce: the answer has what the shop returned ({answer})", PAID in answer),
        CheckedClaim(
            f"enforce: the outcome names what is missing ({', '.join(enforce.pruned)})",
            "tool:track_parcel" in enforce.pruned,
        ),
        *check_calls_at_most(observe, 2),
        *check_calls_at_most(enforce, 2),
    ]


def _describe_pruned(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"The deadline alone leaves the user with nothing after {observe.seconds:.1f} s. With the planner there is an "
        f"answer after {enforce.seconds:.1f} s, and it says what it lacks ({', '.join(enforce.pruned)})."
    )


def make_pruned(deadline_s: float, attempt: int = 1) -> Scene:
    """Returns the scene of the planner, for a user who waits `deadline_s` seconds."""
    reply_s = deadline_s / REPLY_SHARE

    def make_slower(enforce: ModeResult) -> Scene | None:
        in_time = enforce.state == "completed" and PAID in (enforce.answer or "")
        too_long = 2 * deadline_s > LONGEST_DEADLINE_S
        return None if in_time or too_long else make_pruned(2 * deadline_s, attempt + 1)

    return Scene(
        name="pruned",
        title="Time is short: an answer with less in it, not none",
        story=f"The carrier takes {SLOW_S:g} s to answer, and the user waits {deadline_s:g} s. The planner gives the carrier up in time.",
        requests=(Request(text=WHERE),),
        scripts=scripts.answer_what_is_known,
        claims=_check_pruned,
        lesson=_describe_pruned,
        trouble="carrier_slow",
        workload="slow_carrier",
        limits=Limits(active_s=deadline_s, tool_calls=80, model_calls=300),
        planner=Planner(priors={"model:clerk": reply_s, "model:desk": reply_s, "agent:auditor": reply_s}),
        enforced=("deadline",),
        attempt=attempt,
        make_slower=make_slower,
    )


PRUNED = make_pruned(DEADLINE_S)


# ---- crashes


def _check_killed(result: ModeResult) -> list[CheckedClaim]:
    kill = result.kill
    return [
        CheckedClaim(f"{result.mode}: the process died of signal 9", kill is not None and kill.signal == 9),
        CheckedClaim(
            f"{result.mode}: no recorded call was made again",
            kill is not None and kill.recorded > 0 == kill.repeated,
        ),
    ]


def _check_kill(result: ModeResult) -> list[CheckedClaim]:
    paid_once = CheckedClaim(f"{result.mode}: the refund was paid once", len(result.payments) == 1)
    return [*_check_killed(result), paid_once]


def _check_crash(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    claims: list[CheckedClaim] = []
    for result in (observe, enforce):
        claims += [
            *_check_kill(result),
            CheckedClaim(f"{result.mode}: answered and reviewed after the resume", is_answered(result)),
            CheckedClaim(
                f"{result.mode}: the read in flight was made again, and nothing else",
                result.calls_by_tool == {"find_order": 1, "track_parcel": 1, "refund": 1, "find_payment": 2},
            ),
        ]
    return claims


def _describe_crash(observe: ModeResult, enforce: ModeResult) -> str:
    kill = enforce.kill
    if kill is None:
        return "No process was killed."
    again = f"{kill.repeated} of these were" if kill.repeated else "None of these was"
    return (
        f"Killed with {kill.recorded} calls recorded. {again} made again; the read that was in flight was. "
        f"The world paid {describe_payments(enforce)}."
    )


CRASH = Scene(
    name="crash",
    title="kill -9 in the middle, then resume",
    story="A child process is killed during its fourth call, and this process goes on. The journal does that, not a guard.",
    requests=(Request(text=REFUND),),
    scripts=scripts.behave_well,
    claims=_check_crash,
    lesson=_describe_crash,
    workload="crash",
    kill_at=4,
)


def _check_unknown(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    claims: list[CheckedClaim] = []
    for result in (observe, enforce):
        kill = result.kill
        claims += [
            *_check_kill(result),
            CheckedClaim(f"{result.mode}: the refund's fate is unknown", result.effects == ["unknown"]),
            CheckedClaim(f"{result.mode}: the run waits for a person", result.state == "waiting"),
            CheckedClaim(f"{result.mode}: nothing was called again", kill is not None and kill.again == 0),
        ]
    return claims


def _describe_unknown(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"The world paid {describe_payments(enforce)}, and the receipt was never recorded. After the resume Seawall does "
        "not know that: it does not pay again and does not report the refund as done, but asks a person."
    )


UNKNOWN = Scene(
    name="unknown",
    title="kill -9 while a payment is on its way, then resume",
    story="The process is killed when the bank has paid and its receipt is not recorded yet.",
    requests=(Request(text=REFUND),),
    scripts=scripts.behave_well,
    claims=_check_unknown,
    lesson=_describe_unknown,
    workload="crash",
    kill_at=3,
)


# ---- what people sign off

SIGNERS = ("alice", "bob")
SIGNING_ROLE = "finance"
LIMIT = Money("50", "EUR")
"""The amount above which people sign off a refund."""
SIGNED_EFFECT = Effect(
    unique_by=("order_id",),
    amount="amount",
    currency="EUR",
    approve=above(LIMIT, roles=(SIGNING_ROLE,), people=len(SIGNERS)),
)


def _check_signed(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    claims: list[CheckedClaim] = []
    for result in (observe, enforce):
        claims += [
            *_check_killed(result),
            CheckedClaim(f"{result.mode}: both requests were answered and reviewed", is_answered(result)),
        ]
    paid, asked = enforce.figures, observe.figures["asked"]
    return [
        *claims,
        CheckedClaim(f"observe: nobody was asked ({asked})", asked == 0),
        CheckedClaim(f"observe: the order was paid twice ({len(observe.payments)})", observe.paid_again == 1),
        CheckedClaim(f"enforce: people were asked once ({paid['asked']})", paid["asked"] == 1),
        CheckedClaim("enforce: nothing was paid when the process was killed", paid["paid_at_kill"] == 0),
        CheckedClaim(
            "enforce: nothing was paid after the first approval, and the other person was still asked",
            (paid["paid_after_one"], paid["open_after_one"]) == (0, 1),
        ),
        CheckedClaim(
            f"enforce: the order was paid once ({len(enforce.payments)})", len(enforce.payments) == 1
        ),
        CheckedClaim("enforce: both answers name the same receipt", paid["receipts"] == 1),
        CheckedClaim(
            f"observe: the answers name two ({observe.figures['receipts']})", observe.figures["receipts"] == 2
        ),
    ]


def _describe_signed(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"With effect=True nobody is asked, and the world paid {describe_payments(observe)}. With the effect declared it "
        f"paid {describe_payments(enforce)}: {' and '.join(SIGNERS)} approved the refund after its process was dead, a "
        "worker went on with the run, and the second request was given the receipt of the first."
    )


SIGNED = Scene(
    name="signed",
    title=f"A refund that {len(SIGNERS)} people sign off, a kill -9, and the same request again",
    story=f"The process is killed: where the effect is declared, while the refund (above {LIMIT}) waits for people. Another one goes on, and the customer asks again.",
    requests=(Request(text=REFUND), Request(text="My order 1042 never arrived. Please refund it.")),
    scripts=scripts.behave_well,
    claims=_check_signed,
    lesson=_describe_signed,
    workload="approval",
    kill_at=4,
    refund_effect=SIGNED_EFFECT,
)


# ---- what is not caught


def _check_wrong(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    claims: list[CheckedClaim] = []
    for result in (observe, enforce):
        uncaught = is_answered(result) and result.stopped_by is None and result.would_stop is None
        claims += [
            CheckedClaim(f"{result.mode}: not caught: answered, reviewed, and no guard objects", uncaught),
            CheckedClaim(
                f"{result.mode}: it is wrong: a delivered parcel was paid back", result.figures["wrong"] == 1
            ),
        ]
    return claims


def _describe_wrong(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        "Not caught: the answer is wrong, all of its figures have a source, the auditor approved it, and the world paid "
        f"{describe_payments(enforce)}. Seawall does not know what is true. It bounds how many effects and calls a run, "
        "and a tenant in a day, may make. To stop this, write a guard that holds refunds for a person, or a tool that "
        "asks the carrier itself before it pays."
    )


WRONG = Scene(
    name="wrong",
    title="Not caught: a wrong answer whose figures have a source",
    story="The carrier says that the parcel was delivered. The desk reads `lost`, and refunds it.",
    requests=(Request(text=REFUND),),
    scripts=scripts.behave_well,
    claims=_check_wrong,
    lesson=_describe_wrong,
    trouble="delivered",
    counts=lambda world: {"wrong": world.count_calls_during("delivered", "refund")},
)
