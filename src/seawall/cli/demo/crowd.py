"""Scenes of many runs: a storm at the model's provider, a tenant's budget, a brake, and more than can be served."""

from __future__ import annotations

from decimal import Decimal

from seawall.cli.demo import scripts
from seawall.cli.demo.directions import PAID_BEFORE, in_a_crowd, through_a_storm, under_a_brake
from seawall.cli.demo.scene import Ask, Scene, answered
from seawall.cli.demo.take import Claim, Take
from seawall.cli.demo.world import CAPACITY, FIRST_ORDER
from seawall.guards.budget import Caps
from seawall.guards.endpoints import EndpointOptions
from seawall.runtime.admission import Admission

STORM_RUNS = 64
REPLIES = 5
"""Model calls that a plain request takes: the desk twice, the clerk twice, the auditor once."""
STORM_TIMES = Decimal("1.2")
"""Model calls that reach the provider, for each that the answers take."""
AT_ONCE = 8
BREAKER = EndpointOptions(
    minimum_calls=5,
    open_s=0.35,
    open_max_s=1.0,
    jitter=0.0,
    probes=1,
    retry_reserve=STORM_RUNS,
    at_once=AT_ONCE,
)
"""For a storm of seconds: a breaker that waits longer would sleep through it. There are no thousands of calls before
it either, a tenth of which could be tried again; the reserve stands for those.

With these bounds it does not depend on the machine how often the provider is called in vain: `FIRST_IN_VAIN` at most,
and once for each further opening. Runs probe in turn, so none uses up its tries by that."""
FIRST_IN_VAIN = 24 + AT_ONCE - 1
"""It opens when eight of the newest ten calls were no good. Seven good ones may be in flight when the storm begins, and
however they lie between the others, of these there are 24 at most by then; and at most seven more are in flight."""
ACME, BOLT = "acme", "bolt"
ACME_RUNS, BOLT_RUNS = 12, 3
CAP_USD = Decimal("0.02")
"""About five of acme's twelve requests."""
FEW = Admission(in_flight=4)
"""Where all come at once none is done when the money is gone; so some are."""
PAYING_RUNS = 12
ABOUT_TO_PAY = PAYING_RUNS - PAID_BEFORE
CROWD, LATE = 18, 3
"""Runs of the tenant that comes first, and of the one that comes last."""
PLACES = Admission(in_flight=CAPACITY, waiting=12, waiting_per_tenant=8, retry_after_s=0.1)
"""As many as the carrier can take; the line is shorter than the crowd, so that some are told to come back."""


def _asks(count: int, *, tenant: str = "", first: int = FIRST_ORDER, refund: bool = False) -> tuple[Ask, ...]:
    """One request for each of so many orders."""
    text = "Refund order {}, it never arrived." if refund else "Where is my order {}?"
    return tuple(Ask(text=text.format(first + number), tenant=tenant) for number in range(count))


LATE_ORDERS = [str(FIRST_ORDER + CROWD + number) for number in range(LATE)]


# ---- a storm


def _storm_claims(observe: Take, enforce: Take) -> list[Claim]:
    needed = STORM_RUNS * REPLIES
    reached = enforce.figures["replies"]
    vain = FIRST_IN_VAIN + enforce.figures["openings"]
    return [
        Claim(
            f"enforce: {reached} model calls reached the provider, at most {STORM_TIMES} times {needed}",
            reached <= STORM_TIMES * needed,
        ),
        Claim(
            f"enforce: {enforce.figures['down']} of them in vain, at most {vain}",
            enforce.figures["down"] <= vain,
        ),
        Claim(
            f"of calls in vain there were less than half ({enforce.figures['down']}, {observe.figures['down']})",
            enforce.figures["down"] * 2 < observe.figures["down"],
        ),
        Claim("enforce: the breaker opened, and has closed again", _recovered(enforce)),
        Claim(
            f"enforce: at least nine in ten were answered ({_answers(enforce)} of {STORM_RUNS})",
            _answers(enforce) * 10 >= STORM_RUNS * 9,
        ),
        Claim(f"observe: most were not ({_answers(observe)})", _answers(observe) * 2 < STORM_RUNS),
    ]


def _recovered(take: Take) -> bool:
    return take.figures["openings"] > 0 and take.figures["closed"] == 1


def _answers(take: Take) -> int:
    return take.ends.get("completed, reviewed", 0)


def _storm_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"While it was down the provider was called {enforce.figures['down']} times instead of "
        f"{observe.figures['down']}: the others waited, and {_answers(enforce)} of {enforce.runs} requests were "
        f"answered instead of {_answers(observe)}."
    )


# ---- a tenant's day


def _tenant_claims(observe: Take, enforce: Take) -> list[Claim]:
    billed = enforce.billed
    return [
        Claim(
            f"observe: {ACME} was billed more than its cap ({observe.billed[ACME]})",
            observe.billed[ACME] > CAP_USD,
        ),
        Claim("observe: the journal says that budget would have halted runs", observe.would_stop == "budget"),
        Claim("observe: everybody was answered", answered(observe)),
        Claim(
            f"enforce: {ACME} was never billed more than its cap ({billed[ACME]})", billed[ACME] <= CAP_USD
        ),
        Claim(
            "enforce: budget halted the others",
            set(enforce.ends) == {"completed, reviewed", "halted by budget"},
        ),
        Claim(
            f"enforce: {BOLT} was billed as much as in the other take ({billed[BOLT]})",
            billed[BOLT] == observe.billed[BOLT],
        ),
        Claim(f"enforce: runs of both were answered ({_answers(enforce)})", _answers(enforce) > BOLT_RUNS),
    ]


