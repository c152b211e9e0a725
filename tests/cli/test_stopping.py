"""Ctrl-C at any moment: nothing is lost, it is said how to go on, and the process leaves."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.desks import Child, Desks
from seawall.cli import decisions
from seawall.cli.exits import Exit
from seawall.cli.signals import Shutdown, await_start
from seawall.journal.sqlite import SqliteJournal
from seawall.runtime.registry import Registry
from seawall.runtime.run import Run
from seawall.testing import ManualClock

RECORDED = "what was recorded before that stays recorded: look at it before you try again"

STUCK = """
def stuck(tool):
    "A team whose tool never comes back, until the file is there."
    return Team(Agent("stuck", model=script(call(tool.name), say("Done.")), tools=[tool]))

def better():
    print("ready", flush=True)
    return os.path.exists("better")

@tool
async def waits() -> str:
    "Waits for ever, and can be cancelled."
    return "ok" if better() else await asyncio.get_running_loop().create_future()

@tool
async def ignores() -> str:
    "Ignores cancellation."
    while not better():
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            pass
    return "ok"

@tool
def sleeps() -> str:
    "A thread that never ends."
    return "ok" if better() else str(threading.Event().wait())

@tool
async def blocks() -> str:
    "Holds the event loop."
    return "ok" if better() else str(threading.Event().wait())

waiting, ignoring, sleeping, blocking = stuck(waits), stuck(ignores), stuck(sleeps), stuck(blocks)

class Holding:
    "Holds the event loop in the very first step."
    name, price = "holding", None
    async def respond(self, request):
        better()
        threading.Event().wait()
holding = Team(Agent("asking", model=script(say("It is Done.")) if os.path.exists("better") else Holding()))

class Hanging:
    name, price = "hanging", None
    async def respond(self, request):
        better()
        await asyncio.get_running_loop().create_future()
asking = Team(Agent("asking", model=script(say("It is Done.")) if os.path.exists("better") else Hanging()))
"""


def _named(child_err: str) -> str:
    named = re.search(r"seawall resume (r-\w+)", child_err)
    assert named is not None, child_err
    return named[1]


def _stopped(desks: Desks, team: str, number: signal.Signals = signal.SIGINT) -> Child:
    desks.write(STUCK)
    child = desks.start("run", desks.app(team), "Go.")
    child.until("ready")
    child.signal(number)
    return child


@pytest.mark.parametrize("team", ["waiting", "ignoring", "sleeping", "blocking", "asking", "holding"])
def test_a_run_that_is_stopped_in_the_middle_goes_on_where_it_was(desks: Desks, team: str) -> None:
    done = _stopped(desks, team).end()
    run = _named(done.err)

    assert done.exit_code == 130
    assert done.out == ""
    assert "Traceback" not in done.err
    assert desks("show", run, "--json").document["state"] == "interrupted"

    (desks.directory / "better").touch()
    resumed = desks("resume", run)

    assert (resumed.exit_code, resumed.out[-6:]) == (0, "Done.\n")


SLOW_TO_CLOSE = """
from seawall.journal.sqlite import SqliteJournal

async def close(self):
    "Stands for a close that takes long: the run has ended by now."
    print("closing", file=sys.stderr, flush=True)
    await asyncio.get_running_loop().create_future()

