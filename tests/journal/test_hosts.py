"""Whose a lease is: owners in other containers, in other boots, on other machines, and with wrong clocks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from journal.edits import hold_again
from journal.story import begin, opened
from seawall.core.errors import Refused
from seawall.journal.protocol import RunRow
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.journal.sqlite import owner as owners
from seawall.journal.sqlite.owner import Host, Owner, open_owner, read_host
from seawall.testing import ManualClock

KERNEL, OTHER_KERNEL = "aaaaaaaa", "bbbbbbbb"
POD = Host("pod-1", KERNEL, "11111111")
NEXT_POD = Host("pod-2", KERNEL, "22222222")
ALIKE = Host("pod-1", KERNEL, "22222222")
NODE = Host("node-2", OTHER_KERNEL, "33333333")
REBOOTED = Host("pod-1", OTHER_KERNEL, "33333333")
DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


class Left:
    """A journal with a run that an owner left behind when it was killed."""

    def __init__(self, path: str, clock: ManualClock) -> None:
        self.path = path
        self.clock = clock
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        async with opened(self.open) as journal:
            await begin(journal, "r-1")

    def open(self, host: Host | None = POD, **options: Any) -> SqliteJournal:
        return SqliteJournal.open(self.path, clock=self.clock, options=SqliteOptions(**options), host=host)

    def by(self, owner: Owner | str, *, wall_s: object = 20.0, mono_s: object = 20.0) -> None:
        """Leaves the run to an owner whose lease runs so many seconds more, by each of its clocks."""
        wall = self.clock.wall_s() + wall_s if isinstance(wall_s, float) else wall_s
        mono = self.clock.monotonic_s() + mono_s if isinstance(mono_s, float) else mono_s
        database = apsw.Connection(self.path)
        database.execute("UPDATE runs SET owner = ?", (str(owner),))
        database.execute("DELETE FROM workers")
        database.execute("INSERT INTO workers VALUES (?, 1, ?, ?)", (str(owner), wall, mono))
        database.close()
        hold_again(self.path)

    def look(self, host: Host | None = POD, **options: Any) -> RunRow:
        """Returns the run as a new process on `host` sees it."""

        async def scenario() -> RunRow:
            async with opened(lambda: self.open(host, **options)) as journal:
                return await journal.row("r-1")

        return asyncio.run(scenario())

    def take(self, host: Host | None = POD, **options: Any) -> int:
        """Takes the run in a new process on `host`, and returns the epoch."""

        async def scenario() -> int:
            async with opened(lambda: self.open(host, **options)) as journal:
                return (await journal.take("r-1")).epoch

        return asyncio.run(scenario())


@pytest.fixture
def left(path: str, clock: ManualClock) -> Left:
    asyncio.run(clock.advance(1_000))
    return Left(path, clock)


def seen(row: RunRow) -> tuple[str, str]:
    return row.state, row.lease


ELSEWHERE = {"a new container": NEXT_POD, "a container of the same name": ALIKE}


@pytest.mark.parametrize("host", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("turned_s", [0.0, -DAY_S, DAY_S], ids=["steady", "a day back", "a day ahead"])
def test_a_lease_of_another_container_is_read_from_the_one_clock_of_the_machine(
    left: Left, host: Host, turned_s: float
) -> None:
    left.by(Owner(POD, 1, "77"), wall_s=20.0 + turned_s)
    assert seen(left.look(host)) == ("running", "runs")
    with pytest.raises(Refused, match=r"whose lease runs 20\.0 s more"):
        left.take(host)
    asyncio.run(left.clock.advance(21))
    assert seen(left.look(host)) == ("interrupted", "none")
    assert left.take(host) == 2


def test_process_1_of_another_container_is_not_looked_up_in_this_one(left: Left) -> None:
    own = read_host()
    # it lives, and started at another time
    left.by(Owner(Host(own.name, own.kernel, "22222222"), os.getpid(), "1"))
    assert seen(left.look(None)) == ("running", "runs")


@pytest.mark.parametrize("start", ["1", ""], ids=["another start", "no start"])
def test_a_process_id_that_was_given_again_is_another_process(left: Left, start: str) -> None:
    left.by(Owner(read_host(), os.getppid(), start))
    assert seen(left.look(None)) == (("interrupted", "none") if start else ("running", "held"))


def test_a_live_process_of_this_host_whose_lease_has_run_out_loses_its_runs(left: Left) -> None:
    left.by(Owner(read_host(), os.getppid(), ""), mono_s=-1.0)
    assert seen(left.look(None)) == ("interrupted", "none")
    assert left.take(None) == 2


def test_a_process_that_proc_hides_is_not_taken_for_dead(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    left.by(Owner(read_host(), os.getppid(), "1"))
    hidden = f"/proc/{os.getppid()}/stat"
    read = owners._read
    monkeypatch.setattr(owners, "_read", lambda path: "" if path == hidden else read(path))
    assert seen(left.look(None)) == ("running", "held")


def test_the_processes_that_proc_shows_are_not_asked_if_they_are_those_of_another_namespace(
    left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.by(Owner(read_host(), os.getppid(), "1"))
    read = owners._read_link
    monkeypatch.setattr(owners, "_read_link", lambda path: "4711" if path == "/proc/self" else read(path))
    assert seen(left.look(None)) == ("running", "held")


def test_an_owner_that_could_not_read_its_own_start_is_not_taken_for_dead(left: Left) -> None:
    left.by(Owner(read_host(), os.getppid(), "0.2"))
    assert seen(left.look(None)) == ("running", "held")


@pytest.mark.parametrize("host", [NODE, REBOOTED], ids=["another machine", "another boot"])
@pytest.mark.parametrize(
    ("wall_s", "expected"),
    [
        (-11.0, ("interrupted", "none")),
        (-9.0, ("running", "doubted")),
        (20.0, ("running", "doubted")),
        (3 * DAY_S, ("running", "doubted")),
        ("soon", ("running", "doubted")),
    ],
    ids=["long out", "just out", "in the future", "days in the future", "no time"],
)
def test_a_lease_by_another_machines_clock_counts_as_out_when_that_is_sure(
    left: Left, host: Host, wall_s: object, expected: tuple[str, str]
) -> None:
    left.by(Owner(POD, 1, "77"), wall_s=wall_s, mono_s=5 * DAY_S)
    assert seen(left.look(host)) == expected
    assert seen(left.look(host, doubted_leases_are_out=True)) == ("interrupted", "none")
    if expected[1] == "none":
        assert left.take(host) == 2
        return
    with pytest.raises(Refused, match="whose clock may differ from this one's"):
        left.take(host)
    assert left.take(host, doubted_leases_are_out=True) == 2


def test_a_doubted_lease_is_out_when_its_owner_was_silent_for_one(left: Left) -> None:
    left.by(Owner(POD, 1, "77"), wall_s=3 * DAY_S)

    async def scenario() -> None:
        async with opened(lambda: left.open(NODE)) as journal:
            assert seen(await journal.row("r-1")) == ("running", "doubted")
            await left.clock.advance(29)
            assert seen(await journal.row("r-1")) == ("running", "doubted")
            await left.clock.advance(2)
            assert seen(await journal.row("r-1")) == ("interrupted", "none")

    asyncio.run(scenario())


@pytest.mark.parametrize("mono_s", [3 * DAY_S, None, "soon"], ids=["days in the future", "none", "a text"])
def test_a_lease_that_nobody_gives_is_doubted_in_another_container_and_held_in_this_one(
    left: Left, mono_s: object
) -> None:
    if mono_s is None:
        mono_s = b"\x00"
    left.by(Owner(POD, 1, "77"), mono_s=mono_s)
    assert seen(left.look(NEXT_POD)) == ("running", "doubted")
    assert seen(left.look(NEXT_POD, doubted_leases_are_out=True)) == ("interrupted", "none")
    left.by(Owner(read_host(), os.getppid(), ""), mono_s=mono_s)
    assert seen(left.look(None, doubted_leases_are_out=True)) == ("running", "held")


def test_a_name_that_no_process_has_is_judged_like_one_of_another_machine(left: Left) -> None:
    left.by("somebody", wall_s=5.0)
    assert seen(left.look()) == ("running", "doubted")
    left.by("somebody", wall_s=-60.0)
    assert seen(left.look()) == ("interrupted", "none")


def test_an_owner_as_an_earlier_version_wrote_it_is_known_by_its_process(left: Left) -> None:
    own = read_host()
    earlier = Host(own.name, "", own.processes)
    assert str(earlier) == f"{own.name}-{own.processes}"
    left.by(Owner(earlier, 2**22 + 1, "1"))
    assert seen(left.look(None)) == ("interrupted", "none")
    left.by(Owner(earlier, os.getppid(), ""))
    assert seen(left.look(None)) == ("running", "held")


@pytest.mark.parametrize(
    "host", [POD, NODE, Host("a-b.c-d", "", "12345678"), Host("odd-deadbeef", KERNEL, "0123cdef")]
)
def test_an_owner_is_read_as_it_was_written(host: Host) -> None:
    owner = Owner(host, 42, "77.2")
    assert Owner.parse(str(owner)) == owner


def test_a_closed_journal_of_this_process_owns_nothing_under_a_host_that_was_given() -> None:
    one, two = open_owner(POD), open_owner(POD)
    assert not one.is_gone(two)
    owners.close_owner(one)
    assert one.is_gone(two)
    owners.close_owner(two)
