"""What every journal does with commands, live settings and watchers."""

from __future__ import annotations

import asyncio

import pytest

from journal.story import (
    Open,
    begin,
    bodies,
    opened,
    whole_run,
)
from seawall.core.canonical import ref_of
from seawall.core.errors import Misused
from seawall.journal.protocol import Command, Setting


class InboxContract:
    """Commands, live settings and watchers."""

    def test_commands_arrive_in_order(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                assert await journal.send("r-1", Command(kind="late", by="user:7")) == 0
                assert await journal.send("r-1", Command(kind="cancel")) == 1

                items = await journal.inbox("r-1")
                assert [(item.number, item.command.kind) for item in items] == [(0, "late"), (1, "cancel")]
                assert items[0].command.by == "user:7"
                assert await journal.inbox("r-1", after=0) == items[1:]

        asyncio.run(scenario())

    def test_commands_of_all_runs_come_after_a_cursor(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await begin(journal, "r-1")
                await begin(journal, "r-2")
                await journal.send("r-1", Command(kind="late"))
                cursor, items = await journal.commands(after=-1)
                assert items == []
                answer = Command(kind="decide", step=3, approved=True, output=ref_of(b"yes"))
                await journal.send("r-2", answer, bodies(b"yes"))
                await journal.send("r-1", Command(kind="cancel"))

                cursor, items = await journal.commands(after=cursor)
                assert [(item.run, item.number, item.command.kind) for item in items] == [
                    ("r-2", 0, "decide"),
                    ("r-1", 1, "cancel"),
                ]
                assert await journal.commands(after=cursor) == (cursor, [])
                assert await journal.bodies("acme", [ref_of(b"yes")]) == bodies(b"yes")

        asyncio.run(scenario())

    def test_an_ended_run_takes_no_command(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                await whole_run(journal, "r-1", [])
                with pytest.raises(Misused, match="r-1 has ended"):
                    await journal.send("r-1", Command(kind="cancel"))

        asyncio.run(scenario())

    def test_a_watcher_hears_of_writes_until_it_stops(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                heard = asyncio.Event()
                stop = journal.watch(heard.set)
                await begin(journal, "r-1")
                await asyncio.wait_for(heard.wait(), 60)
                stop()
                heard.clear()
                await begin(journal, "r-2")
                await begin(journal, "r-3")

                assert not heard.is_set()

        asyncio.run(scenario())

    def test_the_newest_setting_of_a_kind_and_name_counts(self, open_journal: Open) -> None:
        async def scenario() -> None:
            async with opened(open_journal) as journal:
                assert await journal.settings() == {}
                loops = Setting(kind="guard", name="loops", value="off", by="ops", at=1.0)
                again = Setting(kind="guard", name="loops", value="observe", by="ops", at=2.0, until=9.0)
                refunds = Setting(kind="pause", name="tool:refund", value="on", by="ops", why="odd", at=3.0)
                open_ = Setting(kind="endpoint", name="tool:refund", value="open", by="ops", at=4.0)
                for setting in (loops, again, refunds, open_):
                    await journal.set(setting)

                assert await journal.settings() == {
                    ("guard", "loops"): again,
                    ("pause", "tool:refund"): refunds,
                    ("endpoint", "tool:refund"): open_,
                }
                assert (await journal.verify()).ok

        asyncio.run(scenario())
