"""The bodies of one run: texts by their hash. Each is redacted once, when it is added."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

import msgspec

from seawall.core.big_values import LEAST_KEPT_CHARS, TextCache
from seawall.core.canonical import Ref, escape_surrogates_in_json, escape_unsendable, ref_of
from seawall.core.redact import Redactor, StreamRedactor
from seawall.run.originals import KEY_BYTES, Originals


class PreparedBody(msgspec.Struct, frozen=True, gc=False):
    """A content that was redacted and hashed, and is not added to the bodies yet."""

    content: str | bytes
    text: str | None
    """The text without secrets; None for bytes."""
    data: bytes
    ref: Ref


def _build_body(content: str, text: str) -> PreparedBody:
    data = text.encode()
    return PreparedBody(content, text, data, ref_of(data))


class _Sealed(msgspec.Struct, frozen=True, array_like=True, tag="sealed"):
    """The record that replaces an opaque text with a secret in it."""

    seal: str
    shown: str


_SEALED = '["sealed",'
_encode_sealed = msgspec.json.Encoder().encode
_decode_sealed = msgspec.json.Decoder(_Sealed).decode


class Bodies:
    """The texts that this run's events refer to: those loaded from the journal, and those added here. Every text is
    redacted before it is added, so that an agent, the journal and a resumed run all get the same bytes. A call is
    *performed* with the arguments that the model wrote: `originals` keeps them, only in memory, for calls whose stored
    arguments are redacted.
    """

    def __init__(
        self,
        redactor: Redactor,
        loaded: Mapping[Ref, bytes] | None = None,
        originals: Originals | None = None,
    ) -> None:
        self.originals = originals or Originals(secrets.token_bytes(KEY_BYTES))
        self._redactor = redactor
        self._known: dict[Ref, bytes] = dict(loaded or {})
        self._texts: dict[Ref, str] = {}
        self._put: set[Ref] = set()
        self._refs: dict[str | bytes, Ref] = {}
        """Addresses by the text before it was redacted: prompts come again with each step."""
        self._json_refs: dict[str, Ref] = {}
        """Addresses by the JSON text before it was redacted."""
        self._shown: dict[str, str] = {}
        """Redacted JSON text by its original: it is needed before the text is added."""
        self._unsaved: dict[Ref, bytes] = {}
        self.cache = TextCache()
        """The values that were computed from this run's long texts, by this class and by others."""

    def put(self, content: str | bytes) -> Ref:
        """Keeps `content`, redacted, and returns its address.

        Every run gives all of its bodies to the journal, which stores each once: a body that an earlier run stored may
        have been pruned with that run.
        """
        return self._refs.get(content) or self.add(self.prepare(content))

    def put_json(self, text: str) -> Ref:
        """Keeps JSON text as `redact_json` returns it, and returns its address."""
        known = self._json_refs.get(text)
        if known is None:
            shown = self.redact_json(text)
            known = self._refs.get(shown) or self.add(self._compute_shown(shown))
            self._json_refs[text] = known
        return known

    def put_plain(self, text: str) -> Ref:
        """Keeps a text that consists only of addresses of bodies, and returns its address."""
        return self.add(_build_body(text, text))

    def prepare_json(self, text: str) -> PreparedBody:
        """Returns the body that `put_json` keeps. It changes no state, so a thread may call it for a long text."""
        return self._compute_shown(self.redact_json(text))

    def _compute_shown(self, shown: str) -> PreparedBody:
        if len(shown) < LEAST_KEPT_CHARS:
            return _build_body(shown, shown)
        return self.cache.compute(lambda text: _build_body(text, text), shown, "prepare_json")

    def prepare(self, content: str | bytes) -> PreparedBody:
        """Returns the body that `add` keeps. It changes no state, so a thread may call it for a big content."""
        if isinstance(content, bytes):
            data = self._redactor.data(content)
            return PreparedBody(content, None, data, ref_of(data))
        if len(content) < LEAST_KEPT_CHARS:
            return _build_body(content, self._redact(content))
        return self.cache.compute(self._prepare_text, content, "prepare")

    def _prepare_text(self, content: str) -> PreparedBody:
        return _build_body(content, self.redact(content))

    def add(self, body: PreparedBody) -> Ref:
        """Keeps a body that was prepared, and returns its address."""
        ref = body.ref
        if body.text is not None:
            self._refs[body.content] = ref
            self._texts[ref] = body.text
        if ref not in self._put:
            self._put.add(ref)
            self._known[ref] = body.data
            self._unsaved[ref] = body.data
        return ref

    def redact(self, text: str) -> str:
        """Returns `text` without its secrets, as it is recorded."""
        if len(text) < LEAST_KEPT_CHARS:
            return self._redact(text)
        return self.cache.compute(self._redact, text, "redact")

    def _redact(self, text: str) -> str:
        text = self._redactor.text(text)
        return text if text.isascii() and "\0" not in text else escape_unsendable(text)

    def redact_json(self, text: str) -> str:
        """Returns JSON text without its secrets, which is still JSON. Any other text is redacted as plain text."""
        if len(text) >= LEAST_KEPT_CHARS:
            return self.cache.compute(self._redact_json, text, "redact_json")
        shown = self._shown.get(text)
        if shown is None:
            shown = self._shown[text] = self._redact_json(text)
        return shown

    def _redact_json(self, text: str) -> str:
        text = self._redactor.json(text)
        return text if text.isascii() and "\0" not in text else escape_unsendable(text)

    def put_arguments(self, run: str, text: str, concealed: str | None = None) -> tuple[Ref, str]:
        """Keeps the arguments of a call and returns their address and seal (see `Call.seal`).

        `concealed` is the text without the secrets that the redactor can't recognise.
        """
        text = escape_surrogates_in_json(text)
        ref = self.put_json(text if concealed is None else escape_surrogates_in_json(concealed))
        return ref, "" if self.text(ref) == text else self.originals.keep(run, text, self._seal(text))

    def put_opaque(self, run: str, text: str) -> Ref:
        """Keeps JSON text that is useful only unchanged, and returns its address. If it holds a secret, the redacted
        text is recorded together with the seal of the original (see `find_opaque`).
        """
        text = escape_surrogates_in_json(text)
        shown = self.redact_json(text)
        if shown != text:
            sealed = _Sealed(self.originals.keep(run, text, self._seal(text)), shown)
            shown = _encode_sealed(sealed).decode()
        return self.add(self._compute_shown(shown))

    def find_opaque(self, run: str, ref: Ref) -> str | None:
        """Returns the unchanged JSON text; None if it was erased, or if it held a secret and this process does not have
        the original.
        """
        text = self.text(ref) if ref in self._known else None
        if text is None or not text.startswith(_SEALED):
            return text
        try:
            return self.originals.find(run, _decode_sealed(text).seal)
        except msgspec.MsgspecError:
            return None

    def prepare_arguments(self, text: str) -> None:
        """Computes and caches the values that `put_arguments` needs. It adds no body, so a thread may call it for a
        long text.
        """
        text = escape_surrogates_in_json(text)
        body = self.prepare_json(text)
        if body.text != text:
            self._seal(text)

    def _seal(self, text: str) -> str:
        return self.cache.compute(self.originals.seal, text, "seal")

    def conceal(self, text: str, value: object) -> object:
        """Returns `value`, which was computed from the result `text`, or a seal in its place if `text` holds a secret.
        So no recorded digest tells anything about a secret. The text itself is kept as `put` keeps it.
        """
        kept = self.text(self.put(text))
        return value if kept == escape_unsendable(text) else self.originals.seal(value)

    def stream(self) -> StreamRedactor:
        """Returns a redactor for text that is delivered in pieces, before it is recorded."""
        return StreamRedactor(self._redactor)

    def text(self, ref: Ref | None) -> str:
        """Returns the body as text; `[erased]` if it was erased."""
        if not ref:
            return ""
        text = self._texts.get(ref)
        if text is not None:
            return text
        data = self._known.get(ref)
        text = self._texts[ref] = "[erased]" if data is None else data.decode("utf-8", "replace")
        return text

    def data(self, ref: Ref) -> bytes | None:
        """Returns the body's bytes, or None if it was erased."""
        return self._known.get(ref)

    def missing(self, refs: Iterable[Ref]) -> list[Ref]:
        """Returns the addresses in `refs` whose bodies are not loaded."""
        return [ref for ref in refs if ref and ref not in self._known]

    def load(self, bodies: Mapping[Ref, bytes]) -> None:
        """Adds bodies that were read from the journal."""
        self._known.update(bodies)

    def known(self) -> Mapping[Ref, bytes]:
        """Returns the addresses of all bodies that are loaded."""
        return self._known

    def keep(self) -> None:
        """Makes the next `unsaved` return all bodies again, because those that it returned were not made durable."""
        self._unsaved = {ref: self._known[ref] for ref in self._put}

    def measure_unsaved(self) -> int:
        """Returns the size in bytes of the bodies that were added since the last call of `unsaved`."""
        return sum(map(len, self._unsaved.values()))

    def take_unsaved(self) -> dict[Ref, bytes]:
        """Returns the bodies that were added since the last call; the caller makes them durable."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved
