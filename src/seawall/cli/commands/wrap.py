"""`seawall wrap`: says which parts of an application would be gated, and shows the lines to add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import JsonOption

if TYPE_CHECKING:
    from seawall.wrap import FrameworkName

TargetArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[FRAMEWORK] FILE",
        help="Files and folders of the application. A framework before them limits the search to it: "
        "langchain, langgraph, openai-agents, pydantic-ai, crewai, google-adk, agent-framework or mcp; "
        "without it, all are looked for.",
        show_default=False,
    ),
]
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Exit with 1 if a tool that seems to write is not declared, or does not pass the gate: for CI.",
    ),
]


def wrap(targets: TargetArgument, check: CheckOption = False, json: JsonOption = False) -> None:
    """Say which parts of an application would be gated, which can't be, and which lines to add.

    It changes nothing: the files are parsed, and the application is never imported or run. The lines are a unified diff,
    which `git apply` takes. The code is 1 if a file can't be read.
    """
    import os

    from seawall.cli.exits import Exit
    from seawall.cli.render.screen import Screen
    from seawall.cli.render.wrap_report import draw_wrap_report
    from seawall.core.redact import Redactor
    from seawall.wrap import inspect_application

    screen = Screen(json=json)
    framework, paths = _read_targets(targets)
    report = inspect_application(paths, framework).redact(Redactor.from_environment(os.environ))
    for problem in report.problems:
        screen.print_note(f"seawall: {problem}")
    if json:
        screen.print_document(report)
    elif report.parts:
        draw_wrap_report(screen, report)
    if check:
        for part in report.writers_outside:
            why = "is not declared" if part.must_declare else "does not pass the gate"
            screen.print_note(
                f"check failed: {part.name} ({part.file}:{part.line}) seems to write, and {why}"
            )
    if report.problems or (check and report.writers_outside):
        raise typer.Exit(Exit.BROKEN)


def _read_targets(targets: list[str]) -> tuple[FrameworkName | None, list[Path]]:
    """Returns the framework, if the first word is one, and the paths. `./NAME` is a file that is named like a framework."""
    from seawall.core.errors import Misused
    from seawall.core.files import exists
    from seawall.wrap import FRAMEWORKS

    framework: FrameworkName | None = next((name for name in FRAMEWORKS if name == targets[0]), None)
    paths = [Path(each) for each in (targets if framework is None else targets[1:])]
    if not paths:
        raise Misused(
            f"wrap {framework}: give the files or folders of the application, such as  seawall wrap {framework} ."
        )
    if framework is None and not exists(paths[0]) and "." not in targets[0] and "/" not in targets[0]:
        raise Misused(
            f"{targets[0]!r} is not a file, a folder or one of the frameworks: {', '.join(FRAMEWORKS)}"
        )
    return framework, paths
