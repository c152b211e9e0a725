"""What is noise in a result, and how sure that is."""

from __future__ import annotations

import base64
import json
import re
import string
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seawall.core.canonical import ref_of
from seawall.run.fingerprint import (
    decode_arguments,
    digest_whole,
    fold_arguments,
    normalise,
    read_error_kind,
    says_error,
)
from seawall.run.noise import OTHER_CASE, PIECE_CHARS, VOLATILE, Masker, find_volatile, mask_random

AT = 1_795_000_000.0
"""2026-11-18T11:06:40Z."""


def hexa(n: int, size: int = 16) -> str:
    return f"{0x9F3A_51C7_0B2D * (n + 1) * 7919:0{size}x}"[-size:]


def ident(n: int) -> str:
    return str(uuid.UUID(int=(n + 1) * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835 % 2**128))


CERTAIN = [
    "nothing. Elapsed: 00:00:01.31{n}",
    "nothing\nreal 0m2.11{n}s\nuser 0m1.01{n}s",
    "nothing in 1m2.{n}s",
    "nothing, took 1h 2m 3.{n}s",
    "nothing at 2026-01-01T10:0{n}:00Z",
    "nothing at 2026/01/01 10:00:0{n}",
    "nothing (as of 29 Nov 2026 10:00:0{n} GMT)",
    "Sun Nov 29 20:26:0{n} UTC 2026",
    '127.0.0.1 - - [29/Nov/2026:20:26:0{n} +0000] "GET /"',
    "20260131T10111{n}Z nothing",
    "nothing at 176722560000000{n}",
    "nothing at 176722560000000000{n}",
    "nothing at 179500000{n}",
    '{{"rows": [], "now": 179500000{n}.25}}',
    '<result id="{hex}">nothing</result>',
    "<tool_output nonce='{hex}'>nothing</tool_output>",
    '<<<EXTERNAL_UNTRUSTED_CONTENT id="{hex}">>> nothing',
    '{{"rows": [], "x-request-id": "{hex}"}}',
    '{{"rows": [], "X-Amzn-Trace-Id": "Root=1-{hex}"}}',
    '{{"rows": [], "requestId": "{uuid}"}}',
    '{{"rows": [], "RequestID": "{uuid}"}}',
    '{{"meta": {{"trace": {{"id": "{hex}", "span": "{hex}"}}}}, "rows": []}}',
    '{{"rows": [], "traceparent": "00-{hex}-01"}}',
    '{{"rows": [], "query_time_ms": {n}}}',
    '{{"rows": [], "queryTimeMs": {n}}}',
    '{{"rows": [], "Query-Time-MS": {n}}}',
    '{{"rows": [], "took": {n}, "elapsed_ms": {n}, "latency": {n}}}',
    '{{"rows": [], "response_time": 0.{n}, "duration": 0.{n}3}}',
    '{{"rows": [], "generated_at": "2026-02-0{m}T10:00:00Z"}}',
    "503 (Request ID: {hex})",
    "Throttled RequestId: {hex}",
    "Throttled (Service: S3; lastRequestId: {hex})",
    "failed, trace id {hex}",
    "failed [trace_id={hex}, span_id={hex}]",
    "failed (request {uuid})",
    "failed, x-amzn-requestid: {uuid}",
    "1 failed in 0.0{n}s",
    "ok; query_time_ms=1{n}, took: {n}",
    "nothing (attempt {n} of 20)",
    "nothing, retry #{n}",
    "started as pid 471{n}",
    "<object at 0x7f3060fd3e9{n}>",
    "written to /tmp/tmpab{n}x_9/out.txt",
    "down\n-- served by web-{hex}",
]
DOUBTFUL = [
    '{{"song": "Alba", "length": "3m2{n}s"}}',
    '{{"rows": [], "rate_limit": {{"limit": 60, "remaining": 5{n}}}}}',
    '{{"job": "{uuid}", "kind": "resize"}}',
    "next: {uuid}",
    "ticket 171234500{n}",
    '{{"ticket": 171234500{n}}}',
    '{{"session": "{hex}"}}',
    '{{"last_seen": "2026-01-0{m}T10:00:00Z"}}',
    '{{"lastSeen": "2026-11-18T11:06:4{n}Z"}}',
    "last seen 2026-01-0{m}T10:00:00Z",
    "the next bus departs 2026-01-01T10:0{n}:00Z",
    '{{"duration": 10{n}}}',
    '{{"title": "Song", "duration_ms": 21500{n}}}',
    '{{"duration": "00:03:2{n}"}}',
    "Song, 00:03:2{n}",
    "free at 2026-03-0{m}T10:00:00Z",
    '<job id="{hex}">resize</job>',
    "request 123456{n}",
    "it takes 18{n} s",
]
NEWS = [
    "1m2{n}s left",
    '{{"job": {{"remaining": 5{n}}}}}',
    "28{n} s left",
    "time left: 28{n} s",
    "expires in 28{n} s",
    "00:04:4{n} remaining",
    "balance: {n}",
    '{{"job": 10000{n}}}',
    "free at 2026-01-31 1{n}:00",
    "/tmp/out_{n}.txt",
    '{{"sha256": "{hex}"}}',
    "commit {hex}",
    "page 3 of {n}",
]


