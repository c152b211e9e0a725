"""`seawall demo`: plays an order desk whose agents misbehave, and shows what the guards make of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seawall.cli.demo.report import DemoReport, SceneResult
    from seawall.cli.demo.scene import Scene
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown

PACE_MS = 10.0
"""What a scripted reply takes. A real one takes some hundred times as long."""


def demo(
    all_: Annotated[
        bool, typer.Option("--all", help="Play all scenes, also the one that no guard catches.")
    ] = False,
    scene: Annotated[
        list[str] | None,
        typer.Option("--scene", metavar="NAME", help="Play only this scene. May be repeated."),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where to work. Default: a new temporary directory."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="PROVIDER:NAME",
            help="A real model plays the scenes in which the world is to blame.",
        ),
    ] = None,
    pace_ms: Annotated[
        float,
        typer.Option("--pace-ms", min=0.0, max=1000.0, help="Milliseconds that a scripted reply takes."),
    ] = PACE_MS,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Play an order desk whose agents misbehave, once with guards that observe and once with guards that enforce.

    Plays the six scenes that tell the story; --all plays all of them. Needs no key and no network. Exits with 0 only if every scene was as claimed, by the count of the world that was called.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    chosen = _choose_scenes(all_, scene or ())
    if model is not None:
        from seawall.models.providers import resolve

        resolve(model)  # raises for a missing key or extra before anything is played
    place = _make_directory(directory)
    screen = Screen(json=json)
    report = run_async(lambda shutdown: _play(shutdown, screen, chosen, place, model, pace_ms / 1000))
    if json:
        screen.print_document(report)
    if not report.ok:
        raise typer.Exit(1)


def _choose_scenes(all_: bool, names: Sequence[str]) -> Sequence[Scene]:
    """Returns the scenes to play. Raises `Misused` for a name that there is not."""
    from seawall.cli.demo.scenes import NAMES, SCENES, STORY
    from seawall.core.errors import Misused

    for name in names:
        if name not in NAMES:
            raise Misused(f"there is no scene {name!r}; there are: {', '.join(NAMES)}")
    if all_ and names:
        raise Misused("--all and --scene: give one of them")
    if all_:
        return SCENES
    return [each for each in SCENES if each.name in names] if names else STORY


def _make_directory(directory: Path | None) -> Path:
    """Returns the directory to work in. Raises `Misused` if it can't be made, or holds an earlier demo."""
    from seawall.cli.demo.places import JOURNAL
    from seawall.core.errors import Misused

    if directory is None:
        return Path(tempfile.mkdtemp(prefix="seawall-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misused(f"can't make the directory {str(directory)!r}: {error.strerror}") from error
    if (directory / JOURNAL).exists():
        raise Misused(f"{str(directory)!r} holds a demo already; name a new directory, or remove that one")
    return directory


async def _play(
    shutdown: Shutdown,
    screen: Screen,
    scenes: Sequence[Scene],
    place: Path,
    model: str | None,
    pace_s: float,
) -> DemoReport:
    from seawall.cli.demo.places import JOURNAL
    from seawall.cli.demo.provider import PRICE
    from seawall.cli.demo.report import SCRIPTED, make_report, make_scene_result
    from seawall.cli.demo.runner import SceneRunner, write_team_module
    from seawall.cli.demo.table import SCRIPTS_PLAY, DemoTable, SceneProgress
    from seawall.core.clock import SystemClock

    clock = SystemClock()
    started = clock.monotonic_s()
    journal = place / JOURNAL
    shutdown.message = f"what was played is in {place}"
    table = None if screen.json else DemoTable(screen.out)
    progress = SceneProgress(screen.err, clock)
    if table is not None:
        who = f"{model} plays them, and a script where they must misbehave."
        table.print_opening(SCRIPTS_PLAY if model is None else who)
    write_team_module(place, scenes, model)
    results: list[SceneResult] = []
    runner = SceneRunner(place, clock, pace_s=pace_s, model=model)
    for scene in scenes:
        with progress.show(scene) as watcher:
            played, observe, enforce = await runner.play(scene, watcher)
        played_by = model if model is not None and scene.real_model else SCRIPTED
        results.append(make_scene_result(played, observe, enforce, played_by, journal))
        if table is not None:
            table.print_scene(results[-1])
            if not screen.has_reader:
                raise typer.Exit(Exit.OK)  # `main` makes of it what it is
    report = make_report(results, journal, clock.monotonic_s() - started)
    if table is not None:
        cost = f"${PRICE.input_usd_per_mtok} a million tokens in, ${PRICE.output_usd_per_mtok} out"
        note = f"A scripted reply takes {pace_s * 1000:g} ms; {cost}."
        table.print_closing(report, note, _describe_other_scenes(scenes))
    return report


def _describe_other_scenes(played: Sequence[Scene]) -> str:
    """Says how many scenes were not played, and that one of them is not caught."""
    from seawall.cli.demo.scenes import SCENES
    from seawall.cli.hints import find_program

    if len(played) == len(SCENES):
        return ""
    text = f"{find_program()} demo --all plays all {len(SCENES)} scenes."
    if all(each.name != "wrong" for each in played):
        text += (
            f" Not everything is caught: {find_program()} demo --scene wrong shows a wrong answer that no "
            "guard stops."
        )
    return text