def _tenant_lesson(observe: Take, enforce: Take) -> str:
    halted = enforce.ends.get("halted by budget", 0)
    return (
        f"By the provider's bill {ACME} spent ${enforce.billed[ACME]:.4f} of its ${CAP_USD} a day instead of "
        f"${observe.billed[ACME]:.4f}; {halted} of its {ACME_RUNS} runs were halted, and none of {BOLT}'s."
    )


# ---- a brake


def _brake_claims(observe: Take, enforce: Take) -> list[Claim]:
    return [
        Claim(
            f"observe: refunds went on ({observe.figures['held']})", observe.figures["held"] == ABOUT_TO_PAY
        ),
        Claim("enforce: none was paid while the brake was on", enforce.figures["held"] == 0),
        Claim(
            f"enforce: runs stood and waited ({enforce.figures['parked']})",
            enforce.figures["parked"] == ABOUT_TO_PAY,
        ),
        *(Claim(f"{take.mode}: all were answered in the end", answered(take)) for take in (observe, enforce)),
        *(
            Claim(f"{take.mode}: each of {PAYING_RUNS} refunds was paid", len(take.payments) == PAYING_RUNS)
            for take in (observe, enforce)
        ),
    ]


def _brake_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"While the bank asked for a pause it was called {enforce.figures['held']} times instead of "
        f"{observe.figures['held']}: {enforce.figures['parked']} runs stood, went on when the brake was lifted, and "
        f"each refund was paid once."
    )


# ---- a crowd


def _crowd_claims(observe: Take, enforce: Take) -> list[Claim]:
    turned_away, busiest = observe.figures["turned_away"], enforce.figures["busiest"]
    late = enforce.figures["late"]
    return [
        Claim(f"observe: the carrier could not take them all ({turned_away} failed)", turned_away > 0),
        Claim(f"enforce: it never had more than {CAPACITY} calls at once ({busiest})", busiest <= CAPACITY),
        Claim("enforce: none of them failed", enforce.figures["turned_away"] == 0),
        Claim(
            f"enforce: some were told when to come back, and did ({enforce.figures['shed']})",
            enforce.figures["shed"] > 0,
        ),
        Claim("enforce: everybody was answered", answered(enforce) and enforce.runs == CROWD + LATE),
        Claim(
            f"enforce: who came last was served in turn: with the first {late} of {enforce.calls} calls",
            late * 4 <= enforce.calls * 3,
        ),
    ]


def _crowd_lesson(observe: Take, enforce: Take) -> str:
    return (
        f"{observe.figures['turned_away']} of {observe.calls} calls failed when all came at once; {CAPACITY} runs at a "
        f"time, and none did. {enforce.figures['shed']} times somebody was told when to come back, and {BOLT}, who came "
        f"last, was done with the first {enforce.figures['late']} of {enforce.calls} calls."
    )


SCENES = (
    Scene(
        name="storm",
        title=f"{STORM_RUNS} runs, and a model provider that is overloaded",
        story="For some seconds every model call is answered with 529, in the middle of the runs.",
        asks=_asks(STORM_RUNS),
        play=scripts.plain,
        claims=_storm_claims,
        lesson=_storm_lesson,
        direct=through_a_storm,
        counts=lambda world: {"down": world.replies_in("provider_down"), "replies": world.replies()},
        endpoints=BREAKER,
        may_fail=True,
    ),
    Scene(
        name="tenant",
        title="A tenant that fans out past its day",
        story=f"{ACME} sends {ACME_RUNS} requests at once and may spend ${CAP_USD} a day; {BOLT} sends {BOLT_RUNS}.",
        asks=(
            *_asks(ACME_RUNS, tenant=ACME),
            *_asks(BOLT_RUNS, tenant=BOLT, first=FIRST_ORDER + ACME_RUNS),
        ),
        play=scripts.plain,
        claims=_tenant_claims,
        lesson=_tenant_lesson,
        caps={ACME: Caps(usd=CAP_USD)},
        admission=FEW,
    ),
    Scene(
        name="brake",
        title="Hold refunds while runs are in flight",
        story=f"{PAID_BEFORE} of {PAYING_RUNS} runs have paid when the bank asks to wait. In the second take somebody pulls the brake.",
        asks=_asks(PAYING_RUNS, refund=True),
        play=scripts.good,
        claims=_brake_claims,
        lesson=_brake_lesson,
        direct=under_a_brake,
        apart=True,
        counts=lambda world: {"held": world.calls_in("held", "refund")},
    ),
    Scene(
        name="crowd",
        title="More requests than can be served at once",
        story=f"The carrier takes {CAPACITY} calls at once. Once everybody is let in, once {CAPACITY} runs at a time.",
        asks=(*_asks(CROWD, tenant=ACME), *_asks(LATE, tenant=BOLT, first=FIRST_ORDER + CROWD)),
        play=scripts.plain,
        claims=_crowd_claims,
        lesson=_crowd_lesson,
        trouble="carrier_small",
        direct=in_a_crowd,
        counts=lambda world: {
            "busiest": world.busiest(),
            "turned_away": world.turned_away(),
            "late": world.last_of(LATE_ORDERS),
        },
        admission=PLACES,
    ),
)
