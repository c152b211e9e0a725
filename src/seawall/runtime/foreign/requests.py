"""A request to a model that a framework's loop makes: what it means, and how it is recorded.

*Meaning*: two requests mean the same if they differ only in identifiers, times, empty fields and the order of keys. A
framework that goes on from its own checkpoint makes new ids and leaves out what is empty.

*Record*: each message is a body of its own, and a request is a list of messages that begins where the request before it in
its frame ended. So a conversation of n turns takes room in proportion to n.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from seawall.core.canonical import Ref, digest_of, measure_bytes, to_canonical_bytes
from seawall.run.bodies import Bodies
from seawall.run.noise import mask_volatile

_MEANS_NOTHING = re.compile(
    r"(?:.*_)?(?:id|ids|uuid)|.*[a-z](?:Id|Ids|ID)|(?:.*_)?(?:timestamp|time|at)|created|updated"
    r"|response_metadata|usage_metadata|usage|model_extra|fingerprint"
)
"""Names of fields of a message that say when and under which name it was made, or what it took."""
_ARGUMENTS = frozenset({"args", "arguments", "input", "content", "text", "output"})
"""Fields that hold what a model or a tool has written: in them every field means something."""


class PreparedRequest(NamedTuple):
    """A request as it is judged and recorded."""

    digest: str
    """Of what it means."""
    messages: tuple[str, ...]
    """Each as canonical JSON."""
    tools: str
    """The schemas of the tools, as canonical JSON; "" for none."""
    size_bytes: int
    max_output_tokens: int


def prepare_request(
    model: str, messages: Sequence[Any], tools: Sequence[Any], max_output_tokens: int
) -> PreparedRequest:
    """Returns a request of JSON values. It changes nothing, so any thread may do it."""
    texts = tuple([to_canonical_bytes(message).decode() for message in messages])
    schemas = to_canonical_bytes(list(tools)).decode() if tools else ""
    digest = digest_of([model, [find_meaning(message) for message in messages], schemas])
    size = sum(measure_bytes(text) for text in texts) + measure_bytes(schemas)
    return PreparedRequest(digest, texts, schemas, size, max_output_tokens)


def find_meaning(value: Any, *, written: bool = False) -> Any:
    """Returns what a JSON value means. `written`: it is what a model or a tool has written, so every field of it counts."""
    if isinstance(value, str):
        return mask_volatile(value)
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for name, each in cast("Mapping[str, Any]", value).items():
            if not written and _MEANS_NOTHING.fullmatch(name):
                continue
            meaning = find_meaning(
                each, written=written or (name in _ARGUMENTS and isinstance(each, Mapping))
            )
            if written or not _is_empty(meaning):
                found[name] = meaning
        return found
    if isinstance(value, Sequence):
        return [find_meaning(each, written=written) for each in cast("Sequence[Any]", value)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


class RequestRecord:
    """The newest request of one frame, as it is recorded: what the next one is compared with."""

    def __init__(self) -> None:
        self._refs: list[Ref] = []
        self._manifest: Ref | None = None

    def put(self, request: PreparedRequest, bodies: Bodies) -> Ref:
        """Keeps a request, and returns the address of its manifest.

        A manifest is `{"add": [refs], "keep": n, "prev": ref or null, "tools": ref or null}`: the first `keep` messages of
        the request `prev`, and then the messages `add`.
        """
        refs = [bodies.put_json(text) for text in request.messages]
        keep = 0
        for mine, theirs in zip(self._refs, refs, strict=False):
            if mine != theirs:
                break
            keep += 1
        manifest = {
            "add": refs[keep:],
            "keep": keep,
            "prev": self._manifest if keep else None,
            "tools": bodies.put_json(request.tools) if request.tools else None,
        }
        self._refs, self._manifest = refs, bodies.put_json(to_canonical_bytes(manifest).decode())
        return self._manifest
