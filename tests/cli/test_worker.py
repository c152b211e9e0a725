"""`seawall worker`: a process that goes on with runs, whoever has started them."""

from __future__ import annotations

import json
import signal

import pytest

from cli.desks import Child, Desks

SLOW = """
def reply(request):
    return say("Done.") if os.path.exists("freed") else hang()
slow = Team("slow", Agent("slow", model=ScriptedModel(reply)))
twin = Team("slow", Agent("slow", model=ScriptedModel(reply)))
other = Team("other", Agent("slow", model=ScriptedModel(reply)))
def fail():
    raise RuntimeError("no such thing")
"""


def interrupt(desks: Desks, team: str = "slow") -> None:
    """Leaves an interrupted run."""
    child = desks.start("run", desks.app(team), "Hi.")
    child.until("run r-")
    child.signal(signal.SIGKILL)
    child.end()


def find_run(desks: Desks) -> str:
    return desks("runs", "--json").document["runs"][0]["run"]


def park(desks: Desks) -> str:
    assert desks("run", desks.app("parked"), "Refund 1042").exit_code == 7
    return find_run(desks)


def read_line(child: Child) -> str:
    """The next line of its stdout."""
    assert child.process.stdout is not None
    return child.process.stdout.readline().decode()


@pytest.fixture
def worker(desks: Desks) -> Child:
    desks.write(SLOW)
    child = desks.start("worker", desks.app("slow"), desks.app("parked"))
    child.until("worker of slow, parked on seawall.db")
    return child


def test_once_goes_on_with_what_is_interrupted_and_with_what_was_decided(desks: Desks) -> None:
    desks.write(SLOW)
    interrupt(desks)
    slow = find_run(desks)
    waits = park(desks)
    (desks.directory / "freed").touch()
    assert desks("approve", waits, "--by", "finance").exit_code == 0

    done = desks("worker", desks.app("slow"), desks.app("parked"), "--once")

    assert done.exit_code == 0, done.err
    assert sorted(done.out.splitlines()) == sorted([f"{slow}  completed", f"{waits}  completed"])
    assert desks("worker", desks.app("slow"), "--once").out == "", "nothing is left"


def test_a_run_of_another_team_is_left_alone(desks: Desks) -> None:
    desks.write(SLOW)
    interrupt(desks)
    (desks.directory / "freed").touch()

    done = desks("worker", desks.app("other"), "--once")

    assert (done.exit_code, done.out) == (0, "")
    assert desks("runs", "--json").document["runs"][0]["state"] == "interrupted"


def test_with_json_each_run_is_a_document_on_a_line_of_its_own(desks: Desks) -> None:
    desks.write(SLOW)
    (desks.directory / "freed").touch()
    runs = [park(desks), park(desks)]
    for run in runs:
        desks("approve", run, "--by", "finance")

    done = desks("worker", desks.app("parked"), "--once", "--json")

    documents = [json.loads(line) for line in done.out.splitlines()]
    assert sorted(each["run"] for each in documents) == sorted(runs)
    assert [each["status"] for each in documents] == ["completed", "completed"]


def test_a_worker_goes_on_with_a_run_whose_starter_is_gone_once_somebody_decides(
    desks: Desks, worker: Child
) -> None:
    run = park(desks)

    assert desks("approve", run, "--by", "finance").exit_code == 0

    assert read_line(worker) == f"{run}  completed\n"
    worker.signal(signal.SIGTERM)
    assert worker.end().exit_code == 143


def test_a_worker_goes_on_with_a_run_whose_starter_was_killed_while_it_waited(
    desks: Desks, worker: Child
) -> None:
    (desks.directory / "start.py").write_text(f"""
import asyncio, sys
from seawall import Seawall
from {desks.module} import parked

async def main():
    async with Seawall("seawall.db") as sea:
        run = await sea.start(parked, "Refund 1042")
        await run.rest()
        print("it waits", file=sys.stderr)
        await asyncio.Event().wait()

asyncio.run(main())
""")
    starter = desks.run_script("start.py")
    starter.until("it waits")
    starter.signal(signal.SIGKILL)
    starter.end()
    run = find_run(desks)

    assert desks("approve", run, "--by", "finance").exit_code == 0

    assert read_line(worker) == f"{run}  completed\n"
    worker.signal(signal.SIGTERM)
    worker.end()


def test_a_worker_that_is_stopped_gives_up_its_runs_and_the_next_one_goes_on(
    desks: Desks, worker: Child
) -> None:
    interrupt(desks)
    run = find_run(desks)
    worker.until("goes on: segment 2")
    worker.signal()
    done = worker.end()

    assert (done.exit_code, done.out) == (130, "")
    assert "go on with:" in done.err
    assert desks("runs", "--json").document["runs"][0]["state"] == "interrupted"
    (desks.directory / "freed").touch()
    assert desks("worker", desks.app("slow"), "--once").out == f"{run}  completed\n"


def test_after_so_many_runs_a_worker_ends(desks: Desks) -> None:
    runs = [park(desks), park(desks), park(desks)]
    child = desks.start("worker", desks.app("parked"), "--max-runs", "2")
    child.until("worker of parked")
    for run in runs[:2]:
        desks("approve", run, "--by", "finance")

    done = child.end()

    assert done.exit_code == 0
    assert len(done.out.splitlines()) == 2


def test_a_run_that_ends_its_workers_is_set_aside_and_said_once(desks: Desks) -> None:
    desks.write("""
def die(request):
    if os.path.exists("healed"):
        return say("Done.")
    os.kill(os.getpid(), signal.SIGKILL)
deadly = Team("deadly", Agent("deadly", model=ScriptedModel(die)))
""")
    desks.start("run", desks.app("deadly"), "Hi.").end()
    for _ in range(2):
        assert desks.start("worker", desks.app("deadly"), "--once").end().exit_code == -signal.SIGKILL

    done = desks("worker", desks.app("deadly"), "--once")

    assert (done.exit_code, done.out) == (1, "")
    assert done.err.count("set aside: run") == 1


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("nowhere:desk", "there is no module 'nowhere'"),
        ("{module}:nobody", "there is no 'nobody' in module"),
        ("{module}:fail", "RuntimeError: no such thing"),
        ("{module}:slow {module}:twin", "there are two teams of the name 'slow'"),
    ],
)
def test_what_is_wrong_with_an_app_is_said_at_once(desks: Desks, app: str, message: str) -> None:
    desks.write(SLOW)

    done = desks("worker", *app.format(module=desks.module).split(), "--once")

    assert done.exit_code == 2
    assert message in " ".join(done.err.split())
