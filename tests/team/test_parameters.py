"""What a tool's function takes: a model can't write what Seawall says, and is told what is wrong with the rest."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NewType, Optional, TypeVar, Union

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType, TypedDict

from seawall import Agent, Misused, Team, Tool, ToolContext, tool
from seawall.testing import ScriptedModel, call, say
from team.play import play, sent

Facts = TypeAliasType("Facts", ToolContext)
Renamed = NewType("Renamed", ToolContext)
Bound = TypeVar("Bound", bound=ToolContext)


class OwnContext(ToolContext):
    pass


CONTEXTS: list[Any] = [
    ToolContext,
    ToolContext | None,
    Optional[ToolContext],  # noqa: UP045 -- each way in which people write it
    Union[None, ToolContext],  # noqa: UP007 -- the same
    Union[ToolContext, str],  # noqa: UP007 -- the same
    Annotated[ToolContext, "injected"],
    Annotated[ToolContext | None, Field(description="who")],
    Annotated[Annotated[ToolContext, 1] | None, 2],
    Facts,
    Facts | None,
    Renamed,
    Bound,
    "ToolContext",
    "ToolContext | None",
    Optional["ToolContext"],
]


def make_function(hint: Any, default: Any = None) -> Callable[..., str]:
    def who(order: str, c: Any = default) -> str:
        """Say for whom this is."""
        return f"{order} for {c.tenant if c else 'nobody'}"

    who.__annotations__["c"] = hint
    return who


def tell(used: Tool | Callable[..., Any], *calls: dict[str, Any]) -> list[str]:
    """Returns the texts that an agent was sent after it called the tool with each of these arguments."""
    made = used if isinstance(used, Tool) else tool(used)
    script = [*(call(made.name, **arguments) for arguments in calls), say("done")]
    model = ScriptedModel(script, by="position")
    play(Team(Agent("desk", model=model, tools=[made])), options={"tenant": "acme"})
    return sent(model)


@pytest.mark.parametrize("hint", CONTEXTS, ids=str)
def test_a_context_is_given_by_seawall_whatever_way_its_type_is_written(hint: Any) -> None:
    who = Tool(make_function(hint), name="who")

    assert list(who.spec.parameters["properties"]) == ["order"]
    texts = tell(who, {"order": "7"}, {"order": "8", "c": {"tenant": "other"}})
    assert "7 for acme" in texts
    assert not any("8 for" in text for text in texts)


class Holder(BaseModel):
    context: ToolContext


@dataclass
class PlainHolder:
    context: ToolContext


class DictHolder(TypedDict):
    context: ToolContext


@pytest.mark.parametrize(
    "hint",
    [
        OwnContext,
        list[ToolContext],
        dict[str, ToolContext],
        Holder,
        PlainHolder,
        DictHolder,
        tuple[ToolContext, ...],
    ],
    ids=str,
)
def test_a_context_inside_of_what_a_model_writes_is_refused_where_the_tool_is_defined(hint: Any) -> None:
    with pytest.raises(Misused, match="Context"):
        Tool(make_function(hint, ...))


def test_two_contexts_are_refused_where_the_tool_is_defined() -> None:
    def two(a: ToolContext, b: ToolContext | None = None) -> str:
        return ""

    with pytest.raises(Misused, match="'a' and 'b' are both the ToolContext"):
        tool(two)


def test_what_a_partial_has_filled_is_not_the_models_to_write() -> None:
    def look(order: str, tenant: str) -> str:
        return f"{order} of {tenant}"

    bound = Tool(functools.partial(look, tenant="acme"), name="look")

    assert list(bound.spec.parameters["properties"]) == ["order"]
    assert bound.function(**bound.validate_arguments({"order": "7"})) == "7 of acme"
    with pytest.raises(ValueError, match="tenant"):
        bound.validate_arguments({"order": "7", "tenant": "other"})


@pytest.mark.parametrize(
    "name",
    ["schema", "json", "copy", "dict", "model_config", "model_fields", "_x", "__y", "self_", "validate"],
)
def test_a_parameter_may_have_any_name(name: str) -> None:
    space: dict[str, Any] = {}
    exec(  # noqa: S102 -- a function with the parameter's name
        f"def look({name}: int, other: str = 'o') -> str:\n    return f'{{{name}}} {{other}}'", space
    )
    made = Tool(space["look"])

    assert made.spec.parameters["properties"][name]["type"] == "integer"
    assert made.spec.parameters["required"] == [name]
    assert made.function(**made.validate_arguments({name: 3})) == "3 o"
    with pytest.raises(ValueError, match=f"{name}: Input should be a valid integer"):
        made.validate_arguments({name: "many"})
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        made.validate_arguments({name: 3, "parameter_1": "smuggled"})


def test_a_parameter_with_an_alias_of_its_own_keeps_it() -> None:
    def look(from_: Annotated[str, Field(alias="from")], to: str = "here") -> str:
        return f"{from_} {to}"

    made = Tool(look)

    assert list(made.spec.parameters["properties"]) == ["from", "to"]
    assert made.function(**made.validate_arguments({"from": "there"})) == "there here"


def make_generator() -> Callable[..., Any]:
    def look() -> Iterator[str]:
        yield "a"

    return look


def make_async_generator() -> Callable[..., Any]:
    async def look() -> AsyncIterator[str]:
        yield "a"

    return look


class Yields:
    def __call__(self) -> Iterator[str]:
        yield "a"


@pytest.mark.parametrize(
    "function",
    [
        make_generator(),
        make_async_generator(),
        functools.partial(make_generator()),
        Yields(),
        Yields().__call__,
    ],
    ids=["sync", "async", "partial", "object", "method"],
)
def test_a_tool_that_yields_is_refused_where_it_is_defined(function: Callable[..., Any]) -> None:
    with pytest.raises(Misused, match="generator"):
        Tool(function, name="look")


@pytest.mark.parametrize("given", [Yields, int, 5, "look", None], ids=str)
def test_a_tool_that_is_no_function_is_refused_where_it_is_defined(given: Any) -> None:
    with pytest.raises(Misused, match="a tool is a function"):
        Tool(given, name="look")


def test_a_type_that_has_no_schema_is_refused_where_the_tool_is_defined() -> None:
    def look(each: Callable[[int], int]) -> str:
        return ""

    with pytest.raises(Misused, match="no schema can be made of its parameters"):
        tool(look)


def test_a_result_that_is_made_only_when_it_is_read_is_an_error_and_is_not_read() -> None:
    read: list[int] = []

    def look() -> Any:
        """Look."""
        return map(read.append, [1, 2])

    assert any("items are not made yet; return a list" in text for text in tell(look, {}))
    assert read == []


def test_a_wrapper_around_an_async_function_is_a_tool() -> None:
    async def find(order: str) -> str:
        return f"found {order}"

    @functools.wraps(find)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return find(*args, **kwargs)

    assert "found 7" in tell(wrapped, {"order": "7"})


# ---- with a schema


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"order": {"type": "string", "pattern": "^[0-9]+$"}, "lines": {"$ref": "#/$defs/lines"}},
    "required": ["order"],
    "$defs": {"lines": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}},
}


def pay(order: str, lines: list[int] | None = None) -> str:
    return f"paid {order}"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "'order' is a required property"),
        ({"order": 7}, "order: 7 is not of type 'string'"),
        ({"order": "x"}, "order: 'x' does not match"),
        ({"order": "7", "lines": ["a"]}, "lines.0: 'a' is not of type 'integer'"),
        ({"order": "7", "lines": [1, 2, 3]}, "lines: [1, 2, 3] is too long"),
        ({"order": "7", "more": 1}, "unexpected keyword argument 'more'"),
        ({"order": "7", "context": {"tenant": "other"}}, "unexpected keyword argument 'context'"),
    ],
)
def test_arguments_that_a_given_schema_does_not_allow_do_not_reach_the_function(
    arguments: dict[str, Any], problem: str
) -> None:
    made = Tool(pay, schema=SCHEMA)

    with pytest.raises(ValueError, match=re.escape(problem)):
        made.validate_arguments(arguments)
    assert made.validate_arguments({"order": "7", "lines": [1]}) == {"order": "7", "lines": [1]}


def take_any(a: int = 1, /, **others: int) -> str:
    return ""


def take_first(a: int = 1, /) -> str:
    return ""


def take_two(a: int, *rest: int, b: int = 2) -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "arguments", "problem"),
    [
        (take_any, {}, ""),
        (take_any, {"b": 1}, ""),
        (take_first, {"a": 1}, "positional"),
        (take_two, {"a": 1}, ""),
        (take_two, {"a": 1, "b": 1}, ""),
        (take_two, {"b": 1}, "missing a required argument: 'a'"),
        (take_two, {"a": 1, "rest": 1}, "got an unexpected keyword argument 'rest'"),
        (take_two, {"a": 1, "c": 1}, "got an unexpected keyword argument 'c'"),
    ],
)
def test_arguments_that_the_function_does_not_take_are_named(
    function: Callable[..., str], arguments: dict[str, Any], problem: str
) -> None:
    made = Tool(function, schema={"type": "object"})

    if problem:
        with pytest.raises(ValueError, match=re.escape(problem)):
            made.validate_arguments(arguments)
    else:
        assert made.validate_arguments(arguments) == arguments


def test_a_tool_with_a_schema_gets_its_context_and_no_model_writes_it() -> None:
    def who(order: str, c: ToolContext, **more: Any) -> str:
        return f"{order} for {c.tenant}"

    made = Tool(who, schema={"type": "object"})

    texts = tell(made, {"order": "7"}, {"order": "8", "c": {"tenant": "other"}})

    assert "7 for acme" in texts
    assert any("c: there is no such parameter" in text for text in texts)
    assert not any("8 for" in text for text in texts)


def test_a_schema_that_is_changed_after_it_was_given_changes_neither_what_is_sent_nor_what_is_checked() -> (
    None
):
    schema: dict[str, Any] = {"type": "object", "properties": {"order": {"type": "integer"}}}
    made = Tool(lambda order: f"order {order}", name="read_order", schema=schema)

    schema["properties"]["order"]["type"] = "string"

    assert made.spec.parameters["properties"] == {"order": {"type": "integer"}}
    assert any("order 7" in text for text in tell(made, {"order": 7}, {"order": "7"}))


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "array"}, "it must be a JSON schema with type 'object'"),
        ("object", "it must be a JSON schema with type 'object'"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "not valid at properties/a/type"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}},
            "'/$defs/gone', which is not in it",
        ),
        (
            {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}},
            "which is not in it",
        ),
    ],
)
def test_a_schema_that_can_not_be_used_is_refused_where_the_tool_is_defined(
    schema: Any, problem: str
) -> None:
    with pytest.raises(Misused) as raised:
        Tool(pay, schema=schema)
    assert problem in str(raised.value)


def test_a_value_that_looks_like_a_reference_is_not_followed() -> None:
    schema = {"type": "object", "properties": {"a": {"const": {"$ref": "nowhere"}}}}

    assert Tool(lambda a: "", name="look", schema=schema).validate_arguments({"a": {"$ref": "nowhere"}})
