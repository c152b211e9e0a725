"""A process that the user's code forks, and that comes back to Seawall in the child, ends there and does nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import asyncio, atexit, os, sys
from seawall import *
from seawall.core.errors import Misused
from seawall.models.protocol import User
from seawall.testing import ScriptedModel, call, say

MAIN, WHERE = os.getpid(), sys.argv[1]

def tell(text):
    os.write(1, f"{'main' if os.getpid() == MAIN else 'child'}: {text}\\n".encode())

atexit.register(tell, "atexit")
children = []

def fork():
    pid = os.fork()
    if pid:
        children.append(pid)
    return pid == 0

def child_raises():
    if fork():
        raise RuntimeError("in the child")
    return "x"

def child_exits():
    if fork():
        sys.exit(3)
    return "x"

@tool
def returns_in_thread() -> str:
    "Forks."
    fork()
    return "x"

@tool
def raises_in_thread() -> str:
    "Forks."
    return child_raises()

@tool
def exits_in_thread() -> str:
    "Forks."
    return child_exits()

@tool
async def returns() -> str:
    "Forks."
    fork()
    return "x"

@tool
async def raises() -> str:
    "Forks."
    return child_raises()

@tool
async def exits() -> str:
    "Forks."
    return child_exits()

@tool
async def yields() -> str:
    "Forks, and goes on with the event loop in both processes."
    fork()
    for _ in range(3):
        await asyncio.sleep(0)
    return "x"

@tool
async def uses() -> str:
    "Forks, and uses the parent's Seawall in an event loop of the child's own."
    if fork():
        for use in (lambda: sea.start(team, "again"), sea.open, lambda: sea.journal.runs()):
            async def main():
                await use()
            try:
                asyncio.run(main())
            except Misused as error:
                assert "before a fork" in str(error)
            else:
                tell("not refused")
        asyncio.run(sea.close())
        os._exit(0)
    return "x"

class Forking(Guard):
    name = "forking"
    def before(self, step, run, memory):
        if WHERE == "guard" and step.kind == "tool":
            fork()
        return ALLOW

def script(request):
    asked = isinstance(request.messages[-1], User)
    if WHERE == "model" and asked:
        fork()
    return call(name) if asked else say("Done.")

async def busy():
    while True:
        await asyncio.sleep(0)
        tell("busy") if os.getpid() != MAIN else None

name = "look" if WHERE in ("guard", "model") else WHERE

@tool
async def look() -> str:
    "Reads."
    return "x"

team = Team(Agent("clerk", model=ScriptedModel(script), tools=[globals()[name]]), guards=[Forking()])

async def main():
    global sea
    async with Seawall(sys.argv[2], environment={}) as sea:
        other = asyncio.create_task(busy())
        run = await sea.start(team, "go")
        outcome = await run.outcome()
        tell(f"{outcome.status} {outcome.answer}")
        tell(f"{len(await sea.journal.events(run.id))} events")
        for pid in children:
            _, status = os.waitpid(pid, 0)
            tell(f"a child ended with {status}")
        other.cancel()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize(
    "where",
    [
        "returns_in_thread",
        "raises_in_thread",
        "exits_in_thread",
        "returns",
        "raises",
        "exits",
        "yields",
        "uses",
        "guard",
        "model",
    ],
)
def test_a_child_that_comes_back_leaves_no_second_seawall_behind(tmp_path: Path, where: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, where, str(tmp_path / "j.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONASYNCIODEBUG": ""},
    )
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:  # a child that has not ended holds the pipe; it ends with the test
        os.killpg(process.pid, signal.SIGKILL)
        raise

    told = out.splitlines()
    assert told == ["main: completed Done.", told[1], "main: a child ended with 0", "main: atexit"], (
        out,
        err,
    )
    assert told[1].endswith(" events")
    if sys.version_info >= (3, 14):  # asyncio itself says of a child that its loop is not the running one
        err = re.sub(r"(?s)Exception in callback .*?is not the running loop\n", "", err)
    assert err == ""
