"""Runs what a page of the documentation shows.

A page's ```python blocks share one module and run in order, with top-level `await` allowed. One with
`title="app.py"` is written to that file and imported from it, and the later blocks have its names. In ```console blocks, every `$ seawall …` and `$ python …`
line is run, and the lines below it must be its output (`…` stands for anything; no lines: anything).
`# exit 3` after a command is its exit code. An HTML comment that opens with `<!-- python` runs unseen.
`<!-- skip: why -->` on the line above leaves a block out. A page with `<!-- apart: FOLDER -->` needs a framework that
is not here, and the tests in tests/apart/FOLDER run it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import warm_python

ROOT = Path(__file__).resolve().parents[2]
COMMAND_S = 60

_BLOCK = re.compile(
    r"(?:^[ \t]*<!-- skip: (?P<skip>[^\n]+?) -->\n)?^(?P<indent>[ \t]*)```(?P<language>python|console)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```[ \t]*$"
    r"|^<!-- python\n(?P<hidden>.*?)^-->[ \t]*$",
    re.DOTALL | re.MULTILINE,
)


_APART = re.compile(r"^<!-- apart: (\w+) -->$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A piece of a page that runs; `line` is that of its first line, from 1."""

    language: str
    text: str
    line: int
    title: str | None = None
    skip: str | None = None


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of a console block, and what the page says it prints."""

    words: list[str]
    output: str
    exit_code: int
    line: int


def find_folder(text: str) -> str | None:
    """The folder of tests/apart whose tests run a page; None: it runs here."""
    found = _APART.search(text)
    return None if found is None else found[1]


def blocks(text: str) -> Iterator[Block]:
    """What runs on a page, in order."""
    for match in _BLOCK.finditer(text):
        if match["hidden"] is not None:
            yield Block(language="python", text=match["hidden"], line=text.count("\n", 0, match.start()) + 2)
            continue
        title = re.search(r'title="([^"]*)"', match["info"])
        body = match["text"]
        if match["indent"]:
            body = "".join(line.removeprefix(match["indent"]) for line in body.splitlines(keepends=True))
        yield Block(
            language=match["language"],
            text=body,
            line=text.count("\n", 0, match.start("text")) + 1,
            title=title[1] if title else None,
            skip=match["skip"],
        )


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block that can run here."""
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        code = re.search(r"\s# exit (\d+)\s*$", lines[start])
        words = shlex.split(lines[start][2:], comments=True)
        if words and words[0] in ("seawall", "python"):
            yield Command(
                words=words,
                output="\n".join(lines[start + 1 : end]).strip(),
                exit_code=int(code[1]) if code else 0,
                line=block.line + start,
            )


def matches(shown: str, got: str) -> bool:
    """Whether `got` is what the page shows, where `…` stands for anything."""
    plain = "\n".join(line.rstrip() for line in got.strip().splitlines())
    pattern = ".*?".join(re.escape(part) for part in shown.split("…"))
    return re.fullmatch(pattern, plain, re.DOTALL) is not None


def run(page: Path, directory: Path, module: ModuleType) -> int:
    """Run a page in `directory`; the number of blocks and commands that ran. Raises what they raise."""
    ran = 0
    with asyncio.Runner() as runner, _forgotten_after(directory):
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.skip is not None:
                continue
            if block.language == "console":
                for command in commands(block):
                    _run_command(command, page, directory)
                    ran += 1
                continue
            importlib.invalidate_caches()  # a block before may have written a file just now
            if block.title is None:
                _run_python(block, page, module, runner)
            else:
                _import_file(block, directory / block.title, module)
            ran += 1
    return ran


@contextlib.contextmanager
def _forgotten_after(directory: Path) -> Iterator[None]:
    """Forget the modules that were imported from `directory`: another page's `app` is not this one's."""
    try:
        yield
    finally:
        for name, known in list(sys.modules.items()):
            file = getattr(known, "__file__", None)
            if file and Path(file).is_relative_to(directory):
                del sys.modules[name]


def _import_file(block: Block, path: Path, module: ModuleType) -> None:
    """Save a block and import it as a reader would in a new Python: under its file's name, without what came before."""
    path.write_text(block.text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, path
    saved = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(saved)
    vars(module).update({name: each for name, each in vars(saved).items() if not name.startswith("__")})


def _run_python(block: Block, page: Path, module: ModuleType, runner: asyncio.Runner) -> None:
    source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own line
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, vars(module))  # noqa: S102 - to run a page is what this is for
        return

    async def awaited() -> None:
        await eval(code, vars(module))  # noqa: S307 - as above

    runner.run(awaited())


def _run_command(command: Command, page: Path, directory: Path) -> None:
    where = f"{page.relative_to(ROOT)}:{command.line}: $ {shlex.join(command.words)}"
    program = [] if command.words[0] == "python" else ["-c", "from seawall.cli import main; main()"]
    done = warm_python.run(
        [*program, *command.words[1:]],
        cwd=directory,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == command.exit_code, (
        f"{where}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
    )
    assert not command.output or matches(command.output, done.stdout), f"{where}\nprinted:\n{done.stdout}"
