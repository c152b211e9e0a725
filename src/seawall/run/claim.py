"""A claim of permission: what a text says of what may be done. It never is a permission."""

from __future__ import annotations

from typing import Literal

import msgspec

ClaimKind = Literal[
    "permission",  # somebody has allowed it
    "role",  # whoever writes has a role that may allow it
    "waiver",  # a check need not be made
    "voice",  # the text speaks in the name of somebody else
    "order",  # the text tells whoever reads it to approve
]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One claim in a text."""

    kind: ClaimKind
    quote: str
    """The sentence that makes it, cut to some characters. It is content: no event holds it."""
    by: str = ""
    """Who is said to allow it or to speak, in lower case, as the text names them; "": nobody is named."""
    markup: bool = False
    """A `voice` in the markup in which conversations are written for models: no person writes that by chance."""


class FoundClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, and where it stands."""

    claim: Claim
    step: int
    """The step in whose result or input it stands; 0: the request, or the conversation before it."""
    where: str
    """What holds it, for people: `the request`, `the result of 'find_order'`."""
    read: bool = False
    """It stands in what a tool or memory has brought, and not in what a user or an agent has written."""
