"""`seawall run`: the answer on stdout, everything else on stderr, the outcome as exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.desks import Desks


def test_the_answer_alone_is_on_stdout_and_the_steps_are_told_on_stderr(desks: Desks) -> None:
    done = desks("run", desks.app("desk"), "Where is 1042?")

    assert done.exit_code == 0
    assert done.out == "Order 1042 is lost: 80.00 EUR.\n"
    assert 'find_order(order_id="1042")' in done.err
    assert "completed · 2 model calls, 1 tool call" in done.err


def test_an_agent_is_a_team_of_one(desks: Desks) -> None:
    assert desks("run", desks.app("clerk"), "Who are you?").out == "It is me.\n"


@pytest.mark.parametrize(
    ("team", "exit_code", "out"),
    [
        ("looping", 4, "halted: tool 'stock' returned nothing new 3 times in a row (limit 3)\n"),
        (
            "parked",
            7,
            'waiting: step 2, cashier wants refund(amount="80.00", order_id="1042"): a refund needs a person\n',
        ),
        ("failing", 5, "failed: "),
        ("refused", 3, "refused: not on a Sunday\n"),
        ("rejected", 3, "refused: 'auditor' rejected the answer 1 times (limit 1)\n"),
    ],
)
def test_each_outcome_has_its_exit_code(desks: Desks, team: str, exit_code: int, out: str) -> None:
    desks.write("""
failing = Team(Agent("failing", model=ScriptedModel([fail("rejected", "no such model")])))
class Sunday(Guard):
    name = "sunday"
    def before(self, step, run, memory):
        return Refuse("not on a Sunday")
refused = Team(Agent("refused", model=script(say("Hi."))), guards=[Sunday()])
rejected = Team("rejected", Agent("writer", model=ScriptedModel(lambda request: say("Hi."))), review_rounds=1,
                reviewer=Agent("auditor", model=script(call("review", approved=False, feedback="No."))))
""")

    done = desks("run", desks.app(team), "Hello?")

    assert (done.exit_code, done.out[: len(out)]) == (exit_code, out)
    assert "Traceback" not in done.err


def test_what_stopped_a_run_steers_no_terminal_behind_a_pipe(desks: Desks) -> None:
    desks.write("""
failing = Team(Agent("failing", model=ScriptedModel([fail("rejected", "no\\x1b]0;all\\x07 model")])))
class Asks2(Guard):
    name = "asks2"
    def before(self, step, run, memory):
        return Hold("look\\x1b[31m") if step.kind == "tool" else ALLOW
held = Team(Agent("held", model=script(call("find_order", order_id="1")), tools=[find_order]), guards=[Asks2()])
""")

    failed, waits = desks("run", desks.app("failing"), "Hi."), desks("run", desks.app("held"), "Hi.")

    assert (failed.exit_code, waits.exit_code) == (5, 7)
    assert "no\ufffd]0;all\ufffd model" in failed.out
    assert "look\ufffd[31m" in waits.out
    assert "\x1b" not in failed.out + failed.err + waits.out + waits.err


def test_a_directory_that_is_gone_is_named(
    desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    done = desks("run", desks.app("desk"), "Hi.", "-j", str(tmp_path / "a.db"))

    assert done.exit_code == 2
    assert "the current directory is gone" in done.err


def test_json_is_one_document_with_decimals_as_strings_whatever_the_tools_print(desks: Desks) -> None:
    desks.write("""
print("imported")
@tool
def noisy() -> str:
    "Prints."
    print("to stdout")
    return "42"