def forms(text: str, n: int) -> Any:
    written = text.format(n=n, m=n + 1, hex=hexa(n), uuid=ident(n))
    return normalise(written, AT)


def differs(text: str) -> tuple[bool, bool]:
    """Returns whether the exact forms of some results differ, and whether the loose ones do."""
    found = [forms(text, n) for n in range(6)]
    first = found[0]
    return any(each.exact != first.exact for each in found), any(each.loose != first.loose for each in found)


@pytest.mark.parametrize("text", CERTAIN)
def test_certain_noise_is_in_neither_form(text: str) -> None:
    assert differs(text) == (False, False)


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_may_be_news_is_in_the_exact_form(text: str) -> None:
    assert differs(text) == (True, False)


@pytest.mark.parametrize("text", NEWS)
def test_news_is_in_both_forms(text: str) -> None:
    assert differs(text) == (True, True)


def test_a_time_is_masked_if_it_is_the_time_of_the_call() -> None:
    text = "as of 2026-11-18 {}"

    assert normalise(text.format("11:06"), AT) == normalise(text.format("11:07"), AT)
    assert normalise(text.format("11:06"), AT) != normalise(text.format("12:06"), AT)
    assert normalise(text.format("11:06"), 0.0) != normalise(text.format("11:07"), 0.0)
    assert normalise("ticket 1795000001", AT) == normalise("ticket 1795000009", AT)


def test_a_text_that_was_masked_before_is_judged_by_the_time_of_its_own_call() -> None:
    text = "order 17 by 2026-01-31 10:11"
    at = datetime(2026, 1, 31, 10, 11, tzinfo=UTC).timestamp()

    for _ in range(2):
        assert Masker(at).mask_text(text)[0] == "order 17 by …"
        assert Masker(at - 86_400).mask_text(text)[0] == text


def test_a_result_that_does_not_change_is_the_same_however_late_it_is_read() -> None:
    log = "\n".join(f"2026-11-18T11:{minute:02}:{minute:02}Z started" for minute in range(60))

    assert len({str(normalise(log, AT + later_s)) for later_s in range(3_600, 40_000, 977)}) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "row\n" * 20_000 + f"2026-01-01T10:0{n}:00Z",
        lambda n: json.dumps({"rows": ["r" * 80] * 1_000, "timestamp": n, "x-request-id": hexa(n)}),
        lambda n: json.dumps({"rows": ["r" * 80] * 20_000, "x-request-id": hexa(n), "took": n}),
        lambda n: "x" * 100_000 + f" (Request ID: {hexa(n)})",
    ],
)
def test_a_long_result_is_masked_before_it_is_cut(make: Any) -> None:
    assert digest_whole(make(1)) == digest_whole(make(2))
    assert digest_whole(make(1)) != digest_whole(make(1).replace("r", "s").replace("x", "y"))


def test_of_a_long_result_a_doubtful_part_is_in_one_of_the_digests() -> None:
    one, other = (digest_whole("row\n" * 20_000 + f"next: {ident(n)}") for n in (1, 2))

    assert one[0] != other[0]
    assert one[1] == other[1]


