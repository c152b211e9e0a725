"""Characters that are invisible."""

from __future__ import annotations

import re
import unicodedata

BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\uffa0\ufff0-\ufff8"
"""Letters, marks and signs that are drawn as nothing, and code points that are reserved for more of them."""
_VARIATIONS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: they choose how the character before them is drawn, and can carry any data."""
BLANK = re.compile(f"[{BLANK_LETTERS}{_VARIATIONS}]")
"""A character that is drawn as nothing."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of invisible characters: control, format, surrogate, private, unassigned, separators."""


def is_invisible(character: str) -> bool:
    """Returns whether a character is invisible. White space counts as visible, except for line separators and
    controls.
    """
    if " " <= character <= "~":
        return False
    return unicodedata.category(character) in UNSEEN or BLANK.match(character) is not None
