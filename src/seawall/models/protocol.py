"""The protocol of a model: it takes one request, returns one complete reply, and retries nothing.

A reply without a finish marker is a failure: `ModelFailed("incomplete", …)`. Otherwise a chat stream that ends
cleanly in the middle of a tool call would be read as a half-written call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec

from seawall.core.errors import Broken, Misused

Finish = Literal["stop", "tool_calls", "length", "content_filter"]
FailureKind = Literal[
    "rate_limited",  # 429: may be retried, after `retry_after_s` if given
    "spend_limit",  # 429 or 402 for money: never retried
    "overloaded",  # 5xx, 529: may be retried
    "unreachable",  # connection refused, reset, timed out: may be retried
    "incomplete",  # no finish marker, or an error event inside a 200 stream: may be retried
    "malformed",  # not the protocol: bad JSON, an oversized line: may be retried
    "context_too_long",  # the conversation does not fit into the model's context: never retried unchanged
    "rejected",  # 4xx: the request is wrong, or the key is; never retried
    "timeout",  # no reply in the time that was given
]
_RETRYABLE: frozenset[FailureKind] = frozenset(
    {"rate_limited", "overloaded", "unreachable", "incomplete", "malformed"}
)


_BEFORE_ANY_WORK: frozenset[FailureKind] = frozenset(
    {"rate_limited", "spend_limit", "overloaded", "unreachable", "context_too_long", "rejected"}
)


class ModelFailed(Broken):
    """A model call that returned no complete reply. `kind` says why, `retryable` whether another try may succeed.

    `began`: the reply had begun before it failed.
    """

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after_s: float | None = None, began: bool = False
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s
        self.began = began

    @property
    def charged(self) -> bool:
        """Whether the provider may charge for the call. It charges nothing for a call that it rejected before any work."""
        return self.began or self.kind not in _BEFORE_ANY_WORK

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed when it is made again."""
        return self.kind in _RETRYABLE


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model requests; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class System(msgspec.Struct, frozen=True, tag="system", tag_field="role"):
    """Instructions."""

    content: str

    @property
    def role(self) -> Literal["system"]:
        """Who speaks."""
        return "system"


class User(msgspec.Struct, frozen=True, tag="user", tag_field="role"):
    """A person's request or, for a specialist, the task that was handed to it."""

    content: str

    @property
    def role(self) -> Literal["user"]:
        """Who speaks."""
        return "user"


class Reasoning(msgspec.Struct, frozen=True):
    """What a model's server needs in later requests beside text and calls: thoughts, their signatures, and item ids.

    It is sent back unchanged, and only to the server that it came from. No other part of Seawall reads it.
    """

    origin: str
    """The model and the host that sent it."""
    parts: str
    """The parts of the message in their order, as JSON text; the client that wrote it reads it."""


class Assistant(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    tag="assistant",
    tag_field="role",
):
    """The model's message: text, calls, or both."""

    content: str | None = None
    calls: tuple[ToolCall, ...] = ()
    reasoning: Reasoning | None = None
    """Reasoning is recorded apart from the message, so that no index, guard, answer or other agent reads it."""

    @property
    def role(self) -> Literal["assistant"]:
        """Who speaks."""
        return "assistant"


class ToolResult(msgspec.Struct, frozen=True, tag="tool", tag_field="role"):
    """The result of one call, as it is sent to the model."""

    call_id: str
    name: str
    content: str

    @property
    def role(self) -> Literal["tool"]:
        """Who speaks."""
        return "tool"


Message = System | User | Assistant | ToolResult


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Usage(msgspec.Struct, frozen=True):
    """Tokens that the provider counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    problem: str = ""
    """Why the count can't be true, if the client found a reason. The call is then booked at its upper bound."""
    cache_read_tokens: int = 0
    """Of the input tokens: those that the provider read from its cache."""
    cache_write_tokens: int = 0
    """Of the input tokens: those that the provider wrote to its cache."""


