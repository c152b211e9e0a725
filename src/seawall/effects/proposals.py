"""Proposals: what a person is asked, and the hash that a decision binds to."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import msgspec

from seawall.core.canonical import digest_of, to_canonical_bytes
from seawall.run.fingerprint import MAX_COMPARED_CHARS
from seawall.run.noise import mask_volatile
from seawall.run.step import Step


def compute_proposal_hash(kind: str, name: str, version: str, arguments: str, seal: str) -> str:
    """Returns the SHA-256 of what would be performed: `arguments` as canonical text, and the seal of what was redacted in it.

    `version` is the fingerprint of the tool's definition, which covers its declared version and its schema.
    """
    data = to_canonical_bytes([kind, name, version, arguments, seal])
    return hashlib.sha256(data).hexdigest()


def compute_likeness(step: Step, arguments: str) -> str:
    """Returns a digest of what a person is asked that is the same for everything that looks like it.

    Two effects look alike if their tool declares that they are the same (`unique_by`), their amounts are equal, and the
    texts in their arguments differ only in white space and in parts that mean nothing, such as a time within a
    sentence. Two hand-offs do if their tasks have the same words and name the same things. Anything else looks like
    nothing but itself; so do arguments that hold a secret.
    """
    facts = step.facts
    if step.gist is not None and not step.seal:
        return digest_of([step.kind, step.name, step.version, step.gist.names, list(step.gist.words)])
    if facts is None or not facts.values or step.seal or len(arguments) > MAX_COMPARED_CHARS:
        return digest_of([step.kind, step.name, step.version, arguments, step.seal])
    try:
        look = _simplify(msgspec.json.decode(arguments))
    except (msgspec.DecodeError, RecursionError):
        look = arguments
    amount = None if facts.amount is None else str(facts.amount)
    return digest_of([step.kind, step.name, step.version, facts.scope, list(facts.values), amount, look])


def _simplify(value: Any) -> Any:
    """Returns a value whose texts are without what makes no difference. A text that is nothing else stays: it is a value."""
    if isinstance(value, str):
        plain = " ".join(value.split())
        masked = mask_volatile(plain)
        return plain if masked == "…" else masked
    if isinstance(value, dict):
        return {key: _simplify(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_simplify(item) for item in cast("list[Any]", value)]
    return value


def explain_rejection(name: str, by: str, reason: str) -> str:
    """Returns what an agent is told that proposes again what a person has rejected."""
    return (
        f"{name!r} with these arguments was rejected by {by or 'somebody'}{f': {reason}' if reason else ''}"
    )
