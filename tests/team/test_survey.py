"""What counts as junk, and what is sent in its place."""

from __future__ import annotations

from msgspec.structs import replace

from seawall import Context
from seawall.core.persistent import Log
from seawall.models.protocol import Assistant, Message, ToolResult
from seawall.run.frame import MessageRef
from seawall.team.context import NOT_ANSWERED
from seawall.team.folding import shorten_hits
from seawall.team.survey import Item, tells_error
from team.long_conversations import REQUEST, SCHEMAS, SYSTEM, VERSION, Play

LONG = "one word after another, and " * 72
OTHER = f"other {LONG}"


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


def test_all_failures_of_a_tool_are_junk_but_the_newest_and_that_once_a_call_did_not_fail() -> None:
    failures = [("look", f'{{"n":{n}}}', f"Error {n}: no such order, try {LONG}", True) for n in range(4)]

    assert junk(play(failures[0])) == [""]
    assert junk(play(failures[0], ("find", "{}", LONG, False))) == ["", ""]
    assert junk(play(*failures)) == ["failed", "failed", "failed", ""]
    assert junk(play(*failures, ("look", '{"n":9}', LONG, False))) == [*["failed"] * 4, ""]


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


def test_a_result_that_only_speaks_of_errors_is_none() -> None:
    for text in (
        "errors: none at all",
        "Failed orders: 1042, 1043",
        "Error rates of the week are low",
        '{"error": null, "result": 7}',
        '{"errors": [], "data": {}}',
        '{"error": null, "result": "this one is cut',
    ):
        assert not tells_error(text)
    for text in (
        "ValueError: no",
        "fatal: not a repository",
        '{"data": null, "errors": [{"message": "no"}]}',
        '{"error": {"code": 7, "message": "this one is cut',
        "<tool_use_error>",
        "ERROR 404: y",
    ):
        assert tells_error(text)


def test_only_a_result_that_is_equal_to_the_letter_is_a_repeat() -> None:
    first, second = f"{LONG} at 2026-12-01 10:00:00", f"{LONG} at 2026-12-03 16:30:00"

    assert junk(play(("look", "{}", first, False), ("look", '{"n":1}', first, False))) == ["", "repeated"]
    assert junk(play(("look", "{}", first, False), ("look", '{"n":1}', second, False))) == ["", ""]
    assert junk(play(("look", "{}", first, False), ("look", "{}", second, False))) == ["stale", ""]
    assert junk(play(("look", "{}", "ok", False), ("look", "{}", "ok", False))) == ["", ""]


def test_a_value_that_changes_and_changes_back_is_whole_where_it_is_newest() -> None:
    a, b = ("look", "{}", f"open {LONG}", False), ("look", "{}", f"closed {LONG}", False)

    assert junk(play(a, b, a)) == ["stale", "stale", ""]
    assert junk(play(a, a, b)) == ["stale", "stale", ""]
    assert junk(play(a, b, a, a)) == ["stale", "stale", "", "repeated"]
    failure = ("look", "{}", "Error: down", True)
    assert junk(play(a, failure, b)) == ["stale", "failed", ""]


def test_a_repeat_of_what_is_out_of_date_is_whole() -> None:
    other = ("look", '{"n":1}', LONG, False)

    assert junk(play(("look", "{}", LONG, False), other, ("look", "{}", OTHER, False))) == ["stale", "", ""]


def test_what_repeats_a_result_that_is_sent_no_more_is_no_repeat() -> None:
    made = play(
        ("look", "{}", LONG, False), *[("find", f'{{"n":{n}}}', f"{n} {LONG}", False) for n in range(9)]
    )
    made.plan(Context(tokens=1_500))

    made.move([("look", "{}", LONG, False)])
    made.move([("look", "{}", LONG, False)])

    assert junk(made)[-2:] == ["", "repeated"]
    assert made.anew().weigh(made.frame, SYSTEM, SCHEMAS, VERSION) == made.weigh()


def test_the_same_call_with_another_result_makes_the_first_one_stale_if_both_tell_of_one_thing() -> None:
    page = "page " + " ".join(f"order{n}" for n in range(200))

    assert junk(play(("look", "{}", LONG, False), ("look", "{}", OTHER, False))) == ["stale", ""]
    assert junk(play(("look", "{}", LONG, False), ("look", '{"n":1}', OTHER, False))) == ["", ""]
    assert junk(play(("look", "{}", LONG, False), ("look", "{}", "Error: down", True))) == ["", ""]
    assert junk(play(("next", "{}", LONG, False), ("next", "{}", page, False))) == ["", ""]


