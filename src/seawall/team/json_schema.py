"""Checks JSON schemas that a program or a server gives for a tool, and the arguments of calls against them.

Both checks are bounded, because a schema may come from an untrusted server, and arguments come from a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

from seawall.core.errors import Misused, describe_error
from seawall.team.problem import InvalidValue, join_kinds
from seawall.team.schema_patterns import Patterns, find_unmatched

MAX_PROBLEMS = 10
"""The most problems that a model is told at once."""
MAX_CHECKS = 200_000
"""The most keywords that are checked for one call, which takes about a second of CPU time. With references, a small
schema could ask for years. Arguments with a hundred thousand values are below the bound."""
MAX_DEPTH = 80
"""The deepest nesting of objects and lists in a schema, and of keywords while a value is checked. Schemas that people
write have about a dozen levels; the libraries exhaust Python's stack at about two hundred."""
CHARS_A_CHECK = 1_000
"""Characters of an error's text that count as one check, because errors quote the values."""
_MAX_GIVEN_CHARS = 200
_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are data, not schemas."""

_spent: ContextVar[_Spent] = ContextVar("what a check has taken")


class _TooMuch(Exception):
    """A schema asks for more checks than the bound."""


class _Spent:
    """The checks that one validation of arguments has used."""

    def __init__(self) -> None:
        self.checks = 0
        self.depth = 0


class SchemaValidator:
    """Checks arguments against a JSON schema (draft 2020-12, or the draft that `$schema` names).

    It needs the extra `schema`. References may only lead to places in the schema itself, so nothing is fetched. Patterns
    are matched by `schema_patterns.py`.
    """

    def __init__(self, what: str, schema: object) -> None:
        """Raises `Misused` for a schema that is invalid or not of type object, and without the extra."""
        try:
            import jsonschema
            import referencing.exceptions
        except ImportError as error:
            raise Misused(
                f"{what}: a schema needs the package that checks arguments against it: pip install 'path/to/seawall[schema]'"
            ) from error
        if not isinstance(schema, dict) or cast("dict[str, Any]", schema).get("type") != "object":
            raise Misused(f"{what}: schema is {schema!r:.200}; it must be a JSON schema with type 'object'")
        document = cast("dict[str, Any]", schema)
        if _is_deeper(document, MAX_DEPTH):
            raise Misused(f"{what}: the schema has more than {MAX_DEPTH} levels")
        try:
            self._validator = self._prepare(what, document)
        except Misused:
            raise
        except jsonschema.SchemaError as error:
            where = "/".join(map(str, error.absolute_path)) or "its top"
            raise Misused(f"{what}: the schema is not valid at {where}: {error.message:.200}") from None
        except referencing.exceptions.Unresolvable as error:
            raise Misused(f"{what}: the schema refers to {error.ref!r:.200}, which is not in it") from None
        except Exception as error:  # noqa: BLE001 -- for an invalid address the libraries may raise anything
            raise Misused(f"{what}: the schema can't be read: {describe_error(error):.200}") from None

    def _prepare(self, what: str, document: dict[str, Any]) -> Any:
        """Returns the validator. Raises the libraries' errors for a schema that can't be read."""
        import jsonschema
        import jsonschema.validators
        import referencing
        import referencing.jsonschema

        validators: Any = jsonschema.validators
        kind: Any = validators.validator_for(document, default=jsonschema.Draft202012Validator)
        kind.check_schema(document)
        patterns = Patterns(document)
        if (unmatched := find_unmatched(document, patterns)) is not None:
            raise Misused(f"{what}: {unmatched}")
        # If a part names its draft, jsonschema checks it with that draft's own validator, which has no bounds.
        document = cast("dict[str, Any]", _drop_drafts(document))
        registry: Any = referencing.Registry
        resource: Any = referencing.Resource.from_contents(
            document, default_specification=cast("Any", referencing.jsonschema.DRAFT202012)
        )
        base = resource.id() or ""
        _check_references(document, registry().with_resource(base, resource).resolver(base))
        bounded = validators.extend(kind, _bound(kind.VALIDATORS, patterns))
        return bounded(document, registry=registry())

    def check(self, arguments: dict[str, Any]) -> None:
        """Raises `ValueError`, which says what is wrong with the arguments, or why they can't be checked."""
        lines: list[str] = []
        kinds: list[tuple[tuple[object, ...], str]] = []
        token = _spent.set(_Spent())
        try:
            for error in self._validator.iter_errors(arguments):
                where = ".".join(map(str, error.absolute_path)) or "arguments"
                lines.append(f"{where}: {error.message[:_MAX_GIVEN_CHARS]}")
                kinds.append((tuple(error.absolute_path), str(error.validator)))
                if len(lines) == MAX_PROBLEMS:
                    break
        except _TooMuch as error:
            lines.append(f"the schema asks for more than {error} of these arguments")
            kinds.append(((), "too much"))
        except Exception as error:  # noqa: BLE001 -- a valid schema may still be impossible to apply
            lines.append(
                f"the schema can't be applied to these arguments: {describe_error(error)[:_MAX_GIVEN_CHARS]}"
            )
            kinds.append(((), "not applicable"))
        finally:
            _spent.reset(token)
        if lines:
            raise InvalidValue("; ".join(lines), join_kinds(kinds))


