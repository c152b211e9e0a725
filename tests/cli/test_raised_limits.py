"""`seawall resume --limits` and `seawall fork --limits`: a run that a limit has halted goes on."""

from __future__ import annotations

from cli.desks import Desks
from seawall import Limits

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
    assert "tool_calls 2 → 4, by ann: two more" in shown.out
    (raised,) = desks("show", halted, "--json").document["raised"]
    assert (raised["by"], raised["reason"], raised["limits"]["tool_calls"]) == ("ann", "two more", 4)
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
