"""JSON schemas of others: what they ask for is bounded, whoever wrote them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Misused
from seawall.team.json_schema import SchemaValidator
from seawall.team.schema_patterns import Patterns, drop_unreadable


def check(schema: dict[str, Any], arguments: dict[str, Any]) -> str:
    """What is wrong with the arguments; "" if nothing is."""
    try:
        SchemaValidator("tool 'look'", {"type": "object", **schema}).check(arguments)
    except ValueError as error:
        return str(error)
    return ""


def doubled(times: int) -> dict[str, Any]:
    parts: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(times)}
    return {"$defs": {**parts, f"d{times}": {}}, "$ref": "#/$defs/d0"}


MANY = [[number] for number in range(2_000)]


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (doubled(30), {}),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": MANY}),
        ({"properties": {"a": {"anyOf": [{"type": "string"}] * 900}}}, {"a": ["x" * 500_000]}),
        ({"properties": {"a": {"pattern": "[a-z]{9000}"}}}, {"a": "a" * 100_000}),
    ],
    ids=["references", "unique", "messages", "pattern"],
)
def test_arguments_are_refused_that_would_take_too_many_checks(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert "the schema asks for more than 200,000 checks of these arguments" in check(schema, arguments)


def test_what_is_within_the_bound_is_checked_to_its_end() -> None:
    assert check(doubled(12), {}) == ""
    items = {"properties": {"a": {"items": {"type": "integer", "minimum": 0}}}}
    assert check(items, {"a": list(range(30_000))}) == ""
    assert "-1 is less than the minimum of 0" in check(items, {"a": [*range(30_000), -1]})


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"not": {"$ref": "#"}}])
def test_a_schema_that_asks_for_itself_without_end_fits_nothing(schema: dict[str, Any]) -> None:
    assert "the schema asks for more than 80 levels of these arguments" in check(schema, {})


def test_a_value_in_itself_may_be_described_by_a_schema_that_refers_to_itself() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "integer"}}}
    value: dict[str, Any] = {"value": 1}
    for _ in range(15):
        value = {"next": value}
    schema = {"$defs": {"node": node}, "properties": {"node": {"$ref": "#/$defs/node"}}}
    assert check(schema, {"node": value}) == ""


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"$ref": "#/description", "description": "text"}, {}),
        ({"properties": {"a": {"multipleOf": 0.1}}}, {"a": 10**400}),
    ],
)
def test_a_schema_that_can_not_be_applied_fits_nothing_and_raises_nothing_else(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    assert "the schema can't be applied to these arguments" in check(schema, arguments)


@pytest.mark.parametrize(
    "draft", ["http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#"]
)
@pytest.mark.parametrize("where", ["top", "part"])
def test_a_schema_of_an_older_draft_is_bounded_too(draft: str, where: str) -> None:
    part: dict[str, Any] = {"pattern": "^(a+)+$"}
    if where == "part":
        part["$schema"] = draft
    schema: dict[str, Any] = {"properties": {"a": part}}
    if where == "top":
        schema["$schema"] = draft
    assert "does not match" in check(schema, {"a": "a" * 50 + "!"})


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"properties": {"a": {"pattern": "(?=a)"}}},
            r"the pattern '\(\?=a\)' can't be checked: .*look-around",
        ),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "can't be checked"),
        (
            {"properties": {"a": {"pattern": "(a{999}){999}"}}},
            "it is too long with its repetitions written out",
        ),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "beside unevaluatedProperties"),
        ({"$schema": ["x"]}, "the schema can't be read"),
        ({"$ref": "http://169.254.169.254/"}, "which is not in it"),
    ],
)
def test_a_schema_that_can_not_be_checked_in_bounded_time_is_no_schema(
    schema: dict[str, Any], message: str
) -> None:
    with pytest.raises(Misused, match=message):
        check(schema, {})


def test_names_with_a_pattern_are_bounded_as_those_without() -> None:
    schema = {
        "properties": {"a": {}},
        "patternProperties": {"^x_": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert check(schema, {"a": 1, "x_1": 2}) == ""
    told = check(schema, {"b": 1, "x_1": "2"})
    assert "x_1: '2' is not of type 'integer'" in told and "('b' was unexpected)" in told
    others = {**schema, "additionalProperties": {"type": "string"}}
    assert check(others, {"b": "1", "x_1": 2}) == ""
    assert "b: 1 is not of type 'string'" in check(others, {"b": 1})


def test_what_can_not_be_matched_is_left_out_with_all_that_rests_on_it() -> None:
    schema = {
        "properties": {"a": {"pattern": "(?=a)", "type": "string"}, "pattern": {"type": "string"}},
        "patternProperties": {"(?!x)": {"type": "integer"}, "^y": {}},
        "additionalProperties": False,
    }
    kept, why = drop_unreadable(schema)
    assert kept == {"properties": {"a": {"type": "string"}, "pattern": {"type": "string"}}}
    assert set(why) == {"(?=a)", "(?!x)"}
    assert drop_unreadable(kept) == (kept, {})


@given(
    st.from_regex(r"[a-c](\*|\+|\?|\{1,3\})?([a-c]|\(a\|b\)|\[a-c\])*", fullmatch=True),
    st.text("abc", max_size=20),
)
def test_a_plain_pattern_matches_as_python_matches_it(pattern: str, text: str) -> None:
    patterns = Patterns({"pattern": pattern})
    assert patterns.unreadable == {}
    assert patterns.matches(pattern, text) == (re.search(pattern, text) is not None)
