"""The tool `read_result`: an agent reads again what was shortened in its context."""

from __future__ import annotations

import functools
from typing import Any

from seawall.team.agent import READ_RESULT
from seawall.team.tool import Tool

PAGE_CHARS = 8_000
"""Characters of a page, about 2,000 tokens: few results have more than one, and a page never fills a context."""


async def _read_result(step: str | int, page: int = 1) -> str:
    """Read again what was shortened in this conversation: the result of a step, whole, in pages.

    Args:
        step: The step as the shortened text names it, for example "s3".
        page: The page, from 1.

    """
    raise NotImplementedError(step, page)  # the conversation is asked: see `give`


READ_BYTES = 500
"""Bytes of its schema as it is sent, at most."""


@functools.cache
def make_read_tool() -> Tool:
    """Returns the tool as models see it, and as its arguments are validated. It is made when it is first needed."""
    return Tool(_read_result, name=READ_RESULT)


async def _give(text: str) -> str:
    return text


@functools.cache
def _make_give_tool() -> Tool:
    return Tool(_give, name=READ_RESULT, description="Gives a text.")


def give(text: str) -> tuple[Tool, dict[str, Any]]:
    """Returns what performs a call of the tool whose answer is `text`."""
    return _make_give_tool(), {"text": text}


def cut_page(text: str, page: int, chars: int) -> str | None:
    """Returns a page of a text, and how many there are; None if it has no such page."""
    pages = max(1, -(-len(text) // chars))
    if not 1 <= page <= pages:
        return None
    part = text[(page - 1) * chars : page * chars]
    return part if pages == 1 else f"{part}\n[page {page} of {pages}]"
