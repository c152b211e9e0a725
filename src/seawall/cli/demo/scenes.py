"""The scenes: what goes wrong, what is claimed, and what the measured figures say in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seawall.cli.demo import scripts
from seawall.cli.demo.scripts import Play
from seawall.cli.demo.take import Claim, Take
from seawall.cli.demo.world import ORDERS, SLOW_S, Trouble
from seawall.core.events import Limits
from seawall.guards.loops import LoopOptions

REFUND = "Refund order 1042, it never arrived."
WHERE = "Where is my order 1042?"
CHECK_ALL = "Is every order all right? Check them all."

PLENTY = Limits(tool_calls=80, model_calls=300, handoffs=100)
"""More than any scene wants, so that each shows its own guard."""
BUDGET_CALLS = 24
DEADLINE_S = 1.0
NO_NEWS = LoopOptions().no_news
ERROR_CALLS = NO_NEWS + 1
"""The first error is news, the next three are not."""
RUNAROUND_CALLS = 2 * (NO_NEWS + 1)
"""The first round of the two tools is news, the next three are not."""

Claims = Callable[[Take, Take], list[Claim]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scene: a request, a world with its trouble, and a script."""

    name: str
    title: str
    story: str
    scripted: str = ""
    """What is to be told of the script, where one plays."""
    request: str
    play: Callable[[], Play]
    claims: Claims
    """What must be so when scripts play it, of the observed and of the enforced take."""
    lesson: Callable[[Take, Take], str]
    """One sentence, made of what was measured."""
    trouble: Trouble = "none"
    limits: Limits = PLENTY
    provider: bool = False
    """Whether a real model may play it: the trouble is in the world, or there is none."""
    kill_at: int | None = None
    """The process is killed while the call of this number is in flight."""


def always(takes: list[Take]) -> list[Claim]:
    """What must be so of every take, whoever plays."""
    claims: list[Claim] = []
    for take in takes:
        counts = f"{take.mode}: the journal knows of every call that reached the world"
        claims.append(Claim(f"{counts} ({take.calls})", take.recorded_calls == take.calls))
        once = f"{take.mode}: nothing was paid twice ({len(take.payments)} payments)"
        claims.append(Claim(once, len(take.payments) <= 1))
        failed = f"{take.mode}: the run did not fail{f' ({take.error})' if take.error else ''}"
        claims.append(Claim(failed, take.state != "failed"))
    return claims


def _stopped(take: Take, guard: str) -> list[Claim]:
    return [Claim(f"enforce: {guard} halted the run", take.state == "halted" and take.stopped_by == guard)]


def _let_pass(take: Take, guard: str) -> list[Claim]:
    return [
        Claim("observe: the run went on to its end", take.state == "completed"),
        Claim(f"observe: the journal says that {guard} would have halted it", take.would_stop == guard),
    ]


def _calls(take: Take, calls: int) -> list[Claim]:
    return [Claim(f"{take.mode}: {calls} calls reached the world ({take.calls})", take.calls == calls)]


def _stops(guard: str, observed: int, enforced: int) -> Claims:
    """The guard halts the enforced take after exactly so many calls."""

    def claims(observe: Take, enforce: Take) -> list[Claim]:
        return [
            *_let_pass(observe, guard),
            *_calls(observe, observed),
            *_stopped(enforce, guard),
            *_calls(enforce, enforced),
        ]

    return claims


def _good_claims(observe: Take, enforce: Take) -> list[Claim]:
    same = (
        observe.answer == enforce.answer
        and observe.calls_by_tool == enforce.calls_by_tool
        and (observe.model_calls, observe.tokens, observe.usd)
        == (enforce.model_calls, enforce.tokens, enforce.usd)
    )
    return [
        *(Claim(f"{take.mode}: answered and reviewed", _answered(take)) for take in (observe, enforce)),
        *(
            Claim(f"{take.mode}: the refund was paid once", len(take.payments) == 1)
            for take in (observe, enforce)
        ),
        Claim("observe: no guard would have halted it", observe.would_stop is None),
        Claim("answer, calls, tokens and money are the same in both modes", same),
    ]


def _answered(take: Take) -> bool:
    return take.state == "completed" and take.reviewed is True and bool(take.answer)


def _slow_claims(observe: Take, enforce: Take) -> list[Claim]:
    return [
        *_let_pass(observe, "deadline"),
        *_stopped(enforce, "deadline"),
        *_calls(observe, 1),
        *_calls(enforce, 1),
        Claim(f"observe: the user waited for the slow hop ({observe.seconds} s)", observe.seconds >= SLOW_S),
        Claim(f"enforce: the user did not ({enforce.seconds} s)", DEADLINE_S <= enforce.seconds < SLOW_S),
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
            Claim(f"{take.mode}: answered and reviewed after the resume", _answered(take)),
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


def _fewer(observe: Take, enforce: Take) -> str:
    if enforce.state != "halted":
        return "Whoever played found a way out in time, so the guards had nothing to stop."
    return f"{enforce.calls} calls instead of {observe.calls}: {enforce.reason}."


def _fan_out_lesson(observe: Take, enforce: Take) -> str:
    cut = " Replies that this cut off are booked at their upper bound." if enforce.unsettled_tokens else ""
    return f"{_fewer(observe, enforce)}{cut}"


def _good_lesson(observe: Take, enforce: Take) -> str:
    stopped = [take.mode for take in (observe, enforce) if not _answered(take)]
    if stopped:
        return f"No reviewed answer came of it: {', '.join(stopped)}."
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


SCENES = (
    Scene(
        name="good",
        title="A plain good request",
        story="The desk asks clerk and cashier, and the auditor checks the answer.",
        request=REFUND,
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
        request=WHERE,
        play=scripts.stubborn,
        claims=_stops("loops", scripts.STUBBORN_CALLS, ERROR_CALLS),
        lesson=_fewer,
        trouble="carrier_down",
        provider=True,
    ),
    Scene(
        name="ping-pong",
        title="Two tools that send each other the work",
        story="Shop and carrier point at each other.",
        scripted=f"The clerk's script stops after {scripts.STUBBORN_CALLS}.",
        request=WHERE,
        play=scripts.runaround,
        claims=_stops("loops", scripts.STUBBORN_CALLS, RUNAROUND_CALLS),
        lesson=_fewer,
        trouble="runaround",
        provider=True,
    ),
    Scene(
        name="fan-out",
        title="An agent that fans out past its budget",
        story=f"The desk hands out {ORDERS} checks at once; the run may make {BUDGET_CALLS} calls.",
        request=CHECK_ALL,
        play=scripts.greedy,
        claims=_stops("budget", ORDERS, BUDGET_CALLS),
        lesson=_fan_out_lesson,
        limits=Limits(tool_calls=BUDGET_CALLS, model_calls=300, handoffs=100),
    ),
    Scene(
        name="slow",
        title="A hop too slow for the time left",
        story=f"The carrier takes {SLOW_S:g} s to answer; the user waits {DEADLINE_S:g} s.",
        request=WHERE,
        play=scripts.patient,
        claims=_slow_claims,
        lesson=_slow_lesson,
        trouble="carrier_slow",
        limits=Limits(active_s=DEADLINE_S, tool_calls=80, model_calls=300),
    ),
    Scene(
        name="crash",
        title="kill -9 in the middle, then resume",
        story="A child process is killed in its fourth call; this process goes on. That is the journal's work, not a guard's.",
        request=REFUND,
        play=scripts.good,
        claims=_crash_claims,
        lesson=_crash_lesson,
        kill_at=4,
    ),
    Scene(
        name="unknown",
        title="kill -9 while money is on its way",
        story="Killed when the bank has paid and its answer is not recorded yet.",
        request=REFUND,
        play=scripts.good,
        claims=_unknown_claims,
        lesson=_unknown_lesson,
        kill_at=3,
    ),
)

NAMES = tuple(scene.name for scene in SCENES)


def scene_named(name: str) -> Scene:
    """The scene of that name. Raises `KeyError`."""
    return {scene.name: scene for scene in SCENES}[name]
