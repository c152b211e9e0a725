"""The rules of pins and names, whatever a server offers and whatever people decide."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seawall.adapters.mcp.definitions import ToolDefinition
from seawall.adapters.mcp.names import (
    MAX_TOOL_CHARS,
    find_look_alikes,
    find_odd_parts,
    join_name,
    make_model_name,
    split_name,
)
from seawall.adapters.mcp.pins import FIRST_USE, FirstLook, Pin, accept, explain_refusal, look, reject
from seawall.cli.commands.proxy import make_find_effect
from seawall.runtime.foreign.tools import ToolDeclarations

SERVERS = st.from_regex(r"\A[A-Za-z](_?[A-Za-z0-9-]){0,12}\Z")
TOOLS = st.text(min_size=1, max_size=90) | st.from_regex(r"\A[a-z_.]{1,8}(_[0-9a-f]{16})?\Z")
FIRST = FirstLook(True, FIRST_USE)
LATER = FirstLook(False, reasons=("the server offers it since it was pinned",))
DEFINITIONS = [ToolDefinition({"name": "refund", "description": f"Version {number}."}) for number in range(4)]
DEFINITIONS.append(ToolDefinition({"name": "refund", "description": "Pay it\u200b back."}))


@given(st.lists(st.tuples(SERVERS, TOOLS), min_size=2, max_size=6, unique=True))
def test_no_two_tools_have_one_name_for_models(tools: list[tuple[str, str]]) -> None:
    names = [make_model_name(server, tool) for server, tool in tools]

    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= MAX_TOOL_CHARS
        assert name.isascii() and name.replace("-", "_").isidentifier()


@given(SERVERS, TOOLS)
def test_a_name_that_people_write_is_read_back(server: str, tool: str) -> None:
    assert split_name(join_name(server, tool)) == (server, tool)


@given(st.from_regex(r"\A[a-z]{3,10}\Z"))
def test_plain_names_are_not_odd_and_alone_look_like_nothing(tool: str) -> None:
    assert (
        find_odd_parts(tool, {"description": f"What {tool} does: <b>a</b>, `x`.\n\n    indented\n{'-' * 80}"})
        == []
    )
    assert find_look_alikes({"bank": [tool]}) == []


class Pinning(RuleBasedStateMachine):
    """One tool whose server offers this and that, while people decide."""

    def __init__(self) -> None:
        super().__init__()
        self.pin: Pin | None = None
        self.live = ""
        self.trusted: set[str] = set()
        """The definitions that the first use or a person has accepted."""
        self.last = ""
        """The one that was accepted last."""

    @initialize(number=st.integers(0, 4))
    def begin(self, number: int) -> None:
        seen = DEFINITIONS[number]
        self.live = seen.digest
        self.pin = look(None, "bank", seen, first=FIRST, now=1.0)
        if not seen.odd:
            self.last = seen.digest
            self.trusted.add(seen.digest)

    @rule(number=st.integers(0, 4))
    def offer(self, number: int) -> None:
        seen = DEFINITIONS[number]
        self.live = seen.digest
        self.pin = look(self.pin, "bank", seen, first=LATER, now=2.0)

    @precondition(lambda self: bool(self.pin and self.pin.waiting))
    @rule()
    def let(self) -> None:
        assert self.pin is not None
        self.last = self.pin.waiting
        self.trusted.add(self.last)
        self.pin = accept(self.pin, self.pin.waiting, by="ann", why="", now=3.0)

    @precondition(lambda self: bool(self.pin and self.pin.waiting))
    @rule()
    def refuse(self) -> None:
        assert self.pin is not None
        self.pin = reject(self.pin, self.pin.waiting, by="ann", why="")

    @invariant()
    def only_what_was_accepted_last_is_called(self) -> None:
        if self.pin is None:
            return
        may_be_called = explain_refusal(self.pin, self.live) is None
        assert may_be_called == (self.live == self.last == self.pin.digest and not self.pin.waiting)
        assert not may_be_called or self.live in self.trusted

    @invariant()
    def what_a_model_is_shown_was_accepted(self) -> None:
        shown: dict[str, Any] = {} if self.pin is None else self.pin.definition
        assert not shown or ToolDefinition(shown).digest == self.last


TestPinning = Pinning.TestCase


@pytest.mark.parametrize(
    ("approve", "confirm", "unique"),
    [
        ("bank.pay*", "bank.*", "*.pay_*=order"),
        ("bank.*", "bank.pay*", "bank.pay_out=order"),
        ("*.pay_out", "*_out", "bank.*=order"),
        ("bank.pay_out", "bank.p*", "bank.*=order"),
    ],
)
def test_of_an_effect_all_options_hold_whose_patterns_match_it(
    approve: str, confirm: str, unique: str
) -> None:
    find = make_find_effect(["bank.*"], [approve], [confirm], [unique])
    declared = ToolDeclarations(find, reads=["bank.balance", "bank.*"])
    options = declared.find_tool("bank.pay_out").options
    assert (options.approve != (), options.confirm, options.unique_by) == (True, True, ("order",))
    assert declared.find_kind("bank.balance") == "read"
    assert declared.find_kind("bank.letter") == "effect"
    assert declared.find_kind("files.letter") == "undeclared"
