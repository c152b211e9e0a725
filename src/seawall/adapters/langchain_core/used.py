"""What the functions and chains of an application use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable
from langgraph.prebuilt import ToolNode

_ONE, _SEVERAL = ("bound", "runnable"), ("steps", "fallbacks")
"""Fields in which LangChain's chains have their parts."""
MAX_DEPTH = 20
"""How deep a chain of LangChain is looked into; nobody writes deeper ones."""


def list_used(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yields what a node uses, with names: itself or the parts of a chain, what a function closes over, and the fields of a method's
    object.
    """
    name = type(cast("object", thing)).__name__
    for part in find_parts(thing):
        yield name, part
        if not isinstance(part, ToolNode):
            for function in (getattr(part, "func", None), getattr(part, "afunc", None)):
                yield from _list_of_function(function)


def _list_of_function(function: Any) -> Iterator[tuple[str, Any]]:
    while isinstance(function, functools.partial):
        made = cast("functools.partial[Any]", function)
        yield from [*((str(number), each) for number, each in enumerate(made.args)), *made.keywords.items()]
        function = made.func
    owner = function if not inspect.isroutine(function) else getattr(function, "__self__", None)
    yield from getattr(owner, "__dict__", {}).items() if not inspect.ismodule(owner) else ()
    function = getattr(function, "__func__", function)
    if inspect.isfunction(function):
        found = inspect.getclosurevars(function)
        yield from {**found.globals, **found.nonlocals}.items()


def find_parts(thing: Any, depth: int = MAX_DEPTH) -> Iterator[Any]:
    """Yields what a chain is made of: what is bound, what is tried again, what stands in for another, and what comes in sequence.
    Anything else is its only part.
    """
    parts = list[Any]()
    if isinstance(thing, Runnable) and not isinstance(thing, BaseLanguageModel) and depth:
        chain = cast("Any", thing)
        parts += [part for name in _ONE if (part := getattr(chain, name, None)) is not None]
        groups: list[Any] = [getattr(chain, name, None) for name in _SEVERAL]
        parts += [part for group in groups if isinstance(group, list) for part in cast("list[Any]", group)]
    for part in parts:
        yield from find_parts(part, depth - 1)
    if not parts:
        yield thing
