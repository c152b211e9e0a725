"""What grows: a step in a long run, a run in a full journal, and what people do with a journal of 100,000 runs.

`steps`: one agent asks a tool for something new, for 1,010 steps, every guard enforced, every result durable
before it is acted on. The model is a script and the tool makes a text of fixed length, so that each step is the
same work but for what came before it. Blocks of its last steps are measured in turn with the first steps of new runs,
so that a machine whose pace changes within a second changes both. `runs`: small runs, each in a session of its own and with a request id of
its own, one after the other on one file; after the 10,000th in turn with runs on a new file, so that a machine
that gets slower over minutes does not count. `journal`: what people do with a journal, see `journal_growth.py`.

    python bench/growth.py [--quick] [--parts steps,runs,journal] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import journal_growth

from seawall import Agent, ContextGuard, Limits, Seawall, Team, Tool
from seawall.core.canonical import Ref
from seawall.core.events import RunStarted, StepDone, StepIntended, encode_event
from seawall.models.protocol import Assistant, ModelReply, ModelRequest, Price, ToolCall, Usage
from seawall.testing import ScriptedModel

RESULT_BYTES = 500
STEPS = 1010
EARLY, LATE = (6, 26), (960, 1000)
"""Steps whose medians are compared: a model call and a tool call each, so even numbers."""
TURN = 10
"""Steps of the long run until it is a new run's turn. The first two of them are not counted: the processor's caches
hold the other run then."""
EARLY_FILE, LATE_FILE = (6, 106), (860, 960)
"""The same for the file, which grows by whole pages of 4 KiB: twenty steps are too few of them. No other run writes
meanwhile."""
FIRST, MANY, THEN = 1_000, 10_000, 500
"""Runs of the first median, runs before the second one, runs of the second one."""
IN_FLIGHT = 8
"""Runs at once between the first thousand and the last: they are only counted."""
BLOCK = 5
"""Runs on one file before it is the other's turn: a machine's moods last longer."""
LIMITS = Limits(active_s=3600.0, tool_calls=STEPS, model_calls=STEPS, tokens=10**9, usd=Decimal(10_000))
PRICE = Price(Decimal(2), Decimal(8))

PARTS = ("steps", "runs", "journal")
STEP_BAR, RUN_BAR = 1.10, 1.05
RSS_BAR_KIB = 64.0
"""A thousand runs, once the journal's page cache of 32 MiB is full: 64 bytes a run; allocators move a little."""
OBJECTS_BAR = 10.0
"""A thousand runs: nothing may be kept of each run."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run of many steps: medians over a window, for one step."""

    wall_us: tuple[float, float]
    """Early, late: the early one is of new runs, in turn with the late one."""
    cpu_us: tuple[float, float]
    """Of all threads."""
    logical_bytes: tuple[float, float]
    """Events and bodies."""
    file_bytes: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The process and the file after so many runs."""

    runs: int
    rss_kib: float
    objects: int
    """Alive after a collection."""
    file_bytes: int


_Times = tuple[float, float]
"""Wall seconds, and CPU seconds of all threads."""


def _read_times() -> _Times:
    return time.perf_counter(), time.process_time()


class Desk:
    """One agent that asks for something new `asks` times a run, and then answers."""

    def __init__(self, asks: int) -> None:
        self.asks = asks
        self.moments: list[tuple[_Times, _Times]] = []
        """When each call of the tool came, and when it returned."""
        self.pause: Callable[[int], Awaitable[None]] | None = None
        """Awaited in each call of the tool, with its number."""
        self.on_call: dict[int, int] = {}
        """Number of a call → pages of the file then, filled in for the numbers that are there."""
        self.path: Path | None = None
        self._numbers = itertools.count()
        model = ScriptedModel(self._reply, price=PRICE, usage=Usage(100, 20), keep_requests=0)
        schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
        tool = Tool(self._look, name="look", description="Looks at one thing.", schema=schema)
        self.team = Team(Agent("desk", "Looks at things.", model=model, tools=[tool]), limits=LIMITS)

    def _reply(self, request: ModelRequest) -> ModelReply:
        made = (len(request.messages) - 2) // 2
        if made == self.asks:
            return ModelReply(message=Assistant("All was looked at."), usage=Usage(100, 20), finish="stop")
        number = next(self._numbers)
        call = ToolCall(f"call_{number:08d}", "look", f'{{"what":"thing {number:08d}"}}')
        return ModelReply(message=Assistant(None, (call,)), usage=Usage(100, 20), finish="tool_calls")

    async def _look(self, what: str) -> str:
        came = _read_times()
        number = len(self.moments) + 1
        if self.path is not None and number in self.on_call:
            self.on_call[number] = _pages(self.path)
        told = (
            f"{what}: found in room {number:08d} "  # something new each time, as the agent is there to learn
        )
        if self.pause is not None:
            await self.pause(number)
        self.moments.append((came, _read_times()))
        return told + "." * (RESULT_BYTES - len(told))

    async def run(self, sea: Seawall, number: int) -> str:
        """One run; its id."""
        run = await sea.start(
            self.team,
            f"Look at things {number:08d}.",
            session=f"s-{number:08d}",
            request_id=f"q-{number:08d}",
            tenant="bench",
        )
        outcome = await run.outcome()
        if outcome.status != "completed" or outcome.tool_calls != self.asks:
            raise AssertionError(f"run {number}: {outcome}")
        return run.id


def _pages(path: Path) -> int:
    """Pages of the database as it is committed, with those that are in its log only."""
    connection: Any = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.pragma("page_count"))
    finally:
        connection.close()


# ---- steps


async def steps(directory: Path, count: int, late: int) -> list[Sample]:
    """`count` runs of many steps, one after the other on one file. `late`: the step where the windows end."""
    path = directory / "journal.db"
    shift = LATE[1] - late
    windows = (EARLY, (LATE[0] - shift, late))
    numbers = itertools.count(1)
    file_windows = (EARLY_FILE, (LATE_FILE[0] - shift, LATE_FILE[1] - shift))
    samples: list[Sample] = []
    async with Seawall(path, guards=[ContextGuard(mode="enforce")]) as sea:
        await Desk(20).run(sea, 0)  # imports, caches
        for number in range(1, count + 1):
            _progress(f"steps: run {number} of {count}")
            desk = Desk((late + STEPS - LATE[1]) // 2)
            desk.path = path
            desk.on_call = dict.fromkeys((step // 2 for window in file_windows for step in window), 0)
            new: list[Desk] = []
            desk.pause = partial(_run_new, sea, numbers, windows[1], new)
            gc.collect()
            run = await desk.run(sea, next(numbers))
            logical = await _logical(sea, run)
            samples.append(
                Sample(
                    wall_us=_compare_us(new, desk, windows[1], 0),
                    cpu_us=_compare_us(new, desk, windows[1], 1),
                    logical_bytes=_pair(windows, lambda a, b, t=logical: sum(t[a:b]) / (b - a)),
                    file_bytes=_pair(file_windows, lambda a, b, d=desk: _file_bytes(d, a, b)),
                )
            )
    return samples


def _pair(windows: tuple[tuple[int, int], tuple[int, int]], measure: Any) -> tuple[float, float]:
    early, late = windows
    return measure(*early), measure(*late)


async def _run_new(
    sea: Seawall, numbers: itertools.count[int], late: tuple[int, int], new: list[Desk], number: int
) -> None:
    """Lets a new run take its first steps if a block of the long run begins with this call of its tool."""
    step = number * 2
    if late[0] <= step < late[1] and (step - late[0]) % TURN == 0:
        new.append(Desk(EARLY[1] // 2 + 1))
        await new[-1].run(sea, next(numbers))


def _compare_us(new: Sequence[Desk], long: Desk, late: tuple[int, int], which: int) -> tuple[float, float]:
    """Medians of a step of the new runs and of the long run; the tool is called at every second step."""
    early_us = [each for desk in new for each in _list_us(desk, *EARLY, which)]
    late_us = _list_us(long, *late, which)
    kept = [each for at, each in enumerate(late_us) if at * 2 % TURN]
    return statistics.median(early_us), statistics.median(kept)


def _list_us(desk: Desk, begin: int, end: int, which: int) -> list[float]:
    """Of a step, from where a call of the tool has returned to the next call, for those of a window."""
    moments = desk.moments[begin // 2 - 1 : end // 2]
    return [
        (came[which] - returned[which]) / 2 * 1e6 for (_, returned), (came, _) in itertools.pairwise(moments)
    ]


def _file_bytes(desk: Desk, begin: int, end: int) -> float:
    return (desk.on_call[end // 2] - desk.on_call[begin // 2]) * 4096 / (end - begin)


async def _logical(sea: Seawall, run: str) -> list[int]:
    """Bytes of events and of new bodies, step by step; every guard was enforced."""
    events = await sea.journal.events(run)
    started = events[0]
    if not isinstance(started, RunStarted) or set(started.guards.values()) != {"enforce"}:
        raise AssertionError(f"not every guard is enforced: {started}")
    refs = [ref for event in events for ref in _refs(event)]
    bodies = await sea.journal.bodies("bench", list(dict.fromkeys(refs)))
    seen: set[Ref] = set()
    sizes = [0]
    for event in events:
        if isinstance(event, StepIntended):
            sizes.append(0)
        sizes[-1] += len(encode_event(event))
        for ref in _refs(event):
            if ref not in seen:
                seen.add(ref)
                sizes[-1] += len(bodies[ref])
    return sizes


def _refs(event: object) -> list[Ref]:
    refs = [getattr(event, name, None) for name in ("intent", "input", "output", "answer", "note")]
    if isinstance(event, StepDone):
        refs += [call.arguments for call in event.calls]
    return [ref for ref in refs if ref]


# ---- runs


async def runs(directory: Path, first: int, many: int, then: int) -> dict[str, Any]:
    """Small runs on one file: what the first and the last ones took, and marks in between."""
    old_path = directory / "old.db"
    desk = Desk(1)
    marks: list[Mark] = []
    async with Seawall(old_path) as old:
        numbers = itertools.count()
        first_us = [await _timed(desk, old, next(numbers)) for _ in range(first)]
        marks.append(_mark(first, old_path))
        while (done := marks[-1].runs) < many:
            _progress(f"runs: {done:,} of {many:,}")
            await _fill(desk, old, numbers, first)
            marks.append(_mark(done + first, old_path))
        then_us: list[tuple[float, float]] = []
        new_us: list[tuple[float, float]] = []
        async with Seawall(directory / "new.db") as new:
            fresh = itertools.count()
            for _ in range(then // BLOCK):
                then_us += [await _timed(desk, old, next(numbers)) for _ in range(BLOCK)]
                new_us += [await _timed(desk, new, next(fresh)) for _ in range(BLOCK)]
    return {"first": first_us, "then": then_us, "new": new_us, "marks": marks}


async def _timed(desk: Desk, sea: Seawall, number: int) -> tuple[float, float]:
    """(wall, CPU of all threads) of one run, in µs."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await desk.run(sea, number)
    desk.moments.clear()
    return (time.perf_counter() - wall_s) * 1e6, (time.process_time() - cpu_s) * 1e6


