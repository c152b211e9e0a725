"""A chat model that passes the gate by itself, wherever a gated graph calls it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from seawall.adapters.langchain_core.messages import (
    find_limit,
    leave_out_tools,
    list_tools,
    make_reply,
    name_model,
    read_reply,
    tell_notes,
)
from seawall.adapters.langchain_core.places import (
    GraphPlace,
    ask_gate,
    ask_gate_async,
    enter_model,
    find_place,
    pass_gate,
    pass_gate_async,
    performs_model,
    translate_errors,
)
from seawall.core.errors import Misused
from seawall.runtime.foreign.asks import Settled, Turn

ModelT = TypeVar("ModelT", bound=BaseChatModel)
GATED_TAG = "seawall:gated"
"""Tag of a gated model, by which the callbacks of a gated graph leave it out."""
MAX_CLASSES = 1000
"""Classes of gated models that are cached. An application has a few."""


def gate_model(model: ModelT) -> ModelT:
    """Returns a copy of a chat model whose calls pass the gate of the graph around it. It may be called in gated graphs only.

    Raises `Misused` for anything but a chat model, also for one with tools bound to it: `gate_model(model).bind_tools(…)`.
    """
    if not isinstance(model, BaseChatModel):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without types
        raise Misused(
            f"gate_model takes a chat model, not {type(model).__name__}: gate the model, then bind tools to it or configure it"
        )
    gated = model.model_copy(update={"tags": [*(model.tags or []), GATED_TAG]})
    object.__setattr__(gated, "__class__", _make_class(type(model)))
    return gated


@functools.lru_cache(MAX_CLASSES)
def _make_class(kind: type[BaseChatModel]) -> type[BaseChatModel]:
    """Returns a gated subclass that streams if `kind` does, so that LangChain decides on streaming as it does for `kind`."""
    streams: list[type[Any]] = []
    own: Any = kind
    base: Any = BaseChatModel
    if own._stream is not base._stream:  # noqa: SLF001 -- LangChain's own test of what a class can do
        streams.append(_GatedStream)
    if own._astream is not base._astream:  # noqa: SLF001 -- the same
        streams.append(_GatedStreamAsync)
    made = type(f"Gated{kind.__name__}", (*streams, _GatedModel, kind), {"__module__": __name__})
    for native in ("_stream_chat_model_events", "_astream_chat_model_events"):
        if hasattr(kind, native):
            setattr(made, native, None)  # then LangChain streams by `_stream`, not in its newer way
    return made


def _find_place() -> GraphPlace:
    place = find_place()
    if place is None:
        raise Misused("a gated model was called outside of a gated graph: gate_graph(sea, graph)")
    return place


def _ask(
    place: GraphPlace, model: BaseChatModel, messages: list[BaseMessage], options: dict[str, Any]
) -> Any:
    return place.session.model(
        place.agent,
        name_model(model),
        place.written.write(messages),
        tools=list_tools(options, place.engine),
        max_output_tokens=find_limit(model, options),
        frame=place.frame,
    )


def _fit(model: BaseChatModel, options: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """Returns the options of a request, without tools in the last reply that a limit allows. A tool that the model must call
    stays, because it gives the answer its form.
    """
    choice: Any = options.get("tool_choice")
    choice = cast("dict[str, Any]", choice).get("type") if isinstance(choice, dict) else choice
    return leave_out_tools(model, options) if turn.last and choice in (None, "auto", "none") else options


def _read_message(result: ChatResult) -> AIMessage | None:
    message = result.generations[0].message if result.generations else None
    return message if isinstance(message, AIMessage) else None


def note_answer(place: GraphPlace, reply: AIMessage | None) -> None:
    """Keeps the newest reply without calls. It is the graph's answer unless the graph's state holds another one."""
    if reply is not None and not reply.tool_calls and str(reply.text).strip():
        place.answer = str(reply.text)


def _take(place: GraphPlace, settled: Settled) -> ChatResult:
    reply = make_reply(settled)
    note_answer(place, reply)
    return ChatResult(generations=[ChatGeneration(message=reply)])


class _GatedModel(BaseChatModel):
    """Calls the model's own methods if the gate allows it."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> ChatResult:
        call = super()._generate
        if performs_model.get():
            return call(messages, stop, run_manager, **options)
        place = _find_place()

        def perform(turn: Turn) -> tuple[Any, Any]:
            with enter_model():
                result = call(
                    [*messages, *tell_notes(turn.notes)], stop, run_manager, **_fit(self, options, turn)
                )
            note_answer(place, _read_message(result))
            return read_reply(_read_message(result)), result

        done = pass_gate(place, _ask(place, self, messages, options), perform)
        return done.value if done.value is not None else _take(place, done.settled)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> ChatResult:
        call = super()._agenerate
        if performs_model.get():
            return await call(messages, stop, run_manager, **options)
        place = _find_place()

        async def perform(turn: Turn) -> tuple[Any, Any]:
            with enter_model():
                result = await call(
                    [*messages, *tell_notes(turn.notes)], stop, run_manager, **_fit(self, options, turn)
                )
            note_answer(place, _read_message(result))
            return read_reply(_read_message(result)), result

        done = await pass_gate_async(place, _ask(place, self, messages, options), perform)
        return done.value if done.value is not None else _take(place, done.settled)


