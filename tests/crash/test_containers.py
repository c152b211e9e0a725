"""A container that was killed, and the next one: with namespaces where the system permits them, and with a stand-in."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seawall.journal.sqlite.owner import Host

TESTS = Path(__file__).parents[1]
APP = """
import os
from seawall import *
from seawall.testing import *
def reply(request):
    return say("Done.") if os.path.exists("freed") else hang()
desk = Team("desk", Agent("desk", model=ScriptedModel(reply)))
"""
START = """
import asyncio, sys
from app import desk
from seawall import Seawall
from seawall.core.clock import SystemClock
from seawall.journal.sqlite import SqliteJournal, SqliteOptions
async def main():
    journal = SqliteJournal.open("seawall.db", clock=SystemClock(), options=SqliteOptions(lease_s=1.0))
    async with Seawall(journal) as sea:
        run = await sea.start(desk, "Hi.")
        print(run.id, journal.owner, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
COMMAND = "from seawall.cli import main\nmain()"
_NAMESPACES = ["--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]


def find_containing() -> list[str]:
    """Returns how to run a command in namespaces of its own; nothing if that is not permitted."""
    for words in (["unshare"], ["unshare", "--user", "--map-root-user"]):
        with contextlib.suppress(OSError):
            tried = [*words, *_NAMESPACES, "hostname", "pod"]
            if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
                return [*words, *_NAMESPACES]
    return []


CONTAINING = find_containing()
HOW = ["a stand-in", *(["namespaces"] if CONTAINING else [])]


def put_into_container(name: str, number: int, how: str, code: str, *arguments: str) -> list[str]:
    """Returns the command that runs Python code in container `number`, which has this host name."""
    if how == "namespaces":
        python = [sys.executable, "-c", code, *arguments]
        return [*CONTAINING, "sh", "-c", f'hostname {name}; exec "$@"', "sh", *python]
    host = Host(name, "aaaaaaaa", f"{number:08x}")
    stand_in = f"from seawall.journal.sqlite import owner\nowner.read_host = lambda: owner.{host!r}\n"
    return [sys.executable, "-c", stand_in + code, *arguments]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["pod-2", "pod-1"], ids=["another name", "the same name"])
def test_a_run_of_a_container_that_was_killed_goes_on_in_the_next_one(
    tmp_path: Path, how: str, name: str
) -> None:
    (tmp_path / "app.py").write_text(APP)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    first = subprocess.Popen(
        put_into_container("pod-1", 1, how, START), cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    run, owner = first.stdout.readline().split()
    assert owner.startswith("pod-1-")
    first.kill()
    first.communicate()
    (tmp_path / "freed").touch()

    command = put_into_container(name, 2, how, COMMAND, "resume", "--app", "app:desk")
    for _ in range(60):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 8:
            assert (done.returncode, done.stdout) == (0, f"{run}  completed\n"), done.stderr
            return
        assert f"left alone: 1 run of {owner}: {run}" in " ".join(done.stderr.split())
    pytest.fail("the lease of a killed process never ended")
