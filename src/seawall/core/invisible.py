"""Which characters are not seen at all."""

from __future__ import annotations

import re
import unicodedata

BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\uffa0\ufff0-\ufff8"
"""Letters, marks and signs that are drawn as nothing, and places that are kept for more of them."""
_VARIATIONS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""They choose how the character before is drawn, and can carry any data."""
BLANK = re.compile(f"[{BLANK_LETTERS}{_VARIATIONS}]")
"""What is drawn as nothing."""
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that are not seen: control, format, surrogate, private, unassigned, separators."""


def is_invisible(character: str) -> bool:
    """Returns whether a character is not seen at all. White space is seen, but for separators of lines and controls."""
    if " " <= character <= "~":
        return False
    return unicodedata.category(character) in UNSEEN or BLANK.match(character) is not None
