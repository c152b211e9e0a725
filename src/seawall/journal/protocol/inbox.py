"""Commands to a run: any process may send one, and the process that owns the run carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from seawall.core.canonical import Ref


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message to a run's owner, from any process."""

    kind: Literal["cancel", "decide", "late", "settled"]
    """`late`: the receipt of effect step `step` came after its step had ended. `settled`: an effect was settled; the
    command says what became of it."""
    by: str = ""
    reason: str = ""
    step: int | None = None
    approved: bool | None = None
    output: Ref | None = None
    proposal: str = ""
    edit: Ref | None = None
    stop: bool = False


class InboxItem(msgspec.Struct, frozen=True):
    """A command in the inbox of `run`; `number` counts from 0 within the run."""

    run: str
    number: int
    command: Command


class InboxStore(Protocol):
    """Commands that processes send to runs."""

    async def send(self, run: str, command: Command, bodies: Mapping[Ref, bytes] | None = None) -> int:
        """Puts a command into a run's inbox, durably, with the bodies that it refers to; returns its number.

        Raises `Misused` for an unknown run and for one that has ended.
        """
        ...

    async def inbox(self, run: str, *, after: int = -1) -> list[InboxItem]:
        """Returns the run's commands with number > `after`, in order."""
        ...

    async def commands(self, *, after: int) -> tuple[int, list[InboxItem]]:
        """Returns the new cursor, and the commands of all runs that came after cursor `after`, in order.

        With a negative `after` it returns the cursor as it is now, and no commands.
        """
        ...
