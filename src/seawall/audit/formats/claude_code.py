"""Claude Code: session files (`~/.claude/projects/*/*.jsonl`), with one line for each block of a message or each event.

A reply is on several lines with the same message id, each with the same usage. Sub-agents are sidechains, in the same file or
in a separate one, and each is an agent of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from seawall.audit.formats.format import Format
from seawall.audit.gathering import GatheredRun, OpenRuns
from seawall.audit.json_fields import Fields, get_fields, get_list, get_text
from seawall.audit.messages import is_message, read_messages
from seawall.audit.recording import BadLine, RecordedRun

NAME = "Claude Code"
MAX_LINKS = 200_000
"""The newest lines of a file whose ids are remembered, to find the sidechain of a line. They take some 40 MB."""
_BESIDE = frozenset(
    {
        "summary",
        "file-history-snapshot",
        "queue-operation",
        "progress",
        "custom-title",
        "agent-name",
        "last-prompt",
    }
)
"""Types of lines that are not a part of the conversation, and lack the fields of those that are."""


def _recognise(value: Any) -> bool:
    row = get_fields(value)
    kind = get_text(row, "type")
    if kind in ("user", "assistant"):
        return "sessionId" in row or ("uuid" in row and "parentUuid" in row)
    known = ("sessionId", "leafUuid", "messageId", "isSidechain", "parentUuid")
    if kind in _BESIDE or kind in ("system", "attachment"):
        return any(name in row for name in known)
    # new versions add lines of further types, which say something of the session
    said = [message for value in row.values() for message in get_list(value) or [value]]
    return bool(kind) and "sessionId" in row and "role" not in row and not any(map(is_message, said))


class _SessionReader:
    """Groups the lines of a file by their session."""

    def __init__(self, file: str) -> None:
        self._sessions = OpenRuns(lambda key, line: GatheredRun(key, file, NAME, line))
        self._agents: dict[str, str] = {}
        """The agent of each line, by the line's id."""
        self._replies: dict[tuple[str, str], str] = {}
        """The message id of the newest reply, by session and agent."""
        self._sidechains: dict[str, int] = {}
        self._seen: set[tuple[str, str]] = set()

    def read(self, value: Any, line: int) -> Iterator[RecordedRun | BadLine]:
        """Reads a line, and yields the sessions that are closed to make room for it."""
        row = get_fields(value)
        message = get_fields(row, "message")
        if get_text(row, "type") not in ("user", "assistant") or not message:
            return
        key, own = get_text(row, "sessionId") or "session", get_text(row, "uuid")
        if len(self._agents) >= MAX_LINKS:
            self._agents.clear()
            self._seen.clear()
        if own and (key, own) in self._seen:  # a resumed session repeats its lines
            return
        self._seen.add((key, own))
        agent = self._find_agent(row, key, own)
        session = self._sessions.get(key, line)
        reply = get_text(message, "id")
        goes_on = bool(reply) and self._replies.get((key, agent)) == reply
        for each in read_messages([message], line):
            named = replace(each, agent=agent)
            if each.role != "assistant":
                session.append([named])
            elif not (goes_on and session.extend_reply(named)):
                session.append([named])
                self._replies[key, agent] = reply
        yield from self._sessions.settle(key)

    def _find_agent(self, row: Fields, key: str, own: str) -> str:
        """Returns "" for the session's own agent, and a name for each sidechain."""
        agent = get_text(row, "agentId")
        if row.get("isSidechain") is not True:
            agent = ""
        elif not agent:
            agent = self._agents.get(get_text(row, "parentUuid"), "")
            if not agent:
                number = self._sidechains[key] = self._sidechains.get(key, 0) + 1
                agent = f"sidechain #{number}"
        if own:
            self._agents[own] = agent
        return agent

    def finish(self) -> Iterator[RecordedRun]:
        """Yields the sessions that were still open."""
        yield from self._sessions.close_all()


FORMAT = Format(
    NAME,
    "session files: lines with `type` user or assistant, `message` and `sessionId`",
    "a session: the lines with one `sessionId`, with sidechains as agents of their own; a file of a sub-agent is a run of its own",
    _recognise,
    _SessionReader,
)
