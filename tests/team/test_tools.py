"""Tools: what they may return, how they may fail, and which functions can't be one."""

from __future__ import annotations

import asyncio
import functools
import re
import threading
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, TypeVar

import pytest
from pydantic import BaseModel, BeforeValidator
from typing_extensions import TypeAliasType

from seawall import Agent, Misused, NotDone, Seawall, Team, Tool, ToolContext, tool
from seawall.core.canonical import Ref
from seawall.testing import ManualClock, ScriptedModel, call, say
from team.play import Played, play, sent


class Order(BaseModel):
    id: str
    due: date


@dataclass
class Point:
    x: int


Maybe = TypeAliasType("Maybe", str | None)


def told(function: Any, **options: Any) -> tuple[str, Played]:
    """What the agent is told when it calls this once."""
    item = function if isinstance(function, Tool) else Tool(function, name="it", description="d", **options)
    model = ScriptedModel([call(item.name), say("Done.")])
    run = play(Team(Agent("clerk", model=model, tools=[item])))
    assert run.outcome.status == "completed", run.outcome
    return sent(model)[-1], run


def returning(value: Any, *, sync: bool = False) -> Any:
    if sync:
        return lambda: value

    async def function() -> Any:
        return value

    return function


RESULTS: list[tuple[Any, str]] = [
    ("text", "text"),
    ("", ""),
    (None, "null"),
    (True, "true"),
    (7, "7"),
    (1.5, "1.5"),
    ({"b": 1, "a": [1, 2]}, '{"a":[1,2],"b":1}'),
    ([], "[]"),
    (Order(id="A-1", due=date(2026, 1, 2)), '{"id":"A-1","due":"2026-01-02"}'),
    ([Order(id="A-1", due=date(2026, 1, 2))], '[{"id":"A-1","due":"2026-01-02"}]'),
    (Point(1), '{"x":1}'),
    ((1, 2), "[1,2]"),
    ({3}, "[3]"),
    (float("nan"), '"NaN"'),
    ({"b": float("-inf"), "a": None}, '{"b":"-Infinity","a":null}'),
    ({"b": 1, "a": None}, '{"a":null,"b":1}'),
    (Decimal("1.50"), '"1.50"'),
    (b"\x00\xff", "[2 bytes, kept as "),
    ("a\ud800b", "a\\ud800b"),
    ("a\x00b", "a\\u0000b"),
    ("\u202e\u200b", "\u202e\u200b"),
]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(("value", "text"), RESULTS, ids=[repr(value) for value, _ in RESULTS])
def test_a_result_is_told_as_text(value: Any, text: str, sync: bool) -> None:
    said, run = told(returning(value, sync=sync))

    assert said.startswith(text)
    assert run.done(2).status == "ok"


@pytest.mark.parametrize("value", [object(), [object()], lambda: 1, {1: object()}])
def test_a_result_that_is_no_json_is_an_error_that_names_the_tool_and_the_type(value: Any) -> None:
    said, run = told(returning(value))

    assert said.startswith("Error: TypeError: tool 'it' returned a ")
    assert type(value).__name__ in said
    assert run.done(2).status == "error"


def test_a_result_that_holds_itself_is_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)

    said, _ = told(returning(endless))

    assert said.startswith("Error: ")


def test_a_result_nested_too_deep_is_an_error_or_text_and_never_a_crash() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    said, _ = told(returning(deep))
    assert said.startswith(("Error: ", "[[["))  # Python 3.14 can write it

    said, _ = told(returning("[" * 100_000))
    assert said.startswith("[[[")

    while deep:  # taken apart by hand: to let go of it at once is a recursion too
        deep = deep[0]


def test_none_from_a_tool_that_promises_something_is_an_error() -> None:
    @tool
    async def find() -> str:
        """Find."""
        return None  # pyright: ignore[reportReturnType] -- what is tested

    said, _ = told(find)

    assert said == "Error: ValueError: tool 'find' returned None, which its annotation does not allow"


@pytest.mark.parametrize(
    "hint",
    [
        object,
        Annotated[str | None, "the order"],
        Literal["found", None],  # noqa: PYI061 -- this way of writing it is tested
        NewType("Found", object),
        Maybe,
        TypeVar("Anything"),
    ],
    ids=str,
)
def test_none_is_a_result_whatever_way_the_annotation_allows_it(hint: Any) -> None:
    async def find():
        """Find."""

    find.__annotations__["return"] = hint

    said, _ = told(tool(find))

    assert said == "null"


