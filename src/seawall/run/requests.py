"""A request to a model that a framework's loop makes: its meaning, and its record.

*Meaning*: two requests mean the same if they differ only in identifiers, times, empty fields and the order of keys. A
framework that goes on from its own checkpoint makes new ids and leaves out empty fields.

*Record*: each message is a body of its own, and a request is a list of messages that begins where the request before it
in its frame ended. The first request of a run holds the whole conversation before it: a long list is recorded in blocks,
which are bodies too, and a block that an earlier run has recorded is stored once. So the space for a conversation of n
turns is proportional to n, whether they are steps of a run or runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec

from seawall.core.canonical import (
    Ref,
    digest_of,
    measure_bytes,
    to_canonical_bytes,
    to_canonical_text,
    to_canonical_texts,
)
from seawall.run.bodies import Bodies
from seawall.run.noise import mask_volatile

_MEANS_NOTHING = re.compile(
    r"(?:.*_)?(?:id|ids|uuid)|.*[a-z](?:Id|Ids|ID)|(?:.*_)?(?:timestamp|time|at)|created|updated"
    r"|response_metadata|usage_metadata|usage|model_extra|fingerprint"
)
"""Names of a message's fields that hold ids, times and usage, which do not change its meaning."""
_ARGUMENTS = frozenset({"args", "arguments", "input", "content", "text", "output"})
"""Names of fields with content of a model or a tool, in which every field counts."""


class PreparedRequest(NamedTuple):
    """A request as it is judged and recorded."""

    digest: str
    """The digest of the request's meaning."""
    messages: tuple[str, ...]
    """The messages, each as canonical JSON."""
    tools: str
    """The schemas of the tools, as canonical JSON; "" for none."""
    size_bytes: int
    max_output_tokens: int


def prepare_request(
    model: str, messages: Sequence[Any], tools: Sequence[Any], max_output_tokens: int
) -> PreparedRequest:
    """Returns a prepared request, made from JSON values. It changes no state, so any thread may call it."""
    texts = tuple(to_canonical_texts(messages))
    schemas = to_canonical_text(list(tools)) if tools else ""
    digest = _digest_request(model, texts, schemas)
    is_ascii = all(map(str.isascii, texts))
    size = sum(map(len if is_ascii else measure_bytes, texts)) + measure_bytes(schemas)
    return PreparedRequest(digest, texts, schemas, size, max_output_tokens)


def _digest_request(model: str, messages: Sequence[str], tools: str) -> str:
    digests = [(_recall_meaning if len(text) <= KEPT_CHARS else _compute_meaning)(text) for text in messages]
    return digest_of([model, digests, tools])


class RequestRedactor:
    """Removes secrets from the meaning of one run's requests. So a recorded digest tells nothing about a secret, and a
    loop that goes on with a recorded result makes the same request as before.
    """

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        """The redacted text of each message; "" for a message without secrets."""
        self._hides = False
        """Whether any message had a secret."""

    def redact(self, model: str, request: PreparedRequest, bodies: Bodies) -> PreparedRequest:
        """Returns a request with the digest of its redacted meaning."""
        shown = self._shown
        for text in (*request.messages, request.tools):
            if text not in shown:
                redacted = bodies.redact_json(text)
                shown[text] = "" if redacted == text else redacted
                self._hides = self._hides or redacted != text
        if not self._hides or not (shown[request.tools] or any(shown[text] for text in request.messages)):
            return request
        texts = [shown[text] or text for text in request.messages]
        return request._replace(digest=_digest_request(model, texts, shown[request.tools] or request.tools))


_KEPT_NAME_CHARS = 64
"""Characters of the longest field name that is cached."""
KEPT_CHARS = 16 * 1024
"""Characters of the longest message whose digest is cached: a conversation is sent again with each step, and grows at
its end."""
KEPT_MESSAGES = 4096
"""Most messages whose digests are cached, for all conversations of a process: some ten MB."""


