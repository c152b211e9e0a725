"""What does `seawall audit` take of time and memory for a large file, in each shape?

A file of so many megabytes is written with conversations of which some loop, those of spans interleaved, and audited by a
process of its own. Its peak is what the system says of it (`ru_maxrss`).

    python bench/audit_files.py --megabytes 300 --shape chat --shape otlp
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from recorded import SHAPES, Conversation, Turn

WORDS = [
    "order",
    "carrier",
    "parcel",
    "depot",
    "route",
    "delay",
    "weather",
    "customs",
    "address",
    "label",
    "weight",
    "return",
    "refund",
    "clerk",
]
OPEN = 50
"""Conversations whose rows are mixed."""


def make_conversation(number: int, rng: random.Random) -> Conversation:
    """Returns a conversation of 4 to 40 calls with results of some kilobytes; one of ten goes round."""

    def write(chars: int) -> str:
        """Returns prose in which every fifth word is a number."""
        words = (str(rng.randrange(10_000)) if at % 5 == 4 else rng.choice(WORDS) for at in range(chars // 7))
        return " ".join(words)

    loops = number % 10 == 0
    same = write(2_000)
    turns = [
        Turn(
            user=f"Where is order {number}?" if not at else "",
            calls=(("get_order", {"id": number if loops else at}, same if loops else write(3_000), False),),
        )
        for at in range(rng.randrange(4, 40))
    ]
    return Conversation(f"c-{number}", (*turns, Turn(text=f"Order {number} is at depot 77{number}.")))


def list_rows(shape: str, rng: random.Random) -> Iterator[str]:
    """Yields the lines of a file without an end: those of `OPEN` conversations at a time, mixed."""
    mixes = shape in ("otlp", "otlp_events", "openinference", "openllmetry", "langsmith", "checkpoints")
    queues: list[list[str]] = []
    number = 0
    while True:
        while len(queues) < (OPEN if mixes else 1):
            number += 1
            rows = SHAPES[shape](make_conversation(number, rng))
            queues.append([json.dumps(row) for row in reversed(rows)])
        queue = rng.choice(queues)
        yield queue.pop()
        if not queue:
            queues.remove(queue)


def write_file(path: Path, shape: str, megabytes: int) -> None:
    """Writes a file of this size."""
    left = megabytes * 1_000_000
    with path.open("w", encoding="utf-8") as file:
        for line in list_rows(shape, random.Random(1)):
            left -= file.write(f"{line}\n")
            if left <= 0:
                return


def measure(path: Path) -> dict[str, float]:
    """Audits a file in a process of its own, and returns seconds, peak and what was found."""
    command = [sys.executable, "-c", "from seawall.cli import main; main()", "audit", "--json", str(path)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            last = line
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    summary = json.loads(last)["summary"]
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "runs": summary["runs"],
        "calls": summary["calls"],
        "halted": summary["halted"],
        "exit": process.returncode,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES))
    options = parser.parse_args()
    results = {}
    print(f"{'shape':<24}{'MB':>6}{'runs':>8}{'calls':>9}{'stopped':>9}{'s':>8}{'CPU s':>8}{'peak MB':>9}")
    for shape in options.shape or ["otlp", "langsmith", "chat_log", "claude_code", "chat"]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recorded.jsonl"
            write_file(path, shape, options.megabytes)
            found = results[shape] = measure(path)
        print(
            f"{shape:<24}{options.megabytes:>6}{found['runs']:>8}{found['calls']:>9}{found['halted']:>9}"
            f"{found['seconds']:>8.1f}{found['cpu_s']:>8.1f}{found['peak_mb']:>9.0f}",
            flush=True,
        )
    out = Path(__file__).parent / "results" / "audit_files.json"
    machine = {"python": platform.python_version(), "system": platform.platform()}
    found = {
        "command": shlex.join(["python", *sys.argv]),
        **machine,
        "megabytes": options.megabytes,
        "shapes": results,
    }
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
