"""The demo's results as one document: what `--json` prints, and what the table is made of."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from seawall.cli.demo.scene import Scene, always
from seawall.cli.demo.take import Claim, Take
from seawall.cli.hints import find_program

SCRIPTED = "scripted"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One scene, both ways."""

    name: str
    title: str
    story: str
    request: str
    played_by: str
    """`scripted`, or the real model."""
    observe: Take
    enforce: Take
    lesson: str
    claims: list[Claim]
    command: str
    """Shows more of the enforced run."""

    @property
    def ok(self) -> bool:
        """Whether everything came out as claimed."""
        return all(claim.holds for claim in self.claims)


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Totals over the scenes, in one mode."""

    calls: int
    usd: Decimal | None
    seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo."""

    ok: bool
    """Whether every scene came out as claimed; the exit code says the same."""
    directory: str
    journal: str
    seconds: float
    observe: Sum
    enforce: Sum
    saved: str
    """What the guards changed, in words."""
    scenes: list[Result]
    next: list[str]
    """Commands that show more."""


def result_of(scene: Scene, observe: Take, enforce: Take, played_by: str, journal: Path) -> Result:
    """Check a scene's claims and say what it showed. With a real model only what must always be so is claimed."""
    claims = always(scene, [observe, enforce])
    if played_by == SCRIPTED:
        claims += scene.claims(observe, enforce)
    return Result(
        name=scene.name,
        title=scene.title,
        story=f"{scene.story} {scene.scripted}".strip() if played_by == SCRIPTED else scene.story,
        request=scene.request,
        played_by=played_by,
        observe=observe,
        enforce=enforce,
        lesson=scene.lesson(observe, enforce),
        claims=claims,
        command=f"{find_program(elsewhere=True)} show {enforce.run} --journal {journal}",
    )


def report_of(results: Sequence[Result], journal: Path, seconds: float) -> Report:
    """Everything, once all scenes have been played."""
    observe = _sum([result.observe for result in results])
    enforce = _sum([result.enforce for result in results])
    return Report(
        ok=all(result.ok for result in results),
        directory=str(journal.parent),
        journal=str(journal),
        seconds=round(seconds, 3),
        observe=observe,
        enforce=enforce,
        saved=saved(results, observe, enforce),
        scenes=list(results),
        next=next_commands(results, journal),
    )


def _sum(takes: Sequence[Take]) -> Sum:
    costs = [take.cost for take in takes]
    return Sum(
        calls=sum(take.calls for take in takes),
        usd=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
        seconds=round(sum(take.seconds for take in takes), 3),
    )


def saved(results: Sequence[Result], observe: Sum, enforce: Sum) -> str:
    """What was saved, in words, from what was measured."""
    said: list[str] = []
    same = (enforce.calls, enforce.usd) == (observe.calls, observe.usd)
    if not same or any(result.enforce.state == "halted" for result in results):
        parts: list[str] = []
        if enforce.calls != observe.calls:
            parts.append(f"made {enforce.calls} calls to the world instead of {observe.calls}")
        if observe.usd is not None and enforce.usd is not None:
            parts.append(f"cost {dollars(enforce.usd)} instead of {dollars(observe.usd)}")
        took = f"took {enforce.seconds:.1f} s instead of {observe.seconds:.1f} s"
        what = f"{', '.join(parts)}, and {took}" if parts else took
        said.append(f"With the guards enforced, the same requests {what}.")
    elif all(result.enforce.kill is None for result in results):
        said.append(f"Nothing had to be stopped: {enforce.calls} calls to the world in either mode.")
    kills = [
        take.kill for result in results for take in (result.observe, result.enforce) if take.kill is not None
    ]
    if kills:
        recorded, repeated = sum(kill.recorded for kill in kills), sum(kill.repeated for kill in kills)
        said.append(
            f"{len(kills)} processes were killed with {recorded} recorded calls between them; "
            f"{repeated or 'none'} of those {'was' if repeated <= 1 else 'were'} made again."
        )
    return " ".join(said)


def dollars(usd: Decimal | None) -> str:
    """Money of a model; a dash where the price is not known."""
    return "–" if usd is None else f"${usd:.4f}"


def next_commands(results: Sequence[Result], journal: Path) -> list[str]:
    """Commands to try next, on the runs of this demo; in its directory, where its teams are found."""
    at = f"--journal {journal.name}"
    seawall = find_program(elsewhere=True)  # they are typed in another directory
    stopped = [each for each in results if each.enforce.stopped_by is not None and each.enforce.runs == 1]
    asked = stopped[0] if stopped else results[0]
    commands = [f"cd {journal.parent}", f"{seawall} runs {at}", f"{seawall} why {asked.enforce.run} {at}"]
    if stopped:  # the newest observed run, decided again as if it had been enforced
        mode = f"--mode {stopped[-1].enforce.stopped_by}=enforce"
        commands.append(f"{seawall} replay {stopped[-1].observe.run} {mode} {at}")
    if any(result.enforce.stopped_by == "budget" for result in results):
        commands.append(f"{seawall} budget {at}")
    for result in results:
        take = result.enforce
        if take.waits_at is not None:
            commands.append(f"{seawall} approve {take.run} {take.waits_at} --by you {at}")
            commands.append(f"{seawall} resume {take.run} {at}")
    return [*commands, f"{seawall} verify {at}"]
