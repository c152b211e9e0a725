"""Tools: plain functions with annotations, marked as reading or as changing the world."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, get_type_hints, overload

import msgspec
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import ParamSpec, TypeVar

from seawall.core.canonical import canonical, digest
from seawall.core.errors import Misused, SeawallError
from seawall.models.protocol import ToolSpec

INLINE_BYTES = 64 * 1024
"""A longer result is kept by reference and the agent is shown its beginning: about 16,000 tokens."""
MAX_RESULT_BYTES = 16 * 1024 * 1024
"""A longer result is an error: nothing that an agent could use is that long, and it would be stored."""
PREVIEW_CHARS = 2_000
MAX_THREADS = 8
"""Threads of one sync tool; more calls wait. A call that never returns keeps its thread, not the run."""
MAX_ENDPOINT_CHARS = 100
"""Of an endpoint's name: it is part of a key in the journal, and a column of a table."""

P = ParamSpec("P", default=...)
"""The parameters of a tool's function."""
R_co = TypeVar("R_co", covariant=True, default=Any)
"""What a tool's function returns; a coroutine if it is async."""

_PLAIN = frozenset({bool, int, float, list, dict})


class NotDone(SeawallError):
    """Raised by an effect tool: it failed, and the world was not changed."""


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """What a tool may know of its call. Take it as a parameter annotated `ToolContext`."""

    run: str
    step: int
    agent: str
    tenant: str
    principal: str
    session: str | None
    remaining_s: float
    """Active seconds that the run has left."""
    key: str
    """Idempotency key: the same for every attempt of this call, also after a crash."""


