"""Finds the values of names in an application, as far as its source shows them.

Values are followed through assignments, both branches of a condition, list additions, returned values, arguments of calls, and
modules of the application itself. A value that is computed at run time is not known; the expression itself stands for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seawall.wrap.source import Function, ImportedName, SourceFile, SourceProblem, read_source

MAX_DEPTH = 12
"""Steps from a name to its value. A longer way goes round in a circle."""
MAX_VALUES = 200
"""Values of one name, or items of one list. No agent has more tools."""
MAX_CALLERS = 20
"""Callers of a function whose arguments are read."""
_COPIES = frozenset({"list", "tuple", "set", "sorted", "reversed", "deepcopy", "copy"})


class SourceValue(NamedTuple):
    """A value of an expression: a definition, a call, another expression, or a name that is imported from outside."""

    node: ast.AST
    source: SourceFile
    dotted: str = ""
    """The full dotted name, if the value is imported from outside of the application; otherwise ""."""

    @property
    def definition(self) -> Function | None:
        """The function, if the value is a function of the application; otherwise None."""
        return self.node if isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef) else None

    @property
    def line(self) -> int:
        """The line of the value; 0 if it has none."""
        return getattr(self.node, "lineno", 0)


class _Bindings:
    """The names that one scope binds."""

    def __init__(self, scope: ast.AST) -> None:
        self.values: dict[str, list[ast.AST]] = {}
        self.items: dict[str, list[ast.expr]] = {}
        """The items that are added to a list, by the list's name."""
        self.more: dict[str, list[ast.expr]] = {}
        """The lists that are added to a list, by the list's name."""
        self.parameters = _list_parameters(scope)
        for node in _walk_scope(scope):
            self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self._bind(node.name, node)
            case ast.Assign():
                for target in node.targets:
                    self._bind_target(target, node.value)
            case ast.AnnAssign(value=ast.expr() as value):
                self._bind_target(node.target, value)
            case ast.NamedExpr():
                self._bind_target(node.target, node.value)
            case ast.AugAssign(op=ast.Add()) if (name := _name_target(node.target)) is not None:
                self.more.setdefault(name, []).append(node.value)
            case ast.withitem(optional_vars=ast.expr() as target):
                self._bind_target(target, node.context_expr)
            case ast.Call(func=ast.Attribute(attr=method)) if node.args:
                self._learn_addition(node, method)
            case _:
                pass

    def _learn_addition(self, call: ast.Call, method: str) -> None:
        assert isinstance(call.func, ast.Attribute)
        name = _name_target(call.func.value)
        if name is None:
            return
        if method in ("append", "add", "insert"):
            self.items.setdefault(name, []).append(call.args[-1])
        elif method in ("extend", "update"):
            self.more.setdefault(name, []).append(call.args[0])

    def _bind_target(self, target: ast.expr, value: ast.expr) -> None:
        name = _name_target(target)
        if name is not None:
            self._bind(name, value)
        elif (
            isinstance(target, ast.Tuple)
            and isinstance(value, ast.Tuple)
            and len(target.elts) == len(value.elts)
        ):
            for each, its in zip(target.elts, value.elts, strict=True):
                self._bind_target(each, its)

    def _bind(self, name: str, value: ast.AST) -> None:
        self.values.setdefault(name, []).append(value)


