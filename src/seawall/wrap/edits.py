"""The lines to add to an application, as edits of its text, and the diff that shows them. It writes no file."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seawall.wrap.source import SourceFile, split_lines

WIDTH = 100
"""Columns after which an added list is broken into lines."""
_LOOSE = (ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda, ast.NamedExpr, ast.UnaryOp)
"""Expressions that need brackets after a star."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


class FileEdits:
    """The edits of one file. They do not overlap: each is an insertion, or replaces a name."""

    def __init__(self, source: SourceFile) -> None:
        self.source = source
        self._edits: list[_Edit] = []
        self._imports: dict[str, set[str]] = {}
        self._definitions: dict[str, None] = {}
        self._done: set[tuple[int, str]] = set()
        starts = [0]
        for line in source.lines:
            starts.append(starts[-1] + len(line))
        self._starts = starts

    def __repr__(self) -> str:
        return f"<FileEdits of {self.source.name}>"

    def __bool__(self) -> bool:
        return bool(self._edits or self._definitions)

    def add_import(self, module: str, name: str) -> None:
        """Adds `from module import name`."""
        self._imports.setdefault(module, set()).add(name)

    def add_definition(self, text: str, *, first: bool = False) -> None:
        """Adds statements below the imports; `first`: above the others that are added."""
        if first:
            self._definitions = {text: None, **self._definitions}
        else:
            self._definitions[text] = None

    def add_item(self, call: ast.Call, keyword: str, item: str) -> None:
        """Adds an item to the list in a call's keyword argument. Adds the argument if it is missing."""
        if not self._begin(call.lineno * 10_000 + call.col_offset, keyword):
            return
        given = next((each.value for each in call.keywords if each.arg == keyword), None)
        unpacked = [each.value for each in call.keywords if each.arg is None]
        if given is None and len(unpacked) == 1 and isinstance(unpacked[0], ast.Name):
            name = unpacked[0].id  # the argument may be in it
            listed = f'[*({name}.get("{keyword}") or ()), {item}]'
            self._replace(unpacked[0], f'{{**{name}, "{keyword}": {listed}}}')
        elif given is None:
            self._add_argument(call, f"{keyword}=[{item}]")
        elif _is_none(given):
            self._replace(given, f"[{item}]")
        elif isinstance(given, ast.List):
            self._add_last(given, item)
        else:
            start, end = self._find_span(given)
            before, after = ("(", ")") if isinstance(given, _LOOSE) else ("", "")
            if self._may_be_none(given):
                before, after = "(", " or ())"
            self._edits += [_Edit(start, start, f"[*{before}"), _Edit(end, end, f"{after}, {item}]")]

    def _may_be_none(self, given: ast.expr) -> bool:
        """Returns whether this is a parameter that is None by default."""
        if not isinstance(given, ast.Name):
            return False
        for scope in self.source.list_scopes(given):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                each = scope.args
                ordered = [*each.posonlyargs, *each.args]
                pairs = [*zip(reversed(ordered), reversed(each.defaults), strict=False)]
                pairs += [
                    (arg, value)
                    for arg, value in zip(each.kwonlyargs, each.kw_defaults, strict=True)
                    if value
                ]
                if any(arg.arg == given.id for arg in (*ordered, *each.kwonlyargs)):
                    return any(arg.arg == given.id and _is_none(value) for arg, value in pairs)
        return False

    def add_entries(self, node: ast.Dict, entries: Sequence[str]) -> None:
        """Adds entries to a mapping."""
        self._add_last(node, ", ".join(entries))

    def add_argument(self, call: ast.Call, text: str) -> None:
        """Adds an argument to a call."""
        if self._begin(call.lineno * 10_000 + call.col_offset, text):
            self._add_argument(call, text)

    def wrap(self, node: ast.expr, before: str, after: str) -> None:
        """Puts a call around an expression."""
        if self._begin(node.lineno * 10_000 + node.col_offset, before):
            start, end = self._find_span(node)
            self._edits += [_Edit(start, start, before), _Edit(end, end, after)]

    def replace(self, node: ast.expr, text: str) -> None:
        """Replaces an expression by a text."""
        if self._begin(node.lineno * 10_000 + node.col_offset, text):
            self._replace(node, text)

    def put_inside(self, statement: ast.stmt, head: str) -> bool:
        """Puts a statement inside of a block. Returns False if the statement can't be indented, because it does not begin its
        line, or a string in it spans several lines.
        """
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        begun = self.source.lines[first - 1].encode()[: statement.col_offset + 4]
        if begun[: statement.col_offset].strip() or (
            isinstance(statement, ast.If) and begun.endswith(b"elif")
        ):
            return False
        if any(
            isinstance(node, ast.Constant | ast.JoinedStr) and node.lineno != (node.end_lineno or node.lineno)
            for node in ast.walk(statement)
        ):
            return False
        if self._begin(first * 10_000, head):
            indent = begun[: statement.col_offset].decode()
            step = "\t" if "\t" in indent else "    "
            at = self._starts[first - 1]
            self._edits.append(_Edit(at, at, f"{indent}{head}\n"))
            for number in range(first, last + 1):
                if self.source.lines[number - 1].strip():
                    self._edits.append(_Edit(self._starts[number - 1], self._starts[number - 1], step))
        return True

    def build_diff(self) -> str | None:
        """Returns the unified diff; None if the edited file could not be parsed, which would be a fault of these edits."""
        edited = self._apply()
        try:
            ast.parse(edited)
        except (SyntaxError, ValueError):
            return None
        return make_diff(self.source.name, self.source.text, edited)

    # ---- places

    def _begin(self, place: int, what: str) -> bool:
        if (place, what) in self._done:
            return False
        self._done.add((place, what))
        return True

    def _find_offset(self, line: int, column_bytes: int) -> int:
        text = self.source.lines[line - 1]
        return self._starts[line - 1] + len(text.encode()[:column_bytes].decode(errors="replace"))

    def _find_span(self, node: ast.expr) -> tuple[int, int]:
        start = self._find_offset(node.lineno, node.col_offset)
        end = self._find_offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return start, end

    def _replace(self, node: ast.expr, text: str) -> None:
        start, end = self._find_span(node)
        self._edits.append(_Edit(start, end, text))

    def _add_argument(self, call: ast.Call, text: str) -> None:
        generator = len(call.args) == 1 and isinstance(call.args[0], ast.GeneratorExp)
        if generator and not call.keywords:
            return
        self._add_last(call, text)

    def _add_last(self, node: ast.expr, text: str) -> None:
        """Adds an argument or an item before the bracket that closes a call or a list."""
        _, end = self._find_span(node)
        close = end - 1
        before = [
            token
            for token in self.source.tokens
            if self._starts[token.end[0] - 1] + token.end[1] <= close and token.string.strip()
        ][-1]
        at = self._starts[before.end[0] - 1] + before.end[1]
        closing_line = node.end_lineno or node.lineno
        broken = before.end[0] != closing_line
        if before.string in ("(", "[", "{"):
            self._edits.append(_Edit(at, at, text))
        elif not broken:
            self._edits.append(_Edit(at, at, f" {text}" if before.string == "," else f", {text}"))
        else:
            if before.string != ",":
                self._edits.append(_Edit(at, at, ","))
            first = self._find_first_line(node)
            line = self.source.lines[first - 1]
            indent = line[: len(line) - len(line.lstrip())]
            start = self._starts[closing_line - 1]
            self._edits.append(_Edit(start, start, f"{indent}{text},\n"))

    def _find_first_line(self, node: ast.expr) -> int:
        """Returns the line of the last argument or item that begins a line. The added line is indented like it."""
        if isinstance(node, ast.Call):
            given: Sequence[ast.AST] = [*node.args, *node.keywords]
        elif isinstance(node, ast.Dict):
            given = [each for each in node.keys if each is not None]
        else:
            given = node.elts if isinstance(node, ast.List) else []
        lines = [getattr(each, "lineno", node.lineno) for each in given]
        return max(
            (line for line in lines if line > node.lineno), default=lines[-1] if lines else node.lineno
        )

    # ---- the edited file

    def _apply(self) -> str:
        text = self.source.text
        edits = [*self._edits, *self._make_head()]
        in_order = sorted(edits, key=lambda edit: edit.start)  # edits of the same place keep their order
        for edit in reversed(in_order):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def _make_head(self) -> Iterable[_Edit]:
        known = {
            (imported.module, imported.name)
            for local, imported in self.source.imports.items()
            if local == imported.name
        }
        lines = [
            f"from {module} import {', '.join(new)}"
            for module, names in sorted(self._imports.items())
            if (new := sorted(name for name in names if (module, name) not in known))
        ]
        if not lines and not self._definitions:
            return
        last = _find_last_import(
            self.source.tree, min((edit.start for edit in self._edits), default=None), self
        )
        at = 0 if last is None else self._starts[min(last.end_lineno or last.lineno, len(self._starts) - 1)]
        newline = "" if at == 0 or self.source.text[at - 1] == "\n" else "\n"
        text = "".join(f"{line}\n" for line in lines)
        if self._definitions:
            body = "".join(f"{each}\n" for each in self._definitions)
            text = f"{text}\n{body}"
        yield _Edit(at, at, newline + text)

    def find_offset_of(self, node: ast.stmt) -> int:
        """Returns the offset in the text at which a statement's first line begins."""
        return self._starts[node.lineno - 1]


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _find_last_import(tree: ast.Module, before: int | None, edits: FileEdits) -> ast.stmt | None:
    """Returns the last import at the top of a file, above its first edit. Without imports it returns the docstring, if any."""
    found: ast.stmt | None = None
    for statement in tree.body:
        if before is not None and edits.find_offset_of(statement) >= before:
            break
        if isinstance(statement, ast.Import | ast.ImportFrom) or (
            found is None and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            found = statement
    return found


def make_diff(name: str, old: str, new: str) -> str:
    """Returns the unified diff of a file. If `old` is empty, it is the diff of a new file."""
    lines = difflib.unified_diff(
        split_lines(old),
        split_lines(new),
        f"a/{name}" if old else "/dev/null",
        f"b/{name}",
        n=2,
    )
    without_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + without_end for line in lines)


def write_call(name: str, arguments: Sequence[str]) -> str:
    """Returns a call as code: in one line or, if that is too long, with one argument on each line."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + ")"


def write_list(names: Iterable[str]) -> str:
    """Returns a list of texts as code."""
    quoted = ", ".join(f'"{name}"' if '"' not in name and "\\" not in name else repr(name) for name in names)
    return f"[{quoted}]"
