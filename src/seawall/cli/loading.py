"""`app:desk`: from an import path to a team."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from seawall.core.errors import Misused, SeawallError

if TYPE_CHECKING:
    from seawall.team.team import Team


def load(path: str) -> Team:
    """The team at `module:attribute`, with the current directory importable. An agent becomes a team of one.

    A function without arguments is called for it: what makes a team need not be called where it stands. Raises `Misused` that names what is not there, and what is.
    """
    from seawall.team.agent import Agent
    from seawall.team.team import Team

    name, colon, attribute = path.partition(":")
    module = _module(name, path)
    if not colon or not attribute:
        raise Misused(f"{path!r} names no team: write module:attribute; {_there(module)}")
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise Misused(
                f"there is no {attribute!r} in module {name!r}{_near(attribute, module)}; {_there(module)}"
            )
        value = getattr(value, part)
    if inspect.isfunction(value):
        value = _made(value, path, attribute)
    if isinstance(value, Agent):
        return Team(value)
    if not isinstance(value, Team):
        raise Misused(f"{path} is of type {type(value).__name__}, not a Team or an Agent; {_there(module)}")
    return value


def _made(function: FunctionType, path: str, attribute: str) -> Any:
    """What a function without arguments returns. Raises `Misused` if it can't be called like that."""
    parameters = inspect.signature(function).parameters.values()
    awaited = inspect.iscoroutinefunction(function)
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if needed or awaited:
        arguments = ", ".join(f"{name}=…" for name in needed)
        raise Misused(
            f"{path} is a function, not a Team or an Agent: call it in the module, for example "
            f"team = {'await ' if awaited else ''}{attribute}({arguments})"
        )
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise Misused(f"{path}(): {_where(error)}{type(error).__name__}: {error}") from error


def _module(name: str, path: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")) or Path(name).is_file():
        hint = f"; write it as {_dotted(name)}:…" if name.endswith(".py") else ""
        raise Misused(f"{path!r} names no team: {name!r} is no module name{hint}")
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except SeawallError as error:
        raise Misused(f"{path}: {_where(error)}{error}") from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing == name or name.startswith(f"{missing}."):
            raise Misused(f"there is no module {missing!r} (looked in {here} and in Python's path)") from None
        raise Misused(f"{path}: {_where(error)}module {missing!r} is not installed") from error
    except (Exception, SystemExit) as error:
        raise Misused(f"{path}: {_where(error)}{type(error).__name__}: {error}") from error


def _dotted(file: str) -> str:
    return file.removesuffix(".py").strip("./").replace("/", ".")


def _where(error: BaseException) -> str:
    """The user's own line that the import stopped at."""
    if isinstance(error, SyntaxError):
        return f"{Path(error.filename or '?').name}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).resolve().parent.parent)
    own = [f for f in frames if not f.filename.startswith((ours, "<")) and "importlib" not in f.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""


def _teams(module: ModuleType) -> list[str]:
    from seawall.team.agent import Agent
    from seawall.team.team import Team

    found = {name: value for name, value in vars(module).items() if isinstance(value, Team | Agent)}
    teams = [name for name, value in found.items() if isinstance(value, Team)]
    return teams or list(found)


def _there(module: ModuleType) -> str:
    teams = _teams(module)
    if not teams:
        return f"module {module.__name__!r} holds no Team and no Agent"
    return f"there: {', '.join(f'{module.__name__}:{name}' for name in teams)}"


def _near(attribute: str, module: ModuleType) -> str:
    near = get_close_matches(attribute, _teams(module), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
