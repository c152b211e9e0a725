"""State drift: sessions of 50 turns, and the share of answers that follow the current request and the current facts.

    python bench/drift.py [--sessions 40] [--seed 1] [--quick] [--arms a,b]

What happens in a session is in `drifts/world.py`; the model, which is deterministic and can act only on what it is sent, is
in `drifts/mind.py`. Every system plays the same sessions, in turn, in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from drifts import ARMS, WINDOW_TOKENS, setup
from drifts.world import TURNS, World

RESULTS = Path(__file__).parent / "results" / "drift.json"
BAR = 0.99


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one system made of all sessions."""

    arm: str
    sessions: int
    judged: int
    right: float
    """Share of the judged answers that have the current fact."""
    by_kind: dict[str, float]
    late: float
    """The same of the last ten turns of each session."""
    failed: int
    """Turns without an answer, but for those that were broken off on purpose."""
    tokens: int
    """Sent to the model in all sessions together."""
    setting: str
    version: str


async def play(arm: str, seeds: range) -> Row:
    """Plays all sessions with one system."""
    judged: Counter[str] = Counter()
    right: Counter[str] = Counter()
    late = [0, 0]
    failed = tokens = 0
    setting = version = ""
    for seed in seeds:
        world = World(seed)
        turns = world.play()
        desk = setup(arm, world)
        setting, version = desk.setting, desk.version
        await desk.open(world.imported)
        for number, turn in enumerate(turns):
            if turn.told is not None:
                await desk.tell_elsewhere(*turn.told)
            played = await desk.say(turn.request, breaks=turn.breaks)
            tokens += played.tokens
            failed += not played.answer and not turn.breaks
            if turn.expected:
                good = turn.expected in played.answer
                judged[turn.kind] += 1
                right[turn.kind] += good
                if number >= TURNS - 10:
                    late[0] += good
                    late[1] += 1
        await desk.close()
    return Row(
        arm=arm,
        sessions=len(seeds),
        judged=judged.total(),
        right=right.total() / judged.total(),
        by_kind={kind: right[kind] / count for kind, count in sorted(judged.items())},
        late=late[0] / max(1, late[1]),
        failed=failed,
        tokens=tokens,
        setting=setting,
        version=version,
    )


def print_table(rows: list[Row]) -> None:
    """Prints one line a system."""
    kinds = sorted({kind for row in rows for kind in row.by_kind})
    head = ("system", "right", *kinds, "last ten turns", "no answer", "tokens")
    lines = [head] + [
        (
            row.arm,
            f"{row.right:.1%}",
            *(f"{row.by_kind.get(kind, 0):.1%}" for kind in kinds),
            f"{row.late:.1%}",
            str(row.failed),
            f"{row.tokens:,}",
        )
        for row in rows
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def main() -> None:
    """Plays, prints, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="4 sessions; writes no results")
    parser.add_argument("--arms", default=",".join(ARMS), help="writes no results unless it is all of them")
    given = parser.parse_args()
    os.environ.update(LANGSMITH_TRACING="false", LANGCHAIN_TRACING_V2="false", OTEL_SDK_DISABLED="true")
    arms = given.arms.split(",")
    sessions = 4 if given.quick else given.sessions
    rows: list[Row] = []
    for arm in arms:
        rows.append(asyncio.run(play(arm, range(given.seed, given.seed + sessions))))
        print(f"{arm}: {rows[-1].right:.1%}", file=sys.stderr)
    print_table(rows)
    ours = next((row for row in rows if row.arm == "seawall"), None)
    if ours is not None:
        print(f"{'holds' if ours.right >= BAR else 'MISSED'}: at least {BAR:.0%} of the answers are right")
    if not given.quick and arms == list(ARMS):
        found = {
            "command": f"python bench/drift.py --sessions {given.sessions} --seed {given.seed}",
            "python": platform.python_version(),
            "window_tokens": WINDOW_TOKENS,
            "turns": TURNS,
            "rows": [asdict(row) for row in rows],
        }
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
