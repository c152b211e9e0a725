"""Tools: plain functions with annotations, marked as reading or as changing the world."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, cast, overload

import msgspec
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import ParamSpec, TypeVar

from seawall.core.big_values import encode_in_pieces
from seawall.core.canonical import digest_of, measure_bytes, to_canonical_bytes
from seawall.core.errors import Misused, SeawallError
from seawall.core.money import Money
from seawall.effects.identity import write_value
from seawall.effects.options import Effect
from seawall.models.protocol import ToolSpec
from seawall.run.step import EffectFacts
from seawall.team.declarations import check_function, check_named, check_undo
from seawall.team.parameters import Parameters, find_annotated

INLINE_BYTES = 64 * 1024
"""The most bytes of a result that an agent is shown as a whole, about 16,000 tokens. A longer one is kept by reference."""
MAX_RESULT_BYTES = 16 * 1024 * 1024
"""The most bytes of a result. A longer one is an error, because no agent could use it and the journal would store it."""
PREVIEW_CHARS = 2_000
"""How many characters an agent is shown of a result that is kept by reference."""
MAX_THREADS = 8
"""The default number of threads of a sync tool; further calls wait. A call that never returns holds its thread, but does
not hold the run."""
MAX_ENDPOINT_CHARS = 100
"""The most characters of an endpoint's name, which is part of a key in the journal and a column of a table."""

P = ParamSpec("P", default=...)
"""The parameters of a tool's function."""
R_co = TypeVar("R_co", covariant=True, default=Any)
"""The return type of a tool's function; a coroutine if the function is async."""

_PLAIN = frozenset({bool, int, float, list, dict})


class NotDone(SeawallError):
    """An effect tool raises this error if it failed and did not change the world."""


class ToolFailed(SeawallError):
    """A tool raises this error for an answer that is an error and that another try would not change."""


