"""JSON schemas that a program or a server gives for a tool: checked when the tool is defined, and arguments against them.

Neither may take long: a schema may come from a server that nobody vouches for, and arguments from a model.
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
"""Problems that a model is told at once."""
MAX_CHECKS = 200_000
"""Keywords that are checked for one call, about a second of a processor: references can make a small schema ask for years.
Arguments of a hundred thousand values are within it."""
MAX_DEPTH = 80
"""Objects and lists within each other in a schema, and keywords within each other while a value is checked. What a person writes
has a dozen; Python's stack ends at some two hundred, in a way that libraries do not survive."""
CHARS_A_CHECK = 1_000
"""Characters of an error's text that are written while one keyword is checked: errors quote what they are about."""
_MAX_GIVEN_CHARS = 200
_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are data, not schemas."""

_spent: ContextVar[_Spent] = ContextVar("what a check has taken")


class _TooMuch(Exception):
    """A schema asks for more than is done."""


class _Spent:
    """What one check of arguments has taken."""

    def __init__(self) -> None:
        self.checks = 0
        self.depth = 0


class SchemaValidator:
    """Checks arguments against a JSON schema (draft 2020-12, or the draft that `$schema` names).

    It needs the extra `schema`. References lead to places in the schema itself: nothing is fetched. Patterns are those of
    `schema_patterns.py`.
    """

    def __init__(self, what: str, schema: object) -> None:
        """Raises `Misused` for a schema that is invalid or not of type object, and without the extra."""
        try:
            import jsonschema
            import referencing.exceptions
        except ImportError as error:
            raise Misused(
                f"{what}: a schema needs the package that checks arguments against it: pip install 'seawall[schema]'"
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
        except Exception as error:  # noqa: BLE001 -- an address of another form makes the libraries raise anything
            raise Misused(f"{what}: the schema can't be read: {describe_error(error):.200}") from None

    def _prepare(self, what: str, document: dict[str, Any]) -> Any:
        """Returns what checks values. Raises what the libraries raise for a schema that can't be read."""
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
        # Where a part names its draft, jsonschema checks it with that draft's own, unbounded validator.
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
        """Raises `ValueError` with what is wrong with the arguments, or why that can't be found out."""
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
        except Exception as error:  # noqa: BLE001 -- a schema that is valid can still ask for what can't be done
            lines.append(
                f"the schema can't be applied to these arguments: {describe_error(error)[:_MAX_GIVEN_CHARS]}"
            )
            kinds.append(((), "not applicable"))
        finally:
            _spent.reset(token)
        if lines:
            raise InvalidValue("; ".join(lines), join_kinds(kinds))


def _is_deeper(value: object, levels: int) -> bool:
    """Returns whether a value has more levels of objects and lists than this."""
    level = [value]
    for _ in range(levels + 1):
        level = [part for each in level for part in _list_parts(each)]
    return bool(level)


def _list_parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _check_references(document: dict[str, Any], resolver: Any) -> None:
    """Follows each reference once. Raises `Unresolvable` for one that leads out of the schema."""
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
    """Returns a schema that does not say any more of which draft it is."""
    if isinstance(value, list):
        return [_drop_drafts(each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    parts = cast("dict[str, object]", value).items()
    return {key: _drop_drafts(each) for key, each in parts if key != "$schema" or not isinstance(each, str)}


# ---- keywords whose checks are counted

_Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


def _bound(keywords: dict[str, _Keyword], patterns: Patterns) -> dict[str, _Keyword]:
    """Returns the keywords of a draft, each of which counts what it does, with patterns that are matched in bounded time."""
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
    """Returns what it takes to compare the items of a list: each with each, if they have no order."""
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
    """As jsonschema has it, but for names that have a pattern."""
    named = schema.get("patternProperties")
    if named and validator.is_type(instance, "object"):
        instance = {
            name: each
            for name, each in instance.items()
            if not any(_match(patterns, pattern, name) for pattern in named)
        }
        schema = {key: part for key, part in schema.items() if key != "patternProperties"}
    yield from plain(validator, value, instance, schema) or ()