def _is_deeper(value: object, levels: int) -> bool:
    """Returns whether a value has more than `levels` levels of objects and lists."""
    level = [value]
    for _ in range(levels + 1):
        level = [part for each in level for part in _list_parts(each)]
    return bool(level)


def _list_parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _check_references(document: dict[str, Any], resolver: Any) -> None:
    """Follows each reference once. Raises `Unresolvable` for a reference that leads out of the schema."""
    todo: list[object] = [document]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            part = cast("dict[str, Any]", each)
            for name in ("$ref", "$dynamicRef"):
                if isinstance(reference := part.get(name), str):
                    resolver.lookup(reference)
            todo += [value for name, value in part.items() if name not in _DATA]
        elif isinstance(each, list):
            todo += cast("list[object]", each)


def _drop_drafts(value: object) -> object:
    """Returns a schema without the keywords that name its draft."""
    if isinstance(value, list):
        return [_drop_drafts(each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    parts = cast("dict[str, object]", value).items()
    return {key: _drop_drafts(each) for key, each in parts if key != "$schema" or not isinstance(each, str)}


# ---- keywords whose checks are counted

_Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


def _bound(keywords: dict[str, _Keyword], patterns: Patterns) -> dict[str, _Keyword]:
    """Returns the keywords of a draft; each counts its checks, and patterns are matched in bounded time."""
    own: dict[str, _Keyword] = {**keywords}
    if "additionalProperties" in keywords:
        own["additionalProperties"] = partial(_check_additional, keywords["additionalProperties"], patterns)
    own["pattern"] = partial(_check_pattern, patterns)
    own["patternProperties"] = partial(_check_named, patterns)
    return {name: partial(_count, name, check) for name, check in own.items()}


def _count(
    name: str, check: _Keyword, validator: Any, value: Any, instance: Any, schema: Any
) -> Iterator[Any]:
    _spend(_estimate_unique(instance) if name == "uniqueItems" else 1)
    spent = _spent.get()
    spent.depth += 1
    if spent.depth > MAX_DEPTH:
        raise _TooMuch(f"{MAX_DEPTH} levels")
    for error in check(validator, value, instance, schema) or ():
        _spend(len(error.message) // CHARS_A_CHECK)
        spent.depth -= 1
        yield error
        spent.depth += 1
    spent.depth -= 1


def _spend(checks: int) -> None:
    spent = _spent.get()
    spent.checks += checks
    if spent.checks > MAX_CHECKS:
        raise _TooMuch(f"{MAX_CHECKS:,} checks")


def _estimate_unique(instance: Any) -> int:
    """Returns how many checks the comparison of a list's items counts as. Items without an order are compared in pairs."""
    if not isinstance(instance, list):
        return 1
    items = cast("list[object]", instance)
    return 1 + len(items) * (len(items) if any(isinstance(each, list | dict) for each in items) else 1)


def _match(patterns: Patterns, pattern: str, text: str) -> bool:
    _spend(patterns.estimate_checks(pattern, text))
    return patterns.matches(pattern, text)


def _check_pattern(
    patterns: Patterns, validator: Any, value: Any, instance: Any, schema: Any
) -> Iterator[Any]:
    import jsonschema

    if validator.is_type(instance, "string") and not _match(patterns, value, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {value!r}")


def _check_named(patterns: Patterns, validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "object"):
        for pattern, part in value.items():
            for name, each in instance.items():
                if _match(patterns, pattern, name):
                    yield from validator.descend(each, part, path=name, schema_path=pattern)


def _check_additional(
    plain: _Keyword, patterns: Patterns, validator: Any, value: Any, instance: Any, schema: Any
) -> Iterator[Any]:
    """Checks as jsonschema does, except for names with a pattern."""
    named = schema.get("patternProperties")
    if named and validator.is_type(instance, "object"):
        instance = {
            name: each
            for name, each in instance.items()
            if not any(_match(patterns, pattern, name) for pattern in named)
        }
        schema = {key: part for key, part in schema.items() if key != "patternProperties"}
    yield from plain(validator, value, instance, schema) or ()
