"""How long this machine itself stands still: seen by a process beside, which sleeps and syncs a small file.

    python bench/hops/machine.py DIRECTORY       until its stdin closes; prints "from to" of each long pause

On a busy machine a process may wait tenths of a second for a core or a disk. What `bench/deadline.py` counts as
Seawall's own is what is left without that.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

EACH_S = 0.005
LONG_S = 0.005
"""Pauses that are longer than asked for by this are told."""


def watch(directory: Path) -> None:
    with (directory / "probe").open("wb", buffering=0) as file:
        while not select.select([sys.stdin], [], [], 0)[0]:
            begun = time.monotonic()
            time.sleep(EACH_S)
            file.write(b"x" * 512)
            os.fsync(file.fileno())
            ended = time.monotonic()
            if ended - begun > EACH_S + LONG_S:
                print(begun + EACH_S, ended)


class Machine:
    """Watches while it is open; afterwards it knows the pauses."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._pauses: list[tuple[float, float]] = []

    def close(self) -> None:
        told, _ = self._process.communicate()
        for line in told.splitlines():
            begun, ended = line.split()
            self._pauses.append((float(begun), float(ended)))

    def stood_still_s(self, begun: float, ended: float) -> float:
        """Of the time between two moments of `time.monotonic()`."""
        return sum(max(0.0, min(ended, end) - max(begun, begin)) for begin, end in self._pauses)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
