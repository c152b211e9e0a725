"""Recorded conversations through other frameworks: is not one byte changed where no guard spoke, and nothing stopped?

Each conversation is played twice through a framework's own agent, its own client and its own memory: plain, and with
Seawall's adapter. A model server on loopback answers as recorded; tools return what was recorded. Every request is kept
as the client wrote it, and the gated ones must equal the plain ones, but for what the loop guard advises. The journal
must have what was recorded. What is written of a framework stays in the results until it is played again.

    python bench/conversations_adapters.py [--through langchain,openai-agents] [--wire both]

Exit status: 0 if everything was as it should be, 1 if anything was not, 2 if there is no data to play.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import platform
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conversation import alone
from conversation.recorded import BadRecording, Conversation, load, with_unique_ids
from conversation.through import report
from conversation.through.play import Through, play
from conversations import DATA, ROOT, WIRES

FRAMEWORKS = {
    "langchain": "langchain",
    "langgraph": "langgraph",
    "openai-agents": "openai_agents",
    "pydantic-ai": "pydantic_ai",
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"the recording (default: {DATA}, from the repository)")
    parser.add_argument(
        "--through", default=",".join(FRAMEWORKS), help=f"of {', '.join(FRAMEWORKS)} (default: all)"
    )
    parser.add_argument("--wire", choices=tuple(WIRES), default="both", help="default: both, in turn")
    parser.add_argument("--in-flight", type=int, default=8, help="conversations at once (default: 8)")
    parser.add_argument("--limit", type=int, help="only the first so many conversations")
    parser.add_argument("--seed", type=int, default=1, help="of their order (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the results instead of the table")
    name = "conversations_adapters.json"
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / name)
    options = parser.parse_args()
    options.through = options.through.split(",")
    if unknown := [one for one in options.through if one not in FRAMEWORKS]:
        parser.error(f"--through: {unknown[0]!r} is none of {', '.join(FRAMEWORKS)}")
    if options.in_flight < 1:
        parser.error(f"--in-flight is {options.in_flight}; it must be at least 1")
    return options


def _play(conversations: list[Conversation], framework: Any, options: argparse.Namespace) -> Through:
    if framework.UNIQUE_IDS:
        conversations = [with_unique_ids(one) for one in conversations]
    scripts = [(alone.script(one, guarded=False), alone.script(one)) for one in conversations]
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(
            play(
                framework,
                scripts,
                wires=WIRES[options.wire],
                in_flight=options.in_flight,
                seed=options.seed,
                directory=Path(place),
            )
        )


def main() -> int:
    """Play, print and keep."""
    options = _options()
    try:
        conversations = load(options.data or ROOT / DATA)[: options.limit]
    except BadRecording as error:
        print(f"{error}\nName a recording with --data PATH.", file=sys.stderr)
        return 2
    played: dict[str, Through] = {}
    measured: dict[str, Any] = {}
    for name in options.through:
        print(f"{name}: {len(conversations)} conversations", file=sys.stderr, flush=True)
        framework: Any = importlib.import_module(f"conversation.through.{FRAMEWORKS[name]}")
        played[name] = _play(conversations, framework, options)
        measured[name] = _describe(options, framework) | report.as_json(played[name])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.write_text(json.dumps({**kept, **measured}, indent=1) + "\n")
    print(json.dumps(measured, indent=1) if options.json else report.table(played))
    return 1 if any(one.mismatches for one in played.values()) else 0


def _describe(options: argparse.Namespace, framework: Any) -> dict[str, Any]:
    """What is needed to make the numbers of one framework again."""
    return {
        "command": shlex.join(["python", "bench/conversations_adapters.py", *sys.argv[1:]]),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("seawall", *framework.PACKAGES)},
        },
        "seed": options.seed,
        "in_flight": options.in_flight,
    }


if __name__ == "__main__":
    sys.exit(main())
