"""The repository as the house tests see it: its files and their syntax trees."""

from __future__ import annotations

import ast
import functools
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "seawall"


FOLDERS = ("src", "tests", "bench", "docs", "tools", "changelog.d", ".ci")


@functools.cache
def files() -> list[Path]:
    """Every file that is tracked or is about to be; in an unpacked archive, every file that came with it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
        found = [*ROOT.glob("*.*"), *(path for path in inside if "__pycache__" not in path.parts)]
    return sorted({path for path in found if path.is_file()})


def python(*folders: str) -> list[Path]:
    """The Python files below some folders of the repository."""
    wanted = tuple(ROOT / folder for folder in folders)
    return [
        path for path in files() if path.suffix == ".py" and any(path.is_relative_to(each) for each in wanted)
    ]


def name(path: Path) -> str:
    """A file's name as messages give it."""
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree.

    The garbage collector does not look through trees: it would do so again and again while the next ones are read, and
    that takes three times as long as to read them. A tree has no circles, and stays to the end.
    """
    text = path.read_text(encoding="utf-8")
    gc.disable()
    try:
        return ast.parse(text, str(path))
    finally:
        gc.freeze()
        gc.enable()


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements, handlers and cases right below one. No function is defined in an expression, and those are many."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        yield from getattr(node, field, ())


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Every function of a file with its qualified name, inner ones included."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in _statements(node):
            if isinstance(child, Function):
                yield f"{prefix}{child.name}", child
                yield from walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")
            else:
                yield from walk(child, prefix)

    return walk(tree(path), "")


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain; what is no name becomes `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"
