"""Several processes on one file (F10), and workers that die, are stopped or overtaken (F13, F14, F15)."""

from __future__ import annotations

import asyncio
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import IO

import apsw
import pytest

import warm_python
from journal.edits import hold_again
from journal.effects_story import append_records, proposal_of
from journal.story import begin, bodies, done, opened, step
from seawall.core.clock import SystemClock
from seawall.core.errors import Broken, Fenced, Refused
from seawall.journal.protocol import Cap, Lease, Spend
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
from seawall.testing import ManualClock

TESTS = Path(__file__).parents[1]

_PROLOGUE = """
import asyncio, sys
from decimal import Decimal
from journal.story import *
from seawall.journal.protocol import Booking, Cap, Spend
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
path, name = sys.argv[1:3]
def tell(text):
    print(text, flush=True)
def open_it():
    return SqliteJournal.open(path, clock=SystemClock(), options=SqliteOptions(lease_s=0.4))
"""

_CONTENDER = """
async def main():
    async with opened(open_it) as journal:
        async def one(number):
            run = f"r-{name}-{number}"
            lease = await begin(journal, run, request_id="shared" if number == 0 else None)
            if lease.epoch == 0:
                return
            for step_ in range(10):
                await step(journal, lease, 1 + 2 * step_, f"{run} {step_}".encode())
            await finish(journal, lease, 21)
        await asyncio.gather(*(one(number) for number in range(6)))
asyncio.run(main())
"""

_OWNER = """
async def main():
    async with opened(open_it) as journal:
        lease = await begin(journal, "r-1")
        await step(journal, lease, 1, b"x")
        tell("ready")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        try:
            await step(journal, lease, 3, b"late")
        except Exception as error:
            tell(type(error).__name__)
        else:
            tell("written")
asyncio.run(main())
"""


_SPENDER = """
async def main():
    async with opened(open_it) as journal:
        tell("ready")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        cent = Spend(usd=Decimal("0.01"), tool_calls=1)
        cap = Cap(scope="day", usd=Decimal("1.00"))
        got = 0
        async def one(number):
            nonlocal got
            while await journal.reserve(f"t-{name}", "2026-01-01", cent, [cap]) is None:
                got += 1
                if number % 2:  # of every other one nobody hears again
                    await journal.book(f"t-{name}", [Booking(day="2026-01-01", reserved=-cent, spent=cent)])
                await journal.change("got", lambda old: b"%d" % (int(old or b"0") + 1))
        await asyncio.gather(*(one(number) for number in range(8)))
        tell(got)
        sys.stdin.readline()
asyncio.run(main())
"""


_RACER = """
from journal.effects_story import ALICE, claim_of
from msgspec.structs import replace
from seawall.core.errors import Refused
async def main():
    async with opened(open_it) as journal:
        await begin(journal, f"r-{name}")
        tell("ready")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        tell((await journal.claim(claim_of(f"r-{name}"))).status)
        counted = 0
        for number in range(ROUNDS):
            ballot = replace(ALICE, proposal=f"p-{number}", principal=f"user-{name}")
            try:
                await journal.decide(ballot)
                counted += 1
            except Refused:
                pass
        tell(counted)
        sys.stdin.readline()
asyncio.run(main())
"""


def process(path: str, name: str, code: str) -> warm_python.Process[str]:
    words = ["-c", _PROLOGUE + code, path, name]
    return warm_python.start(words, stdin=warm_python.PIPE, text=True, cwd=TESTS)


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal.db")


@pytest.mark.parametrize("count", [4, 8])
def test_processes_that_write_one_file_lose_nothing(path: str, count: int) -> None:
    contenders = [process(path, str(number), _CONTENDER) for number in range(count)]
    assert [contender.wait(60) for contender in contenders] == [0] * count
    for contender in contenders:
        contender.communicate()

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as journal:
            rows = await journal.runs(limit=1_000)
            assert len(rows) == count * 5 + 1  # one request, which all of them made, is one run
            assert {(row.state, row.events) for row in rows} == {("ended", 22)}
            found = await journal.verify()
            assert (found.bad, found.events) == (None, len(rows) * 22)

    asyncio.run(scenario())


