"""Closing a Seawall ends, whatever the things that it closes do."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from seawall import Agent, Misused, Seawall
from seawall.models.protocol import Assistant, ModelReply


class Connected:
    """A model that keeps a connection open, which `closes`."""

    price = None

    def __init__(self, name: str, closes: Any) -> None:
        self.name = name
        self._closes = closes

    async def respond(self, request: Any) -> ModelReply:
        return ModelReply(message=Assistant("Done."))

    def stream(self, request: Any) -> Any:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self._closes()


async def hang() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise SystemExit("it can't be closed")


def test_a_model_that_can_not_be_closed_keeps_nothing_else_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seawall.runtime.factory.CLOSE_S", 0.01)
    caplog.set_level(logging.WARNING)
    closed: list[str] = []

    async def close() -> None:
        closed.append("third")

    closes = {"first": hang, "second": fail, "third": close}

    async def main() -> None:
        sea = Seawall(
            tmp_path / "journal.db", models=lambda name: Connected(name, closes[name]), environment={}
        )
        await sea.open()
        for name in closes:
            await (await sea.start(Agent("clerk", model=name), "go")).outcome()
        await asyncio.wait_for(sea.close(), 20)
        assert not sea.supervisor.is_open
        async with sea:  # nothing of the first time is left
            assert len(await sea.journal.runs()) == 3

    asyncio.run(main())
    assert closed == ["third"]
    assert "model second could not be closed: SystemExit: it can't be closed" in caplog.text


def test_the_journal_is_closed_even_if_something_before_it_fails(tmp_path: Path) -> None:
    async def main() -> None:
        sea = Seawall(tmp_path / "journal.db", environment={})
        await sea.open()
        journal = sea.journal

        async def fail_to_close() -> None:
            raise RuntimeError("endpoints")

        sea.endpoints.close = fail_to_close
        with pytest.raises(RuntimeError, match="endpoints"):
            await sea.close()
        assert "closed" in repr(journal)
        assert not sea.supervisor.is_open

    asyncio.run(main())


def test_a_seawall_that_is_being_closed_is_not_opened_again_meanwhile() -> None:
    async def main() -> None:
        sea = Seawall(environment={})
        await sea.open()
        closing = asyncio.create_task(sea.close())
        await asyncio.sleep(0)
        if not closing.done():
            with pytest.raises(Misused, match="is being closed"):
                await sea.open()
        await closing
        await sea.open()
        await sea.close()

    asyncio.run(main())
