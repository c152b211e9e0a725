"""The package waits for no thread of asyncio's default executor: those belong to the user's code, which may hold them all."""

from __future__ import annotations

import ast

from house import code

TAKES = ("to_thread", "getaddrinfo", "getnameinfo")
AS_ITS_FRAMEWORK = {"src/seawall/adapters/crewai/tools.py"}
"""Calls a tool of the user's where its framework would have called it."""


def _takes_default_thread(call: ast.Call) -> bool:
    name = code.dotted(call.func)
    if name.endswith("run_in_executor"):
        return not call.args or (isinstance(call.args[0], ast.Constant) and call.args[0].value is None)
    return name.rpartition(".")[2] in TAKES and not name.startswith("socket.")


def test_nothing_waits_for_a_thread_of_the_default_executor() -> None:
    found = {
        code.name(path)
        for path in code.python("src")
        for node in ast.walk(code.tree(path))
        if isinstance(node, ast.Call) and _takes_default_thread(node)
    }

    assert found == AS_ITS_FRAMEWORK
