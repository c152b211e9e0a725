"""What an engine does at the ends of processes: a program that ends without closing it, and a child that a tool forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPENING = """
import asyncio, os, sys, threading
from seawall import Engine
engine = Engine(sys.argv[1], effects=["pay"])
session = engine.begin("Pay order 7", loop="own", request_id="r-1")
paying = session.tool("clerk", "pay", {"order": 7})
"""
PROGRAMS = {
    "it ends": """
session.step_sync(paying, lambda turn: ("paid", None))
print("done")
""",
    "a thread waits for its turn": """
started = threading.Event()
def perform(turn):
    started.set()
    threading.Event().wait()
threading.Thread(target=session.step_sync, args=(paying, perform), daemon=True).start()
started.wait()
print("done")
""",
    "its tool exits": """
print("done")
session.step_sync(paying, lambda turn: sys.exit(0))
""",
    "its threads go on": """
def work():
    threading.main_thread().join()
    session.step_sync(paying, lambda turn: ("paid", None))
    session.end_sync("paid")
    print("done")
session.step_sync(session.tool("clerk", "look", {}), lambda turn: ("here", None))
threading.Thread(target=work).start()
""",
}
FORKS = {
    "sync": """
def perform(turn):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "paid", None
print(session.step_sync(paying, perform).settled.text)
session.end_sync("paid")
""",
    "sync, and raises": """
def perform(turn):
    child = os.fork()
    if not child:
        sys.exit(3)
    os.waitpid(child, 0)
    return "paid", None
print(session.step_sync(paying, perform).settled.text)
session.end_sync("paid")
""",
    "async": """
async def perform(turn):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "paid", None
async def main():
    print((await session.step(paying, perform)).settled.text)
    await session.end("paid")
asyncio.run(main())
""",
    "in two parts": """
from seawall.runtime.foreign.results import make_tool_result
async def main():
    ask, turn = await session.ask(paying)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    print((await session.give(ask, paying, make_tool_result("paid"))).text)
    await session.end("paid")
asyncio.run(main())
""",
}


def run(program: str, path: Path) -> tuple[int, str, str]:
    """Returns exit code, output and errors of a program."""
    command = [sys.executable, "-W", "ignore", "-c", OPENING + program, str(path / "j.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_program_that_does_not_close_its_engine_ends_quietly(tmp_path: Path, how: str) -> None:
    assert run(PROGRAMS[how], tmp_path) == (0, "done\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("how", FORKS)
def test_a_child_that_a_tool_forks_does_not_go_on_with_the_loop(tmp_path: Path, how: str) -> None:
    assert run(FORKS[how], tmp_path) == (0, "paid\n", "")
