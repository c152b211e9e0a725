"""Who may decide: principals, and the keys that `seawall principals` makes for them.

Only the hash of a key is stored. A person who can write the journal's file can add a principal, or a decision: keys
protect against people who decide through Seawall, not against those who have the file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from seawall.core.canonical import check_recordable
from seawall.core.errors import Misused
from seawall.journal.protocol.effects import PrincipalRecord

KEY_PREFIX = "sk-seawall-"
"""The prefix of keys, by which the redactor also recognises them."""
_KEY_BYTES = 32
"""Random bytes of a key: 256 bits can't be guessed, so a hash without salt or stretching is safe."""
_MAX_KEY_CHARS = 200
"""Characters above which a text can't be a key, and is not hashed."""


@dataclass(frozen=True)
class Principal:
    """A person or program that decides: `authenticate` returns it for a credential.

    `name` must equal the `Seawall.start(principal=…)` of the same person, so that people can't approve their own
    requests. `roles` are compared with those of a proposal. An `agent` may not decide. Raises `Misused` for a name that
    is empty or can't be recorded.
    """

    name: str
    """The name of the principal, the same wherever they act."""
    roles: tuple[str, ...] = ()
    """The roles of the principal. Without roles they may decide only on proposals that need none."""
    agent: bool = False
    """Whether it is a program that acts by itself."""

    def __post_init__(self) -> None:
        """Checks the values."""
        check_recordable(principal=self.name)
        if not self.name.strip():
            raise Misused(f"principal: name is {self.name!r}; it must name a person or a program")
        object.__setattr__(self, "roles", _check_roles(self.name, self.roles))
        if not isinstance(cast("object", self.agent), bool):
            raise Misused(f"principal {self.name!r}: agent is {self.agent!r}; it must be True or False")


@dataclass(frozen=True, kw_only=True)
class Decider:
    """The principal who decides, and how they were identified."""

    principal: Principal
    """The person, or the agent."""
    key: str = ""
    """The hash of the key that was given, if `seawall principals` made it."""
    authenticated: bool = True
    """Whether the name was checked; False: it was only given."""


def make_principal(
    name: str, roles: Sequence[str], *, agent: bool, now: float
) -> tuple[PrincipalRecord, str]:
    """Returns the record of a new principal and its key, which is stored nowhere. Raises `Misused` for an odd name."""
    principal = Principal(name, tuple(roles), agent)
    for word in (name, *principal.roles):
        if word != unicodedata.normalize("NFKC", word).strip() or not word.isprintable():
            raise Misused(
                f"principals: {word!r} is not written plainly: it has spaces around it, or characters that look like others"
            )
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    record = PrincipalRecord(
        name=name, roles=principal.roles, agent=agent, key_hash=hash_key(key), created_at=now
    )
    return record, key


def hash_key(key: str) -> str:
    """Returns the SHA-256 of a key, which is stored in place of the key."""
    return hashlib.sha256(f"seawall key {key}".encode("utf-8", "backslashreplace")).hexdigest()


def find_by_key(records: Iterable[PrincipalRecord], key: str) -> PrincipalRecord | None:
    """Returns the principal with this key; None if there is none, or the principal was removed.

    All records are compared, in a time that does not depend on the key.
    """
    wanted = hash_key(key[:_MAX_KEY_CHARS]) if key.startswith(KEY_PREFIX) else ""
    found: PrincipalRecord | None = None
    for record in records:
        if hmac.compare_digest(record.key_hash, wanted) and record.removed_at is None:
            found = record
    return found


def _check_roles(name: str, roles: object) -> tuple[str, ...]:
    """Returns roles as a tuple. Raises `Misused` for a single text, because its letters would count as roles."""
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        raise Misused(f"principal {name!r}: roles is {roles!r}; it must be a tuple of names")
    found = tuple(cast("Iterable[object]", roles))
    for role in found:
        if not isinstance(role, str) or not role.strip():
            raise Misused(f"principal {name!r}: {role!r} is not a role; a role is a text")
        check_recordable(role=role)
    return cast("tuple[str, ...]", found)
