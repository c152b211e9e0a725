"""What counts as junk, and what is sent in its place."""

from __future__ import annotations

from seawall import Context
from seawall.models.protocol import Assistant, Message, ToolResult
from seawall.run.frame import MessageRef
from seawall.team.context import NOT_ANSWERED
from seawall.team.folding import shorten_hits
from seawall.team.survey import Item
from team.long_conversations import REQUEST, SCHEMAS, SYSTEM, VERSION, Play

LONG = "word " * 400
OTHER = "other " * 400


def play(*calls: tuple[str, str, str, bool]) -> Play:
    made = Play()
    for call in calls:
        made.move([call])
    return made


def junk(made: Play) -> list[str]:
    items = made.conversation.survey(made.frame).items
    return [item.junk for item in items if item.ref.role == "tool"]


def results(sent: list[Message]) -> list[str]:
    return [message.content for message in sent if isinstance(message, ToolResult)]


def test_a_failure_is_junk_once_a_call_of_that_tool_did_not_fail() -> None:
    failure = ("look", "{}", "Error: no such order, try its number", True)

    assert junk(play(failure)) == [""]
    assert junk(play(failure, ("find", "{}", LONG, False))) == ["", ""]
    assert junk(play(failure, ("look", '{"n":1}', LONG, False))) == ["failed", ""]


def test_an_error_that_a_tool_tells_as_text_is_a_failure() -> None:
    for text in (
        "Error: user not found",
        '{"error": "no such user"}',
        "Traceback (most recent call last): …",
    ):
        assert junk(play(("look", '{"n":1}', text, False), ("look", '{"n":2}', LONG, False))) == [
            "failed",
            "",
        ]
    assert junk(play(("look", '{"n":1}', "errors: none at all", False), ("look", "{}", LONG, False))) == [
        "",
        "",
    ]


def test_a_result_that_says_the_same_is_a_repeat_whatever_the_time_in_it() -> None:
    first, second = f"{LONG} at 10:11:12", f"{LONG} at 10:11:13"

    assert junk(play(("look", "{}", first, False), ("look", '{"n":1}', second, False))) == ["", "repeated"]
    assert junk(play(("look", "{}", "ok", False), ("look", "{}", "ok", False))) == ["", ""]


def test_the_same_call_with_another_result_makes_the_first_one_stale() -> None:
    assert junk(play(("look", "{}", LONG, False), ("look", "{}", OTHER, False))) == ["stale", ""]
    assert junk(play(("look", "{}", LONG, False), ("look", '{"n":1}', OTHER, False))) == ["", ""]
    assert junk(play(("look", "{}", LONG, False), ("look", "{}", "Error: down", True))) == ["", ""]


def test_what_was_done_and_what_was_not_is_never_junk() -> None:
    calls = [
        ("pay", "{}", "Error: not done: no money", True),
        ("pay", "{}", LONG, False),
        ("pay", "{}", LONG, False),
    ]

    assert junk(play(*calls)) == ["", "", ""]


def test_junk_is_told_in_one_line_that_keeps_the_lesson_and_says_where_the_rest_is() -> None:
    error = "ValueError: the order number has no dash\n" + "  at line\n" * 500
    made = play(
        ("look", '{"n":1}', error, True),
        ("look", '{"n":2}', LONG, False),
        ("find", "{}", LONG, False),
        ("find", "{}", OTHER, False),
        ("look", '{"n":3}', LONG, False),
        ("find", '{"n":9}', "new", False),
    )
    before = made.weigh()
    assert before.junk > 0.3

    folded = made.plan(Context())

    assert folded is not None and folded.trigger == "junk"
    lesson, whole, old, new, again, last = results(made.sent())
    assert lesson.startswith(
        "[failed, and a later call of look did not (step 4): ValueError: the order number"
    )
    assert 'read_result(step="2") gives all of it' in lesson and len(lesson) < 400
    assert (whole, new, last) == (LONG, OTHER, "new")
    assert (
        old
        == '[out of date: the same call gave another result in step 8; read_result(step="6") gives this one]'
    )
    assert again == '[the same as the result of step 4; read_result(step="10") gives it]'
    assert made.weigh().junk == 0
    assert made.plan(Context()) is None