SqliteJournal.close = close
"""


def test_a_signal_after_the_end_of_a_run_says_that_it_has_ended(desks: Desks) -> None:
    desks.write(SLOW_TO_CLOSE)
    child = desks.start("run", desks.app("desk"), "Go.")
    child.until("closing")
    child.signal()
    done = child.end()

    assert done.exit_code == 130
    assert re.search(r"run r-\w+ has ended \(completed\); look with:\n  seawall show r-", done.err), done.err
    assert "seawall resume" not in done.err


def test_a_signal_after_a_resumed_run_has_ended_says_so(desks: Desks) -> None:
    run = _named(_stopped(desks, "waiting").end().err)
    (desks.directory / "better").touch()
    desks.write(STUCK + SLOW_TO_CLOSE)
    child = desks.start("resume", run)
    child.until("closing")
    child.signal()
    done = child.end()

    assert f"run {run} has ended (completed); look with:\n  seawall show {run}" in done.err
    assert "seawall resume" not in done.err


def test_a_termination_signal_stops_in_the_same_way(desks: Desks) -> None:
    done = _stopped(desks, "waiting", signal.SIGTERM).end()

    assert done.exit_code == 143
    assert _named(done.err)


def test_a_second_signal_leaves_at_once(desks: Desks) -> None:
    child = _stopped(desks, "blocking")
    child.until("a second signal exits at once")
    child.signal()
    done = child.end()

    assert done.exit_code == 130
    assert f"left at once; run {_named(done.err)} is recorded up to here" in done.err


def test_a_signal_before_anything_began_says_so(desks: Desks) -> None:
    desks.write("print('ready', flush=True)\nthreading.Event().wait()\n")
    child = desks.start("run", desks.app("desk"), "Go.")
    child.until("ready")
    child.signal()
    done = child.end()

    assert done.exit_code == 130
    assert done.err.endswith("seawall: interrupted before anything was started\n")
    assert not (desks.directory / "seawall.db").exists()


def test_a_thread_that_never_ends_does_not_hold_the_process_after_its_run(desks: Desks) -> None:
    desks.write("""
@tool
def leaves_a_thread() -> str:
    "Starts a thread that is not a daemon."
    threading.Thread(target=threading.Event().wait).start()
    return "ok"
threads = Team(Agent("threads", model=script(call("leaves_a_thread"), say("Done.")), tools=[leaves_a_thread]))
""")
    done = desks.start("run", desks.app("threads"), "Go.").end()

    assert (done.exit_code, done.out) == (0, "Done.\n")


def test_a_tool_that_ignores_cancellation_does_not_hold_the_process_after_the_deadline(desks: Desks) -> None:
    desks.write(STUCK)

    done = desks.start("run", desks.app("ignoring"), "Go.", "--active-s", "0.2").end()

    assert done.exit_code == 4
    assert done.out == "halted: the run used up its 0.2 active seconds\n"
    assert "Task was destroyed" not in done.err


def test_a_run_that_is_recorded_while_it_is_stopped_is_named_all_the_same() -> None:
    shutdown = Shutdown()

    async def slow_start(go: asyncio.Event) -> Run:
        await go.wait()
        return Run(cast("Any", SimpleNamespace(registry=Registry(ManualClock()))), "r-1")

    async def main() -> None:
        go = asyncio.Event()
        starting = asyncio.ensure_future(await_start(shutdown, slow_start(go)))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(main())

    assert "seawall resume r-1" in shutdown.message


def test_a_signal_before_a_command_handles_signals_leaves_without_a_traceback() -> None:
    program = """
import sys
import seawall.cli.app

def interrupt(*_, **__):
    raise KeyboardInterrupt

app_module = sys.modules["seawall.cli.app"]
app_module.app = interrupt
app_module.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("words", "stopped", "said"),
    [
        (("erase", "--tenant", "acme", "--yes"), "SqliteJournal.erase", RECORDED),
        (("prune", "--older-than", "1d"), "SqliteJournal.prune", RECORDED),
        (("pause", "--all"), "SqliteJournal.settings", RECORDED),
        (("approve", "last", "--by", "ann"), "decisions._await_taken_up", RECORDED),
        (("verify",), "SqliteJournal.verify", "nothing was started"),
        (("runs",), "SqliteJournal.runs", "nothing was started"),
    ],
)
def test_a_command_that_may_have_written_does_not_say_that_nothing_was_started(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], stopped: str, said: str
) -> None:
    async def be_stopped(*given: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    desks("run", desks.app("parked"), "Refund.")
    owner, _, name = stopped.partition(".")
    monkeypatch.setattr({"SqliteJournal": SqliteJournal, "decisions": decisions}[owner], name, be_stopped)

    done = desks(*words)

    assert done.exit_code == Exit.INTERRUPTED
    assert f"seawall: interrupted; {said}" in done.err
