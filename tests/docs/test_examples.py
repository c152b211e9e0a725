"""Every example of the documentation runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from docs import page

PAGES = [page.ROOT / "README.md", *sorted((page.ROOT / "docs").rglob("*.md"))]
TEXTS = {each: each.read_text(encoding="utf-8") for each in PAGES}
APART = {each: folder for each, text in TEXTS.items() if (folder := page.find_folder(text)) is not None}
WITH_EXAMPLES = [each for each, text in TEXTS.items() if each not in APART and any(page.blocks(text))]


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(page.ROOT))) for p in WITH_EXAMPLES])
def test_every_example_of_the_page_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for variable in ("SEAWALL_JOURNAL", "SEAWALL_KEY"):  # of whoever runs the tests
        monkeypatch.delenv(variable, raising=False)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses and pydantic look names up there
    ran = page.run(path, tmp_path, module)

    runnable = [block for block in page.blocks(path.read_text(encoding="utf-8")) if block.skip is None]
    assert ran > 0 or not any(block.language == "python" for block in runnable)


def test_a_page_that_needs_another_environment_is_run_by_the_tests_there() -> None:
    for path, folder in APART.items():
        tests = page.ROOT / "tests" / "apart" / folder / "test_page.py"

        assert f'"{path.name}"' in tests.read_text(encoding="utf-8")


def _page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_blocks_share_a_module_and_may_await(tmp_path: Path) -> None:
    module = ModuleType("example")
    path = _page(
        tmp_path,
        "```python\nimport asyncio\nn = 1\n```\n\n```python\nawait asyncio.sleep(0)\nn += 1\n```\n",
    )

    assert page.run(path, tmp_path, module) == 2
    assert vars(module)["n"] == 2


def test_an_error_is_named_by_the_line_of_the_page(tmp_path: Path) -> None:
    path = _page(tmp_path, "# A page\n\n```python\nfine = 1\nraise LookupError('here')\n```\n")

    with pytest.raises(LookupError, match="here") as caught:
        page.run(path, tmp_path, ModuleType("example"))

    assert caught.traceback[-1].lineno == 4  # pytest counts from 0


def test_a_titled_block_becomes_a_file_a_hidden_one_runs_and_a_skipped_one_does_not(tmp_path: Path) -> None:
    module = ModuleType("example")
    path = _page(
        tmp_path,
        '```python title="app.py"\nx = 1\n```\n<!-- python\ny = x + 1\n-->\n'
        "<!-- skip: needs a key -->\n```python\nraise SystemExit\n```\n",
    )

    assert page.run(path, tmp_path, module) == 2
    assert (tmp_path / "app.py").read_text(encoding="utf-8") == "x = 1\n"
    assert vars(module)["y"] == 2
    assert "app" not in sys.modules


def test_a_console_block_gives_commands_outputs_and_exit_codes() -> None:
    [block] = page.blocks("```console\n$ make demo\nnot run\n$ seawall show last  # exit 2\nfirst\n…\n```\n")

    [command] = page.commands(block)

    assert command.words == ["seawall", "show", "last"]
    assert command.output == "first\n…"
    assert command.exit_code == 2


@pytest.mark.parametrize(
    ("shown", "got", "same"),
    [
        ("a", "a\n", True),
        ("a", "b", False),
        ("run …: ok", "run r-123: ok", True),
        ("a\n…\nz", "a\nb\nc\nz", True),
        ("a\n…\nz", "a\nb\nc", False),
        ("1.5", "1x5", False),
    ],
)
def test_an_ellipsis_stands_for_anything(shown: str, got: str, same: bool) -> None:
    assert page.matches(shown, got) is same
