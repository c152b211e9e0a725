"""The parameters of a tool's function: the arguments that a model writes, and the context that Seawall gives."""

from __future__ import annotations

import copy
import functools
import inspect
import reprlib
import types
import warnings
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import pydantic  # its parts are loaded when functions use them: this saves a tenth of `import seawall`
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticSerializationError, core_schema, to_jsonable_python

from seawall.core.big_values import decode_in_pieces, is_big
from seawall.core.canonical import to_canonical_bytes
from seawall.core.errors import Misused
from seawall.core.redact import MARK
from seawall.team.json_schema import SchemaValidator
from seawall.team.problem import InvalidValue, find_validation_kind


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """Facts about one call, for the tool. A tool receives them in a parameter with the annotation `ToolContext`."""

    run: str
    """The run's id."""
    step: int
    """The number of the step in its run."""
    agent: str
    """The agent that calls the tool."""
    tenant: str
    """The tenant whose account pays for the run; "" without one."""
    principal: str
    """The principal that made the request; "" if it was not given."""
    session: str | None
    """The conversation that the run belongs to."""
    remaining_s: float
    """Active seconds that the run has left."""
    key: str
    """The idempotency key: the same for every attempt of this call, even after a crash."""
    lease_until: float = float("inf")
    """For effects: the time, in seconds since the Unix epoch, from which another process may have taken the run up. The
    call was allowed before it. A tool that waits, or does several things, checks the time again and raises `NotDone` once
    it has passed."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        """Returns a schema that matches no JSON, so that a model can't write a context at any place of a parameter's type."""
        return core_schema.is_instance_schema(cls)


EffectContext = ToolContext
"""Another name of `ToolContext`, for tools that change the world and use its idempotency key and remaining time."""


class Parameters:
    """The parameters of one tool's function: their JSON schema, and how a call's arguments are checked."""

    def __init__(
        self, tool: str, function: Callable[..., Any], schema: dict[str, Any] | None, *, checks: bool = True
    ) -> None:
        """Reads the parameters from the annotations, or from `schema` if given. Raises `Misused` if they can't be sent.

        Without `checks`, arguments are not checked against `schema` here, because the framework checks them.
        """
        self._tool = tool
        self._signature = _read_signature(tool, function)
        hints = _read_hints(tool, function, required=schema is None)
        self._required, self._allowed = _list_names(self._signature)
        self.context = self._find_context(hints)
        """The name of the parameter that takes the `ToolContext`."""
        self.may_return_none = _allows_none(hints.get("return", Any))
        self.hints: Mapping[str, Any] | None = None
        """The annotations of the parameters that a model fills; None with a `schema`."""
        self._fields: dict[str, str] = {}
        """The parameter that each field of the pydantic model fills, by the name of the field."""
        self._model: type[BaseModel] | None = None
        self._validator: SchemaValidator | None = None
        self._named: frozenset[str] = frozenset()
        """The parameters that the `schema` names; empty without a `schema`."""
        if schema is None:
            self._model, self.schema = self._make_model(hints, _list_bound(function))
            self.hints = {name: hints[name] for name in self._fields.values()}
        else:
            self._validator = SchemaValidator(f"tool {tool!r}", schema) if checks else None
            self._named = frozenset(schema.get("properties", ()))
            # a caller who changes its schema later would let models see another one than the one that is checked
            self.schema = copy.deepcopy(schema) if checks else schema

    def __repr__(self) -> str:
        return f"<Parameters of {self._tool}{self._signature}>"

    def validate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Returns keyword arguments for the function. Raises `ValueError`, which tells the model what is wrong."""
        if self._model is not None:
            try:
                model = self._model.model_validate(arguments)
            except ValidationError as error:
                raise _explain_error(error) from None
            return {parameter: getattr(model, field) for field, parameter in self._fields.items()}
        if self._validator is not None:
            self._validator.check(arguments)
        if self.context in arguments:
            raise ValueError(f"{self.context}: there is no such parameter")
        given = {**arguments, self.context: None} if self.context else arguments
        if not self._fits(given.keys()):
            try:
                self._signature.bind(**given)
            except TypeError as error:
                raise ValueError(str(error)) from None
        return arguments

    def _fits(self, given: AbstractSet[str]) -> bool:
        """Returns whether the function surely takes arguments of these names, all given by name."""
        return self._required <= given and (self._allowed is None or given <= self._allowed)

    def encode(self, arguments: dict[str, Any]) -> str:
        """Returns all arguments as canonical JSON: validated, with defaults and what factories make.

        A default that is a secret is left out.

        Raises `ValueError` as `validate` does, and if the values change when their JSON is read again.
        """
        if self._model is None:
            return to_canonical_bytes(self._fill_defaults(arguments)).decode()
        text, values = self._write_down(arguments)
        try:
            again, read = self._write_down(decode_in_pieces(text))
        except ValueError as error:
            secret = self._write_down(arguments, concealed=True)[0] != text  # the message may quote it
            raise ValueError(_CHANGED if secret else f"{_CHANGED}: {error}") from None
        # some values are equal to no other value
        if again != text or not (read == values or repr(read) == repr(values)):
            raise ValueError(_CHANGED)
        return text

    def conceal(self, text: str) -> str:
        """Returns encoded arguments without the contents of pydantic's secrets, so that they may be stored."""
        if self._model is None:
            return text
        return self._write_down(decode_in_pieces(text), concealed=True)[0]

    def _fill_defaults(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Returns arguments that match a JSON schema, with the function's defaults that match the schema, too.

        Raises `ValueError` as `validate` does.
        """
        filled = self.validate(arguments)
        for each in self._signature.parameters.values():
            if each.default is each.empty or each.name in filled or each.name not in self._named:
                continue
            try:
                default: object = decode_in_pieces(to_canonical_bytes(each.default).decode())
                filled = self.validate({**filled, each.name: default})
            except (ValueError, TypeError):  # the schema does not accept this default
                continue
        return filled

    def _write_down(
        self, arguments: dict[str, Any], *, concealed: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """Returns the arguments as text, and their values."""
        assert self._model is not None
        try:
            model = self._model.model_validate(arguments)
        except ValidationError as error:
            raise _explain_error(error) from None
        try:
            written = model.model_dump(by_alias=True, round_trip=True, warnings=False)
            named = self._name_values(model, written, concealed=concealed)
            text = to_canonical_bytes(to_jsonable_python(named)).decode()
        except (PydanticSerializationError, TypeError) as error:
            raise ValueError(f"the arguments can't be written down: {error}") from None
        return text, {parameter: getattr(model, field) for field, parameter in self._fields.items()}

    def _name_values(self, model: BaseModel, written: dict[str, Any], *, concealed: bool) -> dict[str, Any]:
        """Returns the values of a model's dump by the names that a language model would write.

        Secrets that the program gives as defaults are left out, because each process has them and they must not be shown.
        """
        named: dict[str, Any] = {}
        for field, parameter in self._fields.items():
            info = type(model).model_fields[field]
            name = info.serialization_alias or field
            if name not in written:
                continue
            value = _reveal(written[name], concealed=concealed)
            given = field in model.model_fields_set or info.default_factory is not None
            if given or value == _reveal(written[name], concealed=not concealed):
                named[_find_input_name(parameter, info)] = value
        return named

    def _find_context(self, hints: Mapping[str, Any]) -> str | None:
        found = [name for name in self._signature.parameters if _is_context(hints.get(name))]
        if len(found) > 1:
            names = " and ".join(map(repr, found))
            raise Misused(
                f"tool {self._tool!r}: the parameters {names} are both the ToolContext; there is one context"
            )
        if found and self._signature.parameters[found[0]].kind not in _BY_NAME:
            raise Misused(
                f"tool {self._tool!r}: parameter {found[0]!r} is the ToolContext, which is given by name"
            )
        return found[0] if found else None

    def _make_model(
        self, hints: Mapping[str, Any], bound: frozenset[str]
    ) -> tuple[type[BaseModel], dict[str, Any]]:
        """Returns the pydantic model of the parameters that a model fills, and its JSON schema.

        Its fields have generated names, because a parameter may be called `json`, `schema` or `_x`, but a field may not.
        """
        fields: dict[str, Any] = {}
        for parameter in self._signature.parameters.values():
            if parameter.name == self.context or parameter.name in bound:
                continue
            if parameter.kind not in _BY_NAME:
                raise Misused(f"tool {self._tool!r}: parameter '{parameter}' can't be filled by name")
            hint = hints.get(parameter.name)
            if hint is None:
                raise Misused(
                    f"tool {self._tool!r}: parameter {parameter.name!r} has no annotation, "
                    "so a model can't be told what to send"
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            if _is_field(default):  # `limit: int = Field(10, gt=0)`, as pydantic takes it
                hint, default = Annotated[hint, default], ...
            field = f"parameter_{len(fields)}"
            alias = None if _has_alias(hint) else parameter.name
            fields[field] = (hint, default if alias is None else _make_field(default, alias))
            self._fields[field] = parameter.name
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a default without a JSON form is left out of the schema
                model = create_model(self._tool, __config__=config, **fields)
                schema = model.model_json_schema()
        except Exception as error:
            why = str(error).partition("\n")[0]  # a link to pydantic's pages follows
            raise Misused(f"tool {self._tool!r}: no schema can be made of its parameters: {why}") from error
        schema.pop("title", None)
        return model, schema


_CHANGED = "the arguments are not the same once they are written down as JSON and read again"
_CONTEXT_NAMES = ("ToolContext", "EffectContext")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _reveal(value: Any, *, concealed: bool) -> Any:
    """Returns a value with the contents of pydantic's secrets, which pydantic itself writes as asterisks.

    With `concealed`, each secret is replaced by the mark that records have for it.
    """
    if isinstance(value, pydantic.SecretStr | pydantic.SecretBytes | pydantic.Secret):
        return MARK if concealed else cast("Any", value).get_secret_value()
    if isinstance(value, dict):
        fields = cast("dict[Any, Any]", value)
        return {name: _reveal(each, concealed=concealed) for name, each in fields.items()}
    if isinstance(value, set | frozenset):
        items = [_reveal(each, concealed=concealed) for each in cast("set[Any]", value)]
        return sorted(items, key=lambda each: to_canonical_bytes(to_jsonable_python(each)))
    if isinstance(value, list | tuple):
        return [_reveal(each, concealed=concealed) for each in cast("list[Any]", value)]
    return value


def _find_input_name(parameter: str, field: pydantic.fields.FieldInfo) -> str:
    """Returns the name by which a model fills a parameter; the first one, if there are several."""
    alias = field.validation_alias or field.alias
    choices = alias.choices if isinstance(alias, pydantic.AliasChoices) else [alias]
    return next((each for each in choices if isinstance(each, str)), parameter)


def find_context_parameter(function: Callable[..., Any]) -> str | None:
    """Returns the name of the parameter of a function that takes the `ToolContext`; None if it takes none."""
    hints = get_type_hints(find_annotated(function))
    return next((name for name, hint in hints.items() if name != "return" and _is_context(hint)), None)


def _is_field(value: object) -> bool:
    from pydantic.fields import FieldInfo  # noqa: PLC0415 -- see `import pydantic`

    return isinstance(value, FieldInfo)


def _make_field(default: Any, alias: str) -> Any:
    return pydantic.Field(default, alias=alias)


def _read_signature(tool: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise Misused(f"tool {tool!r}: its parameters can't be read: {error}") from error


def _list_names(signature: inspect.Signature) -> tuple[frozenset[str], frozenset[str] | None]:
    """Returns the parameters without a default, and those that can be given by name. None: any name can be given."""
    listed = signature.parameters.values()
    required = frozenset(
        each.name for each in listed if each.kind not in _VARIADIC and each.default is each.empty
    )
    kinds = {each.kind for each in listed}
    if inspect.Parameter.POSITIONAL_ONLY in kinds:  # a call by name may fail in more ways
        return required, frozenset()
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return required, None
    return required, frozenset(each.name for each in listed if each.kind in _BY_NAME)


def _read_hints(tool: str, function: Callable[..., Any], *, required: bool) -> dict[str, Any]:
    """Returns the annotations. Raises `Misused` if one can't be resolved, and it is required or is a context."""
    annotated = find_annotated(function)
    try:
        return get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        written = getattr(annotated, "__annotations__", {})
        if required or any(name in str(hint) for hint in written.values() for name in _CONTEXT_NAMES):
            raise Misused(f"tool {tool!r}: an annotation can't be resolved: {error}") from error
        return {}


def _list_bound(function: Callable[..., Any]) -> frozenset[str]:
    """Returns the parameters that a `functools.partial` has filled, which a model must not fill."""
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound.update(function.keywords)
        function = function.func
    return frozenset(bound)


def find_annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that holds the annotations of a partial or of a callable object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _is_context(hint: Any) -> bool:
    """Returns whether a type is the `ToolContext`, or a union with it."""
    return _may_be(hint, (ToolContext,))


def _allows_none(hint: Any) -> bool:
    return _may_be(hint, (None, type(None), Any, object))


def _may_be(hint: Any, wanted: tuple[Any, ...]) -> bool:
    """Returns whether a type is one of the `wanted` types in any notation, or a union with one."""
    if any(hint is each for each in wanted):
        return True
    if hasattr(hint, "__metadata__"):  # Annotated
        return _may_be(get_args(hint)[0], wanted)
    if get_origin(hint) in (Union, types.UnionType, Literal):
        return any(_may_be(each, wanted) for each in get_args(hint))
    if isinstance(hint, TypeVar):
        return any(_may_be(each, wanted) for each in hint.__constraints__ or (hint.__bound__,))
    named = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)  # NewType, type alias
    return named is not None and _may_be(named, wanted)


def _has_alias(hint: Any) -> bool:
    """Returns whether the annotation itself says by which name a model fills the parameter."""
    return any(
        _is_field(each) and (each.alias or each.validation_alias)
        for each in cast("tuple[Any, ...]", getattr(hint, "__metadata__", ()))
    )


def _explain_error(error: ValidationError) -> InvalidValue:
    return InvalidValue(explain_validation(error), find_validation_kind(error))


def explain_validation(error: ValidationError) -> str:
    """Returns a validation error's text for a model: the fields, what is wrong with each, and the given values."""
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False)[:10]:
        where = ".".join(str(part) for part in item["loc"]) or "arguments"
        given = _repr_part(item.get("input"))
        lines.append(f"{where}: {item['msg']} (got {given[:200]})")
    return "; ".join(lines)


_short = reprlib.Repr()
_short.maxlist = _short.maxdict = _short.maxtuple = _short.maxset = 20
_short.maxstring = _short.maxother = 200


def _repr_part(value: object) -> str:
    """Returns the `repr` of a value, or a part of it if the value is big."""
    return _short.repr(value) if is_big(value) else repr(value)
