"""JSON schemas that a program gives for a tool: checked when the tool is defined, and arguments against them."""

from __future__ import annotations

from typing import Any, cast

from seawall.core.errors import Misused
from seawall.team.problem import InvalidValue, join_kinds

MAX_PROBLEMS = 10
"""Problems that a model is told at once."""
_MAX_GIVEN_CHARS = 200
_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are data, not schemas."""


class SchemaValidator:
    """Checks arguments against a JSON schema (draft 2020-12, or the draft that `$schema` names).

    It needs the extra `schema`. References lead to places in the schema itself: nothing is fetched.
    """

    def __init__(self, what: str, schema: object) -> None:
        """Raises `Misused` for a schema that is invalid or not of type object, and without the extra."""
        try:
            import jsonschema
            import jsonschema.validators
            import referencing
            import referencing.exceptions
            import referencing.jsonschema
        except ImportError as error:
            raise Misused(
                f"{what}: a schema needs the package that checks arguments against it: pip install 'seawall[schema]'"
            ) from error
        if not isinstance(schema, dict) or cast("dict[str, Any]", schema).get("type") != "object":
            raise Misused(f"{what}: schema is {schema!r:.200}; it must be a JSON schema with type 'object'")
        document = cast("dict[str, Any]", schema)
        validators: Any = jsonschema.validators
        kind = validators.validator_for(document, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(document)
        except jsonschema.SchemaError as error:
            where = "/".join(map(str, error.absolute_path)) or "its top"
            raise Misused(f"{what}: the schema is not valid at {where}: {error.message:.200}") from None
        registry: Any = referencing.Registry
        self._validator: Any = kind(document, registry=registry())
        resource: Any = referencing.Resource.from_contents(
            document, default_specification=cast("Any", referencing.jsonschema.DRAFT202012)
        )
        base = resource.id() or ""
        try:
            _check_references(document, registry().with_resource(base, resource).resolver(base))
        except referencing.exceptions.Unresolvable as error:
            raise Misused(f"{what}: the schema refers to {error.ref!r}, which is not in it") from None

    def check(self, arguments: dict[str, Any]) -> None:
        """Raises `ValueError` with what is wrong with the arguments."""
        lines: list[str] = []
        kinds: list[tuple[tuple[object, ...], str]] = []
        for error in self._validator.iter_errors(arguments):
            where = ".".join(map(str, error.absolute_path)) or "arguments"
            lines.append(f"{where}: {error.message[:_MAX_GIVEN_CHARS]}")
            kinds.append((tuple(error.absolute_path), str(error.validator)))
            if len(lines) == MAX_PROBLEMS:
                break
        if lines:
            raise InvalidValue("; ".join(lines), join_kinds(kinds))


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
