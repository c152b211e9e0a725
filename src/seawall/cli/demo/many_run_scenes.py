"""Scenes of many runs: an overloaded provider, a tenant's budget, a pause, and more requests than can be served."""

from __future__ import annotations

from decimal import Decimal

from seawall.cli.demo import scripts
from seawall.cli.demo.claims import count_answered, is_answered
from seawall.cli.demo.results import CheckedClaim, ModeResult
from seawall.cli.demo.scene import Request, Scene
from seawall.cli.demo.world import CAPACITY, FIRST_ORDER
from seawall.guards.budget import Caps
from seawall.guards.endpoints import EndpointOptions
from seawall.runtime.admission import Admission

ACME, BOLT = "acme", "bolt"
"""Two tenants."""


def _make_requests(
    count: int, *, tenant: str = "", first: int = FIRST_ORDER, refund: bool = False
) -> tuple[Request, ...]:
    """Returns a request for each of `count` orders."""
    text = "Refund order {}, it never arrived." if refund else "Where is my order {}?"
    return tuple(Request(text=text.format(first + number), tenant=tenant) for number in range(count))


# ---- an overloaded provider

STORM_RUNS = 64
REPLIES = 5
"""Model calls of a plain request: the desk makes two, the clerk two, the auditor one."""
STORM_TIMES = Decimal("1.2")
"""Model calls that may reach the provider, for each model call that the answers need."""
AT_ONCE = 8
BREAKER = EndpointOptions(
    minimum_calls=5,
    open_s=0.35,
    open_max_s=0.5,
    jitter=0.0,
    probes=1,
    retry_reserve=STORM_RUNS,
    at_once=AT_ONCE,
)
"""Options for a storm of a few seconds: a breaker that waits longer would still be open after it. In production a tenth
of the thousands of calls before a storm may be retried; here there are no such calls, so the reserve replaces them.

With these bounds the number of calls that fail does not depend on the machine's speed: at most `FIRST_IN_VAIN`, and
one more for each further opening. Runs probe in turn, so no run uses up its tries by probes."""
FIRST_IN_VAIN = 24 + AT_ONCE - 1
"""The most calls that fail before the breaker opens. It opens when eight of the newest ten calls failed. Seven calls
that will succeed may be in flight when the storm begins. In any order of results, at most 24 calls have failed when
the breaker opens, and at most seven more are in flight."""


