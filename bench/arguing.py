"""Arguing and duplicate work in recorded runs: how often would the guard `waste` speak, and in how many good runs?

Texts: each message of an agent is played as the answer of a hand-off, through the fold and the guard as a run has them.
What a message costs is taken to be its own length, since recordings of conversations have no usage. Reads: recorded
calls go through `seawall.audit`, which is the gate. No model is called.

    python bench/arguing.py [--data FOLDER] [--show 3]

Exit status: 0, or 2 if there is no data.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seawall import Advise, Limits, WasteGuard
from seawall.audit import BadLine, audit, read_runs
from seawall.core.canonical import ref_of
from seawall.core.events import RunStarted, StepDone, StepIntended
from seawall.guards.waste import WasteOptions
from seawall.run.fold import apply, begin
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.run.traces import find_traces
from seawall.run.versions import ALIKE, MIN_TEXT_CHARS, Told, Versions

ROOT = Path(__file__).resolve().parent.parent
DATA = Path("..") / "shared" / "data"
CHARS_A_TOKEN = 4
_OPTIONS = WasteOptions()
_DEFAULT = {"alike": ALIKE, "least": _OPTIONS.rewrites, "share": _OPTIONS.share}
CHOICES: list[dict[str, Any]] = [
    _DEFAULT,
    *({**_DEFAULT, "alike": alike} for alike in (0.3, 0.4, 0.6, 0.7, 0.8, 0.9)),
    *({**_DEFAULT, "least": least} for least in (1, 3)),
    *({**_DEFAULT, "share": share} for share in (0.1, 0.15, 0.2, 0.35, 0.4)),
]
"""What is played: the default, and beside it each option with other values."""
INNER = ("(thought)", "(termination condition)", "(-> ")
"""What an orchestrator says to itself, and the tasks that it hands out: no answers."""
_find_traces = functools.cache(find_traces)
NO_AGENTS = ("human", "computer_terminal", "computerterminal", "system", "tool")


@dataclass(frozen=True, kw_only=True)
class Talk:
    """One recorded conversation of agents."""

    source: str
    id: str
    good: bool | None
    """None: no run of the source went well, so it says nothing of good runs."""
    messages: tuple[tuple[str, str], ...]
    """(speaker, text), without those of no agent."""


@dataclass
class Heard:
    """What the guard would have said in one conversation."""

    rewrites: int = 0
    share: float = 0.0
    advice: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(limit, reason)."""
    pairs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(the index of a rewrite, that of the first version)."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help=f"a folder of recordings (default: {DATA}, from the repository)"
    )
    parser.add_argument("--show", type=int, default=0, help="print so many of the runs in which it speaks")
    parser.add_argument("--json", action="store_true", help="print the results instead of the tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "arguing.json")
    return parser.parse_args()


# ---- recordings


def load(folder: Path) -> list[Talk]:
    """All recorded conversations of a folder."""
    found: list[Talk] = []
    for file in sorted((folder / "blame").glob("*.jsonl*")):
        for row in _read(file):
            said = [(str(each.get("name") or each["role"]), each["content"]) for each in row["history"]]
            found.append(_make_talk(file, str(row["file"]), None, said))
    for file in sorted((folder / "conversations").glob("*.jsonl*")):
        for row in _read(file):
            said = [(each["role"], each.get("content") or "") for each in row["messages"]]
            found.append(_make_talk(file, str(row["id"]), bool(row["success"]), said))
    return found


def _make_talk(file: Path, name: str, good: bool | None, said: Sequence[tuple[str, Any]]) -> Talk:
    messages = tuple(
        (who, text) for who, text in said if who.lower() not in NO_AGENTS and isinstance(text, str)
    )
    return Talk(source=file.name.partition(".")[0], id=name, good=good, messages=messages)


def _read(file: Path) -> Iterator[dict[str, Any]]:
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    yield from map(json.loads, filter(None, text.split("\n")))


# ---- what the guard says of texts


def hear(talk: Talk, guard: WasteGuard, alike: float = ALIKE) -> Heard:
    """Plays a conversation: each message is the answer of a hand-off, and the guard is asked before the next one."""
    state = begin(
        RunStarted(
            at=0.0,
            run="r",
            team="",
            team_version="",
            agent="lead",
            intent=ref_of(b""),
            limits=Limits(),
            guards={},
        )
    )
    versions, heard, asked = Versions(alike), Heard(), set[str]()
    for index, (who, text) in enumerate(talk.messages):
        is_answer = not any(each in who for each in INNER)
        state, told = _say(state, versions, who, text, is_answer=is_answer)
        if told.rewrites:
            heard.pairs.append((index, told.version_of // 2 - 1))
        verdict = guard.before(_ask_lead(state), state, None)
        if isinstance(verdict, Advise) and (limit := str(verdict.limit)) not in asked:
            asked.add(limit)
            heard.advice.append((limit, verdict.reason))
    wasted = state.waste.wasted.get("rewrites")
    if wasted is not None and state.ledger.tokens:
        heard.rewrites, heard.share = len(heard.pairs), wasted.tokens / state.ledger.tokens
    return heard


def _ask_lead(state: RunState) -> Step:
    return Step(number=state.steps + 1, kind="model", name="", agent="lead", frame=0, depth=1)


def _say(
    state: RunState, versions: Versions, who: str, text: str, *, is_answer: bool
) -> tuple[RunState, Told]:
    """Returns the state after one message, and what it is."""
    frame, step = state.steps + 1, state.steps + 2
    traces = _find_traces(text)
    told = Told()
    if is_answer and len(text) >= MIN_TEXT_CHARS:
        told = versions.compare(step, traces, lambda _: False)
        if told.version_of:
            versions.add(told.version_of, frame, traces)
    answer = ref_of(text.encode())
    handoff = StepIntended(
        at=0.0, step=frame, kind="handoff", name=who, agent="lead", frame=0, input=answer, depth=2
    )
    model = StepIntended(at=0.0, step=step, kind="model", name="", agent=who, frame=frame)
    done = StepDone(
        at=0.0,
        step=step,
        status="ok",
        output=answer,
        answer=answer,
        output_tokens=max(1, len(text) // CHARS_A_TOKEN),
        version_of=told.version_of,
        rewrites=told.rewrites,
    )
    for event in (handoff, model, done, StepDone(at=0.0, step=frame, status="ok", output=answer)):
        state = apply(state, event)
    return state, told


def count_talks(talks: Sequence[Talk], heard: Sequence[Heard]) -> dict[str, Any]:
    """How many conversations have a rewrite, in how many the guard speaks, and how many of these went well."""
    spoke = [talk for talk, each in zip(talks, heard, strict=True) if each.advice]
    at_bound = [each for each in heard if any(limit.startswith("bound") for limit, _ in each.advice)]
    good = [talk for talk in talks if talk.good]
    return {
        "runs": len(talks),
        "good": len(good),
        "messages": sum(len(talk.messages) for talk in talks),
        "with_rewrite": sum(bool(each.pairs) for each in heard),
        "rewrites": sum(len(each.pairs) for each in heard),
        "spoke": len(spoke),
        "at_bound": len(at_bound),
        "spoke_good": sum(bool(talk.good) for talk in spoke),
    }


# ---- what it says of reads


def audit_reads(folder: Path) -> dict[str, dict[str, int]]:
    """By source: recorded calls that another agent of the run had made, with nothing written in between."""
    found: dict[str, dict[str, int]] = {}
    for file in sorted((folder / "loops").glob("*.jsonl*")):
        for run in read_runs(file):
            if isinstance(run, BadLine):
                continue
            row = found.setdefault(
                file.name.partition(".")[0],
                dict.fromkeys(("runs", "agents", "calls", "advised", "spoke", "spoke_good"), 0),
            )
            advised = audit(run, [WasteGuard()]).advised_at
            row["runs"] += 1
            row["agents"] += len({call.agent for call in run.calls}) > 1
            row["calls"] += len(run.calls)
            row["advised"] += len(advised)
            row["spoke"] += bool(advised)
            row["spoke_good"] += bool(advised) and bool(run.row.get("success"))
    return found


# ---- what is printed


def measure(talks: Sequence[Talk], folder: Path) -> dict[str, Any]:
    """Everything that is reported."""
    texts = [
        {"source": source, **choice, **_measure_source(talks, source, **choice)}
        for choice in CHOICES
        for source in sorted({talk.source for talk in talks})
    ]
    return {"texts": texts, "reads": audit_reads(folder)}


def _measure_source(
    talks: Sequence[Talk], source: str, *, alike: float, least: int, share: float
) -> dict[str, Any]:
    guard = WasteGuard(rewrites=least, share=share, bound=max(share, _OPTIONS.bound))
    here = [talk for talk in talks if talk.source == source]
    return count_talks(here, [hear(talk, guard, alike) for talk in here])


def _print(measured: dict[str, Any]) -> None:
    print("texts: runs in which the guard speaks, by source and choice; the first choice is the default")
    names = ("runs", "good", "with_rewrite", "rewrites", "spoke", "at_bound", "spoke_good")
    print(f"{'source':32} alike least share " + " ".join(f"{name:>12}" for name in names))
    for row in measured["texts"]:
        cells = " ".join(f"{row[name]:>12,}" for name in names)
        print(f"{row['source']:32} {row['alike']:5} {row['least']:5} {row['share']:5} {cells}")
    print("\nreads: recorded calls that another agent had made")
    for source, row in measured["reads"].items():
        print(f"{source:32} " + ", ".join(f"{name} {value:,}" for name, value in row.items()))


def _show(talks: Sequence[Talk], most: int) -> None:
    """Prints the first conversations in which the guard speaks, for looking at them."""
    shown = 0
    for talk in talks:
        heard = hear(talk, WasteGuard())
        if not heard.advice or shown >= most:
            continue
        shown += 1
        print(f"\n=== {talk.source} {talk.id} good={talk.good}, share {heard.share:.0%}")
        for _, reason in heard.advice:
            print(f"  {reason}")
        for index, first in heard.pairs:
            for number in (first, index):
                who, text = talk.messages[number]
                print(f"  [{number}] {who}: {' '.join(text.split())[:400]}")


def main() -> int:
    """Measure, print and keep."""
    options = _options()
    folder = options.data or ROOT / DATA
    talks = load(folder)
    if not talks:
        print(f"there are no recordings in {folder}\nName a folder with --data PATH.", file=sys.stderr)
        return 2
    if options.show:
        _show(talks, options.show)
        return 0
    measured = measure(talks, folder)
    written = {
        "command": shlex.join(["python", "bench/arguing.py"]),
        "python": platform.python_version(),
        **measured,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(written, indent=1, ensure_ascii=False))
    else:
        _print(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
