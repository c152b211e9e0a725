"""The tool `read_result`, with which an agent reads again what was shortened in its context."""

from __future__ import annotations

import functools
from typing import Any

from seawall.team.agent import READ_RESULT
from seawall.team.tool import Tool

PAGE_CHARS = 8_000
"""Characters of a page, about 2,000 tokens. Few results have more than one page, and a page never fills a context."""


async def _read_result(step: str | int, page: int = 1) -> str:
    """Read again what was shortened in this conversation: the result of a step, whole, in pages.

    Args:
        step: The step as the shortened text names it, for example "s3".
        page: The page, from 1.

    """
    raise NotImplementedError(step, page)  # the conversation answers it: see `give`


READ_BYTES = 500
"""The most bytes of the tool's schema as it is sent."""


@functools.cache
def make_read_tool() -> Tool:
    """Returns the tool that models see and that validates arguments. It is made at the first use."""
    return Tool(_read_result, name=READ_RESULT)


async def _give(text: str) -> str:
    return text


@functools.cache
def _make_give_tool() -> Tool:
    return Tool(_give, name=READ_RESULT, description="Gives a text.")


def give(text: str) -> tuple[Tool, dict[str, Any]]:
    """Returns a tool and arguments whose call returns `text`, the answer to a call of `read_result`."""
    return _make_give_tool(), {"text": text}


def cut_page(text: str, page: int, chars: int) -> str | None:
    """Returns a page of a text, with the number of pages if there are several; None if there is no such page."""
    pages = max(1, -(-len(text) // chars))
    if not 1 <= page <= pages:
        return None
    part = text[(page - 1) * chars : page * chars]
    return part if pages == 1 else f"{part}\n[page {page} of {pages}]"
