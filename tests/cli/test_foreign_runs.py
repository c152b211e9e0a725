"""Each command on runs whose steps a framework's loop asks for: clear output, or an error that says what to do instead."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.desks import Called, Desks
from runtime.foreign.scripted_loop import ScriptedLoop
from seawall import Effect, Limits, always
from seawall.runtime.foreign.asks import Halted, Held, Turn
from seawall.runtime.foreign.engine import Engine
from seawall.runtime.foreign.results import ModelResult

JOURNAL = "seawall.db"
EFFECTS = {"refund": True, "pay": Effect(approve=always())}
MORE = ("--limits", "more.toml", "--by", "ann", "--reason", "two more")


def look_up(page: int) -> str:
    return f"page {page}"


def ask(request_id: str, replies: list[Any], look: Callable[[int], str] = look_up, **options: Any) -> str:
    """One invocation of an application with a loop of its own, whose tools all do `look`; returns its run."""
    with Engine(JOURNAL, effects=EFFECTS) as engine:
        loop = ScriptedLoop(replies, dict.fromkeys(("look", "refund", "pay"), look))
        session = engine.begin("Look", loop="own", request_id=request_id, **options)
        try:
            with session:
                return session.end_sync(loop.run_sync(session, "Look")).run
        except Halted as halted:
            return halted.outcome.run
        except Held as held:
            return held.run


def calls(*names: str) -> list[Any]:
    """The replies of a model that calls these tools one after another, and then answers."""
    return [*([(f"c{page}", name, {"page": page})] for page, name in enumerate(names)), "Seen."]


def halt() -> str:
    return ask("q-halted", calls("look", "look", "look"), limits=Limits(tool_calls=2))


def write_limits(desks: Desks, text: str) -> None:
    (desks.directory / "more.toml").write_text(text, encoding="utf-8")


def refused(called: Called) -> str:
    """The error of a command that was called in a wrong way."""
    assert called.exit_code == 2, (called.out, called.err)
    return " ".join(called.err.split())


def find_status(desks: Desks, run: str) -> str | None:
    (row,) = [row for row in desks("runs", "--json").document["runs"] if row["run"] == run]
    return row["status"]


def test_replay_needs_no_app(desks: Desks) -> None:
    run = ask("q-1", calls("look", "refund"))
    same = desks("replay", run)
    assert (same.exit_code, same.out.strip()) == (0, f"{run}  decided the same in 5 steps")

    write_limits(desks, "tool_calls = 1")
    tight = desks("replay", run, "--limits", "more.toml", "--json")
    assert tight.exit_code == 1
    (difference,) = tight.document["replays"][0]["differences"]
    assert difference["step"] == 4
    assert difference["today"] == "halt by 'limits': tool 'refund': tool_calls would be 2 (limit 1)"
    assert "leave out --app" in refused(desks("replay", run, "--app", desks.app("desk")))


def test_replay_compares_a_halt_with_other_limits_and_modes(desks: Desks) -> None:
    run = halt()
    assert desks("replay", run).exit_code == 0
    write_limits(desks, "tool_calls = 5")
    assert "tool_calls would be 3 (limit 5)" in desks("replay", run, "--limits", "more.toml").out
    assert "mode observe" in desks("replay", run, "--mode", "limits=observe").out


def test_a_hand_off_that_a_loop_made_is_not_shown_as_not_made(desks: Desks) -> None:
    def reply(turn: Turn) -> tuple[ModelResult, None]:
        return ModelResult("", [("c1", "to_bank", "{}"), ("c2", "to_mail", "{}")]), None

    with Engine(JOURNAL) as engine, engine.begin("Pay", loop="own", agent="lead") as session:
        session.step_sync(session.model("lead", "test:m", [{"role": "user", "content": "Pay"}]), reply)
        frame = session.open_frame_sync(session.handoff("lead", "bank", "{}", call_id="c1"))
        session.close_frame_sync(frame, "12 EUR are left")
        session.end_sync("12 EUR")

    shown = desks("show", "last", width=200).out
    assert "hands to bank" in shown
    assert (
        "usage      1 problem, named at the steps; a reply without a count is counted at its upper" in shown
    )
    assert "wants to_bank()" not in shown
    assert "wants to_mail(), which was not made" in shown


def test_resume_says_how_its_own_loop_goes_on(desks: Desks) -> None:
    run = ask("q-held", calls("pay"))
    assert "request_id='q-held'" in refused(desks("resume", run))
    assert "loop of own" in refused(desks("resume", run, "--app", desks.app("desk")))


def test_a_raised_limit_is_on_record_and_the_loop_goes_on(desks: Desks) -> None:
    run = halt()
    write_limits(desks, "tool_calls = 5")
    raised = desks("resume", run, *MORE)
    assert (raised.exit_code, raised.err) == (0, "")
    assert f"the limits of run {run} are raised" in raised.out
    assert "request_id='q-halted'" in raised.out.replace("\n", "")

    shown = desks("show", run, width=200).out
    assert "tool_calls 2 → 5, by ann" in shown
    assert "next       its steps are asked for by the loop of own" in shown
    everything = desks("resume")
    assert (everything.exit_code, "could not go on: its steps are asked for by" in everything.out) == (
        1,
        True,
    )

    assert halt() == run, "the same request goes on with it"
    assert find_status(desks, run) == "completed"
    assert desks("verify").exit_code == 0


def test_a_raised_limit_as_json_says_how_it_goes_on(desks: Desks) -> None:
    run = halt()
    write_limits(desks, "tool_calls = 5")
    document = desks("resume", run, *MORE, "--json").document
    assert (document["run"], document["raised"]) == (run, True)
    assert "q-halted" in document["goes_on"]
    write_limits(desks, "tool_calls = 1")
    assert "tool_calls is 1, and run" in refused(desks("resume", halt_again(), *MORE))


def halt_again() -> str:
    return ask("q-halted-too", calls("look", "look", "look"), limits=Limits(tool_calls=2))


def test_a_fork_says_what_to_do_instead(desks: Desks) -> None:
    run = ask("q-1", calls("look"))
    told = refused(desks("fork", run, "--at", "2", "--set", "result=lost"))
    assert f"seawall fork {run} --at STEP --request-id ID" in told
    assert f"engine.call(lambda sea: sea.fork('{run}', at=STEP, request_id=ID))" in told
    assert "leave out --app" in refused(desks("fork", run, "--request-id", "q-2", "--app", desks.app("desk")))


def test_a_fork_is_recorded_and_the_loop_goes_on_with_it(desks: Desks) -> None:
    run = ask("q-1", calls("look", "refund"))
    forked = desks("fork", run, "--at", "2", "--set", "result=lost", "--request-id", "q-2")
    assert (forked.exit_code, forked.err) == (0, "")
    told = " ".join(forked.out.split())
    assert f"a fork of {run} at step 2, is recorded" in told
    assert "Engine.begin(…, loop='own', request_id='q-2')" in told

    made = ask("q-2", calls("look", "refund"))
    shown = desks("show", made, width=200).out
    assert f"fork       of run {run} at step 2" in shown
    assert "lost" in shown and "not made: simulated in a fork" in shown
    assert find_status(desks, made) == "completed"
    assert desks("verify").exit_code == 0


def test_a_fork_that_no_loop_has_asked_for_is_cancelled(desks: Desks) -> None:
    run = ask("q-1", calls("look"))
    forked = desks("fork", run, "--at", "2", "--request-id", "q-2", "--json").document["run"]
    assert "request_id='q-2'" in refused(desks("resume", forked))
    assert desks("cancel", forked).exit_code == 0
    assert find_status(desks, forked) == "cancelled"


def test_a_fork_as_json_says_how_it_goes_on(desks: Desks) -> None:
    run = halt()
    write_limits(desks, "tool_calls = 5")
    document = desks("fork", run, "--request-id", "q-2", *MORE, "--json").document
    assert (document["fork_of"], document["at_step"]) == (run, 5)
    assert "q-2" in document["goes_on"]
    assert ask("q-2", calls("look", "look", "look")) == document["run"]
    assert find_status(desks, document["run"]) == "completed"


def test_an_edit_is_made_where_the_tools_are_declared(desks: Desks) -> None:
    ask("q-held", calls("pay"))
    (proposal,) = desks("approvals", "--json").document["approvals"]
    (desks.directory / "edit.json").write_text(json.dumps({"page": 7}), encoding="utf-8")
    told = refused(
        desks("approve", proposal["id"], "--edit", "edit.json", "--hash", proposal["hash"], "--by", "ann")
    )
    assert "team=engine.make_team('own')" in told


@pytest.mark.parametrize(
    "words",
    [("show",), ("show", "--json"), ("why",), ("context",), ("context", "--json"), ("show", "--full")],
    ids=" ".join,
)
def test_what_only_reads_reads_these_runs_too(desks: Desks, words: tuple[str, ...]) -> None:
    run = ask("q-1", calls("look", "refund"))
    read = desks(words[0], run, *words[1:])
    assert (read.exit_code, read.err) == (0, "")
    assert run in read.out or "test:m" in read.out


def test_lists_know_their_runs_effects_and_agents(desks: Desks) -> None:
    run = ask("q-1", calls("look", "refund"))
    assert [row["run"] for row in desks("runs", "--json").document["runs"]] == [run]
    (effect,) = desks("effects", "--json").document["effects"]
    assert (effect["tool"], effect["run"]) == ("refund", run)
    assert "refund 1" in desks("roles", width=160).out
    assert "tool:refund" in desks("breakers").out


def hang_up(page: int) -> str:
    raise ConnectionError("the bank hung up")


def test_after_a_decision_it_is_said_how_the_loop_goes_on(desks: Desks) -> None:
    run = ask("q-doubt", calls("refund"), look=hang_up)
    settled = desks("reconcile", run, "3", "--failed", "the bank knows nothing of it", "--by", "ann")
    assert settled.exit_code == 0, settled.err
    assert "no process drives run" in settled.err and "request_id='q-doubt'" in settled.err.replace("\n", "")


def test_the_command_that_decides_works_in_another_directory(
    desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Held] = []
    with Engine(JOURNAL, effects=EFFECTS) as engine:
        for _ in range(2):  # the second one is asked about what waits already
            with (
                engine.begin("Refund", loop="own", request_id="q-1") as session,
                pytest.raises(Held) as found,
            ):
                session.step_sync(
                    session.tool("clerk", "refund", {"page": 1}), lambda turn: (hang_up(1), None)
                )
            held.append(found.value)
    assert (
        held[0].command
        == held[1].command
        == f"seawall reconcile {held[0].run} 2 --journal {Path(JOURNAL).absolute()}"
    )

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, *words = shlex.split(held[0].command)
    settled = desks(*words, "--failed", "the bank knows nothing of it", "--by", "ann")
    assert settled.exit_code == 0, settled.err


def test_one_that_waits_is_cancelled(desks: Desks) -> None:
    run = ask("q-held", calls("pay"))
    assert desks("cancel", run).exit_code == 0
    assert find_status(desks, run) == "cancelled"
