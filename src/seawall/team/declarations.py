"""Checks a tool's declaration of its effect when the tool is defined, so that a mistake is found before the first call."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, cast

from seawall.core.errors import Misused
from seawall.core.money import Money
from seawall.effects.options import Effect
from seawall.team.parameters import find_context_parameter
from seawall.team.type_paths import NoSuchField, describe_type, find_types

RECEIPT = "receipt"
"""The name of the parameter through which an undo tool gets what the effect's tool returned."""
_NUMBERS = (int, float, Decimal, str)
"""The types of an amount without its own currency; a text is read as a number."""


def check_named(what: str, options: Effect, hints: Mapping[str, Any] | None, names: Collection[str]) -> None:
    """Raises `Misused` if `unique_by` or `amount` does not fit the tool's parameters.

    `hints` are the annotations by parameter. None for a tool with a JSON schema, whose properties are `names`.
    """
    for path in options.unique_by:
        _find(what, "unique_by", path, hints, names)
    if options.amount is not None:
        _check_amount(what, options, hints, names)


def _find(
    what: str, option: str, path: str, hints: Mapping[str, Any] | None, names: Collection[str]
) -> list[Any]:
    if hints is None:
        if path.partition(".")[0] not in names:
            there = ", ".join(names) or "none"
            raise Misused(f"{what}: {option} names {path!r}, which is not a parameter (there: {there})")
        return [Any]
    try:
        return find_types(hints, path)
    except NoSuchField as error:
        raise Misused(f"{what}: {option} names {error}") from None


def _check_amount(
    what: str, options: Effect, hints: Mapping[str, Any] | None, names: Collection[str]
) -> None:
    assert options.amount is not None
    found = _find(what, "amount", options.amount, hints, names)
    if hints is None:  # a JSON schema has no type Money, so each call is checked
        return
    for kind in cast("list[object]", found):
        is_money = isinstance(kind, type) and issubclass(kind, Money)
        is_number = isinstance(kind, type) and issubclass(kind, _NUMBERS) and not issubclass(kind, bool)
        if not is_money and not is_number:
            name = describe_type(kind)
            raise Misused(
                f"{what}: amount names {options.amount!r}, which is a {name}; it must be Money, or a number with currency=…"
            )
        if is_number and options.currency is None:
            raise Misused(
                f"{what}: amount names {options.amount!r}, a number; say its currency with currency='EUR', or make it Money"
            )
        if is_money and options.currency is not None:
            raise Misused(
                f"{what}: amount names {options.amount!r}, which is Money and has its own currency; drop currency"
            )


def check_function(what: str, function: object, given: Collection[str], needs: Collection[str] = ()) -> None:
    """Raises `Misused` unless a function can be called with the parameters `given`, by name, and a context.

    The function must take all parameters in `needs`, or the context.
    """
    if not callable(function) or inspect.isclass(function):
        raise Misused(f"{what} is {function!r}; it must be a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Misused(f"{what} is a generator (it has `yield`); return the text instead")
    try:
        takes = inspect.signature(function).parameters.values()
        context = find_context_parameter(function)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        raise Misused(f"{what}: its parameters can't be read: {error}") from None
    there = ", ".join(given) or "none"
    for each in takes:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.name == context:
            continue
        if each.kind is each.POSITIONAL_ONLY:
            raise Misused(f"{what} takes {each.name!r} by position only; it is called with names")
        if each.name not in given and each.default is each.empty:
            raise Misused(
                f"{what} takes {each.name!r}, which it can't be given (there: {there}, and a ToolContext)"
            )
    accepted = {each.name for each in takes}
    anything = any(each.kind is each.VAR_KEYWORD for each in takes)
    if context is None and not anything and not accepted.issuperset(needs):
        raise Misused(f"{what} must take {' and '.join(map(repr, needs))}")


def check_undo(what: str, schema: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises `Misused` if an undo tool with this JSON schema needs more than the parameters `names` and the receipt."""
    missing = [name for name in schema.get("required", ()) if name not in names and name != RECEIPT]
    if missing:
        there = ", ".join([*names, RECEIPT])
        raise Misused(f"{what} needs {', '.join(map(repr, missing))}, which nothing fills (there: {there})")