def test_none_from_a_tool_that_allows_it_is_a_result() -> None:
    @tool
    async def find() -> str | None:
        """Find."""
        return None

    assert told(find)[0] == "null"


@pytest.mark.parametrize("unit", ["x", b"x"])
def test_fifty_megabytes_are_an_error_that_names_both_sizes(unit: Any) -> None:
    said, run = told(returning(unit * 50_000_000))

    assert said == "Error: ValueError: tool 'it' returned 50,000,000 bytes (limit 16,777,216)"
    assert run.done(2).status == "error"


@pytest.mark.parametrize("unit", ["äx", b"ab"])
def test_a_big_result_is_kept_by_reference_and_can_be_read_again(unit: Any) -> None:
    async def main() -> None:
        big = unit * 100_000
        model = ScriptedModel([call("it"), say("Done.")])
        item = Tool(returning(big), name="it", description="d")
        async with Seawall(environment={}) as sea:
            run = await sea.start(Team(Agent("clerk", model=model, tools=[item])), "go", tenant="acme")
            await run.outcome()
            said = sent(model)[-1]
            ref = Ref(said.rstrip("]").rpartition(" ")[2])
            kept = (await sea.journal.bodies("acme", [ref]))[ref]
        assert len(said) < 5_000
        assert kept == (big if isinstance(big, bytes) else big.encode())

    asyncio.run(main())


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


RAISED: list[tuple[BaseException, str | tuple[str, ...]]] = [
    (ValueError("boom"), "Error: ValueError: boom"),
    (ValueError(), "Error: ValueError"),
    (KeyError("a"), "Error: KeyError: 'a'"),
    (SystemExit(3), "Error: SystemExit: 3"),
    (StopIteration("x"), ("Error: RuntimeError", "Error: StopIteration: x")),
    (asyncio.CancelledError(), "Error: tool 'it' was cancelled"),
    (TimeoutError(), "Error: TimeoutError"),
    (
        ExceptionGroup("two", [ValueError("a"), ValueError("b")]),
        "Error: ExceptionGroup: two (2 sub-exceptions)",
    ),
    (Odd(), "Error: Odd"),
    (ValueError("a\ud800"), "Error: ValueError: a\\ud800"),
    (NotDone("no"), "Error: not done: no"),
]


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(("error", "text"), RAISED, ids=[type(error).__name__ for error, _ in RAISED])
def test_whatever_a_tool_raises_the_agent_is_told_and_the_run_goes_on(
    error: Any, text: str | tuple[str, ...], sync: bool
) -> None:
    async def later() -> str:
        raise error

    def now() -> str:
        raise error

    said, run = told(now if sync else later)

    assert said.startswith(text)
    assert run.done(2).status == "error"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_loop_is_in_a_thread_the_tools_own(error: BaseException) -> None:
    def now() -> str:
        raise error

    assert told(now)[0].startswith(f"Error: {type(error).__name__}")


def test_a_sync_tool_runs_in_a_thread_and_does_not_block_the_others() -> None:
    async def main() -> None:
        go = threading.Event()

        def blocks() -> str:
            """Blocks until the other one has run."""
            assert go.wait(30)
            return "free"

        async def frees() -> str:
            """Frees the other."""
            go.set()
            return "freed"

        from seawall.models.scripted import calls

        model = ScriptedModel([calls(call("blocks"), call("frees")), say("Done.")])
        await Team(Agent("clerk", model=model, tools=[tool(blocks), tool(frees)])).run("go")
        assert sent(model)[-2:] == ["free", "freed"]

    asyncio.run(main())


ODD: dict[str, BaseException] = {
    "KeyError": KeyError("nowhere"),
    "AttributeError": AttributeError("no such"),
    "SystemExit": SystemExit(3),
}


def odd(value: Any) -> str:
    raise ODD[value]


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_validator_raises_the_agent_is_told_and_nothing_is_performed(kind: str) -> None:
    made: list[str] = []

    @tool
    async def look(where: Annotated[str, BeforeValidator(odd)]) -> str:
        """Look."""
        made.append(where)
        return where

    model = ScriptedModel([call("look", where=kind), say("I can't.")])
    run = play(Team(Agent("clerk", model=model, tools=[look])))

    assert run.outcome.answer == "I can't."
    assert sent(model)[-1] == f"Error: 'look': {kind}: {ODD[kind]}"
    assert run.done(2).status == "invalid"
    assert made == []


