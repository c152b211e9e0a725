"""Source files: parsed, and never imported."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MAX_FILE_BYTES = 2_000_000
"""Bytes of one file. A larger file is generated, not a part of an application."""
MAX_FILES = 5_000
"""Files of one call. If there are more, the report says so."""
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv", "env"})
_ROOT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class SourceProblem(NamedTuple):
    """A file that could not be read."""

    file: str
    line: int
    """The line of the problem; 0 if it concerns the whole file."""
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.why}"


class ImportedName(NamedTuple):
    """The origin of a name that a file imports."""

    module: str
    level: int
    """The number of dots of a relative import."""
    name: str
    """The name in that module; "" if the module itself is imported."""

    @property
    def dotted(self) -> str:
        """The full dotted name, as in an absolute import."""
        return ".".join(part for part in (self.module, self.name) if part)


class SourceFile:
    """One parsed file."""

    def __init__(
        self, path: Path, text: str, tree: ast.Module, roots: Sequence[Path], *, has_crlf: bool = False
    ) -> None:
        """`roots`: the folders in which absolute imports of the application's own modules are searched, the nearest first.

        `has_crlf`: whether lines of the file end with CR LF; they end with LF in `text`.
        """
        self.path, self.text, self.tree, self.roots = path, text, tree, tuple(roots)
        self.has_crlf = has_crlf
        self.name = _shorten(path)
        """The path as it is shown to people."""
        self.nodes = list(ast.walk(tree))
        self.imports = dict(_list_imports(self.nodes))
        """The imports by local name."""
        self.partials = {
            _open_partial(node): node
            for node in self.nodes
            if isinstance(node, ast.Call) and self._is_partial(node)
        }
        """For each `partial(made, …)` the call `made(…)` that it stands for, at the same place."""

    def _is_partial(self, call: ast.Call) -> bool:
        match call.func:
            case ast.Name(id=name):
                imported = self.imports.get(name)
                return bool(call.args) and imported is not None and imported.dotted == "functools.partial"
            case ast.Attribute(value=ast.Name(id="functools"), attr="partial"):
                return bool(call.args) and "functools" in self.imports
            case _:
                return False

    def __repr__(self) -> str:
        return f"<SourceFile {self.name}>"

    @functools.cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        found = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}
        return found | {call: found[partial] for call, partial in self.partials.items()}

    @functools.cached_property
    def functions(self) -> list[Function]:
        """All functions of the file."""
        return [node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the file, with their line ends."""
        return split_lines(self.text)

    @functools.cached_property
    def calls(self) -> list[ast.Call]:
        """All calls of the file, also those for which a `partial` stands, in the order of the lines."""
        found = [*(node for node in self.nodes if isinstance(node, ast.Call)), *self.partials]
        return sorted(found, key=lambda call: (call.lineno, call.col_offset))

    @functools.cached_property
    def names(self) -> frozenset[str]:
        """All names that the file uses or binds."""
        used = {node.id for node in self.nodes if isinstance(node, ast.Name)}
        defined = {
            node.name
            for node in self.nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        arguments = {node.arg for node in self.nodes if isinstance(node, ast.arg)}
        return frozenset(used | defined | arguments | set(self.imports))

    @functools.cached_property
    def tokens(self) -> list[tokenize.TokenInfo]:
        """The tokens of the file, without comments and line breaks that end no statement."""
        skipped = (tokenize.NL, tokenize.COMMENT)
        found = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [token for token in found if token.type not in skipped]

    def find_parent(self, node: ast.AST) -> ast.AST | None:
        """Returns the node around another one; None for the module."""
        return self._parents.get(node)

    def list_scopes(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yields the functions, the classes and the module around a node, the innermost first."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Module)
        around = self._parents.get(node)
        while around is not None:
            if isinstance(around, kinds):
                yield around
            around = self._parents.get(around)

    def get_segment(self, node: ast.AST) -> str:
        """Returns the source text of a node."""
        return ast.get_source_segment(self.text, node) or ""


def _open_partial(partial: ast.Call) -> ast.Call:
    call = ast.Call(func=partial.args[0], args=partial.args[1:], keywords=partial.keywords)
    return ast.copy_location(call, partial)


def split_lines(text: str) -> list[str]:
    """Returns the lines of a file with their line ends, numbered as Python does."""
    return io.StringIO(text).readlines()


def _list_imports(nodes: Sequence[ast.AST]) -> Iterator[tuple[str, ImportedName]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                yield local, ImportedName(alias.name if alias.asname else local, 0, "")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, ImportedName(node.module or "", node.level, alias.name)


def read_source(path: Path, roots: Sequence[Path] = ()) -> SourceFile | SourceProblem:
    """Returns a parsed file, or the problem why it can't be parsed."""
    shown = _shorten(path)
    try:
        if path.suffix == ".ipynb":
            return SourceProblem(shown, 0, "it is a notebook: export it as a Python file")
        if path.stat().st_size > MAX_FILE_BYTES:
            return SourceProblem(shown, 0, f"it has more than {MAX_FILE_BYTES:,} bytes, and was not read")
        with tokenize.open(path) as opened:
            text = opened.read()
            has_crlf = "\r\n" in (opened.newlines or ())
        tree = ast.parse(text)
        return SourceFile(path, text, tree, [path.parent, *roots, *_find_roots(path)], has_crlf=has_crlf)
    except OSError as error:
        return SourceProblem(shown, 0, f"it can't be read: {error.strerror}")
    except SyntaxError as error:
        return SourceProblem(shown, error.lineno or 0, f"it can't be parsed: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return SourceProblem(shown, 0, f"it can't be parsed: {error}")


def list_files(paths: Sequence[Path], endings: Sequence[str]) -> tuple[list[tuple[Path, Path]], bool]:
    """Returns the files with these endings in `paths`, each with the folder that was given, and whether these are all.

    A file that is given by name is included whatever its ending. Environments, caches and hidden folders are left out.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path, path.parent)
            continue
        for file in _walk(path, endings):
            if len(found) >= MAX_FILES:
                return list(found.items()), False
            found.setdefault(file, path)
    return list(found.items()), True


def _walk(folder: Path, endings: Sequence[str]) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and entry.suffix != ".json"
        if hidden or entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name not in _SKIPPED and not (entry / "pyvenv.cfg").exists():
                yield from _walk(entry, endings)
        elif entry.suffix in endings:
            yield entry


def _find_roots(path: Path) -> list[Path]:
    """Returns the folders above a file in which its application's modules may be, up to the project's root."""
    above = list(path.resolve().parents)[:8]  # a package that is nested deeper is rare
    for number, folder in enumerate(above):
        if any((folder / mark).exists() for mark in _ROOT_MARKS):
            return [*above[: number + 1], folder / "src"]
    return above[:1]


def _shorten(path: Path) -> str:
    here = Path.cwd()
    try:
        return str(path.resolve().relative_to(here))
    except ValueError:
        return str(path)
