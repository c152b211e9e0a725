"""The bodies of one run: texts by their hash, redacted once, when they are put in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

import msgspec

from seawall.core.big_values import LEAST_KEPT_CHARS, TextCache
from seawall.core.canonical import Ref, escape_surrogates_in_json, escape_unsendable, ref_of
from seawall.core.redact import Redactor, StreamRedactor
from seawall.run.originals import KEY_BYTES, Originals


class PreparedBody(msgspec.Struct, frozen=True, gc=False):
    """A content that was redacted and hashed, and is not kept yet."""

    content: str | bytes
    text: str | None
    """Without secrets; None for bytes."""
    data: bytes
    ref: Ref


def _build_body(content: str, text: str) -> PreparedBody:
    data = text.encode()
    return PreparedBody(content, text, data, ref_of(data))


class _Sealed(msgspec.Struct, frozen=True, array_like=True, tag="sealed"):
    """What is recorded in the place of an opaque text that holds a secret."""

    seal: str
    shown: str


_SEALED = '["sealed",'
_encode_sealed = msgspec.json.Encoder().encode
_decode_sealed = msgspec.json.Decoder(_Sealed).decode


class Bodies:
    """The texts that this run's events refer to: those loaded from the journal, and those put here.

    Everything that enters is redacted first, so that what an agent is shown, what is stored and what a
    resumed run is shown are the same bytes. What is *performed* is what a model wrote: `originals` keeps that, in
    memory only, for the calls whose stored arguments are redacted.
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
        """By the text before its secrets were taken out: prompts come again with each step."""
        self._json_refs: dict[str, Ref] = {}
        """By JSON text before its secrets were taken out."""
        self._shown: dict[str, str] = {}
        """By JSON text: without its secrets. It is asked for before the text is put."""
        self._unsaved: dict[Ref, bytes] = {}
        self.cache = TextCache()
        """What was computed of this run's long texts, here and elsewhere."""

    def put(self, content: str | bytes) -> Ref:
        """Keeps `content`, redacted, and returns its address.

        Every run hands its bodies to the journal anew, which keeps each once: what an earlier run stored
        may have been pruned with it.
        """
        if content in self._refs:
            return self._refs[content]
        return self.add(self.prepare(content))

    def put_json(self, text: str) -> Ref:
        """Keeps JSON text as `redact_json` returns it, and returns its address."""
        if text in self._json_refs:
            return self._json_refs[text]
        shown = self.redact_json(text)
        known = self._refs.get(shown) or self.add(self._compute_shown(shown))
        self._json_refs[text] = known
        return known

    def put_plain(self, text: str) -> Ref:
        """Keeps a text that is made of addresses of bodies only, and returns its address."""
        return self.add(_build_body(text, text))

    def prepare_json(self, text: str) -> PreparedBody:
        """Returns what `put_json` keeps. It changes nothing here, so a thread may do it for a long text."""
        return self._compute_shown(self.redact_json(text))

    def _compute_shown(self, shown: str) -> PreparedBody:
        if len(shown) < LEAST_KEPT_CHARS:
            return _build_body(shown, shown)
        return self.cache.compute(lambda text: _build_body(text, text), shown, "prepare_json")

    def prepare(self, content: str | bytes) -> PreparedBody:
        """Returns what `add` keeps. It changes nothing here, so a thread may do it for a big content."""
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
        """Returns JSON text without its secrets, which is JSON still. Any other text is redacted as text."""
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

        `concealed`: the text without those of its secrets that the redactor can't know.
        """
        text = escape_surrogates_in_json(text)
        ref = self.put_json(text if concealed is None else escape_surrogates_in_json(concealed))
        return ref, "" if self.text(ref) == text else self.originals.keep(run, text, self._seal(text))

    def put_opaque(self, run: str, text: str) -> Ref:
        """Keeps JSON text that is of use only as it came, and returns its address.

        One that holds a secret is recorded without it, and beside the seal of the original (see `find_opaque`).
        """
        text = escape_surrogates_in_json(text)
        shown = self.redact_json(text)
        if shown != text:
            sealed = _Sealed(self.originals.keep(run, text, self._seal(text)), shown)
            shown = _encode_sealed(sealed).decode()
        return self.add(self._compute_shown(shown))

    def find_opaque(self, run: str, ref: Ref) -> str | None:
        """Returns JSON text as it came; None if it was erased, or held a secret and this process does not have it."""
        text = self.text(ref) if ref in self._known else None
        if text is None or not text.startswith(_SEALED):
            return text
        try:
            return self.originals.find(run, _decode_sealed(text).seal)
        except msgspec.MsgspecError:
            return None

    def prepare_arguments(self, text: str) -> None:
        """Computes what `put_arguments` needs. It changes nothing here, so a thread may do it for a long text."""
        text = escape_surrogates_in_json(text)
        body = self.prepare_json(text)
        if body.text != text:
            self._seal(text)

    def _seal(self, text: str) -> str:
        return self.cache.compute(self.originals.seal, text, "seal")

    def conceal(self, text: str, value: object) -> object:
        """Returns `value`, which is made from the result `text`, or a seal in its place if `text` holds a secret.

        So no digest that is recorded says anything of a secret. The result is kept, as `put` keeps it.
        """
        kept = self.text(self.put(text))
        return value if kept == escape_unsendable(text) else self.originals.seal(value)

    def stream(self) -> StreamRedactor:
        """Returns a redactor for text that is delivered in pieces, before it is recorded."""
        return StreamRedactor(self._redactor)

    def text(self, ref: Ref | None) -> str:
        """Returns the body as text; `[erased]` for one that was erased."""
        if not ref:
            return ""
        if ref in self._texts:
            return self._texts[ref]
        data = self._known.get(ref)
        text = self._texts[ref] = "[erased]" if data is None else data.decode("utf-8", "replace")
        return text

    def data(self, ref: Ref) -> bytes | None:
        """Returns the body's bytes, or None if it was erased."""
        return self._known.get(ref)

    def missing(self, refs: Iterable[Ref]) -> list[Ref]:
        """Returns those of `refs` that are not here."""
        return [ref for ref in refs if ref and ref not in self._known]

    def load(self, bodies: Mapping[Ref, bytes]) -> None:
        """Adds bodies that the journal has."""
        self._known.update(bodies)

    def known(self) -> Mapping[Ref, bytes]:
        """Returns all bodies that are here."""
        return self._known

    def keep(self) -> None:
        """Makes the next `unsaved` return all bodies again: those that it returned were not made durable."""
        self._unsaved = {ref: self._known[ref] for ref in self._put}

    def measure_unsaved(self) -> int:
        """Returns the bytes that were put since the last call of `unsaved`."""
        return sum(map(len, self._unsaved.values()))

    def unsaved(self) -> dict[Ref, bytes]:
        """Returns what was put since the last call; the caller makes it durable."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved
