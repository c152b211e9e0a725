"""Recorded conversations, played live: is what each model call is sent what it should be, to the letter?

A model server on loopback, in its own process, answers only where a request's whole message list equals the
recording; tools return what was recorded; every user message is a run of the conversation's session. `alone`
is one agent with all tools, `team` a coordinator with one specialist for reads and one for writes, and reads
that are independent at once.

    python bench/conversations.py [--variant alone|team|both] [--wire stream|plain|both] [--in-flight 8]

Exit status: 0 if everything was as recorded, 1 if anything was not, 2 if there is no data to play.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conversation import alone, report, split
from conversation.play import play
from conversation.recorded import BadRecording, Conversation, load
from conversation.result import Played, Wire

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data" / "conversations" / "tau_airline.jsonl.gz"
VARIANTS = {"alone": alone.script, "team": split.script}
WIRES: dict[str, tuple[Wire, ...]] = {
    "stream": ("stream",),
    "plain": ("plain",),
    "both": ("stream", "plain"),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"the recording (default: {DATA}, from the repository)")
    parser.add_argument("--variant", choices=(*VARIANTS, "both"), default="both", help="default: both")
    parser.add_argument("--wire", choices=tuple(WIRES), default="both", help="default: both, in turn")
    parser.add_argument("--in-flight", type=int, default=8, help="conversations at once (default: 8)")
    parser.add_argument("--limit", type=int, help="only the first so many conversations")
    parser.add_argument("--seed", type=int, default=1, help="of their order and the runs' ids (default: 1)")
    parser.add_argument(
        "--directory", type=Path, help="for the journals (default: the system's temporary one)"
    )
    parser.add_argument("--json", action="store_true", help="print the results instead of the table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "conversations.json")
    options = parser.parse_args()
    if options.in_flight < 1:
        parser.error(f"--in-flight is {options.in_flight}; it must be at least 1")
    return options


def _play(conversations: list[Conversation], variant: str, options: argparse.Namespace) -> Played:
    print(f"{variant}: {len(conversations)} conversations", file=sys.stderr, flush=True)
    scripts = [VARIANTS[variant](one) for one in conversations]
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        return asyncio.run(
            play(
                scripts,
                wires=WIRES[options.wire],
                in_flight=options.in_flight,
                seed=options.seed,
                directory=Path(place),
            )
        )


def _versions() -> dict[str, str]:
    names = ("seawall", "pydantic-ai-slim", "openai", "apsw")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def main() -> int:
    """Play, print and keep."""
    options = _options()
    try:
        conversations = load(options.data or ROOT / DATA)[: options.limit]
    except BadRecording as error:
        print(f"{error}\nName a recording with --data PATH.", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    names = tuple(VARIANTS) if options.variant == "both" else (options.variant,)
    variants = {name: _play(conversations, name, options) for name in names}
    written: dict[str, Any] = {
        "command": shlex.join(["python", "bench/conversations.py", *sys.argv[1:]]),
        "versions": _versions(),
        "seed": options.seed,
        "in_flight": options.in_flight,
        "variants": {name: report.as_json(played) for name, played in variants.items()},
    }
    options.out.write_text(json.dumps(written, indent=1) + "\n")
    print(json.dumps(written, indent=1) if options.json else report.table(variants))
    if not options.json:
        print(f"seed {options.seed}; " + ", ".join(f"{k} {v}" for k, v in written["versions"].items()))
    return 1 if any(report.mismatches(played) for played in variants.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
