"""Counts the files and functions of Seawall that one request with one tool call visits on the event loop's thread, and its
calls of them.

    python tools/count_visits.py [--files]

One agent, a scripted model, a journal in a temporary file; opening and closing are left out. It counts the first
request, which also makes what is kept for later ones, and the second; each has three steps. A function counts once, a call
each time. `--files` also prints each file of the first request with its functions and calls. A detour shows here before it
shows in a profile. On a busy machine a request may take so long that what is done from time to time comes in between, such as
a reading of other processes' commands; so each request is counted several times, and the fewest files stand.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import seawall
from seawall import Agent, Seawall, Team, tool
from seawall.testing import ScriptedModel, call, say

ROOT = Path(seawall.__file__).parent
TRIES = 5
"""Times that each request is counted."""


@tool
async def find_order(order_id: str) -> dict[str, str]:
    """Look up one order."""
    return {"order": order_id, "state": "lost"}


def count_visits() -> list[dict[str, Counter[str]]]:
    """Returns how often the first and the second request call each function, by file."""
    visited: list[dict[str, Counter[str]]] = []

    def profile(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            visited[-1][str(Path(code.co_filename).relative_to(ROOT))][code.co_qualname] += 1

    async def request(sea: Seawall, team: Team) -> None:
        visited.append(defaultdict(Counter))
        sys.setprofile(profile)
        try:
            run = await sea.start(team, "Where is order 1042?")
            outcome = await run.outcome()
        finally:
            sys.setprofile(None)
        assert outcome.status == "completed", outcome

    async def main(journal: Path) -> None:
        script = [call("find_order", order_id="1042"), say("It was lost.")]
        team = Team(Agent("clerk", model=ScriptedModel(script, by="position"), tools=[find_order]))
        async with Seawall(journal) as sea:
            await request(sea, team)
            await asyncio.sleep(0.5)  # the reading of what was written comes after a request, in its own time
            await request(sea, team)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "visits.db"))
    return visited


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", action="store_true", help="print each file with its functions")
    options = parser.parse_args()
    tries = [count_visits() for _ in range(TRIES)]
    first, second = (min((each[which] for each in tries), key=len) for which in (0, 1))
    if options.files:
        for file, functions in sorted(first.items()):
            print(f"{file}: {functions.total()} calls of {', '.join(sorted(functions))}")
    for which, visited in (("first request", first), ("second request", second)):
        functions, calls = sum(map(len, visited.values())), sum(each.total() for each in visited.values())
        print(f"{which}: {len(visited)} files, {functions} functions, {calls} calls")


if __name__ == "__main__":
    main()