def test_the_line_about_a_traceback_has_its_last_line() -> None:
    trace = "Traceback (most recent call last):\n" + '  File "a.py", line 1\n' * 500
    made = play(
        ("look", '{"n":1}', f"{trace}ValueError: the order number needs a dash\n", True),
        ("look", '{"n":2}', LONG, False),
        ("look", '{"n":3}', LONG, False),
    )

    made.plan(Context())

    assert "ValueError: the order number needs a dash" in str(made.sent())


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
        ("find", "{}", f"old {LONG}", False),
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
        "[failed, and a later call of look did not (step s4): ValueError: the order number"
    )
    assert 'read_result(step="s2") gives all of it' in lesson and len(lesson) < 400
    assert (whole, new, last) == (LONG, OTHER, "new")
    assert (
        old == "[an earlier result of the same call, which gave another one in step s8; "
        'read_result(step="s6") gives this one]'
    )
    assert again == '[the same as the result of step s4; read_result(step="s10") gives it]'
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

    made.plan(Context(tokens=1_600, fold_at=0.9, fold_to=0.8))

    memory, *_, newest = results(made.sent())
    assert memory.startswith('[{"key": "tier", "version": 41, "age": "3 days"}]\n[of ')
    assert 'read_result(step="s2") gives all]' in memory
    assert newest == "short"


def test_hits_are_known_by_their_form() -> None:
    assert (
        shorten_hits('{"entries": [{"key": "a", "value": "b", "age": "1 day"}], "note": "two more"}')
        == '{"entries": [{"key": "a", "age": "1 day"}], "note": "two more"}'
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
    # the step was not admitted after all
    assert made.conversation.weigh(frame, SYSTEM, SCHEMAS, VERSION) == whole
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


def test_what_guards_advised_stays_with_whatever_stands_for_a_result() -> None:
    made = Play()
    for number in range(12):
        made.move([("look", f'{{"n":{number}}}', f"{number} {LONG}", False)])
        if not number:
            note = made.bodies.put("never use account 99")
            *before, result = made.frame.messages
            made.frame = replace(made.frame, messages=Log([*before, replace(result, notes=(note,))]))

    made.plan(Context(tokens=1_000))

    assert "never use account 99" in str(made.sent()) and "earlier calls are left out" in str(made.sent())
    read = made.conversation.read_again(made.frame, "2", 1, None)
    assert read is not None and read.endswith("never use account 99")


def test_what_memory_held_is_told_when_what_was_read_is_left_out() -> None:
    hits = (
        '{"entries": [{"key": "tier", "value": "gold", "version": 41, "age": "3 days"}], "note": "1 expired"}'
    )
    reads = [("look", f'{{"n":{n}}}', f"{n} {LONG}", False) for n in range(12)]
    made = play(("recall", "{}", hits, False), *reads)

    made.plan(Context(tokens=1_000))

    texts = str(made.sent())
    assert "earlier calls are left out" in texts and '"version": 41' in texts and "1 expired" in texts


def test_a_receipt_is_whole_up_to_its_end_wherever_it_is_shortened() -> None:
    reads = [("look", f'{{"n":{n}}}', f"{n} {LONG}", False) for n in range(12)]
    receipt = f"paid, {'and so on ' * 80} receipt RC-7"
    for text in (receipt, f"paid, {'and so on ' * 800} receipt RC-7"):
        made = play(("pay", "{}", text, False), *reads)

        made.plan(Context(tokens=2_000, fold_at=0.9, fold_to=0.4))

        assert "receipt RC-7" in str(made.sent()) and made.weigh().tokens < 2_000


def test_many_new_results_of_ordinary_size_are_shortened_so_that_they_fit() -> None:
    made = Play()
    made.move([("look", f'{{"n":{n}}}', f"{n} {LONG[:580]}", False) for n in range(60)])

    made.plan(Context(tokens=5_000))

    assert made.weigh().tokens <= 5_000
    assert all(
        f'read_result(step="{item.label}")' in str(made.sent())
        for item in made.conversation.survey(made.frame).items
        if item.fold
    )


def test_one_long_request_or_answer_of_an_earlier_turn_leaves_room_for_the_current_request() -> None:
    for request, answered in ((30, 0), (1, 30)):
        made = Play()
        made.history = [
            MessageRef("user", made.bodies.put("asked " + LONG * request)),
            MessageRef("assistant", made.put(Assistant("said " + LONG * answered))),
        ]
        made.conversation = made.anew()

        made.plan(Context(tokens=4_000))

        assert made.weigh().tokens <= 4_000
        texts = [message.content or "" for message in made.sent()]
        assert texts[1].startswith("asked ") and texts[2].startswith("said ") and texts[-1] == REQUEST
        assert ('read_result(step="s0") gives all]' in texts[1]) == (request > 1)
        assert ('read_result(step="s1") gives all]' in texts[2]) == (answered > 1)
