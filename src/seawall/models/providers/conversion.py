"""Converts Seawall's messages to those of pydantic-ai and back, without losing or changing a character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
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
    ToolResult,
    ToolSpec,
    Usage,
    User,
)
from seawall.models.providers.finish_markers import judge_marker
from seawall.models.providers.history import NO_TOOLS, History, Names
from seawall.models.providers.normalizers import Normalizer
from seawall.models.providers.reasoning import lacks_thoughts, read_ids, record_reasoning, restore_parts
from seawall.models.providers.wire_rules import CHAT, WireRules

NO_MORE_TOOLS = (NO_TOOLS,)

_KEPT_MESSAGES = 8192  # converted messages kept for the next request; enough for several long conversations
KEPT_CHARS = 32 * 1024 * 1024
"""Characters of the messages that are kept: eight full contexts of a million tokens."""
MaxTokensField = Literal["max_completion_tokens", "max_tokens", "both"]
"""The name of the field that limits the length of a reply in a request to a server of chat completions."""
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
    """Converts requests, repaired by the rules of the protocol. It converts each message object once.

    `origin` is the model and the host that the request is sent to, `system` the client's name for the provider.
    """

    def __init__(
        self,
        rules: WireRules = CHAT,
        origin: str = "",
        system: str = "openai",
        *,
        max_tokens_field: MaxTokensField | None = None,
    ) -> None:
        self._max_tokens_field = max_tokens_field
        self._rules = rules
        self._system = system
        self._history = History(rules, origin, read_ids)
        self._parts: dict[int, tuple[Message, ModelRequestPart | ModelResponse]] = {}
        self._chars = 0
        self._tools: tuple[tuple[ToolSpec, ...], list[ToolDefinition]] = ((), [])

    def __repr__(self) -> str:
        return (
            f"<Conversion {len(self._parts)}/{_KEPT_MESSAGES} messages, {self._chars:,}/{KEPT_CHARS:,} chars>"
        )

    def convert_messages(self, given: Sequence[Message], names: Names | None = None) -> list[ModelMessage]:
        """Returns the message list; all messages between two messages of the assistant become one request.

        `names` are the names of this request's tools, as they are sent.
        """
        made: list[ModelMessage] = []
        parts: list[ModelRequestPart] = []
        kept = self._parts
        for message in self._history.repair(given, names or self.name_tools(())):
            found = kept.get(id(message))
            if found is None:
                self._chars += _count_chars(message)
                if len(kept) >= _KEPT_MESSAGES or self._chars > KEPT_CHARS:
                    kept.clear()
                    self._chars = _count_chars(message)
                # The message is kept too, so that no other object gets its id.
                found = kept[id(message)] = (message, self._convert_message(message))
            part = found[1]
            if isinstance(part, ModelResponse):
                if parts:
                    made.append(ProviderRequest(parts=parts))
                    parts = []
                if self._rules.joins_neighbours and made and isinstance(made[-1], ModelResponse):
                    part = replace(part, parts=[*made.pop().parts, *part.parts])
                made.append(part)
            elif self._rules.joins_neighbours and parts and isinstance(part, UserPromptPart):
                _add_request(parts, part)
            else:
                parts.append(part)
        if parts:
            made.append(ProviderRequest(parts=parts))
        return made

    def name_tools(self, tools: tuple[ToolSpec, ...]) -> Names:
        """Returns the names of a request's tools, as they are sent."""
        return Names(self._rules, tools)

    def offer_tools(self, request: ModelRequest) -> tuple[ToolSpec, ...]:
        """Returns the tools of a request. If the servers require tools for calls in the history, returns a placeholder."""
        has_calls = any(
            isinstance(each, ToolResult) or (isinstance(each, Assistant) and each.calls)
            for each in request.messages
        )
        return (
            NO_MORE_TOOLS
            if self._rules.tools_for_calls and not request.tools and has_calls
            else request.tools
        )

    def convert_tools(
        self, tools: tuple[ToolSpec, ...], names: Names | None = None
    ) -> ModelRequestParameters:
        """Returns the tools, with their schemas unchanged."""
        if self._tools[0] is not tools:
            made = [
                ToolDefinition(
                    name=names.send(tool.name) if names else tool.name,
                    description=tool.description,
                    parameters_json_schema=tool.parameters,
                )
                for tool in tools
            ]
            self._tools = (tools, made)
        return ModelRequestParameters(function_tools=list(self._tools[1]))

    def convert_settings(self, request: ModelRequest, messages: Sequence[ModelMessage] = ()) -> ModelSettings:
        """Returns every setting of the request. Raises `Misused` for one that Seawall sets elsewhere.

        Thinking is off for a request if the servers would refuse it because calls of another model have no thoughts.
        """
        made: dict[str, Any] = dict(request.settings)
        for name, place in _OUR_SETTINGS.items():
            if name in made:
                raise Misused(f"settings[{name!r}] = {made[name]!r} is not used: see {place}")
        if self._rules.thoughts_in_turn and lacks_thoughts(messages):
            thinking = made.pop("anthropic_thinking", None)
            if isinstance(thinking, dict) and cast("dict[str, Any]", thinking).get("type") != "enabled":
                made["anthropic_thinking"] = thinking  # only a fixed budget requires thoughts in each turn
            made.pop("thinking", None)
        if self._rules.thought_tags is not None:
            # Chat servers send thoughts in fields that OpenAI's protocol does not have.
            made["openai_include_unmapped_response_data"] = True
        self._set_cap(made, request.max_output_tokens)
        if request.temperature is not None:
            made["temperature"] = request.temperature
        return ModelSettings(**made)  # names that it does not declare go to the provider, too

    def _set_cap(self, made: dict[str, Any], tokens: int) -> None:
        """Sets the limit of the reply's length under the field names that the server takes."""
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

    def _convert_message(self, message: Message) -> ModelRequestPart | ModelResponse:
        if isinstance(message, Assistant):
            calls: list[ToolCallPart] = [ExactCall(one.name, one.arguments, one.id) for one in message.calls]
            parts = restore_parts(message, calls, self._system, self._rules.thought_tags)
            field = self._rules.thought_field
            if field is not None and calls and message.reasoning is None:
                parts.insert(0, ThinkingPart("", id=field, provider_name=self._system))
            return ModelResponse(parts=parts, provider_name=self._system)
        if isinstance(message, User):
            return UserPromptPart(message.content)
        if isinstance(message, System):
            return SystemPromptPart(message.content)
        return ToolReturnPart(message.name, message.content, message.call_id)


