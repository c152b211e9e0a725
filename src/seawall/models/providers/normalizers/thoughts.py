"""Separates the thoughts that a server writes into the text, between `<think>` and `</think>`.

The client finds a tag in a stream only if the tag is a separate piece, so each tag becomes a separate piece.
"""

from __future__ import annotations

import re

_BEGIN, _END = "<think>", "</think>"
_TAGS = re.compile(f"{_BEGIN}|{_END}")
_PREFIXES = tuple(sorted({tag[:size] for tag in (_BEGIN, _END) for size in range(1, len(tag))}, key=len))


class TagSplitter:
    """Cuts a streamed text into pieces so that each tag is one piece, wherever packets and tokens are split."""

    def __init__(self) -> None:
        self._held = ""

    def __repr__(self) -> str:
        return f"<TagSplitter holds {self._held!r}>"

    def feed(self, text: str) -> list[str]:
        """Returns the pieces of this text. An end that may be the beginning of a tag is held back."""
        text, self._held = self._held + text, ""
        pieces: list[str] = []
        end = 0
        for tag in _TAGS.finditer(text):
            pieces += [text[end : tag.start()], tag.group()]
            end = tag.end()
        rest = text[end:]
        self._held = next((each for each in reversed(_PREFIXES) if rest.endswith(each)), "")
        pieces.append(rest.removesuffix(self._held))
        return [each for each in pieces if each]

    def finish(self) -> list[str]:
        """Returns what is held back."""
        held, self._held = self._held, ""
        return [held] if held else []


def close_thoughts(text: str) -> str:
    """Returns a whole text in which thoughts that were cut off get an end tag, so that they are not read as the answer."""
    begun = text.rfind(_BEGIN)
    return text + _END if begun >= 0 and text.find(_END, begun) < 0 else text
