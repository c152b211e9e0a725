"""Finds the agents of the team that a text names: by name, by role, or as "the Web Developer" for `WebDeveloper`."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from seawall.lint.description import AgentDescription, TeamDescription
from seawall.lint.wording import split_name, strip_placeholders

KIND_WORDS = frozenset({"agent", "bot", "assistant", "specialist", "expert"})
"""Words at the end of a name which say that it is an agent, but not which one."""
_RANKS = frozenset(
    {"senior", "junior", "lead", "chief", "expert", "professional", "principal", "head", "experienced"}
)
_MAX_ROLE_WORDS = 5
"""Words of a role that is a title. A longer role is a description."""
_ROLE_END = re.compile(r"[,;:(–—/]|\s-\s|\.\s|\s(?:who|that|for|and|with)\s")


class Mention(NamedTuple):
    """A place in a text that names an agent."""

    agent: str
    start: int
    end: int


class MentionFinder:
    """Finds the agents of one team in texts."""

    def __init__(self, team: TeamDescription) -> None:
        aliases = {agent.name: _list_aliases(agent) for agent in team.agents}
        counts = Counter(alias for names in aliases.values() for alias in names)
        exact = Counter(split_name(agent.name) for agent in team.agents)
        by_alias: dict[tuple[str, ...], str] = {}
        for name, names in aliases.items():
            for alias in names:
                own = alias == split_name(name) and exact[alias] == 1
                if own or (counts[alias] == 1 and alias not in exact):
                    by_alias[alias] = name
        self._by_alias = by_alias
        longest_first = sorted(by_alias, key=lambda alias: (-sum(map(len, alias)), alias))
        parts = [r"[\s_\-]*".join(map(re.escape, alias)) for alias in longest_first]
        self._pattern = (
            re.compile(rf"(?<![^\W_])(?:{'|'.join(parts)})(?:s|['’]s)?(?![^\W_])", re.IGNORECASE)
            if parts
            else None
        )
        self._by_name = {agent.name for agent in team.agents}

    def __repr__(self) -> str:
        return f"<MentionFinder of {len(self._by_alias)} names>"

    def find(self, text: str, *, but: str = "") -> list[Mention]:
        """Returns the places where a text names agents, in the order of the text. The agent named `but` is left out."""
        if self._pattern is None:
            return []
        found = [(self._resolve(match, text), match) for match in self._pattern.finditer(text)]
        return [Mention(name, match.start(), match.end()) for name, match in found if name and name != but]

    def _resolve(self, match: re.Match[str], text: str) -> str:
        """Returns the agent that a match means; "" for a common word that only looks like an agent's name."""
        words = split_name(match[0].removesuffix("'s").removesuffix("’s"))
        name = self._by_alias.get(words) or self._by_alias.get((*words[:-1], words[-1].removesuffix("s")))
        if name is None:
            name = self._by_alias.get(tuple(re.findall(r"[^\W_]+", match[0].lower())), "")
        if not name or len(words) > 1 or match[0] == name:
            return name or ""
        before = text[: match.start()]
        at_start = not before.strip() or before.rstrip()[-1:] in ".:!?\n"
        if match[0][:1].isupper() and (not at_start or match[0].isupper()):
            return name
        return name if re.search(r"\b(?:the|der|die|den|dem|le|la|el)\s+$", before, re.IGNORECASE) else ""


def _list_aliases(agent: AgentDescription) -> set[tuple[str, ...]]:
    """Returns the ways in which texts may name an agent, each as words in lower case."""
    found = {split_name(agent.name)}
    title = _ROLE_END.split(strip_placeholders(agent.role).strip(), maxsplit=1)[0]
    role = split_name(title)
    if 0 < len(role) <= _MAX_ROLE_WORDS:
        found.add(role)
        found.add(tuple(word for word in role if word not in _RANKS))
    for alias in tuple(found):
        if len(alias) > 1 and alias[-1] in KIND_WORDS:
            found.add(alias[:-1])
    return {alias for alias in found if len("".join(alias)) > 2 and alias != ("agent",)}
