"""What `seawall wrap` finds in an application, and the lines to add."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from seawall.core.redact import Redactor
from seawall.wrap.source import SourceProblem

FrameworkName = Literal[
    "langchain",
    "langgraph",
    "openai-agents",
    "pydantic-ai",
    "crewai",
    "google-adk",
    "agent-framework",
    "mcp",
]
FoundKind = Literal["agent", "graph", "runner", "crew", "tool", "tools", "model", "server", "client"]
Gating = Literal["yes", "added", "in part", "no"]
"""`yes`: an adapter gates it already. `added`: the lines to add gate it. `in part`: `why` says what is left out."""


class FoundPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an application, and whether the adapter gates it."""

    kind: FoundKind
    name: str
    framework: FrameworkName
    file: str
    line: int
    gated: Gating
    why: str = ""
    """Why the part is not gated, or only in part, and what a person can do about it."""
    guessed: bool = False
    """Tools: `name` is the name of a package's class, because the tool's own name is known only at run time."""
    declared: Literal["", "effect", "read"] = ""
    """Tools: what the application declares the tool as."""
    seems: Literal["", "effect", "read"] = ""
    """Tools: what the tool seems to be by its name."""

    @property
    def must_declare(self) -> bool:
        """Whether this is a gated tool whose name says that it writes, and which the application does not declare."""
        return self.kind == "tool" and self.seems == "effect" and not self.declared and self.gated != "no"


class FileLines(msgspec.Struct, frozen=True, kw_only=True):
    """The lines to add to one file."""

    file: str
    diff: str
    """A unified diff."""


class WrapReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `seawall wrap`: the parts that were found, and the lines to add."""

    frameworks: tuple[FrameworkName, ...]
    files: int
    """Files that were read."""
    parts: tuple[FoundPart, ...]
    lines: tuple[FileLines, ...] = ()
    notes: tuple[str, ...] = ()
    """Further steps for a person, besides adding the lines."""
    install: tuple[str, ...] = ()
    """The requirements of the added lines, as pip takes them."""
    problems: tuple[SourceProblem, ...] = ()
    """Files that could not be read."""

    def redact(self, redactor: Redactor) -> WrapReport:
        """Returns the report without secrets from the source."""
        hide = redactor.text
        parts = [replace(each, name=hide(each.name), why=hide(each.why)) for each in self.parts]
        lines = [replace(each, diff=hide(each.diff)) for each in self.lines]
        notes = list(self.notes)
        changed = [new.file for old, new in zip(self.lines, lines, strict=True) if old != new]
        notes += [
            f"{file}: a secret in its lines is not shown, so make these changes by hand" for file in changed
        ]
        return replace(self, parts=tuple(parts), lines=tuple(lines), notes=tuple(map(hide, notes)))

    @property
    def writers_outside(self) -> tuple[FoundPart, ...]:
        """The tools that write, or seem to, and that the application as it is now does not declare or does not gate."""
        return tuple(
            part
            for part in self.parts
            if part.kind == "tool"
            and (part.declared == "effect" or part.seems == "effect")
            and (part.must_declare or part.gated != "yes")
        )