noise = Team(Agent("noise", model=script(call("noisy"), say("Done.")), tools=[noisy]))
""")

    done = desks("run", desks.app("noise"), "Go.", "--json")

    assert done.document["status"] == "completed"
    assert isinstance(done.document["usd"], str)
    assert "imported" in done.err
    assert "to stdout" in done.err


def test_a_waiting_run_says_in_json_what_it_waits_for(desks: Desks) -> None:
    document = desks("run", desks.app("parked"), "Refund 1042.", "--json").document

    assert document["status"] == "waiting"
    assert (document["waiting"]["step"], document["waiting"]["what"]) == (2, "refund")


def test_a_streamed_answer_is_printed_once(desks: Desks) -> None:
    done = desks("run", desks.app("desk"), "Where is 1042?", "--stream")

    assert done.out == "Order 1042 is lost: 80.00 EUR.\n"
    assert "streamed before it was checked" in done.err


def test_the_same_request_id_gives_the_same_run(desks: Desks) -> None:
    words = ("run", desks.app("desk"), "Where is 1042?", "--request-id", "req-1", "--json")

    assert desks(*words).document["run"] == desks(*words).document["run"]


def test_limits_and_modes_are_given_by_file_and_option(desks: Desks, tmp_path: Path) -> None:
    text = 'tool_calls = 2\nusd = 0.5\nat_limit = "halt"\nwarn_at = 0.5\n'
    (tmp_path / "limits.toml").write_text(text, encoding="utf-8")

    done = desks(
        "run", desks.app("looping"), "Hi.", "--limits", "limits.toml", "--mode", "loops=off", "--json"
    )

    assert done.document["stopped_by"]["guard"] == "limits"
    assert done.document["stopped_by"]["limit"] == "tool_calls=2"
    limits = desks("show", "last", "--json").document["limits"]
    assert (limits["usd"], limits["at_limit"], limits["warn_at"]) == ("0.5", "halt", 0.5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("{app}:nobody", "Hi."),
            "there is no 'nobody' in module '{app}'; there: {app}:desk, {app}:reviewed",
        ),
        (("{app}:dsk", "Hi."), "did you mean 'desk'?"),
        (("{app}:HEADS", "Hi."), "there is no 'HEADS'"),
        (("{app}:seen", "Hi."), "{app}:seen is a function, not a Team or an Agent"),
        (("{app}", "Hi."), "'{app}' names no team: write module:attribute"),
        (("{app}.py:desk", "Hi."), "write it as {app}:"),
        (("nowhere:desk", "Hi."), "there is no module 'nowhere'"),
        (("broken:desk", "Hi."), "broken.py:1: module 'a_module_that_is_not_there' is not installed"),
        (("{app}:desk", " "), "the request is empty"),
        (("{app}:desk", "Hi.", "--mode", "loops=loud"), "--mode loops=loud: write GUARD=MODE"),
        (("{app}:desk", "Hi.", "--mode", "loop=off"), "there is no guard 'loop'"),
        (("{app}:desk", "Hi.", "--active-s", "0"), "active_s is 0.0"),
        (("{app}:desk", "Hi.", "--journal", "text.txt"), "text.txt is not a Seawall journal"),
        (("{app}:desk", "Hi.", "--journal", "no/such/dir.db"), "no/such/dir.db"),
        (("{app}:desk", "Hi.", "--limits", "none.toml"), "there is no file none.toml"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_in_one_line(
    desks: Desks, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "text.txt").write_text("not a database, and long enough to tell", encoding="utf-8")
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n", encoding="utf-8")

    done = desks("run", *(word.format(app=desks.module) for word in words))

    assert done.exit_code == 2
    assert done.err.startswith("seawall: ")
    assert len(done.err.splitlines()) == 1
    assert message.format(app=desks.module) in done.err


@pytest.mark.parametrize(
    ("module", "framework"),
    [
        ("langgraph.graph.state", "langgraph"),
        ("pydantic_ai.agent", "pydantic-ai"),
        ("google.adk.agents.llm_agent", "google-adk"),
    ],
)
def test_an_agent_of_a_framework_is_put_behind_the_gate_and_not_run(
    desks: Desks, tmp_path: Path, module: str, framework: str
) -> None:
    text = f'class Base:\n    __module__ = "{module}"\n\nclass Mine(Base):\n    pass\n\nagent = Mine()\n'
    (tmp_path / "framed.py").write_text(text, encoding="utf-8")
    sys.modules.pop("framed", None)

    done = desks("run", "framed:agent", "Hi.")

    assert done.exit_code == 2
    assert f"framed:agent is of type Mine, of {framework}: that runs it, and not seawall" in done.err
    assert "seawall wrap framed.py" in done.err


def test_an_app_that_breaks_while_it_is_imported_is_named_with_its_line(desks: Desks, tmp_path: Path) -> None:
    lines = len(desks.directory.joinpath(f"{desks.module}.py").read_text(encoding="utf-8").splitlines())
    desks.write("1 / 0\n")

    done = desks("run", desks.app("desk"), "Hi.")

    assert f"{desks.module}.py:{lines + 1}: ZeroDivisionError: division by zero" in done.err
    assert "Traceback" in desks("--debug", "run", desks.app("desk"), "Hi.").err


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("tool_cals = 3", "tool_cals = 3 is not a limit (did you mean 'tool_calls'?)"),
        ('tool_calls = "3"', "tool_calls = '3'; it must be a number"),
        ("tool_calls = true", "tool_calls = True; it must be a number"),
        ("tool_calls = 0", "tool_calls = 0; it must be above zero"),
        ("tool_calls = 1.5", "tool_calls = 1.5; it must be a whole number"),
        ("active_s = nan", "active_s = NaN; it must be above zero"),
        ("tool_calls 3", "is not TOML"),
    ],
)
def test_a_wrong_limit_is_named_with_key_and_value(
    desks: Desks, tmp_path: Path, toml: str, message: str
) -> None:
    (tmp_path / "limits.toml").write_text(toml, encoding="utf-8")

    done = desks("run", desks.app("desk"), "Hi.", "--limits", "limits.toml")

    assert done.exit_code == 2
    assert message in done.err


def test_the_journal_is_named_by_the_environment(
    desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAWALL_JOURNAL", str(tmp_path / "other.db"))

    desks("run", desks.app("desk"), "Hi.")

    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "seawall.db").exists()


def test_a_function_that_makes_a_team_is_called(desks: Desks) -> None:
    desks.write("""
def made():
    return desk
def made_for(region):
    return desk
def broken():
    raise ValueError("no region")
""")
    assert desks("run", desks.app("made"), "Where is 1042?").out == "Order 1042 is lost: 80.00 EUR.\n"

    needs, breaks = desks("run", desks.app("made_for"), "Hi."), desks("run", desks.app("broken"), "Hi.")
    assert (needs.exit_code, breaks.exit_code) == (2, 2)
    assert "call it in the module, for example team = made_for(region=…)" in needs.err
    assert "ValueError: no region" in breaks.err


def test_a_request_id_that_is_known_says_so_and_takes_no_other_request(desks: Desks) -> None:
    first = desks("run", desks.app("desk"), "Where is 1042?", "--request-id", "q-1", "--json").document["run"]

    again = desks("run", desks.app("desk"), "Where is 1042?", "--request-id", "q-1")
    other = desks("run", desks.app("desk"), "Refund 1042.", "--request-id", "q-1")

    assert again.out == "Order 1042 is lost: 80.00 EUR.\n"
    assert f"already answered as {first}" in again.err
    assert other.exit_code == 2
    assert "'Where is 1042?', not 'Refund 1042.'" in other.err


def test_a_run_in_nobodys_name_is_warned_of_a_tool_that_the_acting_user_must_confirm(desks: Desks) -> None:
    desks.write("""
@tool(effect=Effect(confirm=True))
def send(text: str) -> str:
    "Send it."
    return "sent"
asking = Team("asking", Agent("sender", model=script(call("send", text="hi"), say("Sent.")), tools=[send]))
""")
    warning = "nobody can confirm send: --principal NAME"

    assert warning in desks("run", desks.app("asking"), "Go.").err
    assert warning not in desks("run", desks.app("asking"), "Go.", "--principal", "ann").err
