"""`seawall resume` after a restart: runs of another container and of another machine."""

from __future__ import annotations

import signal
from collections.abc import Callable

import apsw
import pytest

from cli.desks import Called, Desks
from journal.edits import hold_again
from seawall.core.clock import SystemClock
from seawall.journal.protocol import Journal, RunRow
from seawall.journal.sqlite import owner as owners
from seawall.journal.sqlite.owner import Host
from seawall.runtime import recovery

POD, NEXT_POD = Host("pod-1", "aaaaaaaa", "11111111"), Host("pod-2", "aaaaaaaa", "22222222")
NODE = Host("node-2", "bbbbbbbb", "33333333")
GONE = f"{POD}:1:77"

Leave = Callable[..., str]


class Time:
    """The machine's clocks, which stand still except while something sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100_000.0
        monkeypatch.setattr(SystemClock, "monotonic_s", staticmethod(lambda: self.now_s))
        monkeypatch.setattr(SystemClock, "wall_s", staticmethod(lambda: 1e9 + self.now_s))
        monkeypatch.setattr(SystemClock, "sleep", self.sleep)

    async def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def leave(desks: Desks, time: Time, monkeypatch: pytest.MonkeyPatch) -> Leave:
    """Leaves a run as a killed process of `pod-1` does whose lease runs so many seconds more; this is `host` then."""
    desks.write("""
def reply(request):
    return say("Done.") if os.path.exists("freed") else hang()
stuck = Team("stuck", Agent("stuck", model=ScriptedModel(reply)))
""")

    def leave_run(host: Host, left_s: float) -> str:
        child = desks.start("run", desks.app("stuck"), "Hi.")
        child.until("run r-")
        child.signal(signal.SIGKILL)
        child.end()
        (desks.directory / "freed").touch()
        database = apsw.Connection(str(desks.directory / "seawall.db"))
        database.execute("UPDATE runs SET owner = ?", (GONE,))
        database.execute("DELETE FROM workers")
        ends = (SystemClock.wall_s() + left_s, SystemClock.monotonic_s() + left_s)
        database.execute("INSERT INTO workers VALUES (?, 1, ?, ?)", (GONE, *ends))
        database.close()
        hold_again(str(desks.directory / "seawall.db"))
        monkeypatch.setattr(owners, "read_host", lambda: host)
        return desks("runs", "--json").document["runs"][0]["run"]

    return leave_run


def check_resumed(done: Called, run: str) -> None:
    assert done.exit_code == 0, done.err
    assert done.out == f"{run}  completed\n"
    assert "left alone" not in done.err


@pytest.mark.parametrize("host", [NEXT_POD, NODE], ids=["container", "machine"])
def test_a_run_whose_lease_has_run_out_is_resumed_by_whoever_comes_first(
    desks: Desks, leave: Leave, host: Host
) -> None:
    run = leave(host, -60.0)

    check_resumed(desks("resume"), run)


def test_a_run_whose_container_may_live_is_left_alone_until_its_lease_has_run_out(
    desks: Desks, leave: Leave, time: Time
) -> None:
    run = leave(NEXT_POD, 12.0)

    done = desks("resume")
    assert (done.exit_code, done.out) == (8, "")
    told = " ".join(done.err.split())
    assert f"left alone: 1 run of {GONE}: {run}; its process is in another container" in told
    assert "the lease runs 12 s more" in told
    assert "wait for it with: seawall resume --wait" in told
    assert desks("resume", "--all-hosts").exit_code == 8, "its lease is known to run"
    assert desks("resume", run).exit_code == 3
    document = desks("resume", "--json").document
    assert document["left_alone"] == [{"run": run, "owner": GONE, "lease": "runs", "retry_after_s": 12.0}]

    time.now_s += 13
    check_resumed(desks("resume"), run)


def test_a_run_whose_lease_ends_while_runs_are_looked_for_is_resumed_and_not_left_alone(
    desks: Desks, leave: Leave, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = leave(NEXT_POD, 12.0)
    look = recovery.find_left_alone

    async def look_just_before(journal: Journal) -> list[RunRow]:
        rows = await look(journal)
        time.now_s += 13
        return rows

    monkeypatch.setattr(recovery, "find_left_alone", look_just_before)

    check_resumed(desks("resume"), run)


def test_a_run_whose_machine_may_live_is_resumed_on_the_word_that_no_other_has_the_journal(
    desks: Desks, leave: Leave
) -> None:
    run = leave(NODE, 3 * 86_400.0)

    done = desks("resume")
    assert (done.exit_code, done.out) == (8, "")
    told = " ".join(done.err.split())
    assert f"left alone: 1 run of {GONE}: {run}; whether its process lives can't be known at once" in told
    assert "go on with: seawall resume --all-hosts" in told
    assert "whether its process lives can't be known" in " ".join(desks("show", run).out.split())
    assert f"may be interrupted, which can't be known from this machine: {run}" in desks("runs").err

    check_resumed(desks("resume", "--all-hosts"), run)


@pytest.mark.parametrize(("host", "left_s"), [(NEXT_POD, 12.0), (NODE, 86_400.0)], ids=["runs", "doubted"])
def test_waiting_for_the_lease_of_a_process_that_is_gone_resumes_its_run(
    desks: Desks, leave: Leave, time: Time, host: Host, left_s: float
) -> None:
    run = leave(host, left_s)
    before = time.now_s

    done = desks("resume", "--wait")

    assert "1 may be driven elsewhere; waiting for their leases" in done.err
    check_resumed(done, run)
    assert time.now_s - before <= 32


def test_waiting_ends_when_a_process_elsewhere_is_seen_to_live(
    desks: Desks, leave: Leave, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = leave(NEXT_POD, 12.0)

    async def sleep(_: object, delay_s: float) -> None:
        time.now_s += delay_s
        database = apsw.Connection(str(desks.directory / "seawall.db"))
        database.execute("UPDATE workers SET beat = 2")
        database.close()

    monkeypatch.setattr(SystemClock, "sleep", sleep)
    done = desks("resume", "--wait")

    assert (done.exit_code, done.out) == (0, "")
    assert "no interrupted run" in done.err
    assert desks("runs", "--json").document["runs"][0]["state"] == "running"
    assert desks("resume", run).exit_code == 3


def test_a_decision_on_a_run_that_may_be_driven_elsewhere_says_whose_it_is(
    desks: Desks, leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = leave(NEXT_POD, 12.0)
    monkeypatch.setattr("seawall.cli.decisions.TAKE_UP_S", 0.0)

    told = " ".join(desks("cancel", run, "--by", "ops").err.split())

    assert "its process has not taken this up yet" in told
    assert f"{GONE}: its process is in another container" in told


def test_waiting_is_for_all_runs(desks: Desks) -> None:
    assert desks("resume", "last", "--wait").exit_code == 2
