"""There is one way to a model and to a tool: through the gate.

    Driver._perform  →  Gate.perform  →  the team's `perform`  →  private functions beside it  →  model or tool

Whoever adds a second way fails here, and has to say why.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from house import code

MODEL_CALLS = {"respond", "stream"}
"""Methods of the `Model` protocol that go out to a model."""
TOOL_FUNCTION = "function"
"""`Tool.function`: what a tool runs. To read it is to be about to call it."""
PERFORM = "perform"

# Models may call models: a wrapper delegates. The tool itself is callable as the plain function that it wraps.
# The demo's provider is such a wrapper.
PROVIDER = code.SRC / "cli" / "demo" / "provider.py"
# A framework's context has a `function` of its own, which is its tool.
CONTEXT = code.SRC / "adapters" / "agent_framework" / "tools.py"
OUTSIDE = (code.SRC / "models", code.SRC / "testing", code.SRC / "team" / "tool.py", PROVIDER, CONTEXT)

THE_WAY = {
    ("src/seawall/engine/driver.py", "Driver._perform", "self._gate.perform"),
    ("src/seawall/engine/gate.py", "Gate.perform", "self._executor.perform"),
    # Of a loop that others own: an effect's question to the other side is Seawall's own to ask.
    ("src/seawall/runtime/foreign/logic.py", "ForeignExecutor.perform", "self._beside.perform"),
}
"""Who may ask for a step to be performed, and of whom."""


def _reaches_out(node: ast.AST) -> bool:
    """Whether an expression calls a model, or lays its hand on a tool's function."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in MODEL_CALLS
    return isinstance(node, ast.Attribute) and node.attr == TOOL_FUNCTION and isinstance(node.ctx, ast.Load)


def _outward(paths: list[Path]) -> dict[Path, set[str]]:
    """By file: the functions, by their own names, that reach a model or a tool."""
    found: dict[Path, set[str]] = {}
    for path in paths:
        inside: set[ast.AST] = set()
        for name, function in code.functions(path):
            reaching = {node for node in ast.walk(function) if _reaches_out(node)}
            inside |= reaching
            if reaching:
                found.setdefault(path, set()).add(name.rpartition(".")[2])
        loose = {node for node in ast.walk(code.tree(path)) if _reaches_out(node)} - inside
        assert not loose, f"{path} reaches a model or tool outside of any function"
    return found


@pytest.fixture(scope="module")
def product() -> dict[Path, set[str]]:
    """By file of the product: the functions that reach a model or a tool."""
    return _outward(
        [path for path in code.python("src") if not any(path.is_relative_to(each) for each in OUTSIDE)]
    )


def _names(function: code.Function) -> set[str]:
    """Every name and attribute that a function's body reads: what it may call, by whatever detour."""
    return {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)} | {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name)
    }


def _entrances(path: Path, reaching: set[str]) -> set[str]:
    """Functions of a file that lead to those in `reaching` and that nothing else of the file leads to."""
    users = {name.rpartition(".")[2]: _names(function) for name, function in code.functions(path)}
    ways = set(reaching)
    while more := {name for name, used in users.items() if used & ways and name != PERFORM} - ways:
        ways |= more
    ways |= {name for name, used in users.items() if name == PERFORM and used & ways}
    return {name for name in ways if not any(name in used for other, used in users.items() if other != name)}


def test_models_and_tools_are_reached_in_one_file_of_the_package(product: dict[Path, set[str]]) -> None:
    assert [code.name(path) for path in product] == ["src/seawall/runtime/executor.py"]


def test_perform_is_the_only_entrance_to_them(product: dict[Path, set[str]]) -> None:
    for path, reaching in product.items():
        assert _entrances(path, reaching) == {PERFORM}, code.name(path)
        public = {name for name in reaching if not name.startswith("_")} - {PERFORM}
        assert public == set(), f"{code.name(path)}: whoever sees these could go around the gate"


def test_only_the_gate_performs_and_only_the_driver_asks_it_to() -> None:
    found = {
        (code.name(path), name, code.dotted(node))
        for path in code.python("src")
        for name, function in code.functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == PERFORM and isinstance(node.ctx, ast.Load)
    }

    assert {site for site in found if not _is_a_flag(site[2])} == THE_WAY


def _is_a_flag(expression: str) -> bool:
    """`StepIntended.perform` is a field of that name, read from events and recorded steps."""
    return expression.rpartition(".")[0].rpartition(".")[2] in {"event", "intent", "step", "intended"}


def test_a_second_way_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "work.py"
    path.write_text(
        """
class Work:
    async def perform(self, step):
        return await self._ask(step)

    async def _ask(self, step):
        return await self.model.respond(step)

    async def warm_up(self):
        return await self._ask(None)

def run_now(tool):
    return submit(tool.function)
""",
        encoding="utf-8",
    )

    found = _outward([path])[path]

    assert found == {"_ask", "run_now"}
    assert _entrances(path, found) == {"perform", "warm_up", "run_now"}
