"""What is at a path, told in the same way on every version of Python."""

from __future__ import annotations

from pathlib import Path


def exists(path: Path) -> bool:
    """True if something is at the path; what a link points to counts.

    Raises `OSError` where that can't be seen, such as in a folder that may not be searched. From Python 3.14, `Path.exists` returns
    False there, so that a command would say that the file is missing.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte, which no name has
        return False
    return True
