"""`seawall demo`: the main job, with agents that misbehave on purpose, and what the guards make of it.

`world` counts the calls that reach it, `team` is the order desk, `scripts` play it through a `provider`. `scene`
is what a scene is, `alone` and `crowd` say what goes wrong and what is claimed, `scenes` has all of them. `stage`
plays them, each take an `act` that one of the `directions` brings to rest; `child` is the process that is killed.
`report` and `table` show it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seawall.cli.demo.report import Report, Result
    from seawall.cli.demo.scene import Scene
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import Shutdown

PACE_MS = 15.0
"""What a scripted reply takes. A real one takes some hundred times as long."""


def demo(
    scene: Annotated[
        list[str] | None,
        typer.Option("--scene", metavar="NAME", help="Only this scene. May be repeated. Default: all."),
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
    """Play an order desk whose agents misbehave, with guards that observe and with guards that enforce.

    Needs no key and no network. Exits with 0 only if every scene came out as claimed, by the count of the
    world that was called.
    """
    from seawall.cli.demo.scenes import NAMES, SCENES
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async
    from seawall.core.errors import Misused

    for name in scene or ():
        if name not in NAMES:
            raise Misused(f"there is no scene {name!r}; there are: {', '.join(NAMES)}")
    if model is not None:
        from seawall.models.providers import resolve

        resolve(model)  # a missing key or extra is told before anything is played
    place = _place(directory)
    chosen = [one for one in SCENES if not scene or one.name in scene]
    screen = Screen(json=json)
    report = run_async(lambda shutdown: _play(shutdown, screen, chosen, place, model, pace_ms / 1000))
    if json:
        screen.print_document(report)
    if not report.ok:
        raise typer.Exit(1)


def _place(directory: Path | None) -> Path:
    """The directory to work in. Raises `Misused` if it can't be made, or holds an earlier demo."""
    from seawall.cli.demo.stage import JOURNAL
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
    shutdown: Shutdown, screen: Screen, scenes: Sequence[Scene], place: Path, model: str | None, pace_s: float
) -> Report:
    from seawall.cli.demo.provider import PRICE
    from seawall.cli.demo.report import SCRIPTED, report_of, result_of
    from seawall.cli.demo.scenes import SCENES
    from seawall.cli.demo.stage import JOURNAL, Stage, write_teams
    from seawall.cli.demo.table import SCRIPTED as BY_SCRIPTS
    from seawall.cli.demo.table import Progress, Table
    from seawall.core.clock import SystemClock

    clock = SystemClock()
    started = clock.monotonic_s()
    journal = place / JOURNAL
    shutdown.message = f"what was played is in {place}"
    table = None if screen.json else Table(screen.out)
    progress = Progress(screen.err, clock, len(scenes))
    if table is not None:
        scripted = (
            BY_SCRIPTS if model is None else f"{model} plays them, and a script where they must misbehave."
        )
        table.opening(scripted)
    write_teams(place, scenes, model)
    results: list[Result] = []
    stage = Stage(place, clock, pace_s=pace_s, model=model)
    for scene in scenes:
        with progress.scene(scene.name) as watcher:
            played, observe, enforce = await stage.play(scene, watcher)
        played_by = model if model is not None and scene.provider else SCRIPTED
        results.append(result_of(played, observe, enforce, played_by, journal))
        if table is not None:
            table.scene(SCENES.index(scene), results[-1])
    report = report_of(results, journal, clock.monotonic_s() - started)
    if table is not None:
        cost = f"${PRICE.input_usd_per_mtok} a million tokens in, ${PRICE.output_usd_per_mtok} out"
        table.closing(report, f"A scripted reply takes {pace_s * 1000:g} ms; {cost}.")
    return report
