"""Agents: a name, a role, a model, a prompt and tools. An agent is a definition and does nothing by itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypedDict, Unpack, cast, overload

from seawall.core.canonical import check_recordable, digest_of
from seawall.core.errors import Misused
from seawall.core.limits import Limits, validate_limits
from seawall.memory.options import Memory
from seawall.models.protocol import Model, ToolSpec
from seawall.models.usage import MAX_TOKENS
from seawall.run.outcome import Output_co
from seawall.team.context_options import Context, check_context
from seawall.team.tool import Tool, make_adapter, tool

ANSWER_TOOL = "final_answer"
"""The tool that an agent with an `output` type calls to answer."""
READ_RESULT = "read_result"
"""The tool with which an agent reads again what was shortened in its context."""
ASK_PREFIX = "ask_"
"""The prefix of the tool with which an agent hands work over; a colleague's name follows it."""
MAX_OUTPUT_TOKENS = 4096
"""Tokens that are reserved for each reply: the providers' default for most models."""


_SETTING_PLACES = {
    "max_tokens": "Agent(max_output_tokens=…)",
    "temperature": "Agent(temperature=…)",
    "timeout": "Limits(active_s=…), whose rest is each call's time limit",
    "request_timeout": "Limits(active_s=…), whose rest is each call's time limit",
    "max_retries": "Agent(retries=…)",
}
"""Where Seawall sets the same option, by the name of a provider's setting."""


class AgentOptions(TypedDict, total=False):
    """The options of `Agent` besides name, role, model and output. The docstring of `Agent` explains them."""

    instructions: str | None
    tools: Sequence[Tool | Callable[..., Any]]
    asks: Sequence[str] | None
    max_output_tokens: int
    temperature: float | None
    settings: Mapping[str, Any] | None
    retries: int
    optional: bool
    memory: Memory | None
    context: Context | None
    limits: Limits | None


