"""Checks of results and descriptions of results that several scenes share."""

from __future__ import annotations

from collections.abc import Sequence

from seawall.cli.demo.results import CheckedClaim, ModeResult
from seawall.cli.demo.scene import Claims, Scene


def check_always(scene: Scene, results: Sequence[ModeResult]) -> list[CheckedClaim]:
    """Checks what must be true of every result, whether a script or a real model plays."""
    claims: list[CheckedClaim] = []
    for result in results:
        text = f"{result.mode}: the journal knows of every call that reached the world ({result.calls})"
        known = result.recorded_calls - result.cut_calls <= result.calls <= result.recorded_calls
        claims.append(CheckedClaim(text, known))
        if scene.refund_effect is None or scene.get_refund_effect(result.mode) is not None:
            text = f"{result.mode}: nothing was paid twice ({len(result.payments)} payments)"
            claims.append(CheckedClaim(text, result.paid_again == 0))
        if result.usd is not None:
            billed = sum(result.billed.values())
            text = f"{result.mode}: the journal's cost covers the provider's bill ({result.usd}, {billed})"
            claims.append(CheckedClaim(text, result.usd >= billed))
        if not scene.may_fail:
            text = f"{result.mode}: no run failed{f' ({result.error})' if result.error else ''}"
            claims.append(CheckedClaim(text, "failed" not in result.ends))
    return claims


def check_halted(result: ModeResult, guard: str) -> list[CheckedClaim]:
    """Checks that the guard halted the run."""
    halted = result.state == "halted" and result.stopped_by == guard
    return [CheckedClaim(f"{result.mode}: {guard} halted the run", halted)]


def check_let_pass(observe: ModeResult, guard: str) -> list[CheckedClaim]:
    """Checks that the guard would have halted the run, and let it pass."""
    return [
        CheckedClaim("observe: the run went on to its end", observe.state == "completed"),
        CheckedClaim(
            f"observe: the journal says that {guard} would have halted it", observe.would_stop == guard
        ),
    ]


def check_calls(result: ModeResult, calls: int) -> list[CheckedClaim]:
    """Checks that exactly this many tool calls reached the world."""
    text = f"{result.mode}: {calls} calls reached the world ({result.calls})"
    return [CheckedClaim(text, result.calls == calls)]


def check_calls_at_most(result: ModeResult, calls: int) -> list[CheckedClaim]:
    """Checks that no more tool calls reached the world; a slow machine may begin fewer of them in time."""
    text = f"{result.mode}: at most {calls} calls reached the world ({result.calls})"
    return [CheckedClaim(text, result.calls <= calls)]


def make_halt_claims(guard: str, observed: int, enforced: int) -> Claims:
    """Returns the claims of a scene in which the guard halts the enforced run after exactly this many calls."""

    def check(observe: ModeResult, enforce: ModeResult) -> list[CheckedClaim]:
        return [
            *check_let_pass(observe, guard),
            *check_calls(observe, observed),
            *check_halted(enforce, guard),
            *check_calls(enforce, enforced),
        ]

    return check


def is_answered(result: ModeResult) -> bool:
    """Returns whether every run ended with a reviewed answer."""
    return set(result.ends) == {"completed, reviewed"} and bool(result.answer)


def count_answered(result: ModeResult) -> int:
    """Returns how many runs ended with a reviewed answer."""
    return result.ends.get("completed, reviewed", 0)


def describe_halt(observe: ModeResult, enforce: ModeResult) -> str:
    """Returns the lesson of a run that was halted."""
    if enforce.state != "halted":
        return "The model found a way out in time, so the guards had nothing to stop."
    return f"{enforce.calls} calls instead of {observe.calls}: {enforce.reason}."


def describe_payments(result: ModeResult) -> str:
    """Returns how often the world paid: `once (51.40 EUR)`, `2 times`."""
    times = len(result.payments)
    return f"once ({result.payments[0]})" if times == 1 else f"{times} times"
