"""Collects the parts of one application, framework by framework, and the edits that put them behind the gate."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from seawall.effects.verbs import seems_to_read, seems_to_write
from seawall.wrap.edits import FileEdits, write_call, write_list
from seawall.wrap.finding import FoundKind, FoundPart, FrameworkName, Gating
from seawall.wrap.resolving import Application, SourceValue, ends_with, get_argument, read_text
from seawall.wrap.source import SourceFile

SEAWALL = ("seawall",)
JOURNAL = "seawall.db"
ENGINE_MODULE = "seawall_engine"
"""The name of the new module for the engine, if several files need the engine."""
_NAME = re.compile(r"[\w.-]{1,128}")


class _Engine(NamedTuple):
    """An `Engine` that the application already has."""

    name: str
    call: ast.Call
    source: SourceFile


class Inspection:
    """Collects the parts of an application. The finders of the frameworks fill it."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self._parts: dict[tuple[str, str, str, int], FoundPart] = {}
        self._edits: dict[SourceFile, FileEdits] = {}
        self._users: dict[SourceFile, None] = {}
        """The files whose lines need the engine."""
        self.notes: dict[str, None] = {}
        self._effects, self._reads = _list_declared(app)
        self._engine = _find_engine(app)
        taken = frozenset[str]().union(*(source.names for source in app.sources))
        self._name = next(
            name
            for name in ("sea", "seawall_engine", "the_seawall_engine")
            if name not in taken or name[0] == "t"
        )

    def __repr__(self) -> str:
        return f"<Inspection of {self.app!r}: {len(self._parts)} parts>"

    # ---- parts

    def add(
        self,
        kind: FoundKind,
        name: str,
        framework: FrameworkName,
        value: SourceValue,
        gated: Gating,
        why: str = "",
        *,
        guessed: bool = False,
    ) -> None:
        """Adds a part. A part that is found twice, for example a tool of two agents, is added once."""
        key = (kind, name, value.source.name, value.line)
        known = self._parts.get(key)
        if known is not None and (known.gated, bool(known.why)) != ("yes", False):
            return
        if kind == "agent" and gated == "added" and value.node in value.source.partials:
            self.note(
                f"{value.source.name}:{value.line}: what a caller of this `partial` gives for the same argument replaces what "
                "is added here"
            )
        tool = kind == "tool"
        self._parts[key] = FoundPart(
            kind=kind,
            name=name,
            framework=framework,
            file=value.source.name,
            line=value.line,
            gated=gated,
            why=why,
            guessed=guessed,
            declared=self._find_declared(name) if tool else "",
            seems=_read_name(name) if tool else "",
        )

    @property
    def parts(self) -> list[FoundPart]:
        """All parts that were found, in the order of the files' lines: agents and the like first, then their tools and
        models.
        """
        order = ("agent", "graph", "crew", "runner", "client", "server", "tool", "tools", "model")
        return sorted(
            self._parts.values(), key=lambda part: (order.index(part.kind), part.file, part.line, part.name)
        )

    def note(self, text: str) -> None:
        """Adds a note on what a person must do or know beside the lines."""
        self.notes[text] = None

    def _find_declared(self, name: str) -> Literal["", "effect", "read"]:
        if any(fnmatchcase(name, pattern) for pattern in self._effects if pattern == name):
            return "effect"
        if name in self._reads:
            return "read"
        if any(fnmatchcase(name, pattern) for pattern in self._effects):
            return "effect"
        return "read" if any(fnmatchcase(name, pattern) for pattern in self._reads) else ""

    # ---- edits

    def edit(self, source: SourceFile) -> FileEdits:
        """Returns the edits of a file."""
        found = self._edits.get(source)
        if found is None:
            found = self._edits[source] = FileEdits(source)
        return found

    def use_engine(self, source: SourceFile) -> str:
        """Returns the name of the engine for lines in a file, and notes that the file needs the engine."""
        self._users[source] = None
        return self._name if self._engine is None else self._engine.name

    def choose_name(self, source: SourceFile, *names: str) -> str:
        """Returns the first of these names that a file does not use; the last one if it uses all."""
        return next((name for name in names if name not in source.names), names[-1])

    def finish(self) -> tuple[list[FileEdits], str | None]:
        """Adds the engine to the lines. Returns all edits, and the text of a new module for the engine, or None if there is
        none.
        """
        effects = self._list_names([part for part in self.parts if part.must_declare])
        if self._engine is not None:
            self._declare_in(self._engine, effects)
            for source in self._users:
                self._import_engine(self._engine, source)
        made = None
        if self._engine is None and self._users:
            made = self._make_engine(effects)
        return [edits for edits in self._edits.values() if edits], made

    def _import_engine(self, engine: _Engine, source: SourceFile) -> None:
        """Adds the import of the application's own engine to a file."""
        there = engine.source
        if source is there or engine.name in source.imports:
            return
        self._import_from(source, there.path, engine.name)
        imported = [self.app.find_module(there, each.module, each.level) for each in there.imports.values()]
        if source in imported:
            self.note(
                f"{there.name} imports {source.name}, which would have to import {engine.name!r} from {there.name}: move the "
                "engine into a separate module"
            )

    def _make_engine(self, effects: Sequence[str]) -> str | None:
        reads = self._list_names(
            [part for part in self.parts if part.seems == "read" and not part.declared and part.gated != "no"]
        )
        arguments = [f'"{JOURNAL}"']
        arguments += [f"effects={write_list(effects)}"] if effects else []
        arguments += [f"reads={write_list(reads)}"] if reads else []
        text = f"{self._name} = {write_call('Engine', arguments)}"
        if len(self._users) == 1:
            (source,) = self._users
            edits = self.edit(source)
            edits.add_import("seawall", "Engine")
            edits.add_definition(text, first=True)
            return None
        folder = self.engine_file
        for source in self._users:
            self._import_from(source, folder, self._name)
        doc = '"""The gate for this application: one engine, and one journal."""'
        return f"{doc}\n\nfrom seawall import Engine\n\n{text}\n"

    def _list_names(self, tools: Sequence[FoundPart]) -> list[str]:
        """Returns the names by which tools are declared, each once. Tools of MCP servers are left out: they are declared to the
        proxy.
        """
        names = [
            tool.name
            for tool in tools
            if tool.framework != "mcp" and not tool.guessed and _NAME.fullmatch(tool.name)
        ]
        return list(dict.fromkeys(names))

    @property
    def engine_file(self) -> Path:
        """The path for the new module of the engine: in the deepest folder that contains all files that need it."""
        folders = [source.path.parent for source in self._users]
        common = folders[0]
        while any(common != folder and common not in folder.parents for folder in folders):
            common = common.parent
        return common / f"{ENGINE_MODULE}.py"

    def _import_from(self, source: SourceFile, file: Path, name: str) -> None:
        """Adds the import of a name from another file of the application."""
        self.edit(source).add_import(_name_module(source, file), name)

    def _declare_in(self, engine: _Engine, effects: Sequence[str]) -> None:
        """Adds tools to the effects of the application's own engine."""
        if not effects:
            return
        quoted = [f'"{name}"' for name in effects]
        edits, given = self.edit(engine.source), get_argument(engine.call, "effects")
        if isinstance(given, ast.Dict):
            edits.add_entries(given, [f"{name}: True" for name in quoted])
        else:
            edits.add_item(engine.call, "effects", ", ".join(quoted))


