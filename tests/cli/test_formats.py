"""How durations and texts are written: what is shown can be given again, and keeps to its columns."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from seawall.cli.render.formats import (
    MAX_DURATION_S,
    format_age,
    format_duration,
    format_seconds,
    format_until,
    parse_duration_s,
    replace_controls,
    shorten_text,
    wrap_text,
)
from seawall.cli.render.table import Table, wrap_line
from seawall.cli.times import parse_time
from seawall.core.errors import Misused

SECONDS = st.floats(0, MAX_DURATION_S, allow_nan=False)
UNITS = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(["ms", "s", "min", "m", "h", "d", "w"])),
    min_size=1,
    max_size=4,
)
TEXT = st.text(st.sampled_from("ab \n\u4e2d\u0301\U0001f600\xe9-"), max_size=60)


@given(SECONDS)
def test_a_duration_that_was_set_reads_back_as_the_same_number(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds)) == seconds


@given(UNITS)
def test_whatever_is_given_as_a_duration_is_shown_as_the_same_one(parts: list[tuple[int, str]]) -> None:
    seconds = parse_duration_s("".join(f"{number}{unit}" for number, unit in parts))

    assert seconds is not None
    assert parse_duration_s(format_duration(seconds)) == seconds


@given(st.integers(0, 10**9))
def test_a_measured_duration_in_whole_seconds_reads_back_as_it_was(seconds: int) -> None:
    assert parse_duration_s(format_seconds(seconds)) == seconds


@given(st.floats(0, 1e9))
def test_what_is_shown_of_a_measured_duration_reads_back_as_what_is_shown(seconds: float) -> None:
    read = parse_duration_s(format_seconds(seconds))

    assert read is not None
    assert math.isclose(read, seconds, rel_tol=0.01, abs_tol=0.0001)
    assert format_seconds(read) == format_seconds(seconds)


@given(st.floats(0, 1e9))
def test_an_age_is_rounded_down_by_less_than_a_tenth(seconds: float) -> None:
    read = parse_duration_s(format_age(seconds))

    assert read is not None
    assert read <= seconds < max(read * 1.1, read + 1)


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        *(
            ("90s", "1 min 30 s"),
            ("90min", "1 h 30 min"),
            ("36h", "1 d 12 h"),
            ("2w", "14 d"),
            ("250ms", "250 ms"),
        ),
        *(
            ("1h30m15s", "1 h 30 min 15 s"),
            ("0.5s", "500 ms"),
            ("1.5s", "1.5 s"),
            ("0s", "0 s"),
            ("90.5s", "90.5 s"),
        ),
    ],
)
def test_durations_are_shown_in_their_largest_units(given_: str, shown: str) -> None:
    seconds = parse_duration_s(given_)

    assert seconds is not None
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    "text", ["", "5", "h", "1 hour", "-1s", "1,5s", "1e3s", "nan s", "9" * 400 + "d", "\u0663s"]
)
def test_what_is_no_duration_is_not_read_as_one(text: str) -> None:
    assert parse_duration_s(text) is None


def test_an_end_shows_what_it_was_set_for_and_later_what_is_left() -> None:
    assert format_until(5_400.0, 1.0, 0.0).endswith("(1 h 30 min)")
    assert format_until(5_400.0, 600.0, 0.0).endswith("(1 h 20 min)")
    assert format_until(1e17, 0.0) == f"in {format_age(1e17)}"


@given(TEXT, st.integers(12, 40))
def test_no_text_takes_more_columns_than_it_has(text: str, width: int) -> None:
    assert cell_len(shorten_text(text, width)) <= width
    lines = wrap_text(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(TEXT, st.integers(4, 40))
def test_a_line_that_is_too_wide_is_broken_between_words_only(text: str, width: int) -> None:
    parts = wrap_line(Text(text.replace("\n", " ")), width)

    assert " ".join(" ".join(part.plain for part in parts).split()) == " ".join(text.split())
    for part in parts:
        assert part.cell_len <= width or len(part.plain.split()) == 1


@given(st.lists(st.tuples(*[st.text("ab\u4e2d", max_size=20)] * 4), max_size=4), st.integers(1, 120))
def test_a_table_shows_or_names_each_of_its_columns(rows: list[tuple[str, ...]], width: int) -> None:
    table = Table(("A", "B", "C", "D"), required=("A",), below=("D",), keep_empty=True)
    for row in rows:
        table.add_row(row)

    drawn = table.draw(width)

    shown = drawn.lines[0].plain.split()
    assert shown + drawn.left_out == [each for each in "ABCD" if each in shown or each != "D"]
    required = max([1, *(cell_len(row[0]) for row in rows)])
    notes = [line for line in drawn.lines if line.plain.startswith("  └ d: ")]
    assert all(line.cell_len <= max(width, required) for line in drawn.lines if line not in notes)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("2h", -7_200.0), ("3d ago", -259_200.0), ("1h30m", -5_400.0)),
        *(("2026-11-29T14:05Z", 1_795_961_100.0), ("2026-11-29 15:05+01:00", 1_795_961_100.0)),
        ("2026-11-29T14:05:00.5+0000", 1_795_961_100.5),
    ],
)
def test_a_time_is_read_from_a_date_or_from_how_long_ago_it_was(text: str, seconds: float) -> None:
    assert parse_time("--since", text, 0.0) == seconds


def test_a_date_alone_begins_at_midnight_here_and_may_mean_its_whole_day() -> None:
    assert parse_time("--since", "2026-11-29", 0.0) == parse_time("--since", "2026-11-29T00:00", 0.0)
    whole = parse_time("--until", "2026-11-29", 0.0, whole_day=True)
    assert whole == parse_time("--until", "2026-11-30T00:00", 0.0, whole_day=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "14:05",
        "2026-13-01",
        "2026-11-29+01:00",
        "9999-12-31",
        "2026-W48-7",
        "5",
    ],
)
def test_what_is_no_time_is_refused_with_what_was_given(text: str) -> None:
    with pytest.raises(Misused, match="--until") as caught:
        parse_time("--until", text, 0.0, whole_day=True)
    assert f"--until {text}: write a time" in str(caught.value)


@pytest.mark.parametrize("sign", "\x1b\u202e\u2066\u200b\u200e\u200f\u061c\u2028\u2060\ufeff\u00ad\U000e0041")
def test_what_steers_or_hides_is_shown_as_a_sign(sign: str) -> None:
    assert replace_controls(f"desk{sign}1\n\tend") == "desk�1\n\tend"


@pytest.mark.parametrize("text", ["می‌خواهم", "क्‍ष", "👩‍💻", "❤️", "שלום", "naïve"])
def test_scripts_are_shown_as_they_are(text: str) -> None:
    assert replace_controls(text) == text