class Tool(Generic[P, R_co]):
    """A function that agents may call. `@tool` makes one.

    A tool can still be called as the plain function that it wraps, with that function's parameters and result.
    The type of a tool with any signature is `Tool`, which is short for `Tool[..., Any]`. With a `schema` (a JSON schema
    of type object) the arguments are checked against it, and passed on as the model wrote them; this needs the extra
    `schema`. `untrusted`: its results come from an untrusted source, so a claim of permission in them is checked even if
    the tool is an effect, whose receipts are otherwise not checked for claims.

    Raises `Misused` for a function whose parameters can't be sent, for one that yields, and for a class.
    """

    def __init__(
        self,
        function: Callable[P, R_co],
        *,
        name: str | None = None,
        description: str | None = None,
        effect: bool | Effect = False,
        idempotent: bool = False,
        timeout_s: float | None = None,
        retries: int = 0,
        threads: int = MAX_THREADS,
        version: str = "1",
        endpoint: str | None = None,
        poll: bool = False,
        fresh_s: float | None = None,
        volatile: Sequence[str | re.Pattern[str]] = (),
        untrusted: bool = False,
        schema: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(cast("object", endpoint), str | None):
            raise Misused(f"tool {name!r}: endpoint is {endpoint!r}; it must be text")
        self.name: str = name or getattr(function, "__name__", "") or type(function).__name__
        self.function = function
        if not isinstance(cast("object", effect), bool | Effect):
            raise Misused(f"tool {self.name!r}: effect is {effect!r}; it must be True, False or Effect(…)")
        self.options = effect if isinstance(effect, Effect) else Effect()
        """The declaration of the effect."""
        self.declared = isinstance(effect, Effect)
        self.effect = True if self.declared else cast("bool", effect)
        self.idempotent = idempotent or self.options.key_ttl_s is not None
        self.timeout_s = timeout_s
        self.retries = retries
        self.threads = threads
        self.endpoint: str = f"tool:{self.name if endpoint is None else endpoint}"
        self.poll = poll
        self.fresh_s = fresh_s
        self.untrusted = untrusted
        self._check_types(description, version, volatile)
        self.volatile = tuple(volatile)
        self._check_function()
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 -- an object with an async __call__ is a tool too
        )
        self._check_options()
        self._parameters = self._read_parameters(function, schema)
        self.context_parameter = self._parameters.context
        schema = self._parameters.schema
        text = description if description is not None else inspect.getdoc(function) or ""
        self.spec = ToolSpec(self.name, text.strip(), schema)
        meaning: list[Any] = [self.name, text, schema, self.effect]
        if self.declared:
            options = self.options
            meaning += [options.unique_by, options.scope, options.amount, options.currency]
            self._check_declared()
        self.version = f"{self.options.version or version}-{digest_of(meaning)[:8]}"

    def _read_parameters(self, function: Callable[..., Any], schema: dict[str, Any] | None) -> Parameters:
        return Parameters(self.name, function, schema)

    def _check_declared(self) -> None:
        """Raises `Misused` if the declaration of the effect does not fit the tool."""
        what, options, hints = f"tool {self.name!r}", self.options, self._parameters.hints
        names = list(self.spec.parameters.get("properties", {}))
        check_named(what, options, hints, names)
        self._check_beside("preview", options.preview, names if hints is None else list(hints))
        self._check_beside("reconcile", options.reconcile, ["key"], needs=["key"])
        undo = options.undo
        if undo is None:
            return
        if not isinstance(undo, Tool) or not undo.effect:
            raise Misused(f"{what}: undo is {undo!r}; it must be a tool that is an effect")
        check_undo(f"{what}: undo {undo.name!r}", undo.spec.parameters, names)

    def _check_beside(
        self, option: str, function: object, given: Sequence[str], needs: Sequence[str] = ()
    ) -> None:
        """Raises `Misused` for a preview or reconcile function that changes the world or can't be called."""
        if function is None:
            return
        if isinstance(function, Tool):
            if function.effect:
                raise Misused(f"tool {self.name!r}: {option} is {function!r}; it must change nothing")
            function = cast("object", function.function)
        check_function(f"tool {self.name!r}: {option}", function, given, needs)

    def _check_function(self) -> None:
        """Raises `Misused` for a class, a generator, and other callables whose call does not return a result."""
        called = find_annotated(self.function) if callable(self.function) else None
        if called is None or inspect.isclass(self.function):
            kind = "a class" if inspect.isclass(self.function) else repr(self.function)
            raise Misused(
                f"tool {self.name!r}: it is {kind}; a tool is a function, a method or an object with __call__"
            )
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            raise Misused(
                f"tool {self.name!r}: it is a generator (it has `yield`); return a list, or a text, instead"
            )

    def _check_types(self, description: object, version: object, volatile: object) -> None:
        """Raises `Misused` for an option of a wrong type."""
        for what, text in (("name", self.name), ("description", description), ("version", version)):
            if text is not None and not isinstance(text, str):
                raise Misused(f"tool {self.name!r}: {what} is {text!r}; it must be text")
        for what, number in (("timeout_s", self.timeout_s), ("fresh_s", self.fresh_s)):
            if isinstance(number, bool) or not isinstance(cast("object", number), int | float | None):
                raise Misused(f"tool {self.name!r}: {what} is {number!r}; it must be a number of seconds")
        for what, count in (("retries", self.retries), ("threads", self.threads)):
            if isinstance(count, bool) or not isinstance(cast("object", count), int):
                raise Misused(f"tool {self.name!r}: {what} is {count!r}; it must be a whole number")
        for what in ("idempotent", "poll", "untrusted"):
            if not isinstance(getattr(self, what), bool):
                raise Misused(
                    f"tool {self.name!r}: {what} is {getattr(self, what)!r}; it must be True or False"
                )
        if isinstance(volatile, str) or not isinstance(volatile, Sequence):
            raise Misused(f"tool {self.name!r}: volatile is {volatile!r}; it must be a list")
        for each in cast("Sequence[object]", volatile):
            if not isinstance(getattr(each, "pattern", each), str):
                raise Misused(
                    f"tool {self.name!r}: volatile has {each!r} in it; it takes names and patterns of text"
                )

    def _check_name(self) -> None:
        if not self.name.isidentifier() and not self.name.replace("-", "_").isidentifier():
            raise Misused(f"tool name {self.name!r} is not an identifier: give it one with @tool(name=...)")

    def _check_options(self) -> None:
        self._check_name()
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
        if self.threads != MAX_THREADS and self.is_async:
            raise Misused(
                f"tool {self.name!r}: threads is for sync tools, and this one is async; bound its calls with "
                f"Seawall(endpoints={{{self.endpoint!r}: EndpointOptions(at_once={self.threads})}})"
            )
        if not 0 < len(self.endpoint.removeprefix("tool:").strip()) <= MAX_ENDPOINT_CHARS:
            raise Misused(
                f"tool {self.name!r}: endpoint is {self.endpoint.removeprefix('tool:')!r}; "
                f"it must be a name of at most {MAX_ENDPOINT_CHARS} characters"
            )
        if self.poll and self.effect:
            raise Misused(f"tool {self.name!r}: poll=True is for reads, and this tool is an effect")
        if self.fresh_s is not None and (self.effect or self.poll or not self.fresh_s > 0):
            what = "an effect" if self.effect else "a poll" if self.poll else f"{self.fresh_s}"
            raise Misused(f"tool {self.name!r}: fresh_s is for reads and above zero (this is {what})")

    def __repr__(self) -> str:
        return f"<Tool {self.name} {'effect' if self.effect else 'read'} v{self.version}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the plain function."""
        return self.function(*args, **kwargs)

    def has_version(self, version: str) -> bool:
        """Returns whether a recorded version has the `version` that the tool declares today; its text may have changed."""
        return version.rpartition("-")[0] == self.version.rpartition("-")[0]

    def validate_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Returns keyword arguments for the function. Raises `ValueError`, which tells the model what is wrong."""
        return self._parameters.validate(arguments)

    def encode_arguments(self, arguments: dict[str, Any]) -> str:
        """Returns the arguments that are performed, as canonical JSON with all defaults. Raises `ValueError`."""
        return self._parameters.encode(arguments)

    def conceal_arguments(self, text: str) -> str:
        """Returns encoded arguments without the contents of pydantic's secrets, so that they may be stored."""
        return self._parameters.conceal(text)

    def read_facts(self, values: dict[str, Any]) -> EffectFacts | None:
        """Returns the facts of an effect with these validated values. Raises `ValueError` if they can't be determined."""
        if not self.declared:
            return None
        options = self.options
        return EffectFacts(
            values=tuple([write_value(name, _find_value(values, name)) for name in options.unique_by]),
            scope=options.scope,
            amount=self._read_amount(values),
            rules=options.rules,
            confirm=options.confirm,
            detached=options.detached,
            key_ttl_s=options.key_ttl_s if options.key_ttl_s is not None or not self.idempotent else math.inf,
            has_preview=options.preview is not None,
        )

    def _read_amount(self, values: dict[str, Any]) -> Money | None:
        name = self.options.amount
        value = None if name is None else _find_value(values, name)
        if value is None or isinstance(value, Money):
            return value
        try:
            if isinstance(value, Mapping):  # from a tool with a JSON schema
                return Money.read(cast("object", value))
            if self.options.currency is None:
                raise ValueError(f"{value!r} has no currency")
            return Money(value, self.options.currency)
        except (Misused, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None

    def encode_result(self, value: object) -> str | bytes:
        """Returns a result in its recorded form. Raises `TypeError` or `ValueError` if it can't be recorded."""
        if isinstance(value, Iterator | AsyncIterator):
            kind = type(cast("object", value)).__name__
            raise TypeError(
                f"tool {self.name!r} returned {kind}, whose items are not made yet; return a list"
            )
        if value is None and not self._parameters.may_return_none:
            raise ValueError(f"tool {self.name!r} returned None, which its annotation does not allow")
        encoded = encode(value, f"tool {self.name!r}")
        size = measure_bytes(encoded)
        if size > MAX_RESULT_BYTES:
            raise ValueError(f"tool {self.name!r} returned {size:,} bytes (limit {MAX_RESULT_BYTES:,})")
        return encoded


def get_plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that a tool wraps, or any other function unchanged.

    So a tool that reads can be another tool's preview or reconcile function.
    """
    return function.function if isinstance(function, Tool) else function


def _find_value(values: dict[str, Any], path: str) -> Any:
    """Returns the value of a parameter or, with dots in `path`, of a field in it; None if the value above it is None.

    Raises `ValueError` for a missing field, because two calls without it are not the same effect.
    """
    name, *fields = path.split(".")
    found: Any = values.get(name)
    for field in fields:
        if found is None:
            return None
        try:
            if isinstance(found, Mapping):
                found = cast("Mapping[str, Any]", found)[field]
            else:
                found = getattr(cast("object", found), field)
        except (KeyError, AttributeError):
            raise ValueError(f"{path}: there is no {field!r}") from None
    return found


def encode(value: object, what: str) -> str | bytes:
    """Returns text and bytes unchanged, and any other value as JSON. Raises `TypeError` if the value has no JSON form."""
    if isinstance(value, str):  # a subclass may override anything, even its length
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return value if type(value) is bytes else b"".join((value,))
    try:
        if value is None or type(value) in _PLAIN:
            return encode_in_pieces(value, _encode_plain)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        pass  # the value has a part that only pydantic can encode
    try:
        return to_json(value, bytes_mode="base64", inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            return json.dumps(value, allow_nan=False)  # the value has lone surrogates, which this escapes
        raise TypeError(f"{what} returned a {type(value).__name__} that is not JSON: {error}") from None


def _encode_plain(value: object) -> str:
    text = encode_canonical(value)
    # JSON has no NaN, and the encoder above writes null instead, which has another meaning.
    named = to_json(value, inf_nan_mode="strings").decode() if "null" in text else ""
    return named if '"NaN"' in named or 'Infinity"' in named else text


def encode_canonical(value: object) -> str:
    """Returns JSON text with sorted keys."""
    return to_canonical_bytes(value).decode()


def make_adapter(output: Any) -> TypeAdapter[Any]:
    """Returns the validator of an agent's structured answer. Raises `Misused` if `output` is not a type with a schema."""
    if inspect.isroutine(output) or isinstance(output, functools.partial):
        raise Misused(f"output is {output!r}; it must be a type")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(output)
        adapter.json_schema()
    except Exception as error:
        raise Misused(f"output type {output!r} has no schema: {error}") from error
    return adapter


@overload
def tool(function: Callable[P, R_co], /) -> Tool[P, R_co]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: bool | Effect = False,
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
    effect: bool | Effect = False,
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
    """Makes a tool of a function, sync or async. The function's docstring is the description that the model reads.

    `effect`: the tool changes the world; `Effect(…)` declares more. Seawall never repeats an attempt of unknown fate by
    itself.
    `idempotent`: an effect that honours `ToolContext.key`, so Seawall may attempt it again after a crash.
    `timeout_s`: seconds for one call, including its wait for a thread. `retries`: further tries after the tool
    raised (for reads and idempotent effects), or did not answer in time (for reads). `threads`: concurrent calls of a
    sync tool, over all runs of a team in this process. `version`: raise it when the tool's meaning changes.

    `endpoint`: the name of the service that the tool calls, if several tools call the same one (`"bank"`); by default
    the tool's own name. When too many calls of an endpoint fail or are slow, its breaker opens, and its tools are not
    called for a while. A tool that raises a `Broken`, a connection error, a time-out or a status of 429 or 5xx
    reports that the service is broken; any other error, such as `LookupError("no such order")`, is the tool's answer.

    `poll`: the agent calls the tool until something has happened, so equal results are not a loop; the guard `Loops`
    spaces the calls out and has a cap of its own for them. `fresh_s`: for that many active seconds an equal call is
    answered with the known result, if nothing was written since. `volatile`: the parts of the results that differ
    each time and mean nothing, as names of JSON fields or compiled patterns; clocks, durations, ids of requests and
    similar parts are known already.

    A sync call that never returns holds its thread as long as the process lives. Once all of a tool's threads are
    held, its calls fail after `timeout_s` without having been made; without `timeout_s` they wait until their run is
    out of time. So a sync tool should also set its client's own time-out. An `async` tool runs on the event loop. If
    it blocks there (`time.sleep`, a sync client), it stops every run of the process, and no limit can end it: write
    such a tool as a plain `def`.

    Raises `Misused` for a parameter without an annotation and for options that contradict each other.
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
