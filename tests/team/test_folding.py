"""Whatever a conversation is like, what is sent of it stays whole in the sense of its protocol, and nothing gets lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai")

from msgspec.structs import replace

from seawall import Context
from seawall.models.protocol import Assistant, Message, Reasoning, System, ToolResult, User
from seawall.models.providers.conversion import Conversion
from seawall.models.providers.history import NO_ANSWER, History, Names
from seawall.models.providers.wire_rules import ANTHROPIC, CHAT, GEMINI, MISTRAL, RESPONSES
from seawall.run.frame import FrameFailure
from seawall.team.context import NOT_DECIDED
from seawall.team.folding import NOT_FROM_USER
from team.long_conversations import MOVES, REQUEST, SCHEMAS, SYSTEM, VERSION, Play, histories

ALL_RULES = (CHAT, MISTRAL, RESPONSES, ANTHROPIC, GEMINI)
_NO_ANSWER = Assistant(NO_ANSWER)
BUDGETS = st.builds(
    lambda tokens, fold_at, junk_at: Context(
        tokens=tokens, fold_at=fold_at, fold_to=fold_at / 2, junk_at=junk_at
    ),
    st.integers(500, 6_000),
    st.sampled_from([0.5, 0.8, 1.0]),
    st.sampled_from([0.05, 0.3, 1.0]),
)


def no_ids(_: Reasoning) -> Sequence[str]:
    return ()


def check_pairs(sent: Sequence[Message]) -> None:
    """Every call has its result right behind it, and every result its call."""
    open_calls: set[str] = set()
    for message in sent:
        if isinstance(message, ToolResult):
            assert message.call_id in open_calls
            open_calls.remove(message.call_id)
            continue
        assert not open_calls
        if isinstance(message, Assistant):
            open_calls = {call.id for call in message.calls}
    assert not open_calls


def check_pinned(play: Play, sent: Sequence[Message]) -> None:
    assert sent[0] == System(SYSTEM)
    assert sent.count(User(REQUEST)) == 1
    texts = [message.content for message in sent]
    for ref in play.history:
        text = play.bodies.text(ref.ref)
        if text.startswith(NOT_FROM_USER) or text == NOT_DECIDED:
            assert text in texts


def check_readable(play: Play) -> None:
    """What is not sent whole can be read, by its label."""
    for item in play.conversation.survey(play.frame).items:
        if item.ref.role == "tool" and item.fold is not None:
            text = play.bodies.text(item.ref.ref)
            read = ""
            page = 1
            while (part := play.conversation.read_again(play.frame, item.label, page, 1_000)) is not None:
                read += part.rpartition("\n[page ")[0] or part
                page += 1
            assert text in read
            if item.fold.text:
                assert item.label in play.bodies.text(item.fold.text) or not item.junk


@given(st.data(), st.lists(MOVES, max_size=25), BUDGETS)
def test_any_conversation_stays_one_that_every_protocol_takes(
    data: st.DataObject, moves: list[Any], options: Context
) -> None:
    play = Play()
    play.history = data.draw(histories(play.bodies))
    play.conversation = play.anew()
    before: list[Message] = []
    for move in moves:
        play.move(move)
        folded = play.plan(options)

        sent = play.sent()
        if folded is None:  # what was sent stays as it was, to the letter
            assert sent[: len(before)] == before
        before = list(sent)
        check_pairs(sent)
        check_pinned(play, sent)
        assert play.anew().assemble(play.frame, SYSTEM) == sent  # it follows from the record
        assert play.anew().weigh(play.frame, SYSTEM, SCHEMAS, VERSION) == play.weigh()
    check_readable(play)
    for rules in ALL_RULES:
        repaired = History(rules, "", no_ids).repair(before, Names(rules, ()))
        for kind in (ToolResult, Assistant):  # it makes up no call and no result
            made = sum(isinstance(each, kind) and each != _NO_ANSWER for each in repaired)
            assert made == sum(isinstance(each, kind) for each in before)
        Conversion(rules).convert_messages(before)


@given(st.data(), st.lists(MOVES, max_size=25), BUDGETS)
def test_what_is_reserved_is_never_less_than_the_provider_counts(
    data: st.DataObject, moves: list[Any], options: Context
) -> None:
    play = Play()
    play.history = data.draw(histories(play.bodies))
    play.conversation = play.anew()
    for move in moves:
        play.move(move)
        play.plan(options)

        assert play.weigh().bound >= play.true_tokens()


@given(st.lists(MOVES, max_size=25))
def test_nothing_changes_below_the_budget_where_nothing_is_junk(moves: list[Any]) -> None:
    play = Play()
    for move in moves:
        play.move(move)
        weighed = play.weigh()
        folded = play.plan(Context(), budget=weighed.tokens * 2)

        assert folded is None or (folded.trigger == "junk" and weighed.junk >= 0.3)
        if folded is not None:
            return


@given(st.lists(MOVES, min_size=5, max_size=25))
def test_a_model_that_takes_no_more_is_sent_less_each_time_until_nothing_is_left(moves: list[Any]) -> None:
    play = Play()
    for move in moves:
        play.move(move)
    sizes = [play.weigh().size]
    for _ in range(100):
        play.frame = replace(play.frame, failure=FrameFailure("context_too_long", None))
        folded = play.plan(Context())
        if folded is None:
            break
        assert play.frame.failure is None
        assert 0 < play.frame.budget < folded.before
        check_pairs(play.sent())
        sizes.append(play.weigh().size)
    else:
        raise AssertionError("it goes on for ever")

    assert sizes == sorted(set(sizes), reverse=True)
