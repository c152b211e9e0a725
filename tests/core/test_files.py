"""What is at a path is told in the same way on every version of Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.core.files import exists


def test_what_is_there_is_told_from_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (link := tmp_path / "link").symlink_to(tmp_path / "gone")

    assert exists(file)
    assert exists(tmp_path)
    assert not exists(tmp_path / "other")
    assert not exists(file / "below")
    assert not exists(link)
    assert not exists(Path("a\0b"))


def test_what_can_not_be_seen_is_an_error(tmp_path: Path) -> None:
    (circle := tmp_path / "circle").symlink_to(tmp_path / "circle")

    for path in (circle, tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"Too many levels|File name too long"):
            exists(path)