def _add_request(parts: list[ModelRequestPart], part: UserPromptPart) -> None:
    """Joins a request's text with the request text before it. The kept part of that one is not changed."""
    last = parts[-1]
    if isinstance(last, UserPromptPart):
        parts[-1] = UserPromptPart(f"{last.content}\n\n{part.content}")
    else:
        parts.append(part)


def _count_chars(message: Message) -> int:
    if not isinstance(message, Assistant):
        return len(message.content)
    reasoning = message.reasoning.parts if message.reasoning is not None else ""
    return len(message.content or "") + len(reasoning) + sum(len(one.arguments) for one in message.calls)


def complete_reply(reply: ModelReply, response: ModelResponse, names: Names, origin: str) -> ModelReply:
    """Returns a reply with Seawall's names of the called tools, and with the reasoning that its server needs back."""
    calls = tuple([ToolCall(one.id, names.receive(one.name), one.arguments) for one in reply.message.calls])
    message = Assistant(reply.message.content, calls, record_reasoning(origin, response))
    return ModelReply(message=message, usage=reply.usage, finish=reply.finish)


def read_response(name: str, response: ModelResponse, wire: Normalizer) -> ModelReply:
    """Returns the complete reply, which `wire` has read. Raises `ModelFailed` if it is not complete."""
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
        usage=_read_usage(response, wire.usage.problem),
        finish=finish,
    )


def _read_usage(response: ModelResponse, problem: str) -> Usage:
    """Returns the tokens that the provider counted.

    If it reports more cached tokens than input, none of the input counts as cached, which never lowers the cost. A part
    that it does not report is not zero: each call has input, and a reply with content has output.
    """
    counted = response.usage
    if bool(counted.input_tokens) != bool(counted.output_tokens) and (
        response.parts or counted.output_tokens
    ):
        part = "output" if counted.input_tokens else "input"
        problem = problem or f"the server reported no {part}_tokens"
    read, written = counted.cache_read_tokens or 0, counted.cache_write_tokens or 0
    if read < 0 or written < 0 or read + written > counted.input_tokens:
        read = written = 0
    return Usage(
        counted.input_tokens,
        counted.output_tokens,
        problem,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def _read_arguments(part: ToolCallPart) -> str:
    """Returns the arguments as the model's JSON text, or as compact JSON if the protocol has an object."""
    if isinstance(part.args, str):
        return part.args or "{}"
    return part.args_as_json_str()