def test_processes_that_race_for_the_last_cent_never_pass_the_cap_even_when_they_die(path: str) -> None:
    spenders = [process(path, str(number), _SPENDER) for number in range(4)]
    assert [line(spender.stdout) for spender in spenders] == ["ready"] * 4
    for spender in spenders:
        assert spender.stdin is not None
        spender.stdin.write("go\n")
        spender.stdin.flush()
    got = [int(line(spender.stdout)) for spender in spenders]
    for spender in spenders:
        spender.kill()
        spender.communicate()

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as journal:
            (day,) = await journal.accounts(tenant="*")
            assert (sum(got), day.spent.usd + day.reserved.usd) == (100, 1)
            assert day.spent.tool_calls + day.reserved.tool_calls == 100
            assert await journal.shared("got") == {"got": b"100"}
            calls = {
                each.tenant: each.spent.tool_calls + each.reserved.tool_calls
                for each in await journal.accounts(day="*")
            }
            assert calls == {f"t-{number}": count for number, count in enumerate(got) if count}
            cap = Cap(scope="day", usd=Decimal("1.00"))
            cent = Spend(usd=Decimal("0.01"))
            assert await journal.reserve("acme", "2026-01-01", cent, [cap]) is not None
            assert (await journal.verify()).ok

    asyncio.run(scenario())


def test_a_killed_owner_s_run_can_be_taken_at_once(path: str) -> None:
    owner = process(path, "a", _OWNER)
    assert line(owner.stdout) == "ready"

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=SystemClock())) as journal:
            with pytest.raises(Refused, match=f"process {owner.pid}"):
                await journal.take("r-1")
            owner.kill()
            owner.wait()
            assert (await journal.row("r-1")).state == "interrupted"
            lease = await journal.take("r-1")
            await step(journal, lease, 3, b"y")

    asyncio.run(scenario())
    owner.communicate()


def test_a_worker_that_stopped_past_its_lease_is_fenced_when_it_goes_on(path: str) -> None:
    owner = process(path, "a", _OWNER)
    assert line(owner.stdout) == "ready"
    os.kill(owner.pid, signal.SIGSTOP)

    async def scenario() -> None:
        clock = SystemClock()
        options = SqliteOptions(lease_s=0.4)
        async with opened(lambda: SqliteJournal.open(path, clock=clock, options=options)) as journal:
            lease: Lease | None = None
            while lease is None:
                try:
                    lease = await journal.take("r-1")
                except Refused as refused:
                    await clock.sleep(refused.retry_after_s or 0.0)
            await step(journal, lease, 3, b"mine")
            os.kill(owner.pid, signal.SIGCONT)
            output, _ = await asyncio.to_thread(owner.communicate, "go on\n")
            assert output.strip() == "Fenced"
            assert len(await journal.events("r-1")) == 5

    asyncio.run(scenario())
    assert owner.returncode == 0


def test_an_append_fails_once_it_has_waited_for_a_lock_for_as_long_as_the_options_say(path: str) -> None:
    async def scenario() -> None:
        options = SqliteOptions(lock_wait_s=0.05)
        async with opened(lambda: SqliteJournal.open(path, clock=ManualClock(), options=options)) as journal:
            lease = await begin(journal, "r-1")
            other = apsw.Connection(path)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Broken, match=r"waited 0.05 s for the write lock"):
                await step(journal, lease, 1, b"x")
            assert len(await journal.events("r-1")) == 1
            other.execute("ROLLBACK")
            other.close()
            again = await journal.take("r-1")
            await step(journal, again, 1, b"x")

    asyncio.run(scenario())


def test_event_loops_of_several_threads_share_a_journal(path: str) -> None:
    journal = SqliteJournal.open(path, clock=SystemClock())

    async def work(name: str) -> None:
        async def one(run: str) -> None:
            lease = await begin(journal, run)
            for number in range(20):
                await step(journal, lease, 1 + 2 * number, run.encode())

        await asyncio.gather(*(one(f"r-{name}-{number}") for number in range(5)))

    async def main() -> None:
        threads = (asyncio.to_thread(asyncio.run, work(str(number))) for number in range(4))
        await asyncio.gather(*threads, work("main"))
        assert len(await journal.runs()) == 25
        assert (await journal.verify()).events == 25 * 41
        await journal.close()

    asyncio.run(main())


