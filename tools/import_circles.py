"""Finds circles of imports between files, in the package, the tests, the benchmarks and the tools.

    python tools/import_circles.py       exits with 1 and prints the circles, if there are any

Every import statement counts: also one in a function, and one that only type checkers run. import-linter compares
packages and leaves the latter out. What does not count is that Python runs a package's `__init__` before the modules
in it; a module that imports a name from the `__init__` of its own package counts.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench", "tools")
"""Where imports begin: `src/seawall/run/state.py` is `seawall.run.state`, `tests/run/history.py` is `run.history`."""

Graph = Mapping[Path, Sequence[Path]]
"""For each file, the files that it imports."""


def read_imports(folders: Sequence[Path]) -> Graph:
    """Returns which file imports which. A name that is in several folders means the one in the importer's own."""
    modules = {
        folder: {_name_module(path, folder): path for path in _list_files(folder)} for folder in folders
    }
    graph: dict[Path, list[Path]] = {}
    for folder, own in modules.items():
        others = [names for other, names in modules.items() if other != folder]
        for path in own.values():
            found = (_resolve(names, [own, *others]) for names in _list_imported(path))
            graph[path] = [each for each in dict.fromkeys(found) if each is not None and each != path]
    return graph


def _list_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]


def _name_module(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _list_imported(path: Path) -> Iterator[list[str]]:
    """Yields, for each imported name, the modules that it may be, the most likely one first."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from ([f"{node.module}.{alias.name}", node.module] for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ([alias.name] for alias in node.names)


def _resolve(names: Sequence[str], modules: Sequence[Mapping[str, Path]]) -> Path | None:
    return next((known[name] for known in modules for name in names if name in known), None)


def find_circles(graph: Graph) -> list[list[Path]]:
    """Returns one circle for each group of files that import each other: the shortest through its first file."""
    circles: list[list[Path]] = []
    seen: set[Path] = set()
    for path in sorted(graph):
        if path not in seen and (circle := _find_way_back(graph, path)) is not None:
            circles.append(circle)
            seen.update(each for each in _reach(graph, path) if path in _reach(graph, each))
    return circles


def _find_way_back(graph: Graph, start: Path) -> list[Path] | None:
    """Returns the shortest way from a file through its imports back to itself; None if there is none."""
    ways = deque([[start]])
    seen: set[Path] = set()
    while ways:
        way = ways.popleft()
        for following in graph.get(way[-1], ()):
            if following == start:
                return [*way, start]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return None


def _reach(graph: Graph, start: Path) -> set[Path]:
    """Returns every file that a file imports, directly or through others."""
    reached: set[Path] = set()
    rest = [start]
    while rest:
        new = [each for each in graph.get(rest.pop(), ()) if each not in reached]
        reached.update(new)
        rest.extend(new)
    return reached


def describe_circles(root: Path = ROOT, folders: Sequence[str] = FOLDERS) -> list[str]:
    """Returns the circles below `root`, each as `a.py → b.py → a.py`."""
    graph = read_imports([root / folder for folder in folders])
    return [" → ".join(str(path.relative_to(root)) for path in circle) for circle in find_circles(graph)]


def main() -> int:
    """Prints the circles; returns the exit code."""
    circles = describe_circles()
    for circle in circles:
        print(f"circle of imports: {circle}", file=sys.stderr)
    return 1 if circles else 0


if __name__ == "__main__":
    sys.exit(main())
