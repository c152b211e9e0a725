"""Work that blocks has a thread of its own: who holds asyncio's default threads does not hold Seawall."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seawall import Agent, HeadExport, Seawall
from seawall.core.threads import start_in_thread
from seawall.testing import ScriptedModel, say


def test_a_result_comes_back_from_the_thread() -> None:
    async def main() -> int:
        return await start_in_thread(lambda: 7, "seven")

    assert asyncio.run(main()) == 7


def test_an_error_comes_back_from_the_thread() -> None:
    async def main() -> None:
        await start_in_thread({}.popitem, "nothing")

    with pytest.raises(KeyError):
        asyncio.run(main())


class Ended(StopIteration):
    """An iterator of the user's own has ended."""


@pytest.mark.parametrize("error", [StopIteration(7), Ended(7)])
def test_an_iterator_that_ends_in_the_thread_is_an_error_of_the_work(error: StopIteration) -> None:
    def work() -> int:
        raise error

    async def main() -> None:
        async with asyncio.timeout(60):
            await start_in_thread(work, "ended")

    with pytest.raises(RuntimeError, match=type(error).__name__) as raised:
        asyncio.run(main())
    assert raised.value.__cause__ is error


def test_work_that_never_returns_holds_neither_its_caller_nor_the_loop() -> None:
    async def main() -> None:
        held = start_in_thread(threading.Event().wait, "held")
        held.cancel()
        await asyncio.wait([held])
        assert held.cancelled()

    asyncio.run(main())


def test_a_seawall_closes_and_exports_while_the_default_threads_are_held(tmp_path: Path) -> None:
    release = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        holding = [asyncio.ensure_future(asyncio.to_thread(release.wait, 60)) for _ in range(3)]
        export = HeadExport(to=tmp_path / "head.json")
        async with Seawall(tmp_path / "j.db", environment={}, head_export=export) as sea:
            run = await sea.start(Agent("clerk", model=ScriptedModel([say("Done.")])), "go")
            await run.outcome()
        assert not any(task.done() for task in holding)
        assert (tmp_path / "head.json").exists()
        release.set()
        await asyncio.wait(holding)

    asyncio.run(main())


def test_an_export_that_hangs_holds_one_thread_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, begun = threading.Event(), list[str]()

    def hang(path: Path, line: bytes) -> None:
        begun.append(threading.current_thread().name)
        release.wait(60)

    monkeypatch.setattr("seawall.runtime.head_export._replace_file", hang)

    async def main() -> None:
        export = HeadExport(to=tmp_path / "head.json", every_s=0.001, timeout_s=0.001)
        async with Seawall(tmp_path / "j.db", environment={}, head_export=export) as sea:
            for _ in range(5):
                run = await sea.start(Agent("clerk", model=ScriptedModel([say("Done.")])), "go")
                await run.outcome()
        release.set()

    asyncio.run(main())

    assert begun == ["seawall-head-export"]