class Tool(Generic[P, R_co]):
    """A function that agents may call. Make one with `@tool`.

    It can still be called as the plain function that it wraps, with that function's parameters and result.
    A tool of any signature is a `Tool`, or a `Tool[..., Any]`.
    """

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: bool = False,
        idempotent: bool = False,
        timeout_s: float | None = None,
        retries: int = 0,
        threads: int = MAX_THREADS,
        version: str = "1",
        endpoint: str | None = None,
        poll: bool = False,
        fresh_s: float | None = None,
        volatile: Sequence[str | re.Pattern[str]] = (),
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.name: str = name or getattr(function, "__name__", "") or type(function).__name__
        self.function = function
        self.effect = effect
        self.idempotent = idempotent
        self.timeout_s = timeout_s
        self.retries = retries
        self.threads = threads
        self.endpoint: str = f"tool:{self.name if endpoint is None else endpoint}"
        self.poll = poll
        self.fresh_s = fresh_s
        self.volatile = tuple(volatile)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 -- an object with an async __call__ is a tool too
        )
        self._check_options()
        self.context_parameter: str | None = None
        self._fields: tuple[str, ...] = ()
        self._allows_none = False
        self._model: type[BaseModel] | None = None
        if schema is None:
            self._model = self._parameters(function)
            schema = self._model.model_json_schema()
            schema.pop("title", None)
        text = description if description is not None else inspect.getdoc(function) or ""
        self.spec = ToolSpec(self.name, text.strip(), schema)
        self.version = f"{version}-{digest([self.name, text, schema, effect])[:8]}"

    def _check_options(self) -> None:
        if not self.name.isidentifier() and not self.name.replace("-", "_").isidentifier():
            raise Misused(f"tool name {self.name!r} is not an identifier: give it one with @tool(name=...)")
        if self.idempotent and not self.effect:
            raise Misused(f"tool {self.name!r}: idempotent=True is for effects; add effect=True")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise Misused(f"tool {self.name!r}: timeout_s is {self.timeout_s}; it must be above zero")
        if self.retries < 0:
            raise Misused(f"tool {self.name!r}: retries is {self.retries}; it must be zero or more")
        if self.retries and self.effect and not self.idempotent:
            raise Misused(f"tool {self.name!r}: an effect is retried only if it is idempotent=True")
        if self.threads < 1:
            raise Misused(f"tool {self.name!r}: threads is {self.threads}; it must be at least 1")
        if not 0 < len(self.endpoint.removeprefix("tool:").strip()) <= MAX_ENDPOINT_CHARS:
            raise Misused(
                f"tool {self.name!r}: endpoint is {self.endpoint.removeprefix('tool:')!r}; "
                f"it must be a name of at most {MAX_ENDPOINT_CHARS} characters"
            )
        if self.poll and self.effect:
            raise Misused(f"tool {self.name!r}: poll=True is for reads; this one is an effect")
        if self.fresh_s is not None and (self.effect or self.poll or not self.fresh_s > 0):
            what = "an effect" if self.effect else "a poll" if self.poll else f"{self.fresh_s}"
            raise Misused(f"tool {self.name!r}: fresh_s is for reads and above zero (this is {what})")

    def _parameters(self, function: Callable[..., Any]) -> type[BaseModel]:
        signature = inspect.signature(function)
        try:
            hints = get_type_hints(_annotated(function), include_extras=True)
        except (NameError, TypeError) as error:
            raise Misused(f"tool {self.name!r}: an annotation can't be resolved: {error}") from error
        fields: dict[str, Any] = {}
        for parameter in signature.parameters.values():
            hint = hints.get(parameter.name)
            if hint is ToolContext:
                self.context_parameter = parameter.name
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise Misused(f"tool {self.name!r}: parameter '{parameter}' can't be filled by name")
            if hint is None:
                raise Misused(
                    f"tool {self.name!r}: parameter {parameter.name!r} has no annotation, "
                    "so a model can't be told what to send"
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hint, default)
        returns = hints.get("return", Any)
        self._allows_none = returns is Any or _allows_none(returns)
        self._fields = tuple(fields)
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
        try:
            return create_model(self.name, __config__=config, **fields)
        except Exception as error:
            raise Misused(f"tool {self.name!r}: no schema can be made of its parameters: {error}") from error

    def __repr__(self) -> str:
        return f"<Tool {self.name} {'effect' if self.effect else 'read'} v{self.version}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the plain function."""
        return self.function(*args, **kwargs)

    def declared(self, version: str) -> bool:
        """Whether a recorded version has the declared version of today; its text may have changed."""
        return version.rpartition("-")[0] == self.version.rpartition("-")[0]

    def validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Keyword arguments for the function. Raises `ValueError` with what is wrong, for the model."""
        if self._model is None:
            return arguments
        try:
            model = self._model.model_validate(arguments)
        except ValidationError as error:
            raise ValueError(explain_validation(error)) from None
        return {name: getattr(model, name) for name in self._fields}

    def encoded(self, value: object) -> str | bytes:
        """A result as it is recorded. Raises `TypeError` or `ValueError` with what is wrong."""
        if value is None and not self._allows_none:
            raise ValueError(f"tool {self.name!r} returned None, which its annotation does not allow")
        encoded = encode(value, f"tool {self.name!r}")
        size = len(encoded)
        if size > MAX_RESULT_BYTES:
            raise ValueError(f"tool {self.name!r} returned {size:,} bytes (limit {MAX_RESULT_BYTES:,})")
        return encoded


def _annotated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the annotations of a partial or of a callable object stand."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _allows_none(hint: Any) -> bool:
    if hint is None or hint is type(None):
        return True
    return type(None) in getattr(hint, "__args__", ())


def encode(value: object, what: str) -> str | bytes:
    """Text as it is, bytes as they are, everything else as JSON. Raises `TypeError` for what has none."""
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    try:
        if value is None or type(value) in _PLAIN:
            text = encode_canonical(value)
            # JSON has no NaN; written as null it would say that nothing is known.
            odd = to_json(value, inf_nan_mode="strings").decode() if "null" in text else ""
            return odd if '"NaN"' in odd or 'Infinity"' in odd else text
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        pass  # something inside that only pydantic knows how to write
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} returned a {type(value).__name__} that is no JSON: {error}") from None


def encode_canonical(value: object) -> str:
    """JSON text with sorted keys."""
    return canonical(value).decode()


def explain_validation(error: ValidationError) -> str:
    """A validation error for a model: which field, what is wrong, what came."""
    lines: list[str] = []
    for item in error.errors(include_url=False, include_context=False)[:10]:
        where = ".".join(str(part) for part in item["loc"]) or "arguments"
        given = repr(item.get("input"))
        lines.append(f"{where}: {item['msg']} (got {given[:200]})")
    return "; ".join(lines)


def make_adapter(output: Any) -> TypeAdapter[Any]:
    """The validator of an agent's structured answer. Raises `Misused` for what has no schema."""
    try:
        return TypeAdapter(output)
    except Exception as error:
        raise Misused(f"output type {output!r} has no schema: {error}") from error