@given(st.integers(0, 3 * PIECE_CHARS), st.sampled_from(["a ", "a,", "word\n", "a", "\n"]))
@example(16_375, "word\n")  # the end of a piece lies between `took:` and its value
@example(16_375, "a,")
def test_where_a_long_text_is_cut_makes_no_difference(chars: int, word: str) -> None:
    before = word * (chars // len(word))
    masker = Masker(0.0)

    assert masker.digest_long(f"{before} took: 17 end") == masker.digest_long(f"{before} took: 4 end")
    assert masker.digest_long(f"took: 17 {before}end") == masker.digest_long(f"took: 4 {before}end")


PIECES = st.one_of(
    st.from_regex(VOLATILE, fullmatch=True), st.text(max_size=12), st.sampled_from(" ,:-_/0aTs")
)


def test_a_number_of_any_length_is_judged() -> None:
    assert Masker(AT).mask_text(f"took {'9' * 5_000}h{'9' * 5_000}m1.5s") == ("took …", "took …")


WITHOUT_SIGN = re.compile(r"[\d.]+ ?(?:hrs?|hours?|days?)|.*served.*", re.IGNORECASE | re.DOTALL)
"""Hours, days and `served by`, which are looked for only in a text that has another sign of noise."""


@given(st.lists(PIECES, max_size=4).map("".join))
@example("00hr")
def test_every_text_with_a_volatile_part_is_looked_at(text: str) -> None:
    assert find_volatile(text) != () or all(
        WITHOUT_SIGN.fullmatch(part[0]) for part in VOLATILE.finditer(text)
    )


@given(st.lists(PIECES, max_size=4).map("".join))
@example("served by host-12")
@example("5 days")
@example("\u017ferved by host-12")
@example("3f9a8b7c6d5e4f3a")
@example("A0E0B4B8-e29b-41d4-A716-446655440000")
@example("1700000000.25")
@example("3-Feb-2026 01:02:03")
@example("_20260131T101112Z")
def test_every_part_that_may_be_noise_is_found_next_to_a_number(text: str) -> None:
    text = f"{text} 7:13"

    found = [(part.span(), part.lastgroup) for part in find_volatile(text)]

    assert found == [(part.span(), part.lastgroup) for part in VOLATILE.finditer(text)]


def test_all_letters_that_match_an_ascii_letter_in_another_case_are_known() -> None:
    letter = re.compile("[a-z]", re.IGNORECASE)
    others = [each for each in map(chr, range(128, sys.maxunicode + 1)) if letter.fullmatch(each)]

    assert others
    assert all(map(OTHER_CASE.fullmatch, others))


@given(st.lists(PIECES, max_size=4).map("".join), st.floats(0, 4e9))
def test_what_is_certain_is_masked_in_the_loose_form_too(text: str, at: float) -> None:
    exact, loose = Masker(at).mask_text(text)

    assert loose.count("…") >= exact.count("…")


def escape(text: str) -> str:
    """Returns a text as JSON in which every character is written as an escape."""
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


@given(st.lists(PIECES, max_size=4).map("".join), st.text(max_size=12))
def test_the_noise_of_json_is_masked_however_it_is_written(text: str, other: str) -> None:
    assert normalise(f"[{escape(text)}, {escape(other)}]") == normalise(json.dumps([text, other]))


LETTERS = string.ascii_letters + string.digits
RANDOM: dict[str, Callable[[Random], str]] = {
    "ULID": lambda draw: "01J" + "".join(draw.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=23)),
    "KSUID": lambda draw: "".join(draw.choices(LETTERS, k=27)),
    "cuid": lambda draw: "c" + "".join(draw.choices(string.ascii_lowercase + string.digits, k=24)),
    "nanoid": lambda draw: "".join(draw.choices(LETTERS + "_-", k=36)),
    "short digest": lambda draw: f"{draw.randrange(16**6):06x}",
    "container": lambda draw: f"{draw.randrange(16**12):012x}",
    "error code": lambda draw: f"{draw.randrange(16**8):08X}",
    "session": lambda draw: f"JSESSIONID={draw.randrange(16**32):032X}",
    "prefixed": lambda draw: "req_" + "".join(draw.choices(LETTERS, k=24)),
    "base64": lambda draw: base64.b64encode(draw.randbytes(40)).decode(),
    "JWT": lambda draw: ".".join(
        base64.urlsafe_b64encode(draw.randbytes(chars)).decode().rstrip("=") for chars in (36, 90, 64)
    ),
    "pod": lambda draw: f"web-{draw.randrange(16**10):010x}-" + "".join(draw.choices("bcdfgh24578", k=5)),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_random_words_are_masked_but_for_a_few_that_look_like_names(kind: str) -> None:
    words = [RANDOM[kind](Random(seed)) for seed in range(400)]
    forms = [mask_random(f'{{"page": "{word}"}}') for word in words]

    masked = [form in ('{"page": "…"}', '{"page": "JSESSIONID=…"}', '{"page": "….….…"}') for form in forms]
    assert sum(masked) > 0.93 * len(words)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "order_1042 of ORD-1042",
            "page12, chapter 10",
            "v1.2.3 of 2026-12-01",
            "seat 12A",
            "LH1234 to A320",
        ),
        *(
            "src/Button2.tsx",
            "/api/v1/orders/1042",
            "Report2025.pdf",
            "the 3rd of 10kg",
            "utf8 and sha256",
            "q_726583",
        ),
        *(
            "commit 3f9a8b7",
            '{"sha256": "3f9a8b7c"}',
            "10.0.0.1:8080",
            "EUR 1234.50",
            "0123456789",
            "x = y2 + z3",
        ),
    ],
)
def test_names_and_digests_of_contents_are_no_random_words(text: str) -> None:
    assert mask_random(text) is text


