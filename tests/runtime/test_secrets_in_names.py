"""A name says which one is meant, so it is recorded as it is: one that holds a secret is refused, not redacted."""

from __future__ import annotations

import asyncio
import random
import string
from pathlib import Path
from uuid import UUID

import pytest

from seawall import Agent, Misused, Seawall, Team
from seawall.core.events import RunStarted
from seawall.runtime.foreign.engine import Engine
from seawall.testing import ScriptedModel, say

KEPT = "Zx9-QwErTy7uIoP3aSdF"
SHAPED = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
NAMES = ("session", "tenant", "principal", "request_id")
LETTERS = string.ascii_letters + string.digits


def desk() -> Team[None]:
    return Team(Agent("desk", model=ScriptedModel(lambda _: say("Done."))))


def start(path: Path, name: str, value: str) -> RunStarted:
    """Returns what is recorded of a run with this name."""

    async def main() -> RunStarted:
        async with Seawall(path, environment={"DB_PASSWORD": "postgres"}, secrets=[KEPT]) as sea:
            run = await sea.start(desk(), "go", **{name: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- all four are text
            await run.outcome()
            return (await sea.state(run.id)).started

    return asyncio.run(main())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("secret", [KEPT, SHAPED])
def test_a_name_that_holds_a_secret_is_refused_and_recorded_nowhere(
    tmp_path: Path, name: str, secret: str
) -> None:
    with pytest.raises(Misused, match=rf"{name} holds what looks like a secret") as refused:
        start(tmp_path / "desk.db", name, f"x-{secret}")
    assert secret not in str(refused.value)
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", ["postgres", "db:postgres", "4111111111111111", "user:4111 1111 1111 1111", "ann@example.com"]
)
def test_a_plain_word_or_a_long_number_is_a_name(tmp_path: Path, name: str, value: str) -> None:
    assert getattr(start(tmp_path / "desk.db", name, value), name) == value


def test_ids_of_the_usual_kinds_are_names() -> None:
    rng = random.Random(7)
    makers = [
        lambda: str(UUID(int=rng.getrandbits(128))),
        lambda: f"{rng.getrandbits(256):064x}",
        lambda: f"{rng.randrange(10**16):016d}",
        lambda: "".join(rng.choices(LETTERS + "-_", k=43)),
        lambda: "call_" + "".join(rng.choices(LETTERS, k=24)),
    ]

    async def main() -> None:
        async with Seawall(environment={}) as sea:
            for number in range(100):
                name = makers[number % len(makers)]()
                run = await sea.start(desk(), "go", session=name, request_id=name)
                assert (await run.outcome()).status == "completed", name

    asyncio.run(main())


def test_the_names_of_a_frameworks_run_are_looked_at_too(tmp_path: Path) -> None:
    with (
        Engine(tmp_path / "desk.db", environment={}) as engine,
        pytest.raises(Misused, match="session holds what looks like a secret"),
        engine.begin("Look", loop="own", session=SHAPED) as session,
    ):
        session.step_sync(session.tool("clerk", "look", {}), lambda turn: ("x", None))
    assert all(SHAPED.encode() not in file.read_bytes() for file in tmp_path.iterdir())