def test_a_loop_that_ended_holds_nobody_up(path: str) -> None:
    journal = SqliteJournal.open(path, clock=SystemClock())

    async def leave() -> None:
        journal.watch(lambda: None)
        lease = await begin(journal, "r-1")
        _ = journal.append(lease, 1, [done(1, b"x")], bodies(b"x"))

    async def stay() -> None:
        await begin(journal, "r-2")
        assert {row.run: row.events for row in await journal.runs()}["r-2"] == 1
        await journal.close()

    asyncio.run(leave())
    asyncio.run(stay())


def move_owner(path: str, host: str) -> None:
    database = apsw.Connection(path)
    for table in ("runs", "workers"):
        database.execute(f"UPDATE {table} SET owner = ? || substr(owner, instr(owner, ':'))", (host,))
    database.close()
    hold_again(path)


@pytest.mark.parametrize("jump_s", [0.0, -3_600.0, 86_400.0], ids=["steady", "an hour back", "a day ahead"])
def test_a_worker_of_another_host_is_judged_by_its_heartbeat_whatever_the_clock_does(
    path: str, jump_s: float
) -> None:
    clock = ManualClock()

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=clock)) as other:
            await begin(other, "r-1")
            move_owner(path, "elsewhere")
            async with opened(lambda: SqliteJournal.open(path, clock=clock)) as journal:
                assert (await journal.row("r-1")).state == "running"
                await clock.advance(20)
                _beat(path)
                assert (await journal.row("r-1")).state == "running"
                clock.jump_wall(jump_s)
                await clock.advance(20)
                with pytest.raises(Refused, match="elsewhere"):
                    await journal.take("r-1")
                await clock.advance(11)
                assert (await journal.row("r-1")).state == "interrupted"
                assert (await journal.take("r-1")).epoch == 2

    def _beat(path: str) -> None:
        database = apsw.Connection(path)
        database.execute("UPDATE workers SET beat = beat + 1, until_wall = until_wall + 20")
        database.close()

    asyncio.run(scenario())


def test_a_worker_s_heartbeat_is_renewed_every_third_of_its_lease(path: str) -> None:
    clock = ManualClock()

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=clock)) as journal:
            await begin(journal, "r-1")
            before = _beats(path)
            await clock.advance(10)
            await begin(journal, "r-2")
            await begin(journal, "r-3")

            assert _beats(path) == before + 1

    def _beats(path: str) -> int:
        database = apsw.Connection(path)
        beats = database.execute("SELECT beat FROM workers").fetchone()
        database.close()
        assert beats is not None
        return beats[0]

    asyncio.run(scenario())


def test_a_fenced_worker_learns_who_took_its_run(path: str) -> None:
    async def scenario() -> None:
        async with (
            opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as one,
            opened(lambda: SqliteJournal.open(path, clock=ManualClock())) as two,
        ):
            lease = await begin(one, "r-1")
            await two.take("r-1", force=True)
            with pytest.raises(Fenced, match=two.owner):
                await step(one, lease, 1, b"x")

    asyncio.run(scenario())


def test_of_processes_that_race_one_claims_the_identity_and_one_decides_each_proposal(path: str) -> None:
    rounds, count = 20, 8

    async def ask_all() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=SystemClock())) as journal:
            lease = await begin(journal, "r-asks")
            for number in range(rounds):
                proposal = proposal_of("r-asks", id=f"p-{number}")
                await append_records(journal, lease, 1 + number, proposal)

    asyncio.run(ask_all())
    racers = [process(path, str(each), _RACER.replace("ROUNDS", str(rounds))) for each in range(count)]
    assert [line(racer.stdout) for racer in racers] == ["ready"] * count
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    claims = sorted(line(racer.stdout) for racer in racers)
    counted = sum(int(line(racer.stdout)) for racer in racers)
    for racer in racers:
        racer.kill()
        racer.communicate()
    assert claims == ["claimed", *["waits"] * (count - 1)]
    assert counted == rounds

    async def scenario() -> None:
        async with opened(lambda: SqliteJournal.open(path, clock=SystemClock())) as journal:
            assert len(await journal.inbox("r-asks")) == rounds
            history = await journal.decisions()
            assert [each.what for each in history].count("approve") == rounds
            assert len(history) == rounds * count
            assert (await journal.verify()).bad is None

    asyncio.run(scenario())