def _compute_meaning(text: str) -> str:
    """Returns a digest of the meaning of a message, given as JSON text."""
    try:
        return digest_of(find_meaning(msgspec.json.decode(text)))
    except RecursionError:  # nested too deeply: the text itself is the meaning
        return digest_of(text)


_recall_meaning = functools.lru_cache(maxsize=KEPT_MESSAGES)(_compute_meaning)


def find_meaning(value: Any, *, written: bool = False) -> Any:
    """Returns the meaning of a decoded JSON value. `written`: a model or a tool has written the value, so every field
    of it counts.
    """
    if isinstance(value, str):
        return mask_volatile(value)
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, each in cast("dict[str, Any]", value).items():
            if not written and _means_nothing(name):
                continue
            meaning = find_meaning(each, written=written or (name in _ARGUMENTS and isinstance(each, dict)))
            if written or meaning or not _is_empty(meaning):
                found[name] = meaning
        return found
    if isinstance(value, list):
        return [find_meaning(each, written=written) for each in cast("list[Any]", value)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _means_nothing(name: str) -> bool:
    return (_recall_field if len(name) <= _KEPT_NAME_CHARS else _MEANS_NOTHING.fullmatch)(name) is not None


_recall_field = functools.lru_cache(maxsize=1024)(_MEANS_NOTHING.fullmatch)


MAX_LIST = 16
"""Most addresses in one list. A longer list is cut into blocks, and is then the list of their addresses."""
MIN_BLOCK, MAX_BLOCK = 4, 32
"""Fewest addresses of a block, except for the last one, and most. In between a block ends by chance, after one of
`BLOCK_ENDS`: so the same messages make the same blocks, whatever was put before them or left out."""
BLOCK_ENDS = ("0", "8")
"""The last digits of an address that ends a block: 1 of 8 does. Each turn writes the last block of each level again, so small
blocks take less room than large ones."""


class RequestManifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recorded request: the first `keep` messages of the request `prev`, and then the messages `add`."""

    add: tuple[Ref, ...]
    keep: int
    prev: Ref | None
    tools: Ref | None
    depth: int = 0
    """0: `add` are messages. 1: they are blocks of messages; 2: blocks of blocks; and so on."""


_manifest = msgspec.json.Decoder(RequestManifest)
_block = msgspec.json.Decoder(tuple[Ref, ...])
MAX_MESSAGES = 10_000_000
"""Most messages of a request that are read: a damaged list of blocks may name a block again and again."""


class RecordedRequest(NamedTuple):
    """The messages of a recorded request, and the schemas of its tools; None: there were none."""

    messages: list[Ref]
    tools: Ref | None


async def read_request(
    manifest: Ref, read: Callable[[Ref], Awaitable[bytes | None]]
) -> RecordedRequest | None:
    """Returns a recorded request; None if a part of the record was erased. `read` returns the bytes of a body."""
    parts: list[RequestManifest] = []
    ref: Ref | None = manifest
    while ref is not None:
        data = await read(ref)
        try:
            parts.append(_manifest.decode(data or b""))
        except msgspec.MsgspecError:
            return None
        ref = parts[-1].prev
    messages: list[Ref] = []
    for part in reversed(parts):
        added = await _read_blocks(part.add, part.depth, read)
        if added is None:
            return None
        messages = [*messages[: part.keep], *added]
    return RecordedRequest(messages, parts[0].tools)


async def _read_blocks(
    refs: Sequence[Ref], depth: int, read: Callable[[Ref], Awaitable[bytes | None]]
) -> Sequence[Ref] | None:
    """Returns the messages in blocks that are nested `depth` levels; None if a block was erased or is not one."""
    for _ in range(depth):
        blocks: dict[Ref, tuple[Ref, ...]] = {}
        for ref in dict.fromkeys(refs):
            try:
                blocks[ref] = _block.decode(await read(ref) or b"")
            except msgspec.MsgspecError:
                return None
        if not refs or sum(len(blocks[ref]) for ref in refs) > MAX_MESSAGES:
            return None
        refs = [each for ref in refs for each in blocks[ref]]
    return refs


def _put_blocks(refs: tuple[Ref, ...], bodies: Bodies) -> tuple[tuple[Ref, ...], int]:
    """Keeps a list of addresses in blocks, as long as it is longer than `MAX_LIST`. Returns the list that is left, and how
    deeply the blocks are nested.
    """
    depth = 0
    while len(refs) > MAX_LIST:
        refs = tuple([bodies.put_plain(to_canonical_text(block)) for block in _cut(refs)])
        depth += 1
    return refs, depth


def _cut(refs: Sequence[Ref]) -> Iterator[Sequence[Ref]]:
    start = 0
    for end, ref in enumerate(refs, 1):
        count = end - start
        if count >= MAX_BLOCK or (count >= MIN_BLOCK and ref.endswith(BLOCK_ENDS)):
            yield refs[start:end]
            start = end
    if start < len(refs):
        yield refs[start:]


class RequestRecord:
    """The newest recorded request of one frame, with which the next request is compared."""

    def __init__(self) -> None:
        self._messages: tuple[str, ...] = ()
        self._manifest: Ref | None = None

    def put(self, request: PreparedRequest, bodies: Bodies) -> Ref:
        """Keeps a request, and returns the address of its manifest."""
        keep = 0
        for mine, theirs in zip(self._messages, request.messages, strict=False):
            if mine != theirs:
                break
            keep += 1
        add = tuple([bodies.put_json(text) for text in request.messages[keep:]])
        tools = bodies.put_json(request.tools) if request.tools else None
        added, depth = _put_blocks(add, bodies)
        manifest = RequestManifest(added, keep, self._manifest if keep else None, tools, depth)
        self._messages = request.messages
        self._manifest = bodies.put_plain(to_canonical_bytes(manifest).decode())
        return self._manifest


class ShownMessage(NamedTuple):
    """A message of a recorded request, in a form for people."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    calls: tuple[tuple[str, str], ...]
    """The calls in the message: (tool, arguments as JSON)."""


_ROLES: Mapping[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "ai": "assistant", "model": "assistant",
    "tool": "tool", "function": "tool", "function_call_output": "tool",
}  # fmt: skip


def show_message(text: str) -> ShownMessage:
    """Returns the speaker, the text and the calls of a message in any framework's form."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return ShownMessage("user", text, ())
    if not isinstance(value, Mapping):
        return ShownMessage("user", text, ())
    message = cast("Mapping[str, Any]", value)
    data: Any = message.get("data")
    inner = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else message
    role = _ROLES.get(str(message.get("role") or message.get("type") or ""), "user")
    given: Any = inner.get("tool_calls") or inner.get("calls") or []
    calls = [cast("Mapping[str, Any]", each) for each in given if isinstance(each, Mapping)]
    return ShownMessage(role, _read_content(inner, text), tuple([_read_call(each) for each in calls]))


def _read_content(message: Mapping[str, Any], whole: str) -> str:
    content: Any = next((message[name] for name in ("content", "text", "output") if name in message), None)
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        texts = [text for each in cast("Sequence[Any]", content) if isinstance(text := _read_part(each), str)]
        if texts:
            return "\n".join(texts)
    return "" if content in (None, [], "") and ("tool_calls" in message or "calls" in message) else whole


def _read_part(part: Any) -> Any:
    return cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else part


def _read_call(call: Mapping[str, Any]) -> tuple[str, str]:
    function: Any = call.get("function")
    inner = cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else call
    given: Any = inner.get("arguments", inner.get("args", {}))
    return str(inner.get("name")), given if isinstance(given, str) else to_canonical_bytes(given).decode()