class Application:
    """The files of an application, and the application's modules that they import."""

    def __init__(self, sources: Sequence[SourceFile]) -> None:
        self.sources = list(sources)
        """The files that were given."""
        self._files: dict[Path, SourceFile | SourceProblem] = {
            source.path.resolve(): source for source in sources
        }
        self._bindings: dict[ast.AST, _Bindings] = {}
        self._modules: dict[tuple[tuple[Path, ...], str], SourceFile | None] = {}
        """The modules that were looked for, by the folders that were searched and the module's name."""
        self._callees: dict[ast.Call, list[str]] = {}
        self._resolved: dict[ast.AST, list[SourceValue]] = {}
        """The values of names and attributes."""
        self._expanded: dict[ast.AST, list[SourceValue] | None] = {}
        self._calls: dict[str, list[tuple[ast.Call, SourceFile]]] = {}
        """All calls, by the last part of the called name."""
        for source in sources:
            self._index_calls(source)

    def __repr__(self) -> str:
        return f"<Application of {len(self.sources)} files>"

    def list_known(self) -> list[SourceFile]:
        """Returns every file that was read, also files that others import."""
        return [each for each in self._files.values() if isinstance(each, SourceFile)]

    def _index_calls(self, source: SourceFile) -> None:
        for call in source.calls:
            self._calls.setdefault(_end_of(call.func), []).append((call, source))

    # ---- modules

    def find_module(self, source: SourceFile, module: str, level: int = 0) -> SourceFile | None:
        """Returns a module of the application itself; None if it is imported from outside."""
        if level:
            start = source.path.parent
            for _ in range(level - 1):
                start = start.parent
            return self._find_in((start,), module)
        # Seawall's own modules are not the application's
        own = module and module.partition(".")[0] != "seawall"
        return self._find_in(source.roots, module) if own else None

    def _find_in(self, folders: tuple[Path, ...], module: str) -> SourceFile | None:
        key = (folders, module)
        if key not in self._modules:
            self._modules[key] = self._load_module(folders, module)
        return self._modules[key]

    def _load_module(self, folders: Sequence[Path], module: str) -> SourceFile | None:
        parts = module.split(".") if module else []
        for folder in folders:
            at = folder.joinpath(*parts)
            for file in (at.with_name(f"{at.name}.py") if parts else None, at / "__init__.py"):
                if file is not None and file.is_file():
                    return self._load(file)
        return None

    def _load(self, file: Path) -> SourceFile | None:
        path = file.resolve()
        if path not in self._files:
            read = self._files[path] = read_source(path)
            if isinstance(read, SourceFile):
                self._index_calls(read)
        found = self._files[path]
        return found if isinstance(found, SourceFile) else None

    def imports_root(self, source: SourceFile, roots: Sequence[str]) -> bool:
        """Returns whether a file imports one of these packages. A module of the application with the same name does not
        count.
        """
        for imported in source.imports.values():
            if imported.level:
                continue
            dotted = imported.dotted
            for root in roots:
                if (dotted == root or dotted.startswith(f"{root}.")) and not self._is_own(
                    source, root.partition(".")[0]
                ):
                    return True
        return False

    def _is_own(self, source: SourceFile, name: str) -> bool:
        return self.find_module(source, name) is not None

    # ---- values

    def resolve(self, node: ast.AST, source: SourceFile, depth: int = 0) -> list[SourceValue]:
        """Returns the values that an expression may have. If they are not known, it returns the expression itself."""
        if depth > MAX_DEPTH:
            return [SourceValue(node, source)]
        found: list[SourceValue] = []
        match node:
            case ast.Name() | ast.Attribute():
                found = self._resolve_bound(node, source, depth)
            case ast.Await() | ast.Starred() | ast.NamedExpr():
                found = self.resolve(node.value, source, depth + 1)
            case ast.Subscript() if _is_generic(node):
                found = self.resolve(node.value, source, depth + 1)
            case ast.IfExp():
                found = [
                    *self.resolve(node.body, source, depth + 1),
                    *self.resolve(node.orelse, source, depth + 1),
                ]
            case ast.BoolOp():
                found = [each for value in node.values for each in self.resolve(value, source, depth + 1)]
            case _:
                pass
        return found[:MAX_VALUES] or [SourceValue(node, source)]

    def _resolve_bound(
        self, node: ast.Name | ast.Attribute, source: SourceFile, depth: int
    ) -> list[SourceValue]:
        known = self._resolved.get(node)
        if known is None:
            known = self._resolved[node] = []  # a circle that leads back here finds no value
            found: list[SourceValue] = []
            for bound in self._look_up(node, source, depth):
                found += [bound] if bound.dotted else self.resolve(bound.node, bound.source, depth + 1)
            known += list(dict.fromkeys(found))[:MAX_VALUES]
        return known

    def _look_up(self, node: ast.Name | ast.Attribute, source: SourceFile, depth: int) -> list[SourceValue]:
        """Returns the expressions that a name or an attribute is bound to; [] if nothing is known of it."""
        if isinstance(node, ast.Name):
            return self._look_up_name(node, source, depth)
        return self._look_up_attribute(node, source, depth)

    def _look_up_name(self, node: ast.Name, source: SourceFile, depth: int) -> list[SourceValue]:
        """Returns the expressions that a name is bound to."""
        own = next(iter(source.list_scopes(node)), None)
        for scope in source.list_scopes(node):
            if isinstance(scope, ast.ClassDef) and scope is not own:
                continue
            bindings = self._get_bindings(scope)
            if node.id in bindings.values:
                found = [SourceValue(each, source) for each in bindings.values[node.id] if each is not node]
                # a module that binds an imported name again mostly does so in case that the import fails
                again = source.imports.get(node.id) if isinstance(scope, ast.Module) else None
                return found if again is None else [*found, *self._look_up_import(again, node, source, depth)]
            if node.id in bindings.parameters:
                return self._look_up_parameter(node.id, scope, source)
        imported = source.imports.get(node.id)
        return [] if imported is None else self._look_up_import(imported, node, source, depth)

    def _look_up_import(
        self, imported: ImportedName, node: ast.AST, source: SourceFile, depth: int
    ) -> list[SourceValue]:
        name = imported.name
        module = self.find_module(source, imported.module, imported.level)
        if module is not None and name:
            found = self.find_in_module(module, name, depth + 1)
            if found:
                return found
        if name:  # the imported name may itself be a module
            inner = ".".join(part for part in (imported.module, name) if part)
            module = self.find_module(source, inner, imported.level) or module
        if module is not None:
            return [SourceValue(module.tree, module)]
        return [SourceValue(node, source, imported.dotted)]

    def find_in_module(self, module: SourceFile, name: str, depth: int = 0) -> list[SourceValue]:
        """Returns the expressions that a name is bound to in a module; [] if it is not bound there."""
        bindings = self._get_bindings(module.tree)
        if name in bindings.values:
            return [SourceValue(each, module) for each in bindings.values[name]]
        imported = module.imports.get(name)
        if imported is None or depth > MAX_DEPTH:
            return []
        return self._look_up_import(imported, module.tree, module, depth + 1)

    def _look_up_attribute(self, node: ast.Attribute, source: SourceFile, depth: int) -> list[SourceValue]:
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            owner = next(
                (scope for scope in source.list_scopes(node) if isinstance(scope, ast.ClassDef)), None
            )
            return [] if owner is None else self._look_up_member(owner, node.attr, source, depth)
        found: list[SourceValue] = []
        for value in self.resolve(node.value, source, depth + 1):
            if isinstance(value.node, ast.Module):
                found += self.find_in_module(value.source, node.attr, depth + 1)
            elif value.dotted:
                found.append(SourceValue(node, source, f"{value.dotted}.{node.attr}"))
            elif isinstance(value.node, ast.ClassDef):
                found += self._look_up_member(value.node, node.attr, value.source, depth)
            elif isinstance(value.node, ast.Call):
                for made in self.resolve(value.node.func, value.source, depth + 1):
                    if isinstance(made.node, ast.ClassDef):
                        found += self._look_up_member(made.node, node.attr, made.source, depth)
        return found

    def _look_up_member(
        self, owner: ast.ClassDef, name: str, source: SourceFile, depth: int
    ) -> list[SourceValue]:
        """Returns the values of an attribute of a class's instances: a method, a class attribute, or values of `self.x = …`."""
        found = [SourceValue(each, source) for each in self._get_bindings(owner).values.get(name, ())]
        for method in owner.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                values = self._get_bindings(method).values.get(f"self.{name}", ())
                found += [SourceValue(each, source) for each in values]
        for base in () if found or depth > MAX_DEPTH else owner.bases:
            for parent in self.resolve(base, source, depth + 1):
                if isinstance(parent.node, ast.ClassDef) and parent.node is not owner:
                    found += self._look_up_member(parent.node, name, parent.source, depth + 1)
        return found

    def _look_up_parameter(self, name: str, scope: ast.AST, source: SourceFile) -> list[SourceValue]:
        """Returns the arguments that callers of a function pass for a parameter, or its default."""
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            return []
        return [SourceValue(*given) for given in self._list_given(name, scope, source)]

    def _list_given(
        self, name: str, scope: Function, source: SourceFile
    ) -> list[tuple[ast.expr, SourceFile]]:
        given: list[tuple[ast.expr, SourceFile]] = []
        positions = [argument.arg for argument in (*scope.args.posonlyargs, *scope.args.args)]
        if positions[:1] in (["self"], ["cls"]):
            positions = positions[1:]
        callee: Function | ast.ClassDef = scope
        around = next(iter(source.list_scopes(scope)), None)
        if scope.name == "__init__" and isinstance(around, ast.ClassDef):
            callee = around
        is_method = callee is scope and isinstance(around, ast.ClassDef)
        for call, caller in self._calls.get(callee.name, ())[:MAX_CALLERS]:
            if not self._may_call(call, caller, callee, is_method=is_method):
                continue
            by_name = next((each.value for each in call.keywords if each.arg == name), None)
            place = positions.index(name) if name in positions else len(call.args)
            if by_name is not None:
                given.append((by_name, caller))
            elif place < len(call.args):
                given.append((call.args[place], caller))
        return given or [(each, source) for each in _find_default(scope, name)]

    def _may_call(
        self, call: ast.Call, source: SourceFile, callee: Function | ast.ClassDef, *, is_method: bool
    ) -> bool:
        """Returns whether a call may call this function or class. A method call on an object that is not known may, too."""
        values = self.resolve(call.func, source)
        if any(value.node is callee for value in values):
            return True
        unknown = all(value.node is call.func and not value.dotted for value in values)
        return is_method and unknown and isinstance(call.func, ast.Attribute)

    def _get_bindings(self, scope: ast.AST) -> _Bindings:
        found = self._bindings.get(scope)
        if found is None:
            found = self._bindings[scope] = _Bindings(scope)
        return found

    # ---- lists

    def expand(self, node: ast.AST, source: SourceFile, depth: int = 0) -> list[SourceValue]:
        """Returns the items of a list, also of one that is put together from others. If they are not known, it returns the list
        expression as one value.
        """
        if depth > MAX_DEPTH:
            return [SourceValue(node, source)]
        match node:
            case ast.List() | ast.Tuple() | ast.Set():
                found = self._expand_items(node.elts, source, depth)
            case ast.Dict():
                found = self._expand_items(node.values, source, depth)
            case ast.Constant(value=None):
                found = []
            case ast.Call():
                found = self._expand_call(node, source, depth)
            case ast.Name() | ast.Attribute():
                found = self._expand_name(node, source, depth)
            case _:
                parts = _list_parts(node)
                found = (
                    [each for part in parts for each in self.expand(part, source, depth + 1)]
                    if parts
                    else None
                )
        return [SourceValue(node, source)] if found is None else found[:MAX_VALUES]

    def _expand_items(self, items: Sequence[ast.expr], source: SourceFile, depth: int) -> list[SourceValue]:
        found: list[SourceValue] = []
        for item in items:
            if isinstance(item, ast.Starred):
                found += self.expand(item.value, source, depth + 1)
            else:
                found += self.resolve(item, source, depth + 1)
        return found

    def _expand_call(self, call: ast.Call, source: SourceFile, depth: int) -> list[SourceValue] | None:
        if _end_of(call.func) in _COPIES and len(call.args) == 1:
            return self.expand(call.args[0], source, depth + 1)
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("values", "copy") and not call.args:
            return self.expand(call.func.value, source, depth + 1)
        found: list[SourceValue] = []
        for value in self.resolve(call.func, source, depth + 1):
            if value.definition is None:
                return None
            for returned in list_returns(value.definition):
                found += self.expand(returned, value.source, depth + 1)
        return found or None

    def _expand_name(
        self, node: ast.Name | ast.Attribute, source: SourceFile, depth: int
    ) -> list[SourceValue] | None:
        """Returns the items of the list of this name, with those that are added later; None if nothing is known of it."""
        if node in self._expanded:
            return self._expanded[node]
        self._expanded[node] = []  # a circle that leads back here finds no items
        bound = self._look_up(node, source, depth)
        found: list[SourceValue] = []
        for value in bound:
            found += [value] if value.dotted else self.expand(value.node, value.source, depth + 1)
        name = _name_target(node)
        for scope in source.list_scopes(node) if name is not None else ():
            bindings = self._get_bindings(scope)
            for item in bindings.items.get(name or "", ()):
                found += self.resolve(item, source, depth + 1)
            for added in bindings.more.get(name or "", ()):
                found += self.expand(added, source, depth + 1)
            if name in bindings.values or name in bindings.parameters:
                break
        self._expanded[node] = list(dict.fromkeys(found))[:MAX_VALUES] if bound or found else None
        return self._expanded[node]

    # ---- calls

    def find_callees(self, call: ast.Call, source: SourceFile) -> list[str]:
        """Returns the full dotted names of the outside functions and classes that a call may call. For a class of the
        application that is made as its base is made, it is the base.
        """
        if call not in self._callees:
            found = self._callees[call] = self._find_base_init(call, source)
            for each in self.resolve(call.func, source):
                if each.dotted:
                    found.append(each.dotted)
                elif isinstance(each.node, ast.ClassDef) and not _has_init(each.node):
                    found += self.list_bases(each.node, each.source)  # its calls are those of its base
        return self._callees[call]

    def _find_base_init(self, call: ast.Call, source: SourceFile) -> list[str]:
        """Returns the full dotted names of the outside classes that `super().__init__(…)` makes; [] for another call."""
        match call.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"):
                owner = next(
                    (each for each in source.list_scopes(call) if isinstance(each, ast.ClassDef)), None
                )
                return [] if owner is None else self.list_bases(owner, source)
            case _:
                return []

    def find_arguments(
        self, call: ast.Call, source: SourceFile, name: str, position: int | None = None
    ) -> list[SourceValue]:
        """Returns what a call is given for an argument, also in `**options`; [] if nothing is known of it."""
        given = get_argument(call, name, position)
        if given is not None:
            return [SourceValue(given, source)]
        unpacked = [keyword.value for keyword in call.keywords if keyword.arg is None]
        return [found for each in unpacked for found in self._find_entries(each, source, name, 0)]

    def expand_argument(
        self, call: ast.Call, source: SourceFile, name: str, position: int | None = None
    ) -> list[SourceValue]:
        """Returns the items of the list that a call is given for an argument."""
        given = self.find_arguments(call, source, name, position)
        return [item for each in given for item in self.expand(each.node, each.source)]

    def _find_entries(
        self, node: ast.expr, source: SourceFile, name: str, depth: int
    ) -> Iterator[SourceValue]:
        """Yields the values under a name in a mapping: `{"tools": …}` or `dict(tools=…)`, also inside of other ones."""
        for value in self.resolve(node, source) if depth <= MAX_DEPTH else ():
            entries: list[tuple[str | None, ast.expr]] = []
            match value.node:
                case ast.Dict(keys=keys, values=values):
                    entries = [
                        (None if key is None else read_text(key), each)
                        for key, each in zip(keys, values, strict=True)
                    ]
                case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords):
                    entries = [(None, each) for each in args] + [(each.arg, each.value) for each in keywords]
                case _:
                    pass
            for key, each in entries:
                if key is None:
                    yield from self._find_entries(each, value.source, name, depth + 1)
                elif key == name:
                    yield SourceValue(each, value.source)

    def find_makers(self, node: ast.AST, source: SourceFile, depth: int = 0) -> list[tuple[str, SourceValue]]:
        """Returns the calls that have made the value of an expression, each as the full dotted name that was called and the
        call.

        For a value that a function of the application returns, these are the calls in that function.
        """
        found: list[tuple[str, SourceValue]] = []
        if depth > MAX_DEPTH:
            return found
        for value in self.resolve(node, source):
            if not isinstance(value.node, ast.Call):
                continue
            for callee in self.resolve(value.node.func, value.source):
                if callee.dotted:
                    found.append((callee.dotted, value))
                elif callee.definition is not None:
                    for returned in list_returns(callee.definition):
                        found += self.find_makers(returned, callee.source, depth + 1)
                elif isinstance(callee.node, ast.ClassDef):
                    found += [(base, value) for base in self.list_bases(callee.node, callee.source)]
            if isinstance(value.node.func, ast.Attribute):  # a chain: StateGraph(…).add_node(…)
                found += self.find_makers(value.node.func.value, value.source, depth + 1)
        return found

    def list_bases(self, node: ast.ClassDef, source: SourceFile, depth: int = 0) -> list[str]:
        """Returns the full dotted names of the outside classes that a class of the application inherits from."""
        found: list[str] = []
        for base in node.bases if depth <= MAX_DEPTH else ():
            for value in self.resolve(base, source):
                if value.dotted:
                    found.append(value.dotted)
                elif isinstance(value.node, ast.ClassDef):
                    found += self.list_bases(value.node, value.source, depth + 1)
        return found


def _has_init(node: ast.ClassDef) -> bool:
    return any(
        isinstance(each, ast.FunctionDef) and each.name in ("__init__", "__new__") for each in node.body
    )


def list_returns(function: Function) -> list[ast.expr]:
    """Returns the expressions that a function returns or yields, without those of functions inside of it."""
    return [
        node.value
        for node in _walk_scope(function)
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None
    ]


def get_argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """Returns an argument of a call by its name, also in `**{…}`, or by its position."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
        if keyword.arg is None and isinstance(keyword.value, ast.Dict):
            entries = zip(keyword.value.keys, keyword.value.values, strict=True)
            named = next((value for key, value in entries if read_text(key) == name), None)
            if named is not None:
                return named
    if position is not None and position < len(call.args):
        given = call.args[position]
        return None if isinstance(given, ast.Starred) else given
    return None


def read_text(node: ast.AST | None) -> str:
    """Returns the text of a string literal; "" for another node."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def ends_with(dotted: str, root: Sequence[str], names: frozenset[str]) -> bool:
    """Returns whether a full dotted name ends in one of `names` and is in one of the packages `root`, in any of its modules."""
    inside = any(dotted == each or dotted.startswith(f"{each}.") for each in root)
    return inside and (dotted.rpartition(".")[2] in names or ".".join(dotted.split(".")[-2:]) in names)


def _list_parts(node: ast.AST) -> list[ast.expr]:
    """Returns the lists that a list expression is put together from; [] if it is not put together from others."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.BitOr()):
            return [node.left, node.right]
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.BoolOp():
            return node.values
        case ast.ListComp(generators=[only], elt=ast.Name() | ast.Call()):
            return [only.iter]
        case ast.Await() | ast.NamedExpr() | ast.Subscript(slice=ast.Slice()):
            return [node.value]
        case _:
            return []


def _walk_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a scope, without those of the scopes inside of it."""
    waiting = [*ast.iter_child_nodes(scope)][::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += [*ast.iter_child_nodes(node)][::-1]


def _list_parameters(scope: ast.AST) -> frozenset[str]:
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return frozenset()
    given = scope.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return frozenset(each.arg for each in every)


def _find_default(scope: Function, name: str) -> Iterator[ast.expr]:
    positional = [*scope.args.posonlyargs, *scope.args.args]
    for argument, default in zip(reversed(positional), reversed(scope.args.defaults), strict=False):
        if argument.arg == name:
            yield default
    for argument, default in zip(scope.args.kwonlyargs, scope.args.kw_defaults, strict=True):
        if argument.arg == name and default is not None:
            yield default


def _name_target(node: ast.AST) -> str | None:
    """Returns the name that is bound, `x` or `self.x`; None for another target."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return None


def _end_of(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def _is_generic(node: ast.Subscript) -> bool:
    """Returns whether a subscript may hold the parameters of a type, as in `Agent[Deps, str]`."""
    nothing = isinstance(node.slice, ast.Constant) and node.slice.value is None
    return nothing or isinstance(node.slice, ast.Name | ast.Tuple | ast.Attribute | ast.Subscript)