def _check_storm(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    needed = STORM_RUNS * REPLIES
    reached, down = enforce.figures["replies"], enforce.figures["down"]
    most_down = FIRST_IN_VAIN + enforce.figures["openings"]
    recovered = enforce.figures["openings"] > 0 and enforce.figures["closed"] == 1
    answered = count_answered(enforce)
    return [
        CheckedClaim(
            f"enforce: {reached} model calls reached the provider, at most {STORM_TIMES} times {needed}",
            reached <= STORM_TIMES * needed,
        ),
        CheckedClaim(f"enforce: {down} of them useless, at most {most_down}", down <= most_down),
        CheckedClaim(
            f"fewer than half as many useless calls ({down}, {observe.figures['down']})",
            down * 2 < observe.figures["down"],
        ),
        CheckedClaim("enforce: the breaker opened, and has closed again", recovered),
        CheckedClaim(
            f"enforce: at least nine in ten were answered ({answered} of {STORM_RUNS})",
            answered * 10 >= STORM_RUNS * 9,
        ),
        CheckedClaim(
            f"observe: most were not ({count_answered(observe)})", count_answered(observe) * 2 < STORM_RUNS
        ),
    ]


def _describe_storm(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"While the provider was down it was called {enforce.figures['down']} times instead of "
        f"{observe.figures['down']}; the other calls waited. {count_answered(enforce)} of {enforce.runs} requests were "
        f"answered instead of {count_answered(observe)}."
    )


STORM = Scene(
    name="storm",
    title=f"{STORM_RUNS} runs, and an overloaded model provider",
    story="For some seconds every model call is answered with 529, in the middle of the runs.",
    requests=_make_requests(STORM_RUNS),
    scripts=scripts.pass_on_result,
    claims=_check_storm,
    lesson=_describe_storm,
    workload="overload",
    counts=lambda world: {
        "down": world.count_replies_during("provider_down"),
        "replies": world.count_replies(),
    },
    endpoints=BREAKER,
    may_fail=True,
)


# ---- a tenant's budget

ACME_RUNS, BOLT_RUNS = 12, 3
CAP_USD = Decimal("0.02")
"""The cap of acme in US dollars: it is enough for about five of acme's twelve requests."""
FEW_AT_ONCE = Admission(in_flight=4)
"""Admission of a few runs at a time, so that some are done when the money is used up. If all began at once, no run
would be done by then."""


def _check_tenant(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    before, after = observe.billed, enforce.billed
    return [
        CheckedClaim(
            f"observe: {ACME} was billed more than its cap ({before[ACME]})", before[ACME] > CAP_USD
        ),
        CheckedClaim(
            "observe: the journal says that budget would have halted runs", observe.would_stop == "budget"
        ),
        CheckedClaim("observe: everybody was answered", is_answered(observe)),
        CheckedClaim(
            f"enforce: {ACME} was never billed more than its cap ({after[ACME]})", after[ACME] <= CAP_USD
        ),
        CheckedClaim(
            "enforce: budget halted the others",
            set(enforce.ends) == {"completed, reviewed", "halted by budget"},
        ),
        CheckedClaim(
            f"enforce: {BOLT} was billed as much as in the other mode ({after[BOLT]})",
            after[BOLT] == before[BOLT],
        ),
        CheckedClaim(
            f"enforce: runs of both were answered ({count_answered(enforce)})",
            count_answered(enforce) > BOLT_RUNS,
        ),
    ]


def _describe_tenant(observe: ModeResult, enforce: ModeResult) -> str:
    halted = enforce.ends.get("halted by budget", 0)
    return (
        f"By the provider's bill {ACME} spent ${enforce.billed[ACME]:.4f} of its ${CAP_USD} a day instead of "
        f"${observe.billed[ACME]:.4f}. {halted} of its {ACME_RUNS} runs were halted, and none of {BOLT}'s."
    )


TENANT = Scene(
    name="tenant",
    title="A tenant that spends more than its budget",
    story=f"{ACME} sends {ACME_RUNS} requests at once and may spend ${CAP_USD} a day; {BOLT} sends {BOLT_RUNS}.",
    requests=(
        *_make_requests(ACME_RUNS, tenant=ACME),
        *_make_requests(BOLT_RUNS, tenant=BOLT, first=FIRST_ORDER + ACME_RUNS),
    ),
    scripts=scripts.pass_on_result,
    claims=_check_tenant,
    lesson=_describe_tenant,
    caps={ACME: Caps(usd=CAP_USD)},
    admission=FEW_AT_ONCE,
)


# ---- a pause

PAYING_RUNS = 12
PAID_BEFORE = 3
"""How many runs have paid when the bank asks to wait."""
ABOUT_TO_PAY = PAYING_RUNS - PAID_BEFORE


def _check_pause(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    both = (observe, enforce)
    held, parked = observe.figures["held"], enforce.figures["parked"]
    return [
        CheckedClaim(f"observe: refunds went on ({held})", held == ABOUT_TO_PAY),
        CheckedClaim("enforce: none was paid while refunds were paused", enforce.figures["held"] == 0),
        CheckedClaim(f"enforce: the runs were parked ({parked})", parked == ABOUT_TO_PAY),
        *(CheckedClaim(f"{each.mode}: all were answered in the end", is_answered(each)) for each in both),
        *(
            CheckedClaim(
                f"{each.mode}: each of {PAYING_RUNS} refunds was paid", len(each.payments) == PAYING_RUNS
            )
            for each in both
        ),
    ]


def _describe_pause(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"While the bank asked to wait it was called {enforce.figures['held']} times instead of "
        f"{observe.figures['held']}. {enforce.figures['parked']} runs were parked, they went on when the pause was "
        "lifted, and each refund was paid once."
    )


PAUSE = Scene(
    name="pause",
    title="Refunds are paused while runs are in flight",
    story=f"{PAID_BEFORE} of {PAYING_RUNS} runs have paid when the bank asks to wait. Where guards enforce, somebody pauses refunds.",
    requests=_make_requests(PAYING_RUNS, refund=True),
    scripts=scripts.behave_well,
    claims=_check_pause,
    lesson=_describe_pause,
    workload="pause",
    one_after_other=True,
    counts=lambda world: {"held": world.count_calls_during("held", "refund")},
)


# ---- a crowd

CROWD, LATE = 18, 3
"""The number of runs of the tenant that comes first, and of the tenant that comes last."""
LATE_ORDERS = [str(FIRST_ORDER + CROWD + number) for number in range(LATE)]
QUEUED = Admission(in_flight=CAPACITY, waiting=12, waiting_per_tenant=8, retry_after_s=0.1)
"""Admission of as many runs as the carrier can serve. The queue is shorter than the crowd, so some clients are told to
come back."""


def _check_crowd(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
    turned_away, busiest = observe.figures["turned_away"], enforce.figures["busiest"]
    shed, late = enforce.figures["shed"], enforce.figures["late"]
    return [
        CheckedClaim(f"observe: the carrier could not take them all ({turned_away} failed)", turned_away > 0),
        CheckedClaim(
            f"enforce: it never had more than {CAPACITY} calls at once ({busiest})", busiest <= CAPACITY
        ),
        CheckedClaim("enforce: none of them failed", enforce.figures["turned_away"] == 0),
        CheckedClaim(f"enforce: some were told when to come back, and did ({shed})", shed > 0),
        CheckedClaim(
            "enforce: everybody was answered", is_answered(enforce) and enforce.runs == CROWD + LATE
        ),
        CheckedClaim(
            f"enforce: the tenant that came last had its turn within the first {late} of {enforce.calls} calls",
            late * 4 <= enforce.calls * 3,
        ),
    ]


def _describe_crowd(observe: ModeResult, enforce: ModeResult) -> str:
    return (
        f"{observe.figures['turned_away']} of {observe.calls} calls failed when all came at once; with {CAPACITY} runs "
        f"at a time, none did. {enforce.figures['shed']} times a client was told when to come back. {BOLT}, who came "
        f"last, was served within the first {enforce.figures['late']} of {enforce.calls} calls."
    )


CROWD_SCENE = Scene(
    name="crowd",
    title="More requests than can be served at once",
    story=f"The carrier takes {CAPACITY} calls at once. One mode starts all runs at once, the other {CAPACITY} at a time.",
    requests=(
        *_make_requests(CROWD, tenant=ACME),
        *_make_requests(LATE, tenant=BOLT, first=FIRST_ORDER + CROWD),
    ),
    scripts=scripts.pass_on_result,
    claims=_check_crowd,
    lesson=_describe_crowd,
    trouble="carrier_small",
    workload="crowd",
    counts=lambda world: {
        "busiest": world.count_most_at_once(),
        "turned_away": world.count_turned_away(),
        "late": world.find_last_call(LATE_ORDERS),
    },
    admission=QUEUED,
)
