"""A directory with scripted teams for each test of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.desks import Desks


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desks:
    """Scripted teams in the current directory, and no journal yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("SEAWALL_JOURNAL", raising=False)
    desks = Desks(tmp_path)
    desks.write()
    return desks