class Agent(Generic[Output_co]):
    """One agent: a name, a role, a model, tools.

    `instructions` is the whole system prompt; by default it is made of the name and the role.
    `asks` names the colleagues that the agent may hand work to; by default a coordinator may ask every specialist.
    `output` is a pydantic model or any other type with a schema: the final answer is then of that type. An agent is
    an `Agent[Order]` if its `output` is the class `Order`, and an `Agent[None]` without one.
    `retries`: further tries of a model call whose failure may be temporary.
    `optional`: when time gets short, the agent is skipped, and its caller gets a result that says so (see `Planner`).
    `memory`: what the agent may read and write of memory, which outlives runs; it gets the tools `remember`, `recall` and
    `forget` for that.
    `context`: the budget of its context; the team's budget by default.
    `limits`: what its own steps may take in one run, in all hand-offs to it and reviews by it together, within the limits of
    the run. Once a limit is used up, the agent answers with what it has found, and its caller goes on. The active seconds of
    a coordinator pass from the start of the run.
    Raises `Misused` for a name that is not an identifier, two tools of one name, and an option that is out of range or
    of a wrong type.
    """

    @overload
    def __init__(
        self: Agent[None],
        name: str,
        role: str = "",
        *,
        model: Model | str,
        output: None = None,
        **options: Unpack[AgentOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        name: str,
        role: str = "",
        *,
        model: Model | str,
        output: type[Output_co],
        **options: Unpack[AgentOptions],
    ) -> None: ...

    @overload  # a type that is not a class, such as `Order | None`: the output is `Any` for type checkers
    def __init__(
        self,
        name: str,
        role: str = "",
        *,
        model: Model | str,
        output: Any,
        **options: Unpack[AgentOptions],
    ) -> None: ...

    def __init__(
        self,
        name: str,
        role: str = "",
        *,
        model: Model | str,
        instructions: str | None = None,
        tools: Sequence[Tool | Callable[..., Any]] = (),
        asks: Sequence[str] | None = None,
        output: Any = None,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        temperature: float | None = None,
        settings: Mapping[str, Any] | None = None,
        retries: int = 2,
        optional: bool = False,
        memory: Memory | None = None,
        context: Context | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not isinstance(cast("object", name), str) or not name.replace("-", "_").isidentifier():
            raise Misused(f"agent name {name!r} is not an identifier (letters, digits, _ and -)")
        if inspect.isclass(model):
            raise Misused(f"agent {name!r}: model is {model!r}; give an instance of the class")
        if not _is_model(model):
            raise Misused(
                f"agent {name!r}: model is {model!r}; it must be a name such as 'openai:gpt-5.2', or a Model"
            )
        check_recordable(**{f"agent {name!r}: role": role, f"agent {name!r}: instructions": instructions})
        check_items(f"agent {name!r}: tools", tools)
        check_items(f"agent {name!r}: asks", asks or ())
        for what, number in (("max_output_tokens", max_output_tokens), ("retries", retries)):
            _check_whole(f"agent {name!r}: {what}", number)
        if not 1 <= max_output_tokens <= MAX_TOKENS:
            raise Misused(
                f"agent {name!r}: max_output_tokens is {max_output_tokens}; it must be at least 1, "
                f"and at most {MAX_TOKENS:,}"
            )
        if retries < 0:
            raise Misused(f"agent {name!r}: retries is {retries}; it must be zero or more")
        _check_flag(f"agent {name!r}: optional", optional)
        _check_memory(name, memory)
        _check_request_options(name, model, temperature, settings)
        self.name = name
        self.role = role
        self.model = model
        self.instructions = instructions if instructions is not None else _make_prompt(name, role)
        self.tools = tuple(_make_tool(item) for item in tools)
        self.asks = None if asks is None else tuple(asks)
        self.output = output
        self.adapter = None if output is None or output is str else make_adapter(output)
        self.max_output_tokens = max_output_tokens
        self.temperature = temperature
        self.settings = dict(settings or {})
        self.retries = retries
        self.optional = optional
        self.memory = memory
        self.context = check_context(f"agent {name!r}", context)
        self.limits = None if limits is None else validate_limits(limits)
        self._check_tool_names()

    def _check_tool_names(self) -> None:
        names = [item.name for item in self.tools]
        for one in names:
            if names.count(one) > 1:
                raise Misused(f"agent {self.name!r} has two tools of the name {one!r}")
            if one == READ_RESULT:
                raise Misused(f"agent {self.name!r}: reading results again uses the tool name {one!r}")
            if one == ANSWER_TOOL and self.adapter is not None:
                raise Misused(f"agent {self.name!r}: its structured answer uses the tool name {one!r}")

    def __repr__(self) -> str:
        return f"<Agent {self.name} {self.model_name} {len(self.tools)} tools>"

    @property
    def model_name(self) -> str:
        """The model's name, as it is recorded."""
        return self.model if isinstance(self.model, str) else self.model.name

    @property
    def answer_spec(self) -> ToolSpec | None:
        """The tool that the agent calls to give a structured answer; None without an `output` type."""
        if self.adapter is None:
            return None
        schema = self.adapter.json_schema()
        if schema.get("type") != "object":  # providers accept only objects
            schema = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
        return ToolSpec(
            ANSWER_TOOL, "Give the final answer. Call it alone, once everything is known.", schema
        )

    def make_version(self, asks: Sequence[str], memory: str = "") -> str:
        """Returns the fingerprint of prompt, model, tools, the agents that this one may ask, and its `memory`."""
        parts = [self.instructions, self.model_name, [item.version for item in self.tools], list(asks)]
        parts += [memory] if memory else []
        return digest_of(parts)[:12]


def _check_request_options(
    name: str, model: Model | str, temperature: object, settings: Mapping[str, Any] | None
) -> None:
    """Raises `Misused` for options that can't be sent, and for a provider's settings that Seawall sets elsewhere."""
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if temperature is not None and not (number and math.isfinite(cast("float", temperature))):
        raise Misused(f"agent {name!r}: temperature is {temperature!r}; it must be a finite number")
    if not isinstance(cast("object", settings), Mapping | None):
        raise Misused(f"agent {name!r}: settings is {settings!r}; it must map names to values")
    for setting in settings or () if isinstance(model, str) else ():
        if place := _SETTING_PLACES.get(setting):
            raise Misused(f"agent {name!r}: settings[{setting!r}] has no use: give {place}")


def _make_tool(given: Tool | Callable[..., Any]) -> Tool:
    return cast("Tool", given) if isinstance(given, Tool) else tool(given)


def _is_model(model: object) -> bool:
    return isinstance(model, str) or callable(getattr(model, "respond", None))


def check_items(what: str, given: object, kind: type | tuple[type, ...] = object) -> None:
    """Raises `Misused` unless `given` is a sequence of `kind`. Neither a single item nor a text is a sequence."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise Misused(f"{what} is {given!r}; it must be a list")
    for item in cast("Sequence[object]", given):
        if not isinstance(item, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            articles = ("an" if each.__name__[0] in "AEIOU" else "a" for each in kinds)
            names = " or ".join(f"{an} {each.__name__}" for an, each in zip(articles, kinds, strict=True))
            raise Misused(f"{what} has {item!r} in it, which is not {names}")


def _check_whole(what: str, given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, int):
        raise Misused(f"{what} is {given!r}; it must be a whole number")


def _check_flag(what: str, given: object) -> None:
    """Raises `Misused` unless `given` is a bool, because Python would take `"no"` for true."""
    if not isinstance(given, bool):
        raise Misused(f"{what} is {given!r}; it must be True or False")


def _check_memory(name: str, memory: object) -> None:
    if not isinstance(memory, Memory | None):
        raise Misused(f"agent {name!r}: memory is {memory!r}; it must be Memory(…)")


def _make_prompt(name: str, role: str) -> str:
    return f"You are {name}. {role}".strip()
