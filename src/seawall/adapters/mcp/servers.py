"""Reads the configured MCP servers: from a `servers.json` in the usual form, or from a mapping of names to servers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from seawall.core.errors import Misused
from seawall.core.redact import Redactor

MAX_SERVERS = 100
"""Servers of one program. Each is a process or a connection, and their tools are more than a model can be shown."""

_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9-])*")
"""A server's name. It has no double underscore, because that divides it from a tool's name."""
_VARIABLE = re.compile(r"\$\{(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_OTHER_VARIABLE = re.compile(r"\$\{[a-z]+:[^}]*\}")
"""What editors replace in other ways: `${input:token}` asks their user."""

Servers = str | Path | Mapping[str, Any]
"""A file, or a mapping from a server's name to a URL, a command as a list, an entry of `mcpServers`, or a server object."""


@dataclass(frozen=True, kw_only=True)
class ServerSource:
    """How one server is reached."""

    name: str
    """The server's name in the file, and in the names of its tools."""
    kind: Literal["stdio", "http", "memory"]
    """A program that is started, a URL, or an object in this process."""
    command: tuple[str, ...] = ()
    """The program and its arguments; default none, for servers of another kind."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Environment variables for the program, beside the few that every program needs. It inherits no others."""
    directory: str | None = None
    """The directory in which the program is started. Default: that of this process."""
    url: str = ""
    """The server's URL; default none, for servers of another kind."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Headers of each request to the URL; default none."""
    server: object = None
    """A server in this process; default none, for servers of another kind."""

    def describe(self) -> str:
        """Returns a text on how the server is reached, without parts that may be secret."""
        match self.kind:
            case "stdio":
                return Path(self.command[0]).name
            case "http":
                parts = urlsplit(self.url)
                return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            case "memory":
                return "this process"

    def list_secrets(self) -> list[str]:
        """Returns the configured values that may be secrets, which must not be recorded."""
        parts = urlsplit(self.url)
        values = [*self.environment.values(), *self.headers.values(), parts.password or ""]
        bare = [value.partition(" ")[2] for value in self.headers.values()]  # `Bearer …`
        asked = [value for _, value in parse_qsl(parts.query)]
        seen = [
            text[start:end]
            for text in (self.url, *self.command, " ".join(self.command))
            for start, end in Redactor().places(text)
        ]
        found = [*values, *bare, *asked, *seen]
        return [value for value in [*found, *map(unquote, seen)] if value]


def read_servers(servers: Servers, environment: Mapping[str, str] | None = None) -> list[ServerSource]:
    """Returns the servers that a file or a mapping names. `${NAME}` in an entry stands for a variable of `environment`.

    Raises `Misused`, which names the entry, for an entry in none of the known forms.
    """
    found = _read_file(Path(servers)) if isinstance(servers, str | Path) else dict(servers)
    if isinstance(inner := found.get("mcpServers"), Mapping):
        found = dict(cast("Mapping[str, Any]", inner))
    if not found:
        raise Misused("there is no MCP server: name at least one")
    if len(found) > MAX_SERVERS:
        raise Misused(f"there are {len(found)} MCP servers (limit {MAX_SERVERS})")
    variables = os.environ if environment is None else environment
    sources = [_read_entry(name, entry, variables) for name, entry in found.items()]
    return [source for source in sources if source is not None]


