"""Names of tools: for models, for people, and which of them look alike."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from seawall.core.errors import Misused
from seawall.core.odd_text import find_odd_text

MAX_TOOL_CHARS = 64
"""Characters of a name that every provider accepts."""
_SEPARATOR = "__"
_DIGEST_CHARS = 16
_DIGEST = re.compile(f"_[0-9a-f]{{{_DIGEST_CHARS}}}$")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_MISLEADS = re.compile(r"\(U\+|gap of|two alphabets|many marks")
"""Findings of `find_odd_text` that mean hidden text in a description. Its findings on markup, rulers and length are left out:
these are usual in descriptions."""

_LOOK_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u043a\u043c"
    "\u0442\u0432\u043d\u0433\u03b1\u03b5\u03bf\u03c1\u03c5\u03bd\u03b9\u03ba\u03c4\u03c7\u0131\u0251"
    "\u0261\u0192\u2113"
    "01i|-./ ",
    "aeopcyxljshdqwkmtbhraeopuvlktxlagflolll____",
)
"""Letters, digits and signs that people take for one another: those of Unicode's list of confusables that occur in
identifiers."""


def join_name(server: str, tool: str) -> str:
    """Returns the name of a tool for people and patterns: `bank.refund`."""
    return f"{server}.{tool}"


def split_name(name: str) -> tuple[str, str]:
    """Returns the server and the tool of `bank.refund`; the tool is "" if the name has no dot."""
    server, _, tool = name.partition(".")
    return server, tool


def make_model_name(server: str, tool: str) -> str:
    """Returns the name by which a model calls a tool: `bank__refund`. No two tools have the same one.

    A name that a provider would not accept is written in plain characters with a digest of the original at its end. A name
    that ends like such a digest gets one, too.
    """
    name = f"{server}{_SEPARATOR}{tool}"
    if len(name) <= MAX_TOOL_CHARS and _PLAIN.fullmatch(name) is not None and not _DIGEST.search(name):
        return name
    digest = hashlib.sha256(tool.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST_CHARS]
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "_" for each in tool)
    return f"{f'{server}{_SEPARATOR}{plain}'[: MAX_TOOL_CHARS - 1 - _DIGEST_CHARS]}_{digest}"


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Returns whether a name such as `bank.refund` matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_pattern(what: str, pattern: object, servers: Sequence[str]) -> None:
    """Raises `Misused` for a pattern that can't match any tool of these servers, such as one without a server's name."""
    if not isinstance(pattern, str) or not any(
        matches_any(server, [split_name(pattern)[0]]) for server in servers
    ):
        there = ", ".join(servers)
        raise Misused(f"{what}: {pattern!r} matches no tool; write SERVER.TOOL (servers: {there})")


def list_unused(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Returns the patterns that match none of the tools that servers offer."""
    return [each for each in patterns if not any(matches_any(name, [each]) for name in names)]


def advise_on_unused(what: str, pattern: str) -> str:
    """Returns what is told of a pattern that matches none of the tools that servers offer."""
    return f"{what}: {pattern!r} matches none of the tools that are there now"


def make_skeleton(name: str) -> str:
    """Returns a form of a name that is equal for names that look alike."""
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_LOOK_ALIKE)
    return "".join(each for each in plain if unicodedata.category(each) not in ("Cf", "Mn", "Cc")).replace(
        "rn", "m"
    )


def find_odd_parts(tool: str, texts: object) -> list[str]:
    """Returns what is misleading in a tool's name, and in the texts that a model would read."""
    found = [f"its name has {what}" for what in find_odd_text(tool)]
    if not found and not tool.isascii():
        found.append("its name has letters that are not plain")
    if not tool.strip():
        found.append("it has no name")
    return found + [each for each in find_odd_text(texts) if _MISLEADS.search(each) is not None]


def find_look_alikes(names: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns advice on tools of several servers with equal names or look-alike names. `names` are given by server."""
    by_skeleton: dict[str, list[tuple[str, str]]] = {}
    for server, tools in names.items():
        for tool in tools:
            by_skeleton.setdefault(make_skeleton(tool), []).append((server, tool))
    told: list[str] = []
    for group in by_skeleton.values():
        if len(group) == 1:
            continue
        named = " and ".join(repr(join_name(*each)) for each in group)
        if len({tool for _, tool in group}) == 1:
            told.append(f"several servers offer one tool name: {named}")
        else:
            told.append(f"names of tools look alike: {named}")
    return told
