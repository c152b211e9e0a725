"""Replies of a model that make no sense: the model is told what is wrong, and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Agent, Limits, Team, tool
from seawall.models.protocol import Assistant, ModelReply, ToolCall, Usage
from seawall.models.scripted import calls
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import World, play, sent, unanswered


@tool
async def look(what: str, often: int = 1) -> str:
    """Look something up."""
    return what * often


@tool
async def free(anything: Any) -> Any:
    """Take anything."""
    return anything


def answered(*script: Any, **options: Any) -> tuple[ScriptedModel, Any]:
    model = ScriptedModel(list(script))
    run = play(Team(Agent("clerk", model=model, tools=[look, free], **options)))
    return model, run


BAD = [
    (call("fly"), "Error: there is no tool 'fly'; there are: look, free."),
    (call("ask_nobody", task="x"), "Error: 'clerk' can't hand work to 'nobody'; it may ask: nobody."),
    (call("look"), "Error: 'look': what: Field required"),
    (call("look", what=7), "Error: 'look': what: Input should be a valid string (got 7)"),
    (call("look", what="x", more=1), "more: Extra inputs are not permitted (got 1)"),
    (call("look", "{what: 1}"), "Error: 'look': the arguments are not JSON:"),
    (call("look", "[1]"), "Error: 'look': the arguments are not a JSON object (got '[1]')"),
    (call("look", "null"), "the arguments are not a JSON object (got 'null')"),
    (call("look", '"text"'), "the arguments are not a JSON object"),
    (call("look", ""), "what: Field required"),
    (call("look", '{"what": "x"'), "the arguments are not JSON"),
    (call("look", '{"what": "x", "often": 1e999}'), "the arguments are not JSON"),
    (call("look", '{"what": ' + "[" * 100_000), "the arguments are not JSON"),
    (call("free", '{"anything": ' + "[" * 100_000 + "]" * 100_000 + "}"), "the arguments are not JSON"),
    (call("look", '{"what": "\\ud800"}'), "the arguments are not JSON"),
    (call("look", '{"what": "\ud800"}'), r"\ud800"),
    (call("look", what="a\x00b"), r"a\u0000b"),
    (call("a\ud800"), "there is no tool 'a"),
    (call("a" * 1_000_000), "there is no tool 'aaa"),
    (call(""), "there is no tool ''"),
    (call("look\n"), "there is no tool 'look\\n'"),
]


@pytest.mark.parametrize(("reply", "text"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_call_that_makes_no_sense_is_answered_with_what_is_wrong(reply: Any, text: str) -> None:
    model, run = answered(reply, say("Done."))

    assert run.outcome.status == "completed"
    assert text in sent(model)[-1]
    assert unanswered(model.requests[-1].messages) == []
    assert all(len(step.name) <= 256 for step in run.steps("tool"))


@pytest.mark.parametrize("wrong", [("{}", '{"task": 7}'), ("{}", "no", '{"task": " "}')])
def test_a_hand_off_without_a_task_is_answered(wrong: tuple[str, ...]) -> None:
    model = ScriptedModel([*[call("ask_c", arguments) for arguments in wrong], "."])
    team = Team("desk", Agent("boss", model=model), specialists=[Agent("c", model=ScriptedModel([]))])

    run = play(team)

    assert run.outcome.status == "completed"
    assert run.outcome.handoffs == 0
    assert "needs a text 'task' (got {})" in sent(model, 1)[-1]


@pytest.mark.parametrize("reply", ["", " \n", Assistant(None), Assistant("")])
def test_an_empty_reply_is_asked_for_again_and_leaves_no_empty_message(reply: Any) -> None:
    model, run = answered(reply, say("Done."))

    assert run.outcome.answer == "Done."
    assert sent(model)[-1] == "Your reply was empty. Call a tool or answer."
    assert all(text.strip() for text in sent(model))


def test_text_beside_calls_is_kept_and_the_calls_are_made() -> None:
    model, run = answered(calls(call("look", what="x"), text="Let me see."), say("Done."))

    assert run.outcome.answer == "Done."
    assert sent(model)[-2:] == ["Let me see.", "x"]


@pytest.mark.parametrize(
    "ids", [["same"] * 5, [""] * 5, ["", "call-2", "", "call-1", "call-3"], ["a", "a-2", "a", "a", "a-3"]]
)
def test_repeated_and_missing_call_ids_are_made_distinct(ids: list[str]) -> None:
    reply = Assistant(None, tuple(ToolCall(id_, "look", f'{{"what": "{n}"}}') for n, id_ in enumerate(ids)))
    model, run = answered(reply, say("Done."))

    messages = model.requests[-1].messages
    assert run.outcome.status == "completed"
    assert unanswered(messages) == []
    assert sent(model)[-5:] == ["0", "1", "2", "3", "4"]
    made = [call.id for call in messages[-6].calls]  # pyright: ignore[reportAttributeAccessIssue] -- the reply
    assert len(set(made)) == 5


def test_the_same_ids_in_later_replies_are_no_trouble() -> None:
    reply = [Assistant(None, (ToolCall("1", "look", f'{{"what": "{n}"}}'),)) for n in range(3)]
    model, run = answered(*reply, say("Done."))

    assert run.outcome.status == "completed"
    assert [text for text in sent(model) if text.isdigit()] == ["0", "1", "2"]


@pytest.mark.parametrize("many", [65, 100_000])
def test_too_many_calls_at_once_are_none(many: int) -> None:
    world = World()
    flood = Assistant("All at once!", (ToolCall("same", "look", "{}"),) * many)
    model = ScriptedModel([flood, say("Done.")])

    run = play(Team(Agent("clerk", model=model, tools=[world.reads()])))

    assert run.outcome.status == "completed"
    assert world.calls == []
    assert f"{many} calls (limit 64)" in sent(model)[-1]


def test_a_reply_that_was_cut_is_not_acted_on() -> None:
    world = World()
    cut = ModelReply(
        message=Assistant("I wi", (ToolCall("1", "look", '{"wh'),)), finish="length", usage=Usage(9, 7)
    )
    model = ScriptedModel([cut, say("Done.")])

    run = play(Team(Agent("clerk", model=model, tools=[world.reads()])))

    assert run.outcome.answer == "Done."
    assert world.calls == []
    assert "cut at 7 tokens" in sent(model)[-1]


def test_a_filtered_reply_fails_and_says_so() -> None:
    _, run = answered(ModelReply(message=Assistant("…"), finish="content_filter"))

    assert run.outcome.status == "failed"
    assert "content filter" in run.outcome.error


class Broken:
    """A model class that does not keep its promises."""

    name = "broken"
    price = None

    def __init__(self, reply: Any) -> None:
        self._reply = reply

    async def respond(self, request: Any) -> Any:
        if isinstance(self._reply, BaseException):
            raise self._reply
        return self._reply

    def stream(self, request: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "text",
        ModelReply(message=None),  # pyright: ignore[reportArgumentType] -- what is tested
        ModelReply(message=Assistant(7)),  # pyright: ignore[reportArgumentType] -- what is tested
        ModelReply(message=Assistant("x"), usage=None),  # pyright: ignore[reportArgumentType] -- what is tested
        ModelReply(message=Assistant(None, (ToolCall(1, "look", "{}"),))),  # pyright: ignore[reportArgumentType] -- what is tested
        asyncio.CancelledError(),
        SystemExit(1),
        RuntimeError(),
    ],
)
def test_a_model_class_that_breaks_its_promise_fails_the_run_and_no_more(reply: Any) -> None:
    run = play(Team(Agent("clerk", model=Broken(reply), tools=[look])), clock=ManualClock())

    assert run.outcome.status == "failed"
    assert (run.outcome.error or "").startswith("Error: ")


texts = st.text(max_size=20) | st.text(alphabet=st.characters(), max_size=20)
tool_calls = st.builds(
    ToolCall,
    id=texts,
    name=st.sampled_from(["look", "free", "ask_x", "final_answer", "review"]) | texts,
    arguments=st.sampled_from(['{"what": "x"}', '{"anything": {}}', "{}", "[", ""]) | texts,
)
replies = st.builds(Assistant, content=st.none() | texts, calls=st.lists(tool_calls, max_size=4).map(tuple))


@given(st.lists(replies, min_size=1, max_size=5))
def test_whatever_a_model_says_the_run_ends_and_every_call_is_answered(script: list[Assistant]) -> None:
    sent_: list[Any] = []
    rest = iter(script)

    def model(request: Any) -> Any:
        sent_.append(unanswered(request.messages))
        return next(rest, say("Done."))

    run = play(
        Team(Agent("clerk", model=ScriptedModel(model), tools=[look, free]), limits=Limits(tool_calls=9))
    )

    assert run.outcome.status in ("completed", "halted")
    assert [each for each in sent_ if each] == []
