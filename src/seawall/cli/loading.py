"""Loads a team from an import path such as `app:desk`."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from seawall.core.errors import Misused, SeawallError

if TYPE_CHECKING:
    from seawall.core.events import RunStarted
    from seawall.journal.protocol import RunRow
    from seawall.team.team import Team


def load_team(path: str) -> Team:
    """Returns the team at `module:attribute`, with the current directory importable.

    An agent becomes a team of one. A function without required arguments is called, and its result is used, so that
    a module need not build its team while it is imported. Raises `Misused`; its message says what is missing and
    which teams the module has.
    """
    from seawall.team.agent import Agent
    from seawall.team.team import Team

    name, colon, attribute = path.partition(":")
    module = _import_module(name, path)
    if not colon or not attribute:
        raise Misused(f"{path!r} names no team: write module:attribute; {_describe_teams(module)}")
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise Misused(
                f"there is no {attribute!r} in module {name!r}{_suggest_team(attribute, module)}; "
                f"{_describe_teams(module)}"
            )
        value = getattr(value, part)
    if inspect.isfunction(value):
        value = _call_factory(value, path, attribute)
    if isinstance(value, Agent):
        return Team(cast("Agent", value))
    if not isinstance(value, Team):
        kind = type(cast("object", value))
        if (framework := _find_framework(kind)) is not None:
            raise Misused(
                f"{path} is of type {kind.__name__}, of {framework}: that runs it, and not seawall. Which lines put it behind the "
                f"gate is what  seawall wrap {_find_file(module)}  says"
            )
        raise Misused(f"{path} is of type {kind.__name__}, not a Team or an Agent; {_describe_teams(module)}")
    return cast("Team", value)


def _find_framework(kind: type) -> str | None:
    """Returns the framework that seawall knows, and whose object this is."""
    from seawall.wrap import FRAMEWORKS

    modules = [f"{above.__module__}." for above in kind.__mro__]
    for name, framework in FRAMEWORKS.items():
        packages = tuple(f"{each}." for each in framework.packages)
        if any(module.startswith(packages) for module in modules):
            return name
    return None


def _find_file(module: ModuleType) -> str:
    """Returns the file of a module, as a person writes it from here."""
    file = Path(module.__file__ or ".")
    here = Path.cwd()
    return shlex.quote(str(file.relative_to(here) if file.is_relative_to(here) else file))


def load_recorded_team(row: RunRow, started: RunStarted, app: str | None) -> Team:
    """Returns the team that `load_team_of_row` returns, after a check that the agent that leads the run is in it.

    Raises `Misused` if the agent is not in the team, and for a run whose steps a framework's loop asks for.
    """
    if started.loop:
        raise Misused(
            f"run {row.run}: its steps are asked for by the loop of {started.loop}, whose tools are declared in the application "
            f"alone: do this there, with team=engine.make_team({started.team!r})"
        )
    return check_leader(load_team_of_row(row, app), app or row.app or "", started)


def load_team_of_row(row: RunRow, app: str | None) -> Team:
    """Returns the team of `--app`, or else of the path recorded with the run. Raises `Misused` if there is neither."""
    path = app if app is not None else row.app
    if path is None:
        raise Misused(f"run {row.run}: {explain_missing_app(row)}")
    return load_team(path)


def explain_missing_app(row: RunRow) -> str:
    """Says that no import path is recorded with a run, and how to give one."""
    return f"no app is recorded with it: give one with --app MODULE:TEAM (its team is {row.team!r})"


def check_leader(team: Team, path: str, started: RunStarted) -> Team:
    """Returns the team if the agent that leads the run is in it. Raises `Misused` if not."""
    if started.agent not in team.members:
        there = ", ".join(team.members)
        raise Misused(
            f"{path} is another team: agent {started.agent!r}, which leads run {started.run} of team "
            f"{started.team!r}, is not in it (there: {there})"
        )
    return team


def _call_factory(function: FunctionType, path: str, attribute: str) -> Any:
    """Returns what a function without required arguments returns. Raises `Misused` if it can't be called like that."""
    parameters = inspect.signature(function).parameters.values()
    is_coroutine = inspect.iscoroutinefunction(function)
    required = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if required or is_coroutine:
        arguments = ", ".join(f"{name}=…" for name in required)
        raise Misused(
            f"{path} is a function, not a Team or an Agent: call it in the module, for example "
            f"team = {'await ' if is_coroutine else ''}{attribute}({arguments})"
        )
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise Misused(f"{path}(): {_locate(error)}{type(error).__name__}: {error}") from error


def _import_module(name: str, path: str) -> ModuleType:
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        raise Misused(f"{path}: the current directory is gone; go to another one") from None
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")) or Path(name).is_file():
        hint = f"; write it as {_convert_to_dotted(name)}:…" if name.endswith(".py") else ""
        raise Misused(f"{path!r} names no team: {name!r} is not a module name{hint}")
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except SeawallError as error:
        raise Misused(f"{path}: {_locate(error)}{error}") from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            raise Misused(f"there is no module {missing!r} (looked in {here} and in Python's path)") from None
        raise Misused(f"{path}: {_locate(error)}module {missing!r} is not installed") from error
    except (Exception, SystemExit) as error:
        raise Misused(f"{path}: {_locate(error)}{type(error).__name__}: {error}") from error


def _convert_to_dotted(file: str) -> str:
    return file.removesuffix(".py").strip("./").replace("/", ".")


def _locate(error: BaseException) -> str:
    """Returns `file.py:12: `, the last line of the user's own code that the error passed; nothing if there is none."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '?').name}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).resolve().parent.parent)
    own = [f for f in frames if not f.filename.startswith((ours, "<")) and "importlib" not in f.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""


def _list_teams(module: ModuleType) -> list[str]:
    """Returns the names of a module's teams, or of its agents if it has no team."""
    from seawall.team.agent import Agent
    from seawall.team.team import Team

    found: dict[str, object] = {
        n: value for n, value in vars(module).items() if isinstance(value, Team | Agent)
    }
    teams = [name for name, value in found.items() if isinstance(value, Team)]
    return teams or list(found)


def _describe_teams(module: ModuleType) -> str:
    teams = _list_teams(module)
    if not teams:
        return f"module {module.__name__!r} holds no Team and no Agent"
    return f"there: {', '.join(f'{module.__name__}:{name}' for name in teams)}"


def _suggest_team(attribute: str, module: ModuleType) -> str:
    near = get_close_matches(attribute, _list_teams(module), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
