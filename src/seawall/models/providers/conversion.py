"""Converts Seawall's messages to those of pydantic-ai and back, without losing or changing a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as ProviderRequest
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from seawall.core.errors import Misused
from seawall.models.protocol import (
    Assistant,
    Finish,
    Message,
    ModelFailed,
    ModelReply,
    ModelRequest,
    System,
    ToolCall,
    ToolSpec,
    Usage,
    User,
)
from seawall.models.providers.finish_markers import judge_marker
from seawall.models.providers.normalizers import Normalizer

_KEPT_MESSAGES = 8192  # converted messages kept for the next request; enough for several long conversations
KEPT_CHARS = 32 * 1024 * 1024
"""Characters of the messages that are kept: eight full contexts of a million tokens."""
MaxTokensField = Literal["max_completion_tokens", "max_tokens", "both"]
"""Under which name a server of chat completions is given the longest reply."""
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_OUR_SETTINGS = {
    "max_tokens": "ModelRequest.max_output_tokens",
    "temperature": "ModelRequest.temperature",
    "timeout": "ModelRequest.timeout_s",
    "request_timeout": "ModelRequest.timeout_s",
    "max_retries": "the step's retry policy; a client's own retries stay off",
}


class ExactCall(ToolCallPart):
    """A call whose arguments are sent back as the model wrote them; the library would encode the JSON again."""

    def args_as_json_str(self) -> str:
        """Returns the arguments, byte for byte."""
        return self.args if isinstance(self.args, str) else super().args_as_json_str()


class Conversion:
    """Converts requests. It converts each message object once."""

    def __init__(self, max_tokens_field: MaxTokensField | None = None) -> None:
        self._max_tokens_field = max_tokens_field
        self._parts: dict[int, tuple[Message, ModelRequestPart | ModelResponse]] = {}
        self._chars = 0
        self._tools: tuple[tuple[ToolSpec, ...], list[ToolDefinition]] = ((), [])

    def __repr__(self) -> str:
        return (
            f"<Conversion {len(self._parts)}/{_KEPT_MESSAGES} messages, {self._chars:,}/{KEPT_CHARS:,} chars>"
        )

    def convert_messages(self, given: Sequence[Message]) -> list[ModelMessage]:
        """Returns the message list; everything between two messages of the assistant becomes one request."""
        made: list[ModelMessage] = []
        parts: list[ModelRequestPart] = []
        kept = self._parts
        for message in given:
            found = kept.get(id(message))
            if found is None:
                self._chars += _count_chars(message)
                if len(kept) >= _KEPT_MESSAGES or self._chars > KEPT_CHARS:
                    kept.clear()
                    self._chars = _count_chars(message)
                # The message is kept too, so that no other object gets its id.
                found = kept[id(message)] = (message, _convert_message(message))
            part = found[1]
            if isinstance(part, ModelResponse):
                if parts:
                    made.append(ProviderRequest(parts=parts))
                    parts = []
                made.append(part)
            else:
                parts.append(part)
        if parts:
            made.append(ProviderRequest(parts=parts))
        return made

    def convert_tools(self, tools: tuple[ToolSpec, ...]) -> ModelRequestParameters:
        """Returns the tools, with their schemas unchanged."""
        if self._tools[0] is not tools:
            made = [
                ToolDefinition(
                    name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
                )
                for tool in tools
            ]
            self._tools = (tools, made)
        return ModelRequestParameters(function_tools=list(self._tools[1]))

    def convert_settings(self, request: ModelRequest) -> ModelSettings:
        """Returns every setting of the request. Raises `Misused` for one that Seawall sets elsewhere."""
        made: dict[str, Any] = dict(request.settings)
        for name, place in _OUR_SETTINGS.items():
            if name in made:
                raise Misused(f"settings[{name!r}] = {made[name]!r} is not used: see {place}")
        self._set_cap(made, request.max_output_tokens)
        if request.temperature is not None:
            made["temperature"] = request.temperature
        return ModelSettings(**made)  # names that it does not declare are passed on to the provider

    def _set_cap(self, made: dict[str, Any], tokens: int) -> None:
        """Sets the longest reply under the names that the server takes."""
        extra: object = made.get("extra_body")
        given = cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}
        for name in _CAPS:
            if name in given:
                raise Misused(
                    f"settings['extra_body'][{name!r}] = {given[name]!r} is not used: see"
                    " ModelRequest.max_output_tokens, and resolve(…, max_tokens_field=…) for the name that is sent"
                )
        if self._max_tokens_field in (None, "max_completion_tokens", "both"):
            made["max_tokens"] = tokens
        if self._max_tokens_field in ("max_tokens", "both"):
            made["extra_body"] = {**given, "max_tokens": tokens}


def _count_chars(message: Message) -> int:
    calls = message.calls if isinstance(message, Assistant) else ()
    return len(message.content or "") + sum(len(one.arguments) for one in calls)


def _convert_message(message: Message) -> ModelRequestPart | ModelResponse:
    if isinstance(message, Assistant):
        parts: list[TextPart | ToolCallPart] = []
        if message.content is not None:
            parts.append(TextPart(message.content))
        parts.extend(ExactCall(one.name, one.arguments, one.id) for one in message.calls)
        return ModelResponse(parts=parts)
    if isinstance(message, User):
        return UserPromptPart(message.content)
    if isinstance(message, System):
        return SystemPromptPart(message.content)
    return ToolReturnPart(message.name, message.content, message.call_id)


def read_response(name: str, response: ModelResponse, wire: Normalizer) -> ModelReply:
    """Returns the complete reply; `wire` read it as it came. Raises `ModelFailed` for one that is not complete."""
    marker = wire.finish.marker
    if marker is None and response.finish_reason == "content_filter":
        marker = "content_filter"  # Azure refuses the prompt with a status of 400
    if marker is None:
        raise ModelFailed("incomplete", f"model {name!r} ended its reply without a finish marker")
    meaning = judge_marker(marker)
    if meaning == "unknown":
        raise ModelFailed(
            "incomplete", f"model {name!r} did not finish its reply: it stopped with {marker!r}"
        )
    if meaning == "context_too_long":
        text = f"model {name!r} came to the end of its context in the middle of its reply ({marker!r})"
        raise ModelFailed("context_too_long", text, began=True)
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    made = tuple(
        ToolCall(part.tool_call_id, part.tool_name, _read_arguments(part))
        for part in response.parts
        if isinstance(part, ToolCallPart)
    )
    finish: Finish = ("tool_calls" if made else "stop") if meaning == "finished" else meaning
    if finish == "length" and made:
        raise ModelFailed(
            "incomplete", f"model {name!r} reached its output limit in the middle of a tool call"
        )
    return ModelReply(
        message=Assistant("".join(texts) if texts else None, made),
        usage=Usage(response.usage.input_tokens, response.usage.output_tokens, wire.usage.problem),
        finish=finish,
    )


def _read_arguments(part: ToolCallPart) -> str:
    """Returns JSON text as the model wrote it; if the protocol has an object instead of text, its compact form."""
    if isinstance(part.args, str):
        return part.args or "{}"
    return part.args_as_json_str()
