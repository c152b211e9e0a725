"""`inspect_application`: the parts of an application that the gate can cover, those that it can't, and the lines to add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seawall.core.errors import Misused
from seawall.core.files import exists
from seawall.wrap.edits import make_diff
from seawall.wrap.finding import FileLines, FoundPart, FrameworkName, WrapReport
from seawall.wrap.frameworks import FRAMEWORKS
from seawall.wrap.frameworks.mcp import Configuration, read_configuration
from seawall.wrap.inspection import Inspection
from seawall.wrap.resolving import Application
from seawall.wrap.source import MAX_FILES, SourceFile, SourceProblem, list_files, read_source

_CONFIGURATION = ".json"


def inspect_application(paths: Sequence[Path], framework: FrameworkName | None = None) -> WrapReport:
    """Returns the parts of an application in files and folders, of one framework or of all.

    The files are parsed, and never imported or run; nothing is written. Raises `Misused` for a path that does not exist, and if
    no part is found.
    """
    for path in paths:
        if not exists(path):
            raise Misused(f"{path}: there is no such file or folder")
    endings = (".py", _CONFIGURATION) if framework in (None, "mcp") else (".py",)
    files, complete = list_files(paths, endings)
    sources, problems = _read_sources(files)
    inspection = Inspection(Application(sources))
    found: list[FrameworkName] = []
    for each in FRAMEWORKS.values():
        if framework in (None, each.name):
            before = len(inspection.parts)
            each.find(inspection)
            if len(inspection.parts) > before:
                found.append(each.name)
    lines = _collect_lines(inspection)
    configured, more, bad = _read_configurations(files)
    if configured and "mcp" not in found:
        found.append("mcp")
    if not complete:
        problems.append(SourceProblem(str(paths[0]), 0, f"only the first {MAX_FILES:,} files were read"))
    parts = (*inspection.parts, *configured)
    if not parts and not problems and not bad:
        raise Misused(_explain_nothing(inspection, len(sources), framework))
    added: dict[FrameworkName, None] = {part.framework: None for part in parts if part.gated == "added"}
    return WrapReport(
        frameworks=tuple(found),
        files=len(files),
        parts=parts,
        lines=(*lines, *more),
        notes=tuple(inspection.notes),
        install=tuple(FRAMEWORKS[name].requirement for name in added),
        problems=(*problems, *bad),
    )


def _read_sources(files: Sequence[tuple[Path, Path]]) -> tuple[list[SourceFile], list[SourceProblem]]:
    sources: list[SourceFile] = []
    problems: list[SourceProblem] = []
    for path, root in files:
        if path.suffix == _CONFIGURATION:
            continue
        read = read_source(path, [root])
        if isinstance(read, SourceFile):
            sources.append(read)
        else:
            problems.append(read)
    return sources, problems


def _read_configurations(
    files: Sequence[tuple[Path, Path]],
) -> tuple[list[FoundPart], list[FileLines], list[SourceProblem]]:
    """Reads the configurations of MCP clients. A JSON file that is not one is skipped. One that can't be parsed is a problem
    if it was named, or lies directly in a folder that was named; in folders below, it is skipped.
    """
    found: list[Configuration] = []
    problems: list[SourceProblem] = []
    for path, root in files:
        read = read_configuration(path) if path.suffix == _CONFIGURATION else None
        if isinstance(read, Configuration):
            found.append(read)
        elif read is not None and root == path.parent:
            problems.append(read)
    behind = {file for each in found for file in each.list_behind()}
    parts: list[FoundPart] = []
    lines: list[FileLines] = []
    for each in found:
        is_behind = each.path.resolve() in behind
        parts += each.read_parts(behind=is_behind)
        more = None if is_behind else each.make_lines()
        lines += [] if more is None else [more]
    return parts, lines, problems


def _collect_lines(inspection: Inspection) -> list[FileLines]:
    edits, engine = inspection.finish()
    lines: list[FileLines] = []
    if engine is not None:
        file = inspection.engine_file
        lines.append(FileLines(file=str(file), diff=make_diff(str(file), "", engine)))
    for each in edits:
        diff = each.build_diff()
        if diff is None:
            inspection.note(
                f"{each.source.name}: its lines can't be shown as a diff; the adapter's documentation page shows them"
            )
            continue
        lines.append(FileLines(file=each.source.name, diff=diff))
        if each.source.has_crlf:
            inspection.note(
                f"{each.source.name} has lines that end with CR LF: git apply --ignore-whitespace takes its diff"
            )
    return lines


def _explain_nothing(inspection: Inspection, files: int, framework: FrameworkName | None) -> str:
    known = ", ".join(FRAMEWORKS)
    wanted = known if framework is None else framework
    imported = [
        each.name
        for each in FRAMEWORKS.values()
        if any(inspection.app.imports_root(source, each.packages) for source in inspection.app.sources)
    ]
    text = f"nothing found in {files} files: no agent, graph, runner, crew or server of {wanted}"
    if framework is not None and imported:
        return f"{text}; they import {', '.join(imported)}"
    if imported:
        return f"{text}, although they import {', '.join(imported)}: name the files that make the agents"
    return f"{text}; a loop of your own is gated with seawall.Engine"
