"""MCP: the tools of servers that the application offers, clients of servers, and the configuration that names them."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, NamedTuple, cast

from seawall.wrap.edits import make_diff
from seawall.wrap.finding import FileLines, FoundPart
from seawall.wrap.frameworks.framework import Framework
from seawall.wrap.inspection import JOURNAL, Inspection, name_value
from seawall.wrap.resolving import SourceValue, ends_with, read_text
from seawall.wrap.source import MAX_FILE_BYTES, SourceFile, SourceProblem
from seawall.wrap.tools import ToolReader, ToolRules

_PACKAGES = ("mcp", "fastmcp")
_SERVERS = frozenset({"FastMCP", "MCPServer"})
_CLIENTS = frozenset({"ClientSession", "Client", "ClientSessionGroup"})
_BEHIND = "seawall proxy is put in front of it: the lines to add are in the configuration of its client"
SERVERS_FILE = "servers.json"
RULES = ToolRules(framework="mcp", packages=_PACKAGES, makers=frozenset({"tool", "add_tool"}))


def _find(inspection: Inspection) -> None:
    app = inspection.app
    for source in app.sources:
        for call in source.calls:
            names = app.find_callees(call, source)
            if any(ends_with(each, _PACKAGES, _SERVERS) for each in names):
                name = name_value(call, source, "server")
                name = next((text for each in call.args[:1] if (text := read_text(each))), name)
                inspection.add("server", name, "mcp", SourceValue(call, source), "in part", _BEHIND)
            elif any(ends_with(each, _PACKAGES, _CLIENTS) for each in names):
                why = "it calls servers by itself: let it connect to `seawall proxy --mcp servers.json` in the place of the servers"
                inspection.add(
                    "client", name_value(call, source, "client"), "mcp", SourceValue(call, source), "no", why
                )
            elif (
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "add_tool"
                and _is_server(inspection, call.func.value, source)
            ):
                ToolReader(inspection, RULES, "in part").read_list(ast.List(list(call.args[:1])), source)
        _read_decorated(inspection, source)
    if any(part.framework == "mcp" and part.kind in ("server", "client") for part in inspection.parts):
        effects = [part.name for part in inspection.parts if part.framework == "mcp" and part.must_declare]
        declared = "".join(f" --effects '*.{name}'" for name in dict.fromkeys(effects))
        inspection.note(
            f"put the gate in front of the servers with  seawall proxy --mcp {SERVERS_FILE}{declared}"
        )


def _is_server(inspection: Inspection, node: ast.expr, source: SourceFile) -> bool:
    makers = inspection.app.find_makers(node, source)
    return any(ends_with(dotted, _PACKAGES, _SERVERS) for dotted, _ in makers)


def _read_decorated(inspection: Inspection, source: SourceFile) -> None:
    """Reads the functions that `@server.tool` decorates."""
    for node in source.functions:
        for decorator in node.decorator_list:
            func = decorator.func if isinstance(decorator, ast.Call) else decorator
            if (
                isinstance(func, ast.Attribute)
                and func.attr == "tool"
                and _is_server(inspection, func.value, source)
            ):
                ToolReader(inspection, RULES, "in part").read_function(node, source)


class Configuration(NamedTuple):
    """A file that names servers for a client."""

    path: Path
    text: str
    content: dict[str, Any]

    @property
    def servers(self) -> dict[str, Any]:
        """The entries of the servers, by name."""
        return cast("dict[str, Any]", self.content["mcpServers"])

    def list_behind(self) -> list[Path]:
        """Returns the files that name the servers behind this configuration's proxies."""
        words = [_list_words(entry) for entry in self.servers.values() if _is_proxy(entry)]
        found = [each[each.index("--mcp") + 1] for each in words if "--mcp" in each[:-1]]
        return [(self.path.parent / file).resolve() for file in found]

    def read_parts(self, *, behind: bool) -> list[FoundPart]:
        """Returns the servers of the file. `behind`: a proxy reads this file, and the client reads another one."""
        proxies = [name for name, entry in self.servers.items() if _is_proxy(entry)]
        return [
            FoundPart(
                kind="server",
                name=name,
                framework="mcp",
                file=str(self.path),
                line=_find_line(self.text, name),
                gated="yes" if behind or name in proxies else "no" if proxies else "added",
                why="its client calls it without the proxy; move it into the proxy's own file"
                if proxies and name not in proxies
                else "",
            )
            for name in self.servers
        ]

    def make_lines(self) -> FileLines | None:
        """Returns the lines that replace the servers by the proxy; None if the file names the proxy already."""
        if any(_is_proxy(entry) for entry in self.servers.values()):
            return None
        entry = {"command": "seawall", "args": ["proxy", "--mcp", SERVERS_FILE, "--journal", JOURNAL]}
        moved = _write_json({"mcpServers": self.servers})
        changed = _write_json({**self.content, "mcpServers": {"all": entry}})
        diff = make_diff(str(self.path.with_name(SERVERS_FILE)), "", moved)
        return FileLines(file=str(self.path), diff=diff + make_diff(str(self.path), self.text, changed))


def read_configuration(path: Path) -> Configuration | SourceProblem | None:
    """Returns a client's configuration; None if the file is not one, and a problem if it can't be read or is not JSON."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        text = path.read_text(encoding="utf-8")
        content = cast("object", json.loads(text))
    except OSError as error:
        return SourceProblem(str(path), 0, f"it can't be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        why = getattr(error, "msg", error)
        return SourceProblem(str(path), getattr(error, "lineno", 0), f"it can't be parsed: {why}")
    if not isinstance(content, dict):
        return None
    found = cast("dict[str, Any]", content)
    return Configuration(path, text, found) if isinstance(found.get("mcpServers"), dict) else None


def _write_json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"


def _list_words(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return []
    given = cast("dict[str, Any]", entry)
    return [str(given.get("command", "")), *map(str, given.get("args") or ())]


def _is_proxy(entry: object) -> bool:
    words = _list_words(entry)
    return "proxy" in words and any(word.endswith("seawall") for word in words)


def _find_line(text: str, name: str) -> int:
    quoted = json.dumps(name)
    return next((number for number, line in enumerate(text.splitlines(), 1) if quoted in line), 1)


MCP = Framework(name="mcp", packages=_PACKAGES, requirement="seawall[mcp]", find=_find)
