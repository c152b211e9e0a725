"""Small applications as people write them, each in a text of `applications/`: several files, each below a line with its name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from seawall.wrap import WrapReport

FOLDER = Path(__file__).parent / "applications"
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
_FILE = re.compile(r"^# file: (\S+)\n(.*?)(?=^# file: |\Z)", re.DOTALL | re.MULTILINE)


def unpack(name: str, folder: Path) -> Path:
    """Writes an application below a folder, and returns that."""
    for file, text in _FILE.findall((FOLDER / f"{name}.txt").read_text(encoding="utf-8")):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def apply_lines(report: WrapReport, folder: Path) -> None:
    """Adds the lines of a report to an application, as a person would do it."""
    diff = "".join(each.diff for each in report.lines)
    done = subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"],
        cwd=folder,
        input=diff,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr}\n{diff}"


def read_parts(report: WrapReport) -> set[tuple[str, str, str]]:
    """The parts of a report, each as its kind, its name, and whether it is gated."""
    return {(part.kind, part.name, part.gated) for part in report.parts}