def _read_file(path: Path) -> dict[str, Any]:
    if str(path).startswith(("http:/", "https:/")):
        raise Misused(f"{path}: give the server a name, such as {{'bank': 'https://…'}}")
    try:
        found: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Misused(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Misused(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Misused(f"{path}: it must be an object with mcpServers, not {type(found).__name__}")
    servers = cast("dict[str, Any]", found)
    if "mcpServers" not in servers and isinstance(servers.get("servers"), dict):
        return cast("dict[str, Any]", servers["servers"])  # the key that some editors use
    return servers


def check_server_name(name: str) -> None:
    """Raises `Misused` for a name that can't be the beginning of a tool's name."""
    if not isinstance(cast("object", name), str) or _NAME.fullmatch(name) is None or len(name) > 30:
        raise Misused(
            f"MCP server {name!r}: a name begins with a letter and has at most 30 letters, digits, '-' and single '_'"
        )


def _read_entry(name: str, entry: object, variables: Mapping[str, str]) -> ServerSource | None:
    check_server_name(name)
    if isinstance(entry, str):
        entry = {"url": entry}
    elif isinstance(entry, Sequence):
        words = [str(word) for word in cast("Sequence[object]", entry)]
        entry = {"command": words[0], "args": words[1:]} if words else {}
    if not isinstance(entry, Mapping):
        return ServerSource(name=name, kind="memory", server=entry)
    given = dict(cast("Mapping[str, Any]", entry))
    if given.get("disabled") is True or given.get("enabled") is False:
        return None
    options = cast("dict[str, Any]", _fill(name, given, variables))
    kind = options.get("type") or options.get("transport") or ("stdio" if "command" in options else "http")
    match kind:
        case "stdio":
            return _read_stdio(name, options)
        case "http" | "streamable-http" | "streamable_http" | "streamableHttp":
            return _read_http(name, options)
        case _:
            raise Misused(f"MCP server {name!r}: its transport is {kind!r}; it can be 'stdio' or 'http'")


def _fill(name: str, value: Any, variables: Mapping[str, str]) -> Any:
    """Returns a value in whose texts each `${NAME}` is replaced by the variable."""
    if isinstance(value, str):

        def find(match: re.Match[str]) -> str:
            named = cast("dict[str, str | None]", match.groupdict())
            known = variables.get(match["name"], named["default"])
            if known is None:
                raise Misused(
                    f"MCP server {name!r}: there is no variable {match['name']!r} in the environment"
                )
            return known

        other = _OTHER_VARIABLE.search(_VARIABLE.sub("", value))
        if other is not None:
            raise Misused(
                f"MCP server {name!r}: {other[0]} can't be filled in here; write a variable of the environment, "
                "such as ${TOKEN}"
            )
        return _VARIABLE.sub(find, value)
    if isinstance(value, Mapping):
        return {key: _fill(name, each, variables) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_fill(name, each, variables) for each in cast("list[Any]", value)]
    return value


def _read_stdio(name: str, options: dict[str, Any]) -> ServerSource:
    command, arguments, directory = options.get("command"), options.get("args", []), options.get("cwd")
    if not isinstance(command, str) or not command.strip():
        raise Misused(f"MCP server {name!r}: command is {command!r}; it must be a program")
    if not isinstance(arguments, list):
        raise Misused(f"MCP server {name!r}: args is {arguments!r}; it must be a list")
    if not isinstance(directory, str | None):
        raise Misused(f"MCP server {name!r}: cwd is {directory!r}; it must be a directory")
    words = (command, *(str(each) for each in cast("list[object]", arguments)))
    return ServerSource(
        name=name,
        kind="stdio",
        command=words,
        environment=_read_texts(name, "env", options.get("env")),
        directory=directory,
    )


def _read_http(name: str, options: dict[str, Any]) -> ServerSource:
    url = options.get("url")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misused(f"MCP server {name!r}: url is {url!r}; it must begin with http:// or https://")
    return ServerSource(
        name=name, kind="http", url=str(url), headers=_read_texts(name, "headers", options.get("headers"))
    )


def _read_texts(name: str, what: str, given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise Misused(f"MCP server {name!r}: {what} is {type(given).__name__}; it must map names to texts")
    texts = cast("Mapping[object, object]", given).items()
    # `true` is written so in the file, and so by other clients
    return {
        str(key): json.dumps(each) if isinstance(each, bool) else str(each)
        for key, each in texts
        if each is not None
    }
