"""The demo's results as one document, which `--json` prints and the table shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from seawall.cli.demo.claims import check_always, count_answered
from seawall.cli.demo.places import get_key_path, get_receipt_path
from seawall.cli.demo.results import CheckedClaim, Kill, ModeResult
from seawall.cli.demo.scene import Scene
from seawall.cli.demo.scenes import get_number
from seawall.cli.demo.single_run_scenes import SIGNERS
from seawall.cli.hints import find_program
from seawall.cli.render.formats import format_number

SCRIPTED = "scripted"

_PREVENTED_FIGURES = {
    "down": "model calls to an overloaded provider",
    "turned_away": "calls to an overloaded carrier",
    "held": "refunds while the bank had asked to wait",
}
"""Words for each figure that counts what guards prevent, by the name of the figure."""


class SceneResult(msgspec.Struct, frozen=True, kw_only=True):
    """One scene in both modes."""

    number: int
    name: str
    title: str
    story: str
    request: str
    played_by: str
    """`scripted`, or the real model."""
    observe: ModeResult
    enforce: ModeResult
    lesson: str
    claims: list[CheckedClaim]
    command: str
    """The command that shows more of the enforced run."""

    @property
    def ok(self) -> bool:
        """Whether every claim was true."""
        return all(claim.holds for claim in self.claims)


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the scenes, in one mode."""

    calls: int
    usd: Decimal | None
    seconds: float


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo."""

    ok: bool
    """Whether every claim of every scene was true; the exit code depends on it."""
    directory: str
    journal: str
    seconds: float
    observe: Totals
    enforce: Totals
    saved: str
    """What the guards prevented, in words."""
    scenes: list[SceneResult]
    next: list[str]
    """Commands that show more."""


def make_scene_result(
    scene: Scene, observe: ModeResult, enforce: ModeResult, played_by: str, journal: Path
) -> SceneResult:
    """Checks a scene's claims. With a real model, only the claims of `check_always` are checked."""
    claims = check_always(scene, [observe, enforce])
    if played_by == SCRIPTED:
        claims += scene.claims(observe, enforce)
    return SceneResult(
        number=get_number(scene.name),
        name=scene.name,
        title=scene.title,
        story=f"{scene.story} {scene.script_note}".strip() if played_by == SCRIPTED else scene.story,
        request=scene.request,
        played_by=played_by,
        observe=observe,
        enforce=enforce,
        lesson=scene.lesson(observe, enforce),
        claims=claims,
        command=f"{find_program(elsewhere=True)} show {enforce.run} --journal {journal}",
    )


def make_report(results: Sequence[SceneResult], journal: Path, seconds: float) -> DemoReport:
    """Returns the document once all scenes have been played."""
    observe = _add_up([result.observe for result in results])
    enforce = _add_up([result.enforce for result in results])
    return DemoReport(
        ok=all(result.ok for result in results),
        directory=str(journal.parent),
        journal=str(journal),
        seconds=round(seconds, 3),
        observe=observe,
        enforce=enforce,
        saved=describe_savings(results, observe, enforce),
        scenes=list(results),
        next=_list_next_commands(results, journal),
    )


def _add_up(results: Sequence[ModeResult]) -> Totals:
    costs = [result.cost for result in results]
    return Totals(
        calls=sum(result.calls for result in results),
        usd=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        seconds=round(sum(result.seconds for result in results), 3),
    )


def describe_savings(results: Sequence[SceneResult], observe: Totals, enforce: Totals) -> str:
    """Returns what the guards and the journal prevented, from what was measured."""
    sentences: list[str] = []
    prevented = list(_list_prevented(results))
    if prevented:
        sentences.append(f"Prevented: {_join_with_and(prevented)}.")
    more = sum(max(0, count_answered(each.enforce) - count_answered(each.observe)) for each in results)
    if more:
        verb = "was" if more == 1 else "were"
        sentences.append(f"{format_number(more, 'request')} {verb} answered that otherwise had no answer.")
    kills = [(mode, mode.kill) for each in results for mode in (each.observe, each.enforce) if mode.kill]
    if kills:
        sentences.append(_describe_kills(kills))
    if prevented:
        sentences.append(f"The requests took {enforce.seconds:.1f} s instead of {observe.seconds:.1f} s.")
    if not sentences:
        sentences.append(f"Nothing had to be stopped: {enforce.calls} calls to the world in either mode.")
    return " ".join(sentences)


