"""What `tools/check_snippets.py` gives to pyright. It runs in `make check`, where pyright is."""

from __future__ import annotations

from pathlib import Path

import check_snippets
import pytest


def written(tmp_path: Path, page: str) -> dict[str, list[str]]:
    """The files that are made of a page, as lines."""
    path, folder = tmp_path / "page.md", tmp_path / "made"
    path.write_text(page, encoding="utf-8")
    folder.mkdir()
    check_snippets.write_modules(path, folder)
    return {each.name: each.read_text(encoding="utf-8").splitlines() for each in folder.iterdir()}


def test_a_page_is_one_module_with_every_line_where_the_page_has_it(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        '# A page\n\n```python title="app.py"\nx = 1\n```\n\n```console\n$ python app.py\n```\n\n```python\ny = x\n```\n',
    )

    assert files == {
        "app.py": ["", "", "", "x = 1"],
        "page.py": ["", "", "", "x = 1", "", "", "", "", "", "", "", "y = x"],
    }


def test_a_page_that_awaits_is_a_function_at_the_same_lines(tmp_path: Path) -> None:
    files = written(tmp_path, "# A page\n\n```python\nawait run()\n```\n")

    assert files == {"page.py": ["async def page() -> None:", "", "", "    await run()"]}


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("x = await f()", True),
        ("async with f():\n    pass", True),
        ("for x in y:\n    await x", True),
        ("async def f() -> None:\n    await g()", False),
        ("x = 1", False),
    ],
)
def test_what_awaits_outside_of_a_function_is_known(text: str, does: bool) -> None:
    assert check_snippets.awaits(text) is does