class _Pieces:
    """The pieces of a streamed reply, joined."""

    def __init__(self) -> None:
        self.whole: AIMessageChunk | None = None

    def add(self, chunk: ChatGenerationChunk) -> None:
        """Adds one piece."""
        piece: Any = chunk.message
        self.whole = piece if self.whole is None else self.whole + piece


def _make_piece(place: GraphPlace, settled: Settled) -> ChatGenerationChunk:
    """Returns a recorded reply as one piece."""
    message = _take(place, settled).generations[0].message
    fields = {name: value for name, value in message.model_dump().items() if name != "type"}
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


class _GatedStream(BaseChatModel):
    """Streams the model's pieces as they come, before the step is settled."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = super()._stream
        if performs_model.get():
            yield from call(messages, stop, run_manager, **options)
            return
        place = _find_place()
        asked = _ask(place, self, messages, options)
        found = ask_gate(place, asked)
        if isinstance(found, Settled):
            yield _make_piece(place, found)
            return
        ask, turn = found
        pieces = _Pieces()
        try:
            stream = call(
                [*messages, *tell_notes(turn.notes)], stop, run_manager, **_fit(self, options, turn)
            )
            with closing(cast("Any", stream)):
                while True:
                    with enter_model():
                        chunk = next(stream, None)
                    if chunk is None:
                        break
                    pieces.add(chunk)
                    yield chunk
        except BaseException as error:
            with translate_errors():
                place.session.give_sync(ask, asked, error)
            raise
        note_answer(place, pieces.whole)
        with translate_errors():
            place.session.give_sync(ask, asked, read_reply(pieces.whole, delivered=True))


class _GatedStreamAsync(BaseChatModel):
    """As `_GatedStream`."""

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = super()._astream
        if performs_model.get():
            async for chunk in call(messages, stop, run_manager, **options):
                yield chunk
            return
        place = _find_place()
        asked = _ask(place, self, messages, options)
        found = await ask_gate_async(place, asked)
        if isinstance(found, Settled):
            yield _make_piece(place, found)
            return
        ask, turn = found
        pieces = _Pieces()
        try:
            stream = call(
                [*messages, *tell_notes(turn.notes)], stop, run_manager, **_fit(self, options, turn)
            )
            async with aclosing(cast("Any", stream)):
                while True:
                    with enter_model():
                        chunk = await anext(stream, None)
                    if chunk is None:
                        break
                    pieces.add(chunk)
                    yield chunk
        except BaseException as error:
            with translate_errors():
                await place.session.give(ask, asked, error)
            raise
        note_answer(place, pieces.whole)
        with translate_errors():
            await place.session.give(ask, asked, read_reply(pieces.whole, delivered=True))