def _list_prevented(results: Sequence[SceneResult]) -> Iterator[str]:
    """Yields the calls and money that were saved where a guard stopped a run or made it shorter."""
    changed = [
        each
        for each in results
        if each.enforce.stopped_by is not None or each.enforce.calls < each.observe.calls
    ]
    observe, enforce = (
        _add_up([each.observe for each in changed]),
        _add_up([each.enforce for each in changed]),
    )
    if observe.calls > enforce.calls:
        yield _compare("calls to the world", observe.calls, enforce.calls)
    before, after = (sum(len(each.payments) for each in modes) for modes in _split(changed))
    if before > after:
        yield _compare("payment" if before - after == 1 else "payments", before, after)
    if observe.usd is not None and enforce.usd is not None and observe.usd > enforce.usd:
        less = format_dollars(observe.usd - enforce.usd)
        if less != format_dollars(Decimal(0)):
            yield f"{less} of model calls ({format_dollars(enforce.usd)} instead of {format_dollars(observe.usd)})"
    for name, what in _PREVENTED_FIGURES.items():
        before, after = (sum(each.figures.get(name, 0) for each in modes) for modes in _split(results))
        if before > after:
            yield _compare(what, before, after)


def _split(results: Sequence[SceneResult]) -> tuple[list[ModeResult], list[ModeResult]]:
    return [each.observe for each in results], [each.enforce for each in results]


def _compare(what: str, before: int, after: int) -> str:
    return f"{before - after} {what} ({after} instead of {before})"


def _join_with_and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _describe_kills(kills: Sequence[tuple[ModeResult, Kill]]) -> str:
    recorded, repeated = sum(kill.recorded for _, kill in kills), sum(kill.repeated for _, kill in kills)
    alone = [mode for mode, _ in kills if mode.runs == 1]  # else another run may have paid as well
    payments, again = sum(len(mode.payments) for mode in alone), sum(mode.paid_again for mode in alone)
    paid = f", and {again or 'no'} payment was made again" if payments and again <= 1 else ""
    return (
        f"{len(kills)} processes were killed with {recorded} recorded calls between them; "
        f"{repeated or 'none'} of those {'was' if repeated <= 1 else 'were'} made again{paid}."
    )


def format_dollars(usd: Decimal | None) -> str:
    """Returns what a model cost; a dash if the price is not known."""
    return "–" if usd is None else f"${usd:.4f}"


def _list_next_commands(results: Sequence[SceneResult], journal: Path) -> list[str]:
    """Returns commands to try next on the runs of this demo, typed in its directory, where its teams are found."""
    at = f"--journal {journal.name}"
    seawall = find_program(elsewhere=True)
    stopped = [each for each in results if each.enforce.stopped_by is not None and each.enforce.runs == 1]
    explained = stopped[0] if stopped else results[0]
    commands = [f"cd {journal.parent}", f"{seawall} runs {at}", f"{seawall} why {explained.enforce.run} {at}"]
    if stopped:  # replays the newest observed run as if its guard had been enforced
        mode = f"--mode {stopped[-1].enforce.stopped_by}=enforce"
        commands.append(f"{seawall} replay {stopped[-1].observe.run} {mode} {at}")
    if any(result.enforce.stopped_by == "budget" for result in results):
        commands.append(f"{seawall} budget {at}")
    if any("asked" in result.enforce.figures for result in results):
        commands.append(f"{seawall} effects {at}")
    who = "--by you"  # a name alone decides nothing once somebody has a key
    if (key := get_key_path(journal.parent, SIGNERS[0])).exists():
        who = f"--key-file {key.name}"
    for result in results:
        enforce = result.enforce
        if enforce.waits_at is not None:
            receipt = get_receipt_path(journal.parent, result.name, enforce.mode).name
            step = f"{enforce.run} {enforce.waits_at}"
            commands.append(f"{seawall} reconcile {step} --committed {receipt} {who} {at}")
            commands.append(f"{seawall} resume {enforce.run} {at}")
    return [*commands, f"{seawall} verify {at}"]
