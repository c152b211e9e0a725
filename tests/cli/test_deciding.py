"""`approve`, `reject`, `cancel` and `resume`: a person's part, from another process."""

from __future__ import annotations

import signal

import pytest

from cli.desks import Desks


@pytest.fixture
def waiting(desks: Desks) -> str:
    """A run that waits for a person, at work nowhere."""
    return desks("run", desks.app("parked"), "Refund 1042.", "--json").document["run"]


def test_an_approved_run_goes_on_with_resume(desks: Desks, waiting: str) -> None:
    approved = desks("approve", waiting, "--by", "ann", "--reason", "checked")

    assert approved.out == 'approved: refund(amount="80.00", order_id="1042") may be made (step 2, by ann)\n'
    assert f"it goes on with: seawall resume {waiting}" in approved.err
    assert "approved by ann" in desks("runs").out
    assert desks("resume", waiting).out == "Paid, rc-77.\n"
    shown = desks("show", waiting).out
    assert "approved by ann: checked" in shown
    assert "let pass by step 2" in shown


def test_a_decided_run_is_among_those_that_resume_takes_up(desks: Desks, waiting: str) -> None:
    assert desks("resume", "--json").document["runs"] == []

    desks("approve", waiting, "--by", "ann")

    runs = desks("resume", "--json").document["runs"]
    assert [(each["run"], each["status"]) for each in runs] == [(waiting, "completed")]


def test_a_rejected_step_is_not_made(desks: Desks, waiting: str) -> None:
    desks("reject", waiting, "2", "--by", "ann", "--reason", "too much")
    desks("resume", waiting)

    shown = desks("show", waiting, "--json").document
    assert shown["effects"] == []
    assert shown["steps"][1]["decision"]["approved"] is False


def test_nothing_to_resume_is_said_and_no_error(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Hi.")

    assert desks("resume", "--json").document == {"runs": [], "set_aside": [], "left_alone": []}
    assert "no interrupted run in seawall.db" in desks("resume").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("approve", "last"), "who decides? give --key-file FILE or a key in SEAWALL_KEY, or --by NAME"),
        (("approve", "last", "9", "--by", "ann"), "step 9 does not wait for a decision (waiting: 2)"),
        (("reconcile", "last", "--failed", "no", "--by", "ann"), "nothing asks what became of an effect"),
        (("reconcile", "last", "--by", "ann"), "give --committed FILE"),
        (("approve", "nowhere", "--by", "ann"), "no run's id starts or ends with 'nowhere'"),
    ],
)
@pytest.mark.usefixtures("waiting")
def test_a_decision_that_fits_nothing_is_refused(desks: Desks, words: tuple[str, ...], message: str) -> None:
    done = desks(*words)

    assert done.exit_code == 2
    assert message in done.err


def test_a_second_decision_is_told_of_the_first(desks: Desks, waiting: str) -> None:
    desks("approve", waiting, "--by", "ann")

    assert "step 2 was approved by ann already" in desks("reject", waiting, "--by", "bob").err


def test_a_decision_for_a_run_that_has_gone_on_is_refused(desks: Desks, waiting: str) -> None:
    desks("cancel", waiting, "--by", "ann")

    for words in ((waiting,), (waiting, "2")):
        refused = desks("approve", *words, "--by", "bob")
        assert (refused.exit_code, "has ended already" in refused.err) == (3, True)


def test_a_run_that_nobody_drives_is_ended_by_its_cancellation(desks: Desks, waiting: str) -> None:
    done = desks("cancel", waiting, "--by", "ann", "--reason", "wrong order")

    assert done.out == f"cancelled; run {waiting} is cancelled\n"
    assert desks("resume", waiting).exit_code == 6
    assert "by ann: wrong order" in desks("show", waiting).out
    again = desks("cancel", waiting)
    assert (again.exit_code, again.err) == (3, f"seawall: run {waiting} has ended already: cancelled\n")


def test_a_cancellation_that_a_live_run_has_not_taken_is_shown(desks: Desks) -> None:
    desks.write("""
@tool
async def blocks() -> str:
    "Holds its whole process."
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return "done"
blocking = Team(Agent("blocking", model=script(call("blocks"), say("Done.")), tools=[blocks]))
""")
    child = desks.start("run", desks.app("blocking"), "Go.")
    child.until("ready")
    try:
        done = desks("cancel", "last", "--by", "ann", "--reason", "enough")
        shown, listed = desks("show").out, desks("runs").out
    finally:
        child.signal(signal.SIGCONT)

    assert "its process has not taken this up yet" in done.err
    assert "asked for by ann: enough" in shown
    assert "cancel asked for by ann: enough" in listed
    child.end()


