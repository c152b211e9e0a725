"""What every journal does with shared records: small values that all processes agree on."""

from __future__ import annotations

import asyncio

import pytest

from journal.story import Open, begin, opened, step
from seawall.core.errors import Misused
from seawall.journal.protocol import Setting
from seawall.testing import ManualClock


def one_more(old: bytes | None) -> bytes:
    return b"%d" % (int(old or b"0") + 1)


class RecordsContract:
    """Shared records, in one handle."""

    def test_a_change_sees_what_the_one_before_it_made(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                seen: list[bytes | None] = []

                def note(old: bytes | None) -> bytes:
                    seen.append(old)
                    return b"first" if old is None else old + b", then"

                assert await journal.change("k", note) == b"first"
                assert await journal.change("k", note) == b"first, then"
                assert seen == [None, b"first"]
                assert await journal.shared("") == {"k": b"first, then"}

        asyncio.run(scenario())

    def test_changes_that_are_committed_together_see_each_other(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                found = await asyncio.gather(*(journal.change("k", one_more) for _ in range(50)))
                assert found == [b"%d" % number for number in range(1, 51)]
                assert await journal.shared("k") == {"k": b"50"}

        asyncio.run(scenario())

    def test_none_deletes_a_record_and_it_can_come_again(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.change("k", lambda _: b"")
                assert await journal.shared("k") == {"k": b""}
                assert await journal.change("k", lambda _: None) is None
                assert await journal.change("never", lambda _: None) is None
                assert await journal.shared("") == {}
                gone = await asyncio.gather(
                    journal.change("k", one_more),
                    journal.change("k", lambda _: None),
                    journal.change("k", one_more),
                )
                assert gone == [b"1", None, b"1"]

        asyncio.run(scenario())

    def test_records_are_found_by_the_beginning_of_their_keys(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                keys = ["endpoint:b", "endpoint:a", "endpoint", "endpoint:\U0010ffff\0", "endpoinu", "é%_"]
                for key in keys:
                    await journal.change(key, lambda _, key=key: key.encode())

                found = await journal.shared("endpoint:")
                assert list(found) == ["endpoint:a", "endpoint:b", "endpoint:\U0010ffff\0"]
                assert found["endpoint:a"] == b"endpoint:a"
                assert set(await journal.shared("é")) == {"é%_"}
                assert await journal.shared("%") == {}
                assert set(await journal.shared("")) == set(keys)

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("error", "reaches"),
        [(ZeroDivisionError, ZeroDivisionError), (StopIteration, RuntimeError), (SystemExit, RuntimeError)],
    )
    def test_what_a_change_raises_reaches_its_caller_and_harms_nobody_else(
        self, open_journal: Open, error: type[BaseException], reaches: type[Exception]
    ) -> None:
        async def scenario() -> None:
            def fail(old: bytes | None) -> bytes:
                raise error("made by a test")

            async with opened(open_journal) as journal:
                lease = await begin(journal, "r-1")
                first, failed, second, _ = await asyncio.gather(
                    journal.change("k", one_more),
                    journal.change("k", fail),
                    journal.change("k", one_more),
                    step(journal, lease, 1, b"x"),
                    return_exceptions=True,
                )
                assert (first, second) == (b"1", b"2")
                assert isinstance(failed, reaches)
                assert "made by a test" in str(failed)
                assert await journal.shared("k") == {"k": b"2"}
                assert len(await journal.events("r-1")) == 3

        asyncio.run(scenario())

    def test_a_value_that_is_too_big_or_none_of_bytes_is_refused_with_its_size(
        self, open_journal: Open
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.change("k", lambda _: b"x" * 65_536)
                with pytest.raises(Misused, match=r"'k': 65537 bytes are above the limit of 65536"):
                    await journal.change("k", lambda _: b"x" * 65_537)
                text: object = "text"
                with pytest.raises(Misused, match="'k': a change returned str, not bytes or None"):
                    await journal.change("k", lambda _: text)  # pyright: ignore[reportArgumentType] - what untyped code does
                assert await journal.shared("k") == {"k": b"x" * 65_536}

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("key", "words"), [("", "not 0"), ("ü" * 257, "not 514"), ("\ud800", "UTF-8 can write")]
    )
    def test_a_key_that_is_none_is_refused(self, open_journal: Open, key: str, words: str) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                with pytest.raises(Misused, match=words):
                    await journal.change(key, one_more)
                assert await journal.shared("") == {}

        asyncio.run(scenario())

    def test_a_watcher_hears_of_shared_records_and_settings(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                setting = Setting(kind="pause", name="all", value="on", by="ops", at=1.0)
                for work in (journal.change("k", one_more), journal.set(setting)):
                    heard = asyncio.Event()
                    stop = journal.watch(heard.set)
                    await work
                    await asyncio.wait_for(heard.wait(), 60)
                    stop()
                assert await journal.shared("k") == {"k": b"1"}

        asyncio.run(scenario())

    def test_erasing_and_pruning_leave_shared_records_alone_and_the_journal_verifies(
        self, open_journal: Open, clock: ManualClock
    ) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.change("acme", one_more)
                await begin(journal, "r-1")
                await journal.change("acme", one_more)
                await journal.erase("acme")
                await clock.advance(1)
                await journal.prune(before=clock.wall_s())

                assert await journal.shared("") == {"acme": b"2"}
                assert (await journal.verify()).ok

        asyncio.run(scenario())


class SharedRecordsContract:
    """Shared records, in several handles on one journal."""

    def test_changes_of_two_handles_see_each_other(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                for _ in range(10):
                    await asyncio.gather(*(each.change("k", one_more) for each in (one, two, one)))
                assert await one.shared("k") == await two.shared("k") == {"k": b"30"}

        asyncio.run(scenario())

    def test_a_watcher_hears_of_what_another_handle_shares_and_sets(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as one, opened(open_journal) as two:
                heard = asyncio.Event()
                one.watch(heard.set)
                await two.change("k", one_more)
                async with asyncio.timeout(60):
                    while not await one.shared("k"):
                        heard.clear()
                        await heard.wait()
                assert await one.shared("k") == {"k": b"1"}

                paused = Setting(kind="pause", name="all", value="on", by="ops", at=1.0)
                await two.set(paused)
                async with asyncio.timeout(60):
                    while not await one.settings():
                        heard.clear()
                        await heard.wait()
                assert list((await one.settings()).values()) == [paused]

        asyncio.run(scenario())

    def test_shared_records_outlive_their_processes(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await journal.change("k", one_more)
            async with opened(open_journal) as journal:
                assert await journal.change("k", one_more) == b"2"

        asyncio.run(scenario())
