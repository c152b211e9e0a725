"""One name for one thing: no two classes of the package have the same name."""

from __future__ import annotations

import ast

from house import code


def test_every_class_name_is_defined_once() -> None:
    places: dict[str, list[str]] = {}
    for path in code.python("src"):
        for node in ast.walk(code.tree(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{code.name(path)}:{node.lineno}")

    assert {name: found for name, found in places.items() if len(found) > 1} == {}
