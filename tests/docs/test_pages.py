"""The pages hang together: what is generated is up to date, and every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import reference

from docs.page import ROOT

README_WORDS = 900
"""A README is read to its end in five minutes, or not; the pages under docs/ have the rest."""

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
AT_THE_TOP = sorted(ROOT.glob("*.md"))


def test_the_reference_says_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_no_table_shows_a_backslash_before_a_bar(path: Path) -> None:
    rows = [line for line in _prose(path).splitlines() if line.startswith("|")]

    assert [row for row in rows if "\\|" in row] == []


def test_a_bar_in_a_cell_is_an_entity_that_also_code_shows_as_a_bar() -> None:
    cell = reference._cell("`dict[str, int] | None`:  a | b,\n`c`, `<d> | *e*`")

    assert cell == (
        "<code>dict[str, int] &#124; None</code>: a &#124; b, `c`, <code>&lt;d&gt; &#124; &#42;e&#42;</code>"
    )


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= README_WORDS


def _navigation(nodes: list[Any]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        for value in node.values() if isinstance(node, dict) else [node]:
            found |= _navigation(value) if isinstance(value, list) else {value}
    return found


def test_the_navigation_names_every_page_and_no_other() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    assert _navigation(config["project"]["nav"]) == {str(page.relative_to(DOCS)) for page in PAGES}


def _prose(path: Path) -> str:
    return re.sub(
        r"^[ \t]*```.*?^[ \t]*```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def _anchors(path: Path) -> set[str]:
    """Anchors of headings, as the site and code hosts make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", _prose(path), flags=re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
        found |= {re.sub(r"[\s]+", "-", plain), re.sub(r"[-\s]+", "-", plain)}
    return found


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in [*AT_THE_TOP, *PAGES]]
)
def test_every_link_leads_somewhere(path: Path) -> None:
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", _prose(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        if not other.exists() or (anchor and other.suffix == ".md" and anchor not in _anchors(other)):
            broken.append(target)

    assert broken == []


def test_every_decision_is_dated_listed_and_has_the_three_headings() -> None:
    listed = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    for path in sorted((DOCS / "decisions").glob("2*.md")):
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)

        assert headings == ["Context", "Decision", "What follows"], path.name
        assert text.splitlines()[2] == path.name[:10], path.name
        assert f"({path.name})" in listed, path.name