def test_a_tool_is_tried_again_as_often_as_it_says() -> None:
    tries: list[str] = []

    @tool(retries=2, effect=True, idempotent=True)
    async def pay(context: ToolContext) -> str:
        """Pay."""
        tries.append(context.key)
        if len(tries) < 3:
            raise NotDone("busy")
        return "paid"

    model = ScriptedModel([call("pay"), say("Done.")])
    run = play(Team(Agent("clerk", model=model, tools=[pay])), clock=ManualClock())

    assert run.outcome.status == "completed"
    assert len(tries) == 3
    assert len(set(tries)) == 1, "one effect, one key"
    assert run.outcome.tool_calls == 3


def test_an_effect_that_raises_is_of_unknown_fate_and_waits_for_a_person() -> None:
    async def main() -> None:
        async def pay() -> str:
            """Pay."""
            raise ConnectionError("reset")

        model = ScriptedModel([call("pay"), say("Done.")])
        async with Seawall() as sea:
            run = await sea.start(Team(Agent("c", model=model, tools=[Tool(pay, effect=True)])), "go")
            waiting = await run.rest()
            await sea.reconcile(run.id, step=waiting.step, committed="receipt 7", by="u")  # pyright: ignore[reportAttributeAccessIssue] -- it waits
            outcome = await run.outcome()
        assert [each.state for each in outcome.effects] == ["committed"]
        assert sent(model)[-1] == "receipt 7"

    asyncio.run(main())


# ---- what can't be a tool


def missing(a, b: int) -> str:
    """No annotation."""
    return f"{a}{b}"


def stars(*args: int) -> str:
    """Stars."""
    return str(args)


def keywords(**kwargs: int) -> str:
    """Keywords."""
    return str(kwargs)


def positional(a: int, /) -> str:
    """Positional."""
    return str(a)


def unresolved(a: NotThere) -> str:  # pyright: ignore[reportUndefinedVariable] # noqa: F821 -- what is tested
    """Unresolved."""
    return str(a)


def schemaless(a: threading.Lock) -> str:
    """No schema."""
    return str(a)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (missing, "parameter 'a' has no annotation"),
        (stars, r"\*args"),
        (keywords, r"\*\*kwargs"),
        (positional, "parameter 'a: .* can't be filled by name"),
        (unresolved, "NotThere"),
        (schemaless, "no schema"),
        (lambda: 1, "<lambda>"),
    ],
)
def test_what_a_model_can_not_be_told_is_no_tool(function: Any, named: str) -> None:
    with pytest.raises(Misused, match=named):
        tool(function)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"timeout_s": 0}, "timeout_s is 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"retries": -1}, "retries is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"idempotent": True}, "idempotent"),
        ({"effect": True, "retries": 1}, "idempotent"),
        ({"name": "no name"}, "'no name'"),
        ({"name": 5}, "name is 5"),
        ({"description": 5}, "description is 5"),
        ({"version": 2}, "version is 2"),
        ({"endpoint": 5}, "endpoint is 5"),
        ({"timeout_s": "5"}, "timeout_s is '5'"),
        ({"timeout_s": True}, "timeout_s is True"),
        ({"fresh_s": "5"}, "fresh_s is '5'"),
        ({"retries": "2"}, "retries is '2'"),
        ({"threads": 2.5}, "threads is 2.5"),
        ({"effect": "no"}, "effect is 'no'"),
        ({"volatile": "id"}, "volatile is 'id'; it must be a list"),
        ({"volatile": [5]}, "volatile has 5 in it"),
        ({"volatile": [re.compile(b"id")]}, "volatile has re.compile"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    def look() -> str:
        """Look."""
        return ""

    with pytest.raises(Misused, match=named):
        Tool(look, **options)


def test_threads_of_an_async_tool_are_misuse_that_names_the_place_for_its_bound() -> None:
    async def look() -> str:
        """Look."""
        return ""

    with pytest.raises(Misused, match=r"endpoints=\{'tool:look': EndpointOptions\(at_once=2\)\}"):
        Tool(look, threads=2)


def test_a_partial_and_an_object_can_be_tools() -> None:
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    class Adds:
        async def __call__(self) -> int:
            """Adds."""
            return 3

    assert told(Tool(functools.partial(add, 1, b=2), name="add", description="d"))[0] == "3"
    assert told(Tool(Adds(), name="adds"))[0] == "3"
