"""Reads the tools of an agent from the source: functions, calls that turn functions into tools, classes, and providers'
tools.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from seawall.wrap.finding import FrameworkName, Gating
from seawall.wrap.inspection import Inspection
from seawall.wrap.resolving import SourceValue, ends_with, get_argument, list_returns, read_text
from seawall.wrap.source import Function, SourceFile

MODEL_PACKAGES = (
    "openai",
    "anthropic",
    "google.genai",
    "google.generativeai",
    "litellm",
    "mistralai",
    "cohere",
    "groq",
    "ollama",
    "together",
    "boto3",
    "langchain.chat_models",
    "langchain_core.language_models",
    "langchain_openai",
    "langchain_anthropic",
    "langchain_google_genai",
    "langchain_google_vertexai",
    "langchain_aws",
    "langchain_mistralai",
    "langchain_groq",
    "langchain_ollama",
    "langchain_cohere",
    "langchain_community.chat_models",
)
"""Packages of model clients, as applications import them."""
LANGCHAIN_MODELS = tuple(each for each in MODEL_PACKAGES if "langchain" in each)
_CALLS_MODEL = frozenset(
    [
        "invoke",
        "ainvoke",
        "stream",
        "astream",
        "batch",
        "abatch",
        "generate",
        "agenerate",
        "generate_content",
        "generate_content_async",
        "predict",
        "apredict",
        "complete",
        "acomplete",
        "completion",
        "acompletion",
        "create",
        "parse",
        "chat",
        "converse",
        "converse_stream",
        "invoke_model",
        "call",
        "acall",
    ]
)
MAX_HELPERS = 3
"""Depth to which functions that a tool's function calls are followed."""
HOSTED = "the model's provider runs it, and it never reaches this process"
UNSEEN = "no adapter sees a call that a tool makes by itself"
AGENT_TOOL = "another agent calls it as a tool, and it works in a frame of the run"
UNKNOWN_TOOLS = "their names are known only at run time: sea.coverage() lists them after the first run"


class ToolRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one framework makes tools."""

    framework: FrameworkName
    packages: tuple[str, ...]
    makers: frozenset[str] = frozenset()
    """Functions, classes and decorators that turn a function into a tool."""
    names: tuple[str, ...] = ("name",)
    """The keyword arguments that hold the tool's name."""
    hosted: Mapping[str, str] = {}
    """Tools that can't be gated, each with the reason."""
    in_process: Mapping[str, tuple[str, str]] = {}
    """Classes of tools that the framework runs in the caller's process: the name that a tool has by default, and the argument
    without which the provider runs it."""
    servers: frozenset[str] = frozenset()
    """Classes of sets of tools whose names are known only at run time."""
    agents: frozenset[str] = frozenset()
    """Functions and classes that turn an agent into a tool."""
    dicts_are_hosted: bool = False
    """Whether a mapping with a `type` among the tools is a tool of the provider."""
    model_packages: tuple[str, ...] = ()
    """Packages of the models inside of tools for which `model_gated` and `model_why` hold; no adapter sees other models."""
    model_gated: Gating = "no"
    model_why: str = ""


class _Inner(NamedTuple):
    """A model that a function calls by itself."""

    name: str
    dotted: str
    """The full dotted name of the model's class or function."""
    value: SourceValue