def test_an_old_large_result_keeps_its_head_and_memory_its_ages_and_versions() -> None:
    hits = '[{"key": "tier", "value": "' + "gold " * 200 + '", "version": 41, "age": "3 days"}]'
    made = play(
        ("recall", "{}", hits, False),
        ("look", '{"n":1}', LONG, False),
        ("look", '{"n":2}', OTHER, False),
        ("look", '{"n":3}', "short", False),
    )

    made.plan(Context(tokens=1_900, fold_at=0.9, fold_to=0.8))

    memory, *_, newest = results(made.sent())
    assert memory.startswith('[{"key": "tier", "version": 41, "age": "3 days"}]\n[of ')
    assert 'read_result(step="2") gives all]' in memory
    assert newest == "short"


def test_hits_are_known_by_their_form() -> None:
    assert (
        shorten_hits('{"entries": [{"key": "a", "value": "b", "age": "1 day"}]}')
        == '[{"key": "a", "age": "1 day"}]'
    )
    assert shorten_hits("no JSON") == shorten_hits('["a"]') == shorten_hits("7") == ""


def test_a_survey_that_is_folded_and_unfolded_is_like_one_made_anew() -> None:
    made = Play()
    for number in range(20):
        made.move([("look", '{"n":1}', f"{number % 3} " * 300, number % 5 == 0)])
    whole, frame = made.weigh(), made.frame

    made.plan(Context(tokens=1_000))
    folded, sent = made.weigh(), made.sent()

    assert made.anew().weigh(made.frame, SYSTEM, SCHEMAS, VERSION) == folded != whole
    assert (
        made.conversation.weigh(frame, SYSTEM, SCHEMAS, VERSION) == whole
    )  # the step was not admitted after all
    assert made.conversation.assemble(frame, SYSTEM) == made.anew().assemble(frame, SYSTEM)
    assert (made.weigh(), made.sent()) == (folded, sent)


def test_looking_costs_the_same_at_any_length() -> None:
    """A step reads the messages that were added, and no others."""
    made = Play()
    for number in range(200):
        made.move([("look", f'{{"n":{number}}}', f"result {number}", False)])
        made.weigh()
    survey = made.conversation.survey(made.frame)
    read: list[Item] = list(survey.items)

    made.move([("look", '{"n":-1}', "one more", False)])

    assert made.conversation.survey(made.frame) is survey
    assert survey.items[: len(read)] == read and len(survey.items) == len(read) + 2


def test_a_request_without_an_answer_stays_with_what_became_of_it() -> None:
    """The line about a run that was stopped speaks of the request above it."""
    made = Play()

    def user(text: str) -> MessageRef:
        return MessageRef("user", made.bodies.put(text))

    def answer(text: str) -> MessageRef:
        return MessageRef("assistant", made.put(Assistant(text)))

    stopped = (
        "[Not from the user: the request above ended as halted, without an answer. It has changed nothing.]"
    )
    made.history = [
        *(ref for turn in range(6) for ref in (user(f"old {turn} " * 60), answer(f"said {turn} " * 60))),
        user("pay order 7"),
        user(stopped),
        user("and order 8?"),
        answer(NOT_ANSWERED),
        user("hello"),
        answer("hi"),
    ]
    made.conversation = made.anew()

    folded = made.plan(Context(tokens=600, fold_at=0.9, fold_to=0.2))

    assert folded is not None
    texts = [message.content for message in made.sent()]
    assert (texts[1] or "").startswith("[Not from the user: the messages s0 to s")
    assert texts[-7:] == ["pay order 7", stopped, "and order 8?", NOT_ANSWERED, "hello", "hi", REQUEST]
    assert not any("old 0" in (text or "") for text in texts)
    assert made.conversation.read_again(made.frame, "s0", 1, None) == "old 0 " * 60
    assert made.conversation.read_again(made.frame, "s1", 1, None) == "said 0 " * 60
