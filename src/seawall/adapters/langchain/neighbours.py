"""The other middleware of an agent, and whether it calls models by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import isfunction, ismethod
from typing import Any, cast

from langchain.agents.middleware.types import AgentMiddleware
from langchain_core.language_models import BaseLanguageModel
from langgraph.prebuilt import ToolNode

from seawall.adapters.langchain_core.used import find_parts

_ANY_MODEL = ("model", "classifier")
"""Fields of LangChain's middleware for a model that it calls. Without one, some of them call the agent's."""


def list_middleware(nodes: Iterable[Any]) -> list[AgentMiddleware[Any, Any, Any]]:
    """Returns the middleware of an agent whose graph has these nodes.

    Hooks are nodes of their own; those around models and tools are in the functions of the nodes that call these.
    """
    found = dict[int, AgentMiddleware[Any, Any, Any]]()
    seen = set[int]()
    left: list[Any] = []
    for node in nodes:
        bound = node.bound
        if isinstance(bound, ToolNode):
            left += [cast("Any", bound)._wrap_tool_call, cast("Any", bound)._awrap_tool_call]  # noqa: SLF001 -- no public attribute
        else:
            left += [getattr(bound, "func", None), getattr(bound, "afunc", None)]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        owner: Any = each.__self__ if ismethod(each) else None
        if isinstance(owner, AgentMiddleware):
            found[id(cast("Any", owner))] = owner
        elif isfunction(each):
            left += _list_closed_over(each)
    return list(found.values())


def _list_closed_over(function: Any) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is not set
            continue


def has_models(middleware: AgentMiddleware[Any, Any, Any]) -> bool:
    """Returns whether a middleware has a model of its own to call. A list of models is for calls that go through the others."""
    fields = vars(middleware)
    parts = (part for each in fields.values() for part in find_parts(each))
    return any(name in fields for name in _ANY_MODEL) or any(
        isinstance(part, BaseLanguageModel) for part in parts
    )