def test_a_live_run_takes_a_cancellation_from_another_process(desks: Desks) -> None:
    desks.write("""
@tool
async def hangs() -> str:
    "Never answers."
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()
hanging = Team(Agent("hanging", model=script(call("hangs")), tools=[hangs]))
""")
    child = desks.start("run", desks.app("hanging"), "Go.")
    child.until("ready")

    cancelled = desks("cancel", "last", "--by", "ann", "--json").document

    assert (cancelled["taken"], cancelled["state"], cancelled["status"]) == (True, "ended", "cancelled")
    assert child.end().exit_code == 6


def test_an_effect_of_unknown_fate_waits_and_takes_its_receipt_from_a_person(desks: Desks) -> None:
    desks.write("""
@tool(effect=True)
def pay(order_id: str) -> str:
    "Pays, and dies before it can say so."
    os.kill(os.getpid(), signal.SIGKILL)
dying = Team(Agent("dying", model=script(call("pay", order_id="1042"), say("Paid.")), tools=[pay]))
""")
    desks.start("run", desks.app("dying"), "Pay.").end()
    waits = desks("resume", "last")
    assert waits.exit_code == 7
    asked = 'fate not known: did pay(order_id="1042") happen?'
    run = desks("runs", "--json").document["runs"][0]["run"]
    answer = f"say it with: seawall reconcile {run} 3 --committed FILE (its receipt), or --failed TEXT"
    for command in ("show", "why", "runs"):
        told = " ".join(desks(command).out.split())
        assert asked in told
        assert answer in told
    assert f"waiting: step 3, {asked}  {answer}\n" == waits.out
    assert desks("runs", "--json").document["runs"][0]["waiting"]["kind"] == "unknown"

    for wrong in ("approve", "reject"):
        told = desks(wrong, "last", "--by", "ann")
        assert (told.exit_code, answer in told.err) == (2, True)

    said = desks("reconcile", "last", "--committed", "-", "--by", "ann", stdin=b"receipt rc-9\n")
    assert said.out == 'recorded: pay(order_id="1042") DID happen (step 3, by ann)\n'
    assert "it DID happen, recorded by ann" in desks("runs").out
    assert desks("resume", "last").out == "Paid.\n"

    document = desks("show", "--json").document
    assert document["effects"] == [{"step": 2, "tool": "pay", "state": "committed"}]
    assert "receipt rc-9" in desks("show").out


def test_a_run_without_an_app_needs_one_and_the_others_go_on(desks: Desks) -> None:
    desks.write("""
@tool
def dies() -> str:
    "Kills the process until it may live."
    if os.path.exists("live"):
        return "fine"
    os.kill(os.getpid(), signal.SIGKILL)
mortal = Team("mortal", Agent("mortal", model=script(call("dies"), say("Alive.")), tools=[dies]))
if __name__ == "__main__":
    async def main():
        async with Seawall("seawall.db") as sea:
            await (await sea.start(mortal, "Live.")).outcome()
    asyncio.run(main())
""")
    desks.start("run", desks.app("mortal"), "Live.").end()
    desks.python(f"{desks.module}.py")
    (desks.directory / "live").touch()

    done = desks("resume")

    assert done.exit_code == 1
    assert "could not go on: no app is recorded with it: give one with --app MODULE:TEAM" in done.out
    assert "completed" in done.out
    assert desks("resume", "--app", desks.app("mortal")).exit_code == 0


def test_another_teams_run_is_left_alone(desks: Desks, waiting: str) -> None:
    done = desks("resume", waiting, "--app", desks.app("desk"))

    assert done.exit_code == 2
    assert "is another team: agent 'cashier'" in done.err
    assert desks("show", waiting, "--json").document["state"] == "waiting"


def test_a_run_that_ends_every_worker_is_set_aside_and_named(desks: Desks) -> None:
    desks.write("""
@tool
def poison() -> str:
    "Ends its worker, each time."
    os.kill(os.getpid(), signal.SIGKILL)
doomed = Team(Agent("doomed", model=script(call("poison"), say("Never.")), tools=[poison]))
""")
    assert desks.start("run", desks.app("doomed"), "Live.").end().exit_code == -9
    for _ in range(3):
        assert desks.start("resume").end().exit_code == -9

    done = desks("resume", "--json")

    assert done.exit_code == 1
    assert done.document["runs"] == []
    assert "was taken 3 times and no step got done" in done.document["set_aside"][0]["reason"]
    assert "try once more with: seawall resume" in done.err