def _name_module(source: SourceFile, file: Path) -> str:
    """Returns the module name by which a file imports another one: relative inside of a package, otherwise absolute."""
    folder, here, dots = file.parent.resolve(), source.path.parent.resolve(), 1
    # a folder without __init__.py is a package too, if its files import each other by relative names
    has_relative = any(isinstance(node, ast.ImportFrom) and node.level for node in source.nodes)
    while (
        (_is_package(here) or (has_relative and dots == 1)) and here != folder and here not in folder.parents
    ):
        here, dots = here.parent, dots + 1
    if _is_package(here) or (has_relative and dots == 1):
        return "." * dots + ".".join([*folder.parts[len(here.parts) :], file.stem])
    parts = [file.stem]
    while _is_package(folder) and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def name_value(call: ast.Call, source: SourceFile, default: str, argument: str = "name") -> str:
    """Returns a name for the object that a call makes: its `name` argument, the variable that it is assigned to, or the
    function that returns it.
    """
    if text := read_text(get_argument(call, argument)):
        return text
    node: ast.AST | None = source.find_parent(call)
    while isinstance(node, ast.Await) or (isinstance(node, ast.Call) and _is_gate(node)):
        node = source.find_parent(node)
    match node:
        case (
            ast.Assign(targets=[target])
            | ast.AnnAssign(target=target)
            | ast.withitem(optional_vars=ast.expr() as target)
        ):
            name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
            return name or default
        case ast.Return():
            around = next(
                (each for each in source.list_scopes(call) if not isinstance(each, ast.Lambda)), None
            )
            return getattr(around, "name", default)
        case _:
            return default


def _is_gate(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id.startswith("gate_")


def _read_name(name: str) -> Literal["", "effect", "read"]:
    if seems_to_write(name):
        return "effect"
    return "read" if seems_to_read(name) else ""


def _find_engine(app: Application) -> _Engine | None:
    """Returns the engine that a module of the application holds; None if there is none. An engine that a function makes is left
    out, because it can't be imported.
    """
    for source in app.list_known():
        for call in source.calls:
            if not any(
                ends_with(each, SEAWALL, frozenset({"Engine"})) for each in app.find_callees(call, source)
            ):
                continue
            parent = source.find_parent(call)
            at_top = isinstance(next(source.list_scopes(call)), ast.Module)
            if at_top and isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
                return _Engine(parent.targets[0].id, call, source)
    return None


def _list_declared(app: Application) -> tuple[list[str], list[str]]:
    """Returns the names and patterns that the application declares as effects and as reads, in any call of Seawall."""
    effects: list[str] = []
    reads: list[str] = []
    for source in app.list_known():
        for call in source.calls:
            if any(name.startswith("seawall.") for name in app.find_callees(call, source)):
                effects += _list_texts(app, get_argument(call, "effects"), source)
                reads += _list_texts(app, get_argument(call, "reads"), source)
    return effects, reads


def _list_texts(app: Application, node: ast.expr | None, source: SourceFile) -> Iterator[str]:
    if node is None:
        return
    for value in app.resolve(node, source):
        if isinstance(value.node, ast.Dict):
            yield from (text for key in value.node.keys if (text := read_text(key)))
        else:
            yield from (
                text for item in app.expand(value.node, value.source) if (text := read_text(item.node))
            )
