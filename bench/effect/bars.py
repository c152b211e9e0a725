"""The bars about what is paid and decided: each returns what it has measured, and what does not hold."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from effects.case import Case
from effects.desk import REQUEST, Ask, Terms, refund
from effects.job import Processes
from effects.people import Decision
from effects.world.client import Bank

STORM_LIFE_S = 900
"""The system ends a process of a storm that lives longer."""


@dataclass(kw_only=True)
class Sizes:
    """How much is done; the defaults are those of the bars."""

    processes: int = 8
    runs_each: int = 100
    races: int = 500
    waits: int = 20
    open_proposals: int = 10_000
    steps: int = 200
    rounds: int = 9
    seed: int = 1


@dataclass(kw_only=True)
class Measured:
    """One bar."""

    bar: str
    what: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def check(self, holds: bool, message: str) -> None:
        """Notes what does not hold."""
        if not holds:
            self.broken.append(message)


class Place:
    """Where a bar is measured: a bank and processes, which all share, and a directory of its own."""

    def __init__(self, directory: Path, sizes: Sizes) -> None:
        self.directory = directory
        self.sizes = sizes
        self.bank = Bank(directory / "bank")
        self.processes = Processes()

    def case(self, name: str) -> Case:
        """Returns a journal and an order of its own."""
        (self.directory / name).mkdir()
        case = Case(self.processes, self.bank, self.directory / name)
        case.job = replace(case.job, max_life_s=STORM_LIFE_S, seed=self.sizes.seed)
        return case

    def close(self) -> None:
        """Ends the bank and the processes."""
        self.processes.close()
        self.bank.close()


def storm(place: Place) -> Measured:
    """Many processes over one order: each run asks for it, plans anew and asks again, and is forked live."""
    sizes, case = place.sizes, place.case("storm")
    again = refund(case.order, "80.00")
    looks = Ask("find_order", {"order_id": case.order})
    case.asks((looks,), (again,), (again,), terms=Terms(limit=None))
    requests = tuple(f"{REQUEST} {number}." for number in range(sizes.runs_each))
    began_s = time.perf_counter()
    begun = [
        case.begin("start", name=f"p{number}", requests=requests, at_once=10, fork_at=2)
        for number in range(sizes.processes)
    ]
    for each in begun:
        case.end(each)
    report = case.do("close")
    wall_s = time.perf_counter() - began_s
    completed = sum(rest.status == "completed" for rest in report.rests)
    runs = sizes.processes * sizes.runs_each
    measured = Measured(
        bar="1: one order, many processes",
        what={
            "processes": sizes.processes,
            "runs": runs,
            "forks": len(report.rests) - runs,
            "completed": completed,
            "payment_rows": len(case.paid),
            "requests_to_the_bank": case.bank.requests(case.order),
            "wall_s": round(wall_s, 2),
        },
    )
    measured.check(len(case.paid) == 1, f"{len(case.paid)} payment rows (bar 1)")
    measured.check(completed == 2 * runs, f"{completed} of {2 * runs} runs completed")
    return measured


def races(place: Place) -> Measured:
    """Two processes decide on each of many proposals at the same moment."""
    case, n = place.case("races"), place.sizes.races
    plans = {f"{REQUEST} {number}.": ((refund(f"{case.order}-{number}", "150.00"),),) for number in range(n)}
    case.asks(plans=plans, requests=tuple(plans), at_once=50)
    proposed = len(case.do("start").proposals)
    begun = [
        case.begin("race", name=who, decisions=(Decision(who=who),), meets="race") for who in ("alice", "bob")
    ]
    said = [case.end(each).said for each in begun]
    pairs = list(zip(*said, strict=True))
    one_each = sum([each == "ok" for each in pair].count(True) == 1 for pair in pairs)
    told = sum(any(each.startswith("Refused: ") for each in pair) for pair in pairs)
    case.do("go_on")
    rows = len([row for row in case.bank.payments() if row.order_id.startswith(case.order)])
    measured = Measured(
        bar="2: two deciders race",
        what={
            "races": len(pairs),
            "one_success_each": one_each,
            "losers_told": told,
            "won_by_the_first": sum(first == "ok" for first, _ in pairs),
            "payment_rows": rows,
        },
    )
    measured.check(proposed == n == len(pairs), f"{proposed} proposals and {len(pairs)} races (bar {n})")
    measured.check(one_each == n, f"{one_each} of {n} races have one success each")
    measured.check(told == n, f"{told} of {n} losers were told")
    measured.check(rows == n, f"{rows} payment rows for {n} approvals")
    return measured


def five_effects(place: Place) -> Measured:
    """A reply with five effects: five proposals, and those that are approved are paid."""
    case = place.case("five")
    orders = [f"{case.order}-{number}" for number in range(1, 6)]
    case.asks(tuple(refund(order, "150.00") for order in orders))
    report = case.do("start")
    decisions = tuple(
        Decision(who="alice", order=order, action="approve" if number % 2 else "reject")
        for number, order in enumerate(orders, 1)
    )
    case.do("decide", decisions=decisions)
    case.do("go_on")
    rows = [len(case.bank.paid(order)) for order in orders]
    measured = Measured(
        bar="3: five effects of one reply",
        what={"proposals": len(report.proposals), "within_s": round(report.took_s, 3), "payment_rows": rows},
    )
    measured.check(len(report.proposals) == 5, f"{len(report.proposals)} proposals (bar 5)")
    measured.check(report.took_s < 1.0, f"proposed within {report.took_s:.2f} s (bar 1 s)")
    measured.check(rows == [1, 0, 1, 0, 1], f"approved 1, 3, 5, and paid {rows}")
    return measured


def starter_dead(place: Place) -> Measured:
    """The process that started a run is gone, the decision is made in another one, and a worker goes on."""
    case, n = place.case("worker"), place.sizes.waits + 1
    orders = [f"{case.order}-{number}" for number in range(n)]
    plans = {f"{REQUEST} {order}.": ((refund(order, "150.00"),),) for order in orders}
    case.asks(plans=plans, requests=tuple(plans), app="effects.app:desk")
    case.do("start")
    worker = case.start_worker()
    try:
        waits_s: list[float] = []
        for number, order in enumerate(orders):
            decided = case.do("decide", decisions=(Decision(who="alice", order=order),))
            case.bank.wait_for(order)
            if number:  # the first one waits for the worker's start
                waits_s.append(time.monotonic() - decided.done_s)
    finally:
        worker.terminate()
        worker.wait()
    rows = [len(case.bank.paid(order)) for order in orders]
    measured = Measured(
        bar="4: the starter is gone",
        what={
            "decisions": len(waits_s),
            "until_paid_p50_s": round(statistics.median(waits_s), 3),
            "until_paid_most_s": round(max(waits_s), 3),
            "payment_rows": sum(rows),
        },
    )
    measured.check(max(waits_s) < 1.0, f"a worker took {max(waits_s):.2f} s to go on (bar 1 s)")
    measured.check(rows == [1] * n, f"{sum(rows)} payment rows for {n} approvals")
    return measured


def flood(place: Place) -> Measured:
    """So many open proposals that nobody reads all of them: listing the oldest page, in Python and in the shell."""
    case, n, of_one_reply = place.case("flood"), place.sizes.open_proposals, 50
    plans = {
        f"{REQUEST} {first}.": (
            tuple(refund(f"{case.order}-{first}-{each}", "150.00") for each in range(of_one_reply)),
        )
        for first in range(n // of_one_reply)
    }
    case.asks(plans=plans, requests=tuple(plans), at_once=8)
    began_s = time.perf_counter()
    case.do("start")
    proposed_s = time.perf_counter() - began_s
    listed = [case.do("time") for _ in range(5)]
    open_ = len(case.document("approvals", "--limit", str(2 * n))["approvals"])
    shell_s, shown = _time(lambda: case.command("approvals"))
    start_s, _ = _time(_start_shell)
    case.do("go_on", clock_ahead_s=172_801.0)
    rows = len([row for row in case.bank.payments() if row.order_id.startswith(case.order)])
    page_s = statistics.median(report.took_s for report in listed)
    measured = Measured(
        bar="5: a flood of proposals",
        what={
            "open": open_,
            "proposed_in_s": round(proposed_s, 1),
            "page": len(listed[0].said),
            "page_s": round(page_s, 4),
            "shell_s": round(shell_s, 3),
            "shell_start_s": round(start_s, 3),
            "shell_lines": len(shown.splitlines()),
            "payment_rows_after_expiry": rows,
        },
    )
    measured.check(open_ == n, f"{open_} open proposals (bar {n})")
    measured.check(page_s < 1.0, f"the oldest page took {page_s:.2f} s (bar 1 s)")
    measured.check(shell_s < 1.0 + start_s, f"`seawall approvals` took {shell_s:.2f} s (bar 1 s)")
    measured.check(len(shown.splitlines()) < 60, f"{len(shown.splitlines())} lines for a flood of one kind")
    measured.check(rows == 0, f"{rows} payments that nobody has approved")
    return measured


def _start_shell() -> str:
    command = [sys.executable, "-c", "from seawall.cli import main; main()", "--version"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _time(act: Callable[[], str]) -> tuple[float, str]:
    began_s = time.perf_counter()
    said = act()
    return time.perf_counter() - began_s, said