@overload
def tool(function: Callable[P, R_co], /) -> Tool[P, R_co]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: bool = False,
    idempotent: bool = False,
    timeout_s: float | None = None,
    retries: int = 0,
    threads: int = MAX_THREADS,
    version: str = "1",
    endpoint: str | None = None,
    poll: bool = False,
    fresh_s: float | None = None,
    volatile: Sequence[str | re.Pattern[str]] = (),
) -> Callable[[Callable[P, R_co]], Tool[P, R_co]]: ...


def tool(
    function: Callable[P, R_co] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: bool = False,
    idempotent: bool = False,
    timeout_s: float | None = None,
    retries: int = 0,
    threads: int = MAX_THREADS,
    version: str = "1",
    endpoint: str | None = None,
    poll: bool = False,
    fresh_s: float | None = None,
    volatile: Sequence[str | re.Pattern[str]] = (),
) -> Tool[P, R_co] | Callable[[Callable[P, R_co]], Tool[P, R_co]]:
    """Make a tool of a function, sync or async. Its docstring is what the model is told.

    `effect`: it changes the world; an attempt whose fate is not known is never made again by itself.
    `idempotent`: an effect that honours `ToolContext.key`, so that it may be attempted again after a crash.
    `timeout_s`: seconds for one call, its wait for a thread included. `retries`: further tries after it
    raised (reads, idempotent effects). `threads`: calls of a sync tool at once, over all runs of a team in
    this process. `version`: raise it when the tool's meaning changes.

    `endpoint`: the name of what it calls, if several tools call the same (`"bank"`); its own name otherwise. When
    too many calls of an endpoint fail or are slow, its breaker opens, and its tools are not called for a while. A
    tool that raises a `Broken`, an error of a connection, a time-out or a status of 429 or 5xx says that the other
    side is broken; anything else, such as `LookupError("no such order")`, is its answer.

    `poll`: it is asked until something has happened, so equal results are no loop; the guard `Loops` spaces its
    calls out and has a cap of its own. `fresh_s`: for so many active seconds an equal call is answered with the
    result that is known, as long as nothing was written since. `volatile`: what of its results differs each time
    and means nothing, as names of JSON fields and as compiled patterns; clocks, durations, ids of requests and the
    like are known already.

    A sync call that never returns holds its thread as long as the process lives. Once all of a tool's
    threads are held, its calls fail after `timeout_s` and were not made; without `timeout_s` they wait until
    their run is out of time. So a sync tool sets its client's own time-out too. An `async` tool runs on the
    event loop: one that blocks there (`time.sleep`, a sync client) holds every run of the process, and no
    limit can stop it; write that one as a plain `def`.

    Raises `Misused` for a parameter without annotation and for options that contradict each other.
    """

    def make(function: Callable[P, R_co]) -> Tool[P, R_co]:
        return Tool(
            function,
            name=name,
            description=description,
            effect=effect,
            idempotent=idempotent,
            timeout_s=timeout_s,
            retries=retries,
            threads=threads,
            version=version,
            endpoint=endpoint,
            poll=poll,
            fresh_s=fresh_s,
            volatile=volatile,
        )

    return make if function is None else make(function)
