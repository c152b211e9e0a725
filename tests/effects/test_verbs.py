"""What the name of a tool says of its effect: the first verb in it decides."""

from __future__ import annotations

import pytest

from seawall.effects.verbs import seems_to_write


@pytest.mark.parametrize(
    "name",
    [
        "refund",
        "sendMail",
        "delete-file",
        "crm.update_row",
        "RefundTool",
        "HTTPPost",
        "bank__transfer",
        "buy_shares",
    ],
)
def test_a_name_whose_first_verb_writes_says_that_the_tool_writes(name: str) -> None:
    assert seems_to_write(name)


@pytest.mark.parametrize(
    "name",
    [
        "find_refund",
        "getOrder",
        "is_paid",
        "compute_refund",
        "weather",
        "settle",
        "",
        "list.deleted",
        "readFile",
    ],
)
def test_a_name_whose_first_verb_reads_or_that_has_none_says_nothing(name: str) -> None:
    assert not seems_to_write(name)