MAX_USD_PER_MTOK = 1_000_000_000
"""The highest price in US dollars for a million tokens; the most expensive models cost some hundreds."""
MAX_USD_DECIMALS = 48
"""The most decimals of one token's price, which is as many as accounts hold. A binary fraction has up to 34."""


class Price(msgspec.Struct, frozen=True):
    """US dollars for a million tokens: `Price("1.25", 10)`, or `Price("1.25", 10, "0.125")` with a price of cached input.

    Input that the provider reads from its cache, or writes to it, costs as much as other input if its price is None.
    A number or text becomes a decimal as it is written. Raises `Misused` for a value that is not a number, is below
    zero, or is larger or finer than accounts hold.
    """

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None

    if TYPE_CHECKING:  # the constructor accepts more types than the fields hold

        def __init__(
            self,
            input_usd_per_mtok: Decimal | float | str,
            output_usd_per_mtok: Decimal | float | str,
            cache_read_usd_per_mtok: Decimal | float | str | None = None,
            cache_write_usd_per_mtok: Decimal | float | str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Converts the given values to decimals: money is never a binary fraction."""
        for name in self.__struct_fields__:
            given: object = getattr(self, name)
            if given is None and name.startswith("cache"):
                continue
            try:
                value = given if isinstance(given, Decimal) else Decimal(str(given))
            except InvalidOperation:
                raise Misused(f"Price: {name} is {given!r}; it must be a number") from None
            if not value.is_finite() or value < 0:
                raise Misused(f"Price: {name} is {given!r}; it must be zero or more, and finite")
            exponent = (value / 1_000_000).as_tuple().exponent
            if value > MAX_USD_PER_MTOK or (value and int(exponent) < -MAX_USD_DECIMALS):
                raise Misused(
                    f"Price: {name} is {given!r}; it must be at most {MAX_USD_PER_MTOK:,}, and a token's price "
                    f"must have at most {MAX_USD_DECIMALS} decimals"
                )
            if value is not given:
                msgspec.structs.force_setattr(self, name, value)

    def usd(self, usage: Usage) -> Decimal:
        """Returns the cost of `usage` in US dollars."""
        usd = self.input_usd_per_mtok * usage.input_tokens + self.output_usd_per_mtok * usage.output_tokens
        if usage.cache_read_tokens and self.cache_read_usd_per_mtok is not None:
            usd += (self.cache_read_usd_per_mtok - self.input_usd_per_mtok) * usage.cache_read_tokens
        if usage.cache_write_tokens and self.cache_write_usd_per_mtok is not None:
            usd += (self.cache_write_usd_per_mtok - self.input_usd_per_mtok) * usage.cache_write_tokens
        return usd / 1_000_000


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a model call depends on."""

    messages: Sequence[Message]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096
    temperature: float | None = None
    timeout_s: float | None = None
    """Seconds that the run has left. The run ends the call by then, even if the client does not."""
    settings: Mapping[str, Any] = {}


class ModelReply(msgspec.Struct, frozen=True, kw_only=True):
    """One complete reply."""

    message: Assistant
    usage: Usage = Usage()
    finish: Finish = "stop"


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """A piece of the reply's text as it is streamed. Nothing checks or records it.

    An empty piece means that the reply goes on without text: the model reasons, or writes a call.
    """

    text: str


@runtime_checkable
class Model(Protocol):
    """A model that an agent can use. Implementations retry nothing, and change nothing in a request: its settings and the
    schemas of its tools are those of the agent, and later requests have the same ones.

    `name` is shown and recorded; `price` is None if it is not known.
    """

    @property
    def name(self) -> str:
        """The name that is shown and recorded, for example `openai:gpt-5.2`."""
        ...

    @property
    def price(self) -> Price | None:
        """The price, or None if it is not known."""
        ...

    async def respond(self, request: ModelRequest) -> ModelReply:
        """Returns one complete reply. Raises `ModelFailed`."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yields the reply's text in pieces, then the whole reply as the last item. Raises `ModelFailed`."""
        ...
