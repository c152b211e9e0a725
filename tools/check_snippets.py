"""Checks the types of the Python on the first pages that a user reads, with pyright in strict mode.

    python tools/check_snippets.py                       the pages in FRONT_DOOR
    python tools/check_snippets.py docs/how-to/pause.md  other pages

A page's blocks are one module, as in the tests that run them (`tests/docs/page.py`); a block with a title is also a
file of that name beside it. Prints each error with its line in the page; exit code 1 if there is any.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from docs import page  # noqa: E402 -- found once the line above has run

FRONT_DOOR = ("README.md", "docs/index.md", "docs/tutorial/index.md")
"""Other pages show how something goes wrong, or leave out what does not matter to them."""
CONFIG = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "reportUnusedVariable": "none",  # a page may show how a result is reached, and stop there
}


def awaits(text: str) -> bool:
    """Returns whether code awaits outside of a function, which a module can't do."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    nodes: list[ast.AST] = [compile(text, "page", "exec", flags=flags)]
    scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor):
            return True
        nodes += [child for child in ast.iter_child_nodes(node) if not isinstance(child, scopes)]
    return False


def write_modules(path: Path, folder: Path) -> None:
    """Writes the Python of a page into `folder`, every line at its line number in the page."""
    lines: list[str] = []
    for block in page.blocks(path.read_text(encoding="utf-8")):
        if block.language != "python":
            continue
        if block.title is not None:
            (folder / block.title).write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    text = "\n".join(lines) + "\n"
    if awaits(text):  # no code is on a page's first line
        text = "async def page() -> None:" + textwrap.indent(text, "    ")
    (folder / "page.py").write_text(text, encoding="utf-8")


def check(pages: list[Path]) -> list[str]:
    """Returns the errors that pyright finds on pages, each with its place."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made).resolve()
        folders = {place / f"page{number}": path for number, path in enumerate(pages)}
        for folder, path in folders.items():
            folder.mkdir()
            write_modules(path, folder)
        config = {**CONFIG, "executionEnvironments": [{"root": folder.name} for folder in folders]}
        (place / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
        done = subprocess.run([*command, "--project", made], capture_output=True, text=True, check=False)
        try:
            report: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            sys.exit(f"pyright did not run:\n{done.stdout}{done.stderr}")
    errors: list[str] = []
    for each in report["generalDiagnostics"]:
        path = folders[Path(each["file"]).parent]
        line = each["range"]["start"]["line"] + 1
        errors.append(f"{path}:{line}: {each['message']} ({each.get('rule', 'syntax')})")
    return errors


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]] or [ROOT / name for name in FRONT_DOOR]
    found = check(given)
    print("\n".join([*found, f"{len(given)} pages, {len(found)} errors"]))
    sys.exit(1 if found else 0)
