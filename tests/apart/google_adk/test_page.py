"""Google ADK: the page about it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from docs import page

PAGE = page.ROOT / "docs" / "how-to" / "google-adk.md"


def test_every_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)

    assert page.run(PAGE, tmp_path, module) > 5
