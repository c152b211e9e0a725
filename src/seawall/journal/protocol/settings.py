"""Values that all processes on a journal share: settings that people change live, and small shared records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from seawall.core.errors import Misused

SettingKind = Literal["guard", "pause", "endpoint"]

VALUES: Mapping[SettingKind, tuple[str, ...]] = {
    "guard": ("auto", "off", "observe", "enforce"),
    "pause": ("on", "off"),
    "endpoint": ("auto", "open", "closed", "isolated"),
}
"""The values that a setting of each kind can have."""
DECIDING = ("caps", "effects/", "mcp/")
"""The prefixes of the keys of shared records that decide something; the chain holds these records."""


class Setting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A setting that a person made live, for all processes on this journal. The newest one of a kind and name counts.

    Raises `Misused` for a value that its kind does not have.
    """

    kind: SettingKind
    name: str
    """A guard's name; `tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all` for a pause;
    `tool:refund` or `model:openai:gpt-5.2` for an endpoint."""
    value: str
    """One of `VALUES[kind]`."""
    by: str
    why: str = ""
    at: float
    until: float | None = None
    """Wall seconds until which the setting has an effect. None: it has no end."""

    def __post_init__(self) -> None:
        """Checks the value."""
        values = VALUES.get(self.kind)
        if values is None:
            raise Misused(f"there is no setting of kind {self.kind!r}; the kinds are {', '.join(VALUES)}")
        if self.value not in values:
            one_of = ", ".join(values)
            raise Misused(f"{self.kind} {self.name!r} can't be set to {self.value!r}; it is one of {one_of}")


class SettingStore(Protocol):
    """Live settings and shared records.

    A shared record is a small value that all processes see, and that outlives them. It is advice and not history, so it
    is not part of the chain, unless its key begins with one of `DECIDING`: then the chain holds it, each change is a
    batch, and a record that another program has written or changed is damage.
    """

    async def set(self, setting: Setting) -> None:
        """Records a live setting for all processes on this journal."""
        ...

    async def settings(self) -> dict[tuple[SettingKind, str], Setting]:
        """Returns the newest setting of each kind and name, expired or not."""
        ...

    async def change(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Reads, changes and writes a shared record in one step across all processes; returns its new value.

        `change` gets the value (None: there is no record) and returns the new one (None deletes the record). It runs in
        the thread that writes, perhaps more than once, so it must be quick and pure. If it raises, the caller gets the
        error, and the record stays as it was. Raises `Misused` for a key of more than 512 bytes and a value of more
        than 64 KiB, `JournalDamaged`, `JournalFull`, `JournalFailed`.
        """
        ...

    async def shared(self, prefix: str) -> dict[str, bytes]:
        """Returns the shared records whose keys begin with `prefix`, in the order of their keys. Raises `JournalDamaged`."""
        ...
