"""Reads YAML into plain values. Tags never create objects, and each use of an alias counts as a value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seawall.core.errors import Misused
from seawall.lint.reading.values import MAX_DEPTH, MAX_VALUES, Way, show

if TYPE_CHECKING:
    from yaml.nodes import Node

_PREFIX = "tag:yaml.org,2002:"
_TRUE, _FALSE = ("yes", "true", "on"), ("no", "false", "off")


def read_yaml(file: Path, text: str) -> tuple[object, dict[Way, int]]:
    """Returns the value of a YAML text, and the line of each value in it. Raises `Misused` if it can't be read."""
    try:
        import yaml as imported
    except ImportError as error:
        raise Misused(
            f"{file}: YAML needs the package that reads it: pip install 'path/to/seawall[lint]'; JSON is read without it"
        ) from error
    yaml: Any = imported  # its types are incomplete
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        # the depth is checked first, because the tree is made by recursion
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                line = event.start_mark.line + 1
                raise Misused(f"{file}:{line}: values are nested more than {MAX_DEPTH} deep")
        root = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise Misused(_describe_error(file, error)) from None
    if root is None:
        return None, {}
    reader = _NodeReader(file)
    return reader.read(root, ()), reader.lines


def _describe_error(file: Path, error: Exception) -> str:
    mark: Any = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{file}{line}: it is not YAML: {problem}"


class _NodeReader:
    """Turns the nodes of one document into values."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0
        self.lines: dict[Way, int] = {}

    def __repr__(self) -> str:
        return f"<_NodeReader of {self._file}: {self._count} values>"

    def read(self, node: Node, way: Way, depth: int = 1) -> object:
        """Returns the value of a node."""
        self._count += 1
        if depth > MAX_DEPTH:
            raise self._make_error(
                node, f"values are nested more than {MAX_DEPTH} deep, or refer to themselves"
            )
        if self._count > MAX_VALUES:
            raise self._make_error(
                node, f"it has more than {MAX_VALUES:,} values, each use of an alias counted"
            )
        self.lines.setdefault(way, node.start_mark.line + 1)
        kind, value = node.tag.removeprefix(_PREFIX), node.value
        if isinstance(value, str):
            return self._read_scalar(node, kind, value)
        if kind == "seq":
            return [self.read(item, (*way, number), depth + 1) for number, item in enumerate(value)]
        if kind == "map":
            return self._read_mapping(node, way, depth)
        raise self._make_error(node, f"it has the tag {show(node.tag)}; only plain values are read")

    def _read_mapping(self, node: Node, way: Way, depth: int) -> dict[Any, object]:
        found: dict[Any, object] = {}
        merged: dict[Any, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_PREFIX}merge":
                given = self.read(value_node, way, depth + 1)
                for each in cast("list[object]", given) if isinstance(given, list) else [given]:
                    if not isinstance(each, dict):
                        raise self._make_error(value_node, f"<< is {show(each)}; it must be a mapping")
                    merged = {**cast("dict[Any, object]", each), **merged}
                continue
            key = self.read(key_node, (), depth + 1)
            if isinstance(key, list | dict):
                raise self._make_error(key_node, f"a key is {show(cast('object', key))}; it must be text")
            if key in found:
                raise self._make_error(key_node, f"the key {show(key)} is in the same mapping twice")
            inner = (*way, key if isinstance(key, str | int) else str(key))
            self.lines.setdefault(inner, key_node.start_mark.line + 1)
            found[key] = self.read(value_node, inner, depth + 1)
        return {**merged, **found}

    def _read_scalar(self, node: Node, kind: str, text: str) -> object:
        """Returns the value of a scalar: a text, a number, a truth value or None. A date stays a text."""
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in _TRUE if text.lower() in (*_TRUE, *_FALSE) else text
        if kind in ("int", "float"):
            try:
                return int(text) if kind == "int" else float(text)
            except ValueError:
                return text
        if kind in ("str", "timestamp", "value"):
            return text
        raise self._make_error(node, f"it has the tag {show(node.tag)}; only plain values are read")

    def _make_error(self, node: Node, what: str) -> Misused:
        return Misused(f"{self._file}:{node.start_mark.line + 1}: {what}")
