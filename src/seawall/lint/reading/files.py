"""Finds the team in a file or a folder, and reads it."""

from __future__ import annotations

from pathlib import Path

from seawall.core.errors import Misused
from seawall.core.files import exists
from seawall.lint.description import TeamDescription
from seawall.lint.reading.crewai import looks_like_agents, looks_like_tasks, read_crewai
from seawall.lint.reading.documents import Document, load_document
from seawall.lint.reading.plain import read_plain
from seawall.lint.reading.values import as_mapping, show

SUFFIXES = (".yaml", ".yml", ".json")
_FOLDERS = (".", "config", "src/*/config", "*/config", "src/*")
"""Folders in which CrewAI's projects keep `agents.yaml`."""


def read_team(path: str | Path) -> TeamDescription:
    """Returns the team in a file, or in a folder with CrewAI's `agents.yaml` or with `team.yaml`.

    Nothing is imported or run. Raises `Misused` if the team can't be read; the message names the file, the line and the place,
    the value there, and what is allowed.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not exists(path):
        raise Misused(f"there is no file {path}")
    document = load_document(path)
    value = document.value
    if looks_like_agents(value):
        return _read_crew(document, _find_sibling(path, "tasks"))
    if looks_like_tasks(value):
        agents = _find_sibling(path, "agents")
        if agents is None:
            raise Misused(f"{path} holds tasks of CrewAI, but there is no agents{path.suffix} beside it")
        return _read_crew(load_document(agents), path)
    fields = as_mapping(value) or {}
    if looks_like_agents(fields.get("agents")):
        return read_crewai(document, document if "tasks" in fields else None, _name_crew(path))
    if "agents" in fields:
        return read_plain(document)
    raise document.make_error(
        (),
        f"it is {show(value)}, not a team; allowed are CrewAI's agents (names, each with role, goal and backstory) and the "
        "plain form (a mapping with agents, each with name, role and instructions)",
    )


def _read_folder(folder: Path) -> TeamDescription:
    agents = _list_files(folder, "agents")
    if len(agents) > 1:
        raise Misused(f"{folder} holds several crews: name one of {', '.join(map(str, agents))}")
    for file in agents or _list_files(folder, "team"):
        return read_team(file)
    looked = ", ".join(f"{place}/agents.yaml" for place in _FOLDERS)
    raise Misused(
        f"there is no team in {folder}: looked for {looked}, and team.yaml or team.json at the same places"
    )


def _list_files(folder: Path, stem: str) -> list[Path]:
    """Returns the files of this name in the searched folders, each once."""
    found = (
        file
        for place in _FOLDERS
        for suffix in SUFFIXES
        for file in sorted(folder.glob(f"{place}/{stem}{suffix}"))
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    return list({file.resolve(): file for file in found if file.is_file()}.values())


def _find_sibling(path: Path, stem: str) -> Path | None:
    beside = (path.with_name(f"{stem}{suffix}") for suffix in (path.suffix, *SUFFIXES))
    return next((file for file in beside if file.is_file()), None)


def _read_crew(agents: Document, tasks: Path | None) -> TeamDescription:
    document = None if tasks is None else load_document(tasks)
    return read_crewai(agents, document, _name_crew(agents.file))


def _name_crew(file: Path) -> str:
    """Returns the name of a crew, which is the name of its project's folder."""
    folder = file.resolve().parent
    if folder.name == "config":
        folder = folder.parent
    return folder.name or file.stem