# ---- spellings, kinds of errors


def key(arguments: Any) -> str:
    text = json.dumps(arguments)
    return fold_arguments("as it was written", decode_arguments("as it was written", text))


def test_spellings_of_one_question_have_one_key() -> None:
    one = key({"q": "Red  Shoes "})

    assert one == key({"q": "red shoes"}) == key({"q": " RED SHOES"}) == key({"attempt": 3, "q": "red shoes"})
    assert one == key({"request_id": "r-17", "q": "red shoes"})
    assert one != key({"q": "red shoe"})
    assert one != key({"p": "red shoes"})


def test_the_text_of_arguments_tells_whether_they_have_another_spelling() -> None:
    for text in ('{"q":"red shoes"}', '{"q":"Red shoes"}', '{"n":1180591620717411303424}', '{"q": "red"}'):
        ref = ref_of(text.encode())
        arguments = decode_arguments(ref, text)
        assert fold_arguments(ref, arguments, text) == fold_arguments(ref, arguments)


def test_arguments_of_which_a_secret_was_taken_out_have_no_other_spelling() -> None:
    assert decode_arguments("1234~seal", '{"q": "A"}') is None
    assert decode_arguments("1234", '{"q": "' + "A" * 5_000 + '"}') is None
    assert decode_arguments("1234", "no JSON") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Error: LookupError: there is no order 1042", "Error: LookupError: there is no order 1043"),
        ("Error: OSError: no such file: /a/b.py", "Error: OSError: no such file: /c/d.py"),
        ("404 Not Found: a@b.org", "404 Not Found: c@d.org"),
        ("Error: the customer Ada Byrne is unknown", "Error: the customer Bob Brown is unknown"),
    ],
)
def test_errors_about_other_things_are_of_one_kind(one: str, other: str) -> None:
    assert read_error_kind(one) == read_error_kind(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("404 Not Found: /a", "403 Forbidden: /a"),
        ("Error: KeyError: …", "Error: ValueError: …"),
        ("Error: the file is missing", "Error: the line is too long"),
    ],
)
def test_errors_of_other_classes_codes_or_words_are_of_other_kinds(one: str, other: str) -> None:
    assert read_error_kind(one) != read_error_kind(other)


@pytest.mark.parametrize(
    "text",
    [
        "Error: no such file",
        "fatal: not a git repository",
        "Traceback (most recent call last):\n x",
        "ValueError: x",
        '{"error": "not found"}',
        '{"ok": false, "why": 1}',
        '{"status": "error"}',
        "HTTP/1.1 503 Service Unavailable",
        "cat: a.py: No such file or directory\n[exit code 1]",
        "Exit Status: 127  \n",
        "ex\u0131t code 1",
    ],
)
def test_a_result_may_say_that_it_is_an_error(text: str) -> None:
    assert says_error(text)


@pytest.mark.parametrize(
    "text",
    [
        "Errors: 0",
        '{"error": null, "rows": []}',
        '{"ok": true}',
        "done\n[exit code 0]",
        "[exit code 1] and more",
        "shelf 73",
        "The error was found in a.py",
        "No results found.",
    ],
)
def test_other_results_do_not(text: str) -> None:
    assert not says_error(text)