async def _fill(desk: Desk, sea: Seawall, numbers: itertools.count[int], count: int) -> None:
    async def client(share: int) -> None:
        for _ in range(share):
            await desk.run(sea, next(numbers))

    async with asyncio.TaskGroup() as group:
        for number in range(IN_FLIGHT):
            group.create_task(client(count // IN_FLIGHT + (number < count % IN_FLIGHT)))
    desk.moments.clear()


def _mark(done: int, path: Path) -> Mark:
    gc.collect()
    return Mark(runs=done, rss_kib=_rss_kib(), objects=len(gc.get_objects()), file_bytes=_pages(path) * 4096)


def _rss_kib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:  # not Linux: the count of objects still tells
        return 0.0
    return float(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")))


# ---- what it means


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    what: str
    early: float
    late: float
    value: float
    """The ratio, the slope, or the exponent."""
    bar: float | None

    @property
    def met(self) -> bool:
        """Whether the bar holds; True without one."""
        return self.bar is None or self.value <= self.bar


def list_step_lines(samples: list[Sample], last: int) -> list[Line]:
    """Returns what the steps of long runs took, against its bars."""
    made: list[Line] = []
    for name, title in (
        ("wall_us", "µs"),
        ("cpu_us", "CPU µs"),
        ("logical_bytes", "bytes of events and bodies"),
        ("file_bytes", "bytes of the file"),
    ):
        pairs = [getattr(sample, name) for sample in samples]
        ratio = statistics.median(late / early for early, late in pairs)
        early, late = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
        what = f"step {last:,} / step 10: {title}"
        made.append(Line(what=what, early=early, late=late, value=ratio, bar=STEP_BAR))
    return made


def list_run_lines(measured: dict[str, Any]) -> list[Line]:
    """Returns what small runs took, and what the process kept of them, against its bars."""
    made: list[Line] = []
    marks: list[Mark] = measured["marks"]
    for place, unit in enumerate(("µs", "CPU µs")):
        first, then, new = (
            statistics.median(one[place] for one in measured[key]) for key in ("first", "then", "new")
        )
        for title, early in (
            (f"run {marks[-1].runs + 1:,} / the first: ", first),
            ("  in turn with a new file: ", new),
        ):
            made.append(Line(what=title + unit, early=early, late=then, value=then / early, bar=RUN_BAR))
    grown = [(b.file_bytes - a.file_bytes) / (b.runs - a.runs) for a, b in itertools.pairwise(marks)]
    made.append(
        Line(
            what="bytes of the file, the last / the first runs",
            early=grown[0],
            late=grown[-1],
            value=grown[-1] / grown[0],
            bar=RUN_BAR,
        )
    )
    for name, title, bar, after in (
        ("objects", "objects a thousand runs", OBJECTS_BAR, 0.1),
        ("rss_kib", "resident KiB a thousand runs", None, 0.1),
        ("rss_kib", "  once the page cache is full", RSS_BAR_KIB, 0.65),
    ):
        steady = [mark for mark in marks if mark.runs > after * marks[-1].runs]
        values = [float(getattr(mark, name)) for mark in steady]
        slope = statistics.linear_regression([mark.runs for mark in steady], values).slope * 1000
        full = marks[-1].runs >= MANY  # before that, caches are still filling
        made.append(
            Line(what=title, early=values[0], late=values[-1], value=slope, bar=bar if full else None)
        )
    return made


def list_journal_lines(measured: dict[str, dict[int, list[float]]]) -> list[Line]:
    """Returns what people do with the smallest and the largest journal, in milliseconds, against its bar."""
    made: list[Line] = []
    for what, by_size in journal_growth.compute_medians(measured).items():
        early, late = by_size[min(by_size)], by_size[max(by_size)]
        value, bar, unit = late / early, journal_growth.FLAT_BAR, "ms"
        if what in journal_growth.WHOLE:
            value, bar = journal_growth.compute_exponent(by_size), journal_growth.LINEAR_BAR
            unit = "ms; exponent"
        made.append(Line(what=f"{what}: {unit}", early=early, late=late, value=value, bar=bar))
    return made


def table(made: list[Line]) -> str:
    """One line a measurement."""
    rows = [f"{'':44}{'early':>10}{'late':>10}{'':>4}{'ratio/slope':>12}{'bar':>8}"]
    for one in made:
        bar = "" if one.bar is None else f"{one.bar:8.2f}  {'met' if one.met else 'MISSED'}"
        digits = 2 if one.early < 100 else 0
        rows.append(
            f"{one.what:44}{one.early:10,.{digits}f}{one.late:10,.{digits}f}{'':4}{one.value:12.3f}{bar}"
        )
    return "\n".join(rows)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse_parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: parts are {', '.join(PARTS)}")
    return parts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="2 runs of 310 steps; 1,000 runs; journals of 100 to 1,000 runs"
    )
    parser.add_argument("--parts", type=_parse_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--runs-of-steps", type=int, help="runs of 1,010 steps (default: 9; quick: 2)")
    parser.add_argument("--directory", type=Path, help="for the databases (default: beside the results)")
    parser.add_argument("--json", action="store_true", help="print the samples instead of the table")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "growth.json")
    return parser.parse_args()


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    count = options.runs_of_steps or (2 if options.quick else 9)
    late = 300 if options.quick else LATE[1]
    scale = 10 if options.quick else 1
    made: list[Line] = []
    samples: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.directory or options.out.parent, suffix=".tmp") as place:
        directory = Path(place)
        if "steps" in options.parts:
            steps_taken = asyncio.run(steps(directory, count, late))
            made += list_step_lines(steps_taken, late)
            samples["steps"] = [asdict(one) for one in steps_taken]
        if "runs" in options.parts:
            measured = asyncio.run(runs(directory, FIRST // scale, MANY // scale, THEN // scale))
            made += list_run_lines(measured)
            samples["runs"] = {
                "unit": "(wall, CPU) µs a run",
                **{
                    key: [[round(one) for one in run] for run in measured[key]]
                    for key in ("first", "then", "new")
                },
                "marks": [asdict(one) for one in measured["marks"]],
            }
        if "journal" in options.parts:
            sizes = [100, 1_000] if options.quick else [1_000, 10_000, 100_000]
            journals = asyncio.run(journal_growth.build(directory, sizes, _progress))
            used = journal_growth.measure(journals, 5 if options.quick else 40, _progress)
            made += list_journal_lines(used)
            samples["journal"] = {"unit": "ms, by runs in the journal", **used}
    names = ("seawall", "apsw")
    written = {
        "command": shlex.join(["python", "bench/growth.py", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "seed": journal_growth.SEED,
        "lines": [{**asdict(one), "met": one.met} for one in made],
        **samples,
    }
    options.out.write_text(json.dumps(written) + "\n")
    print(json.dumps(written, indent=1) if options.json else table(made))


if __name__ == "__main__":
    main()
