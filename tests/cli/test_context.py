"""`seawall context`: what a model was sent, as text that does nothing, and as JSON."""

from __future__ import annotations

import json

import pytest

from cli.desks import Desks

LONG = """
@tool
def page(number: int) -> str:
    "A page."
    if number == 0:
        raise LookupError("pages begin at 1")
    return f"page {number} \\x1b[2J\\u202e" + f"line of {number}\\n" * 300

pages = [call("page", number=number) for number in range(8)]
reader = Team(Agent("reader", model=ScriptedModel([*pages, say("Read.")]), tools=[page],
                    context=Context(tokens=2_500)))
"""


def test_each_message_is_shown_with_why_it_is_there(desks: Desks) -> None:
    desks.write(LONG)
    desks("run", desks.app("reader"), "Read all pages.")

    shown = desks("context", "last").out

    assert "reader asks scripted" in shown
    assert "system  instructions, pinned" in shown
    assert "user  the request, pinned" in shown and "Read all pages." in shown
    assert "shortened to a line: earlier calls" in shown
    assert "left out: " in shown
    assert "tools  read_result reads again what was shortened" in shown
    assert "junk   " in shown


def test_nothing_in_a_text_reaches_the_terminal_as_a_command(desks: Desks) -> None:
    desks.write(LONG)
    desks("run", desks.app("reader"), "Read\x1b]0;all\x07\u202e pages.")

    for shown in (desks("context", "last").out, desks("context", "last", "--full").out):
        assert not set(shown) & {"\x1b", "\u202e", "\x07", "\r"}


@pytest.mark.parametrize("width", [60, 100])
def test_no_line_is_wider_than_the_terminal(desks: Desks, width: int) -> None:
    desks.write(LONG)
    desks("run", desks.app("reader"), "Read all pages.")

    shown = desks("context", "last", width=width).out

    assert max(map(len, shown.splitlines())) <= width
    assert "… +" in shown


def test_json_has_everything_and_show_says_when_it_was_shortened(desks: Desks) -> None:
    desks.write(LONG)
    desks("run", desks.app("reader"), "Read all pages.")

    document = json.loads(desks("context", "last", "--json").out)
    steps = json.loads(desks("show", "last", "--json").out)["steps"]

    assert document["messages"][1]["text"] == "Read all pages."
    assert document["whole_bytes"] > document["size_bytes"] > 0
    assert document["left_out"] and document["read_result"] is True
    folded = [step for step in steps if step["folded"]]
    assert folded and folded[0]["folded"]["trigger"] == "budget"
    at = json.loads(desks("context", "last", str(folded[0]["step"]), "--json").out)
    assert len(at["folded"]["folded"]) == folded[0]["folded"]["messages"]
    assert "context shortened for its budget: about " in desks("show", "last").out


def test_a_step_that_called_no_model_and_one_that_is_not_there_are_named(desks: Desks) -> None:
    desks.write(LONG)
    desks("run", desks.app("reader"), "Read all pages.")

    assert "is not a call of a model; these are: 1, 3, 5" in desks("context", "last", "2").err
    assert "has no step 99; it has 17" in desks("context", "last", "99").err
