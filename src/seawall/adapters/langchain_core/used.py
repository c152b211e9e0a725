"""What the functions and chains of an application use: the models in them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable

MAX_DEPTH = 20
"""How deep a chain of LangChain is looked into; nobody writes deeper ones."""


def list_used(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yields what a node uses, with names: what a function closes over, the fields of a method's object, or a chain itself."""
    functions = [each for name in ("func", "afunc") if (each := getattr(thing, name, None)) is not None]
    if not functions and isinstance(thing, Runnable):
        yield type(cast("object", thing)).__name__, cast("Any", thing)
    for function in functions:
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


def find_models(thing: Any, depth: int = MAX_DEPTH) -> Iterator[BaseLanguageModel[Any]]:
    """Yields the models in a chain: what is bound to them, with other attempts, and in sequences."""
    if isinstance(thing, BaseLanguageModel):
        yield cast("BaseLanguageModel[Any]", thing)
        return
    if not isinstance(thing, Runnable) or not depth:
        return
    parts = [getattr(cast("Any", thing), name, None) for name in ("bound", "runnable")]
    more = [getattr(cast("Any", thing), name, None) or () for name in ("steps", "fallbacks")]
    for part in [
        *parts,
        *(each for group in more if isinstance(group, list | tuple) for each in cast("Any", group)),
    ]:
        yield from find_models(part, depth - 1)
