"""Proposals: what a person is asked, and the hash that a decision binds to."""

from __future__ import annotations

import hashlib

from seawall.core.canonical import to_canonical_bytes


def compute_proposal_hash(kind: str, name: str, version: str, arguments: str, seal: str) -> str:
    """Returns the SHA-256 of what would be performed: `arguments` as canonical text, and the seal of what was redacted in it.

    `version` is the fingerprint of the tool's definition, which covers its declared version and its schema.
    """
    data = to_canonical_bytes([kind, name, version, arguments, seal])
    return hashlib.sha256(data).hexdigest()
