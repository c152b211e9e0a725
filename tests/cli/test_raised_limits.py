"""`seawall resume --limits` and `seawall fork --limits`: a run that a limit has halted goes on."""

from __future__ import annotations

import os
import pwd
import re
from decimal import Decimal

from cli.desks import Desks
from seawall import Limits
from seawall.cli.render.wording import format_raise
from seawall.core.events import LimitsRaised

APP = """
halts = {"at_limit": "halt"} if "at_limit" in Limits.__struct_fields__ else {}

@tool
def look(what: str) -> str:
    "Look something up."
    with open("table", "a") as table:
        table.write(what)
    return f"{what}{what} is here"

script = [call("look", what=what) for what in "abcd"]
desk = Team(
    Agent("desk", model=ScriptedModel([*script, say("All four.")], by="position"), tools=[look]),
    limits=Limits(tool_calls=2, **halts),
)
"""


def test_a_raised_limit_is_on_record_and_nothing_is_made_again(desks: Desks) -> None:
    desks.write(APP)
    assert desks("run", desks.app("desk"), "Look.").exit_code == 4
    more = desks.directory / "more.toml"
    more.write_text("tool_calls = 4\n", encoding="utf-8")

    forked = desks("fork", "last", "--limits", "more.toml", "--by", "bob")
    assert (forked.exit_code, forked.out.strip()) == (0, "All four.")
    (halted,) = [row["run"] for row in desks("runs", "--json").document["runs"] if row["status"] == "halted"]
    went_on = desks("resume", halted, "--limits", "more.toml", "--by", "ann", "--reason", "two more")
    assert (went_on.exit_code, went_on.out.strip()) == (0, "All four.")
    assert (desks.directory / "table").read_text() == "abcdcd", "twice: the fork's, and its origin's"

    shown = desks("show", halted)
    assert re.search(r"limits +tool_calls 2 → 4, by ann, \d+ m?s ago: two more", shown.out), shown.out
    document = desks("show", halted, "--json").document
    (raised,) = document["raised"]
    assert (raised["by"], raised["reason"], raised["limits"]["tool_calls"]) == ("ann", "two more", 4)
    assert document["started_at"] < raised["at"]
    assert desks("verify").exit_code == 0
    assert desks("why", halted).exit_code == 0


def test_what_is_wrong_with_the_limits_is_said_with_value_and_limit(desks: Desks) -> None:
    desks.write(APP)
    desks("run", desks.app("desk"), "Look.")
    for text, problem in (
        ("tool_calls = 1", "tool_calls is 1, and run "),
        ("tool_cals = 9", "did you mean 'tool_calls'"),
        ("model_calls = 2", "model_calls is 2, and run "),
        ("depth = 4", "has just these limits"),
    ):
        (desks.directory / "more.toml").write_text(f"{text}\n", encoding="utf-8")
        refused = desks("resume", "last", "--limits", "more.toml")
        assert (refused.exit_code, problem in refused.err) == (2, True), refused.err
    assert "give --limits FILE" in desks("resume", "last", "--by", "ann").err
    assert "name it" in desks("resume", "--limits", "more.toml").err
    assert Limits().depth == 4


def test_who_raises_is_the_systems_user_unless_somebody_is_named(desks: Desks) -> None:
    desks.write(APP)
    desks("run", desks.app("desk"), "Look.")
    (desks.directory / "more.toml").write_text("tool_calls = 3\n", encoding="utf-8")
    assert desks("resume", "last", "--limits", "more.toml").exit_code == 4
    (desks.directory / "more.toml").write_text("tool_calls = 4\n", encoding="utf-8")
    assert desks("resume", "last", "--limits", "more.toml", "--by", "bob").exit_code == 0

    raised = desks("show", "last", "--json").document["raised"]
    assert [each["by"] for each in raised] == [pwd.getpwuid(os.getuid()).pw_name, "bob"]
    assert raised[0]["at"] < raised[1]["at"]
    shown = desks("show", "last").out
    assert shown.index("tool_calls 2 → 3, by ") < shown.index("tool_calls 3 → 4, by bob, ")


def test_a_raise_is_told_on_one_line_with_each_limit_that_changed() -> None:
    before = Limits(tool_calls=2, usd=Decimal("0.50"), at_limit="halt")
    limits = Limits(tool_calls=4, active_s=300)
    raised = LimitsRaised(at=40.0, limits=limits, by="ann\n\x1b[2Jboss", reason="more\n  to do")

    assert format_raise(before, raised, 100.0) == (
        "active_s 120 → 300, tool_calls 2 → 4, usd 0.50 → unlimited, at_limit halt → answer, "
        "by ann \ufffd[2Jboss, 1 min ago: more to do"
    )
    assert format_raise(limits, raised, None).startswith("as before, by ann ")