class ToolReader:
    """Reads lists of tools by the rules of a framework, and adds the tools to the inspection."""

    def __init__(self, inspection: Inspection, rules: ToolRules, gated: Gating, why: str = "") -> None:
        """`gated` and `why` hold for all tools of this agent."""
        self._inspection, self._rules, self._why = inspection, rules, why
        self._gated: Gating = gated
        self._app = inspection.app

    def __repr__(self) -> str:
        return f"<ToolReader of {self._rules.framework}>"

    def read_list(self, node: ast.AST | None, source: SourceFile) -> None:
        """Reads the tools in a list."""
        for value in () if node is None else self._app.expand(node, source):
            self.read(value)

    def read_argument(
        self, call: ast.Call, name: str, source: SourceFile, position: int | None = None
    ) -> None:
        """Reads the tools in an argument of a call."""
        for tool in self._app.expand_argument(call, source, name, position):
            self.read(tool)
        known = self._app.find_arguments(call, source, name, position)
        for keyword in () if known else call.keywords:
            for value in self._app.resolve(keyword.value, source) if keyword.arg is None else ():
                if not isinstance(value.node, ast.Dict):
                    self._add_unknown(value)

    def read(self, value: SourceValue, depth: int = 0) -> None:
        """Reads one tool."""
        node = value.node
        if value.definition is not None:
            self.read_function(value.definition, value.source)
        elif isinstance(node, ast.ClassDef):
            self._read_class(node, value)
        elif isinstance(node, ast.Call):
            self._read_call(node, value, depth)
        elif isinstance(node, ast.Dict):
            self._read_mapping(node, value)
        elif isinstance(node, ast.Lambda):
            self._add_tool("lambda", value)
        elif text := read_text(node):
            self._add_tool(text, value)
        elif value.dotted:
            self._add_named(value.dotted, value)
        elif not isinstance(node, ast.Constant):
            self._add_unknown(value)

    def read_function(self, function: Function, source: SourceFile, name: str = "") -> None:
        """Reads a function that is a tool, and the models that it calls by itself."""
        value = SourceValue(function, source)
        name = name or self._find_decorated_name(function, source) or function.name
        self._add_tool(name, value)
        self.read_body(function, source, name)

    def read_body(self, function: Function | ast.ClassDef, source: SourceFile, tool: str) -> None:
        """Adds the models that a tool's code calls by itself."""
        for inner in self._list_models(function, source, MAX_HELPERS):
            seen = inner.dotted.startswith(self._rules.model_packages)
            gated: Gating = self._rules.model_gated if seen else "no"
            why = f"{tool!r} calls it: {self._rules.model_why if seen else UNSEEN}"
            self._inspection.add("model", inner.name, self._rules.framework, inner.value, gated, why)

    # ---- kinds of tools

    def _read_call(self, call: ast.Call, value: SourceValue, depth: int) -> None:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "as_tool":
            name = self._find_name(call) or _name_of(call.func.value)
            self._inspection.add("agent", name, self._rules.framework, value, self._gated, AGENT_TOOL)
            return
        known = False
        for callee in self._app.resolve(call.func, value.source):
            if callee.dotted:
                known = True
                self._read_made(callee.dotted, call, value)
            elif isinstance(callee.node, ast.ClassDef):
                known = True
                self._read_class(callee.node, value._replace(node=call), callee.source)
            elif callee.definition is not None and depth < MAX_HELPERS:
                known = True
                for returned in list_returns(callee.definition):
                    for made in self._app.resolve(returned, callee.source):
                        if made.node is callee.definition:
                            continue
                        self.read(made, depth + 1)
        if not known:
            self._read_method(call, value)

    def _read_method(self, call: ast.Call, value: SourceValue) -> None:
        """Reads a call of a method whose object is known only at run time."""
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        hosted = self._rules.hosted.get(method)
        if hosted is not None:
            self._inspection.add("tool", method, self._rules.framework, value, "no", hosted)
        else:
            self._add_unknown(value)

    def _read_made(self, dotted: str, call: ast.Call, value: SourceValue) -> None:
        """Reads the value of a call of an outside function or class."""
        rules, end = self._rules, dotted.rpartition(".")[2]
        last_two = ".".join(dotted.split(".")[-2:])
        if end in rules.agents:
            agent = get_argument(call, "agent", 0)
            name = self._find_name(call) or (
                "agent" if agent is None else self._name_agent(agent, value.source)
            )
            self._inspection.add("agent", name, self._rules.framework, value, self._gated, AGENT_TOOL)
        elif end in rules.hosted and ends_with(dotted, rules.packages, frozenset(rules.hosted)):
            self._inspection.add("tool", end, rules.framework, value, "no", rules.hosted[end])
        elif end in rules.in_process and ends_with(dotted, rules.packages, frozenset(rules.in_process)):
            self._read_in_process(end, call, value)
        elif end in rules.servers or last_two in rules.servers:
            self._add_unknown(value)
        elif end in rules.makers or last_two in rules.makers:
            self._read_wrapped(call, value)
        elif end in ("get_tools", "load_tools", "get_mcp_tools", "load_mcp_tools", "list_tools"):
            self._add_unknown(value)
        else:
            name = self._find_name(call)
            self._add_tool(name or end, value, guessed=not name)

    def _read_in_process(self, kind: str, call: ast.Call, value: SourceValue) -> None:
        """Reads a tool that the framework runs in the caller's process, unless the provider runs it."""
        name, needed = self._rules.in_process[kind]
        if not call.args and get_argument(call, needed) is None and all(each.arg for each in call.keywords):
            self._inspection.add("tool", kind, self._rules.framework, value, "no", HOSTED)
            return
        given = read_text(call.args[0]) if call.args else ""
        self._add_tool(self._find_name(call) or given or name, value)

    def _read_wrapped(self, call: ast.Call, value: SourceValue) -> None:
        """Reads a call that turns a function into a tool: `StructuredTool.from_function(refund, name="pay_back")`."""
        name = self._find_name(call)
        keywords = ("func", "function", "coroutine", "on_invoke_tool")
        given = next((found for each in keywords if (found := get_argument(call, each)) is not None), None)
        if given is None and call.args:
            given = next((each for each in call.args if not read_text(each)), None)
            name = name or next((text for each in call.args[:1] if (text := read_text(each))), "")
        functions = (
            []
            if given is None
            else [each for each in self._app.resolve(given, value.source) if each.definition]
        )
        for each in functions:
            assert each.definition is not None
            self.read_function(each.definition, each.source, name)
        if not functions:
            self._add_tool(name or ("tool" if given is None else _name_of(given)), value)

    def _read_class(self, node: ast.ClassDef, value: SourceValue, source: SourceFile | None = None) -> None:
        """Reads a tool that is a class of the application."""
        at = source or value.source
        name = self._find_name(value.node) if isinstance(value.node, ast.Call) else ""
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id="name"), value=ast.expr() as given):
                    name = name or read_text(given)
                case ast.Assign(targets=[ast.Name(id="name")], value=given):
                    name = name or read_text(given)
                case _:
                    pass
        self._add_tool(name or node.name, SourceValue(node, at))
        self.read_body(node, at, name or node.name)

    def _read_mapping(self, node: ast.Dict, value: SourceValue) -> None:
        entries = {
            read_text(key): item for key, item in zip(node.keys, node.values, strict=True) if key is not None
        }
        kind = read_text(entries.get("type"))
        if self._rules.dicts_are_hosted and kind and kind != "function":
            self._inspection.add(
                "tool", read_text(entries.get("name")) or kind, self._rules.framework, value, "no", HOSTED
            )
        else:
            inner = entries.get("function")
            if isinstance(inner, ast.Dict):
                entries |= {
                    read_text(key): item
                    for key, item in zip(inner.keys, inner.values, strict=True)
                    if key is not None
                }
            self._add_tool(read_text(entries.get("name")) or kind or "tool", value)

    def _add_named(self, dotted: str, value: SourceValue) -> None:
        end = dotted.rpartition(".")[2]
        if end in self._rules.hosted:
            self._inspection.add("tool", end, self._rules.framework, value, "no", self._rules.hosted[end])
        else:
            self._add_tool(end, value, guessed=True)

    def _add_tool(self, name: str, value: SourceValue, *, guessed: bool = False) -> None:
        why = self._why or ("a tool of a package: its own name is known only at run time" if guessed else "")
        self._inspection.add("tool", name, self._rules.framework, value, self._gated, why, guessed=guessed)

    def _add_unknown(self, value: SourceValue) -> None:
        text = " ".join(value.source.get_segment(value.node).split())
        name = text if len(text) <= 60 else f"{text[:59]}…"
        self._inspection.add(
            "tools", name, self._rules.framework, value, self._gated, self._why or UNKNOWN_TOOLS
        )

    # ---- names

    def _find_name(self, node: ast.AST) -> str:
        if not isinstance(node, ast.Call):
            return ""
        return next((text for each in self._rules.names if (text := read_text(get_argument(node, each)))), "")

    def _find_decorated_name(self, function: Function, source: SourceFile) -> str:
        """Returns the name that a decorator gives a tool: `@tool("pay_back")`, `@function_tool(name_override="pay_back")`."""
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call):
                text = self._find_name(decorator) or (read_text(decorator.args[0]) if decorator.args else "")
                if text and self._is_maker(decorator.func, source):
                    return text
        return ""

    def _is_maker(self, func: ast.expr, source: SourceFile) -> bool:
        ends = {each.dotted.rpartition(".")[2] for each in self._app.resolve(func, source) if each.dotted}
        ends |= {func.attr} if isinstance(func, ast.Attribute) else set()
        return bool(ends & self._rules.makers)

    def _name_agent(self, node: ast.expr, source: SourceFile) -> str:
        for value in self._app.resolve(node, source):
            if isinstance(value.node, ast.Call) and (text := read_text(get_argument(value.node, "name"))):
                return text
        return _name_of(node)

    # ---- models inside of tools

    def _list_models(self, code: ast.AST, source: SourceFile, helpers: int) -> Iterator[_Inner]:
        for call in (node for node in ast.walk(code) if isinstance(node, ast.Call)):
            end = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if end in _CALLS_MODEL and (dotted := self._find_model(call, source)):
                yield _Inner(
                    source.get_segment(call.func).split("\n")[0][:60], dotted, SourceValue(call, source)
                )
                continue
            for callee in self._app.resolve(call.func, source) if helpers else ():
                if callee.definition is not None and callee.definition is not code:
                    yield from self._list_models(callee.definition, callee.source, helpers - 1)

    def _find_model(self, call: ast.Call, source: SourceFile) -> str:
        """Returns the full dotted name of the class or function of the model that is called; "" if no model is called."""
        for each in self._app.find_callees(call, source):
            if _is_model(each):
                return each
        node: ast.expr = call.func
        while isinstance(node, ast.Attribute | ast.Call):
            if isinstance(node, ast.Attribute) and (dotted := self._find_maker(node, source)):
                return dotted
            node = node.value if isinstance(node, ast.Attribute) else node.func
        return self._find_maker(node, source)

    def _find_maker(self, node: ast.expr, source: SourceFile) -> str:
        for dotted, _ in self._app.find_makers(node, source):
            if _is_model(dotted):
                return dotted
        for value in self._app.resolve(node, source):  # a chain: prompt | model
            if isinstance(value.node, ast.BinOp) and isinstance(value.node.op, ast.BitOr):
                for side in (value.node.left, value.node.right):
                    if dotted := self._find_maker(side, value.source):
                        return dotted
        return ""


def _is_model(dotted: str) -> bool:
    return "mbedding" not in dotted and any(
        dotted == each or dotted.startswith(f"{each}.") for each in MODEL_PACKAGES
    )


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else "tool"
