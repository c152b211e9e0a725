"""Writes docs/reference/ from the code, so that no default and no help text is written twice.

    python tools/reference.py            write the pages
    python tools/reference.py --check    write nothing; exit 1 and name the pages that are out of date

A field's text is the string under it, as everywhere in `src/`. Only names that end in a public list
(`__all__`) or are options (frozen, keyword-only dataclasses and structs) are shown.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import html
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

import seawall

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
NOTE = "<!-- Written by tools/reference.py from the code. Change the code, then run `make docs`. -->\n"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One field of an options class, as a row of its table."""

    name: str
    type: str
    default: str
    text: str


def modules(package: str) -> Iterator[ModuleType]:
    """The package and everything in it, in the order of names, without adapters whose framework is not here."""
    root = importlib.import_module(package)
    yield root
    walked = pkgutil.walk_packages(root.__path__, f"{package}.", onerror=_pass_over)
    for found in sorted(walked, key=lambda info: info.name):
        if not found.name.endswith("__main__") and not _is_apart(found.name):
            yield importlib.import_module(found.name)


def _is_apart(name: str) -> bool:
    """Whether a module belongs to an adapter whose tests run in an environment of their own."""
    layer, _, adapter = name.partition("seawall.adapters.")
    return not layer and bool(adapter) and (ROOT / "tests" / "apart" / adapter.partition(".")[0]).is_dir()


def _pass_over(name: str) -> None:
    """Passes over the error of a package that could not be imported, if it is such an adapter."""
    if not _is_apart(name):
        raise  # noqa: PLE0704 -- it is called while the error is handled


def is_record(value: object) -> bool:
    """Whether `value` is a class whose fields are its interface: a dataclass or a struct."""
    return isinstance(value, type) and (
        dataclasses.is_dataclass(value) or (issubclass(value, msgspec.Struct) and value is not msgspec.Struct)
    )


def is_options(value: object) -> bool:
    """Whether `value` is what a user sets: a frozen, keyword-only dataclass that has defaults."""
    if not (
        isinstance(value, type) and dataclasses.is_dataclass(value) and "__dataclass_params__" in vars(value)
    ):
        return False
    parameters: Any = vars(value)["__dataclass_params__"]
    own = [field for field in dataclasses.fields(value) if field.init]
    has_defaults = any(
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        for field in own
    )
    return parameters.frozen and has_defaults and all(field.kw_only for field in own)


def defined(package: str, wanted: Callable[[object], bool]) -> list[type]:
    """The public classes that a package defines itself, in the order of modules and lines."""
    found: list[type] = []
    for module in modules(package):
        for name, value in vars(module).items():
            if not name.startswith("_") and wanted(value) and value.__module__ == module.__name__:
                found.append(value)
    return found


def _class_node(cls: type) -> ast.ClassDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


def _own_texts(cls: type) -> dict[str, tuple[str, str | None, str]]:
    """Of the fields written in `cls` itself: annotation and default as written, and the text below."""
    rows: dict[str, tuple[str, str | None, str]] = {}
    body = _class_node(cls).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        text = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            text = inspect.cleandoc(str(below.value.value))
        default = None if node.value is None else ast.unparse(node.value)
        rows[node.target.id] = (ast.unparse(node.annotation), default, text)
    return rows


def _member_texts(cls: type[enum.Enum]) -> dict[str, str]:
    """The members of an enumeration and the text below each."""
    body = _class_node(cls).body
    return {
        target.id: inspect.cleandoc(str(below.value.value))
        for node, below in itertools.pairwise(body)
        if isinstance(node, ast.Assign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _valued(written: str, names: dict[str, Any]) -> str:
    """A default as the reader needs it: a constant of the module by its value."""
    value = names.get(written) if written.isupper() else None
    return repr(value) if isinstance(value, int | float | str) else written


def _default(written: str | None, names: dict[str, Any]) -> str:
    if written is None:
        return "required"
    written = _valued(written, names)
    factory = re.fullmatch(r"(?:dataclasses\.|msgspec\.)?field\((?:default|default_factory)=(.*)\)", written)
    return f"`{factory[1] if factory else written}`"


def fields(cls: type) -> list[Field]:
    """The public fields of a record in the order of its constructor, inherited ones first."""
    texts: dict[str, tuple[str, str | None, str]] = {}
    for base in reversed(cls.__mro__):
        if is_record(base):
            texts |= _own_texts(base)
    names = [
        f.name
        for f in (dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else msgspec.structs.fields(cls))
    ]
    return [
        Field(
            name=name,
            type=texts[name][0],
            default=_default(texts[name][1], vars(sys.modules[cls.__module__])),
            text=texts[name][2],
        )
        for name in names
        if name in texts and not name.startswith("_")
    ]


_CODE_WITH_BAR = re.compile(r"`([^`]*\|[^`]*)`")
_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "|*_"}


def _cell(text: str) -> str:
    """A text as one cell of a table.

    A bar ends a cell, and a backslash before a bar inside of backticks is shown by some Markdown readers. So a bar is
    written as an entity, and code that holds one as `<code>`, in which entities are read.
    """

    def as_html(found: re.Match[str]) -> str:
        return f"<code>{html.escape(found[1], quote=False).translate(_ENTITIES)}</code>"

    return _CODE_WITH_BAR.sub(as_html, " ".join(text.split())).replace("|", "&#124;")


def table(cls: type) -> str:
    """A record's fields as a table; empty where it has none."""
    rows = fields(cls)
    if not rows:
        return ""
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    lines += [f"| `{r.name}` | {_cell(f'`{r.type}`')} | {_cell(r.default)} | {_cell(r.text)} |" for r in rows]
    return "\n".join(lines) + "\n"


def _attributes(cls: type) -> str:
    """The documented attributes of a class that is no record."""
    rows = [(name, *row) for name, row in _own_texts(cls).items() if row[2] and not name.startswith("_")]
    if not rows:
        return ""
    lines = ["| attribute | type | default | |", "|---|---|---|---|"]
    names = vars(sys.modules[cls.__module__])
    lines += [
        f"| `{n}` | {_cell(f'`{kind}`')} | {_cell(_default(d, names))} | {_cell(text)} |"
        for n, kind, d, text in rows
    ]
    return "\n".join(lines) + "\n"


def text_of(value: object) -> str:
    """An object's own docstring; none that it inherits or that a decorator made up."""
    own = vars(value).get("__doc__") if isinstance(value, type) else getattr(value, "__doc__", None)
    if own is None or (isinstance(value, type) and own.startswith(f"{value.__name__}(")):
        return ""
    return inspect.cleandoc(own)


def _arguments(arguments: ast.arguments, names: dict[str, Any]) -> list[str]:
    """Parameters as written, without `self` and private ones, with the bare `/` and `*` between them."""
    positional = [*arguments.posonlyargs, *arguments.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    shown: list[str] = []

    def show(argument: ast.arg, default: ast.expr | None, stars: str = "") -> None:
        if not argument.arg.startswith("_"):
            value = f" = {_valued(ast.unparse(default), names)}" if default else ""
            shown.append(f"{stars}{ast.unparse(argument)}{value}")

    for number, (argument, default) in enumerate(
        zip(positional, [*missing, *arguments.defaults], strict=True)
    ):
        show(argument, default)
        if number + 1 == len(arguments.posonlyargs):
            shown.append("/")
    if arguments.vararg:
        show(arguments.vararg, None, "*")
    elif arguments.kwonlyargs:
        shown.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        show(argument, default)
    if arguments.kwarg:
        show(arguments.kwarg, None, "**")
    if positional and positional[0].arg in ("self", "cls"):
        shown = shown[1:]
    return shown


def _call(name: str, function: Callable[..., Any], *, returns: bool = True) -> str:
    """How a function is called, as its source has it, in a code block."""
    node = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    shown = _arguments(node.args, inspect.unwrap(function).__globals__)
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    tail = f" -> {ast.unparse(node.returns)}" if node.returns and returns else ""
    line = f"{word}{name}({', '.join(shown)}){tail}"
    if len(line) > 96:
        line = f"{word}{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){tail}"
    return f"```text\n{line}\n```\n"


def _method(cls: type, name: str, value: object) -> str:
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        returns = getattr(value.fget, "__annotations__", {}).get("return", "")
        return f"#### `{cls.__name__}.{name}`: `{returns}`\n\n{text_of(value)}\n"
    assert inspect.isfunction(value)
    return f"#### `{cls.__name__}.{name}`\n\n{_call(name, value)}\n{text_of(value)}\n"


def _with_hidden_bases(cls: type) -> list[type]:
    """Bases that have no entry of their own and so share the one of `cls`, then `cls`."""
    hidden = [base for base in cls.__mro__[1:] if base.__module__.startswith("seawall.")]
    return [*(base for base in hidden if not hasattr(seawall, base.__name__)), cls]


def _described(cls: type) -> Iterator[tuple[str, object]]:
    for name, value in [item for owner in _with_hidden_bases(cls) for item in vars(owner).items()]:
        is_callable = isinstance(value, (staticmethod, classmethod, property)) or inspect.isfunction(value)
        if not name.startswith("_") and is_callable and text_of(value):
            yield name, value


def entry(name: str, value: object) -> str:
    """A name of a public list: its call, its text, its fields, its methods."""
    parts = [f"### `{name}`\n"]
    if isinstance(value, type) and value.__name__ != name:
        parts.append(f"Another name of `{value.__name__}`.\n")
    elif isinstance(value, type):
        owners = _with_hidden_bases(value)
        init = next((vars(owner)["__init__"] for owner in owners if "__init__" in vars(owner)), None)
        if issubclass(value, enum.Enum):
            parts.append("\n".join(f"- `{member.value}`" for member in value) + "\n")
        elif (
            not is_record(value)
            and inspect.isfunction(init)
            and init.__module__ in {o.__module__ for o in owners}
        ):
            parts.append(_call(name, init, returns=False))
        parts.append(text_of(value) + "\n")
        parts.append(table(value) if is_record(value) else _attributes(value))
        parts += [_method(value, each, member) for each, member in _described(value)]
    elif inspect.isfunction(value):
        parts += [_call(name, value), text_of(value) + "\n"]
    else:
        parts.append(f"```text\n{name} = {re.sub(r'(?:[a-z_]+[.])+', '', str(value))}\n```\n")
    return "\n".join(part for part in parts if part.strip())


def listed(module: ModuleType) -> str:
    """Every name of a module's public list."""
    names: list[str] = sorted(getattr(module, "__all__", []), key=str.lower)
    return "\n".join(entry(name, getattr(module, name)) for name in names if not name.startswith("__"))


def _page(title: str, text: str, *sections: str) -> str:
    body = "\n".join(section for section in sections if section.strip())
    return f"{NOTE}\n# {title}\n\n{text}\n\n{body}".rstrip() + "\n"


def api_page() -> str:
    """What `import seawall` offers."""
    return _page(
        "Python",
        "Everything that `import seawall` offers. What is not on this page may change.",
        listed(seawall),
    )


def alias(module: ModuleType, name: str) -> str:
    """An entry for a type alias of a module, as its source has it."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets):
            return f"### `{name}`\n\n```text\n{name} = {ast.unparse(node.value)}\n```\n"
    raise LookupError(f"{module.__name__} has no alias {name}")


def _own_entries(module: ModuleType, *, but: object) -> str:
    """An entry for each public class and function that a module defines, `but` one, in the order of its lines."""
    own = [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, type) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and value is not but
        and text_of(value)
    ]
    return "\n".join(entry(name, value) for name, value in own)


def testing_page() -> str:
    """What `import seawall.testing` offers, and what a handler of its model server is given and returns."""
    from seawall import testing
    from seawall.testing import faults, model_server, recording, wire
    from seawall.testing.model_server import server

    return _page(
        "Testing",
        text_of(testing),
        listed(testing),
        "## What a handler of `ModelServer` is given and returns\n",
        "[Test against a model server](../how-to/test-against-a-model-server.md) shows them at work. The handler's"
        " type is in `seawall.testing.model_server`, requests and raw answers are in `seawall.testing.wire`.\n",
        alias(server, "Handler"),
        entry("ChatRequest", wire.ChatRequest),
        entry("Raw", wire.Raw),
        entry("LoggedRequest", model_server.LoggedRequest),
        entry("Mismatch", recording.Mismatch),
        "## `seawall.testing.faults`\n",
        f"{text_of(faults)}\n",
        *(alias(faults, name) for name in ("Answer", "Good", "Fault")),
        _own_entries(faults, but=faults.make_raw),
    )


def limits_page() -> str:
    """What one run may spend."""
    from seawall.core.limits import Limits

    return _page("Limits", f"`seawall.Limits`. {text_of(Limits)}", table(Limits))


def _records(classes: list[type]) -> str:
    return "\n".join(f"## `{cls.__name__}`\n\n{text_of(cls)}\n\n{table(cls)}" for cls in classes)


def guards_page() -> str:
    """The options of each guard."""
    text = (
        "One frozen options class each. Every guard runs as `off`, `observe` or `enforce`: by its name, with"
        " `seawall run --mode NAME=MODE`, `Seawall(modes={NAME: MODE})` or `sea.set_guard(NAME, MODE, by=…)`."
        " `limits` and `deadline` are such names too: they enforce what [Limits](limits.md) says, have no options"
        " of their own, and are part of the gate. `budget` enforces `Budget`, `endpoints` the options of endpoints,"
        " and `planner` is set by its name like a guard. `authority` enforces `Authority`, which a team is given, and"
        " judges texts that claim a permission: [Give authority](../how-to/give-authority.md)."
    )
    return _page("Guards", text, _records(defined("seawall.guards", is_options)))


def journal_page() -> str:
    """The options of each journal, and the protocol."""
    from seawall.journal import protocol

    text = f"{text_of(protocol)}"
    return _page(
        "Journal",
        text,
        _records(defined("seawall.journal", is_options)),
        "## The protocol\n",
        entry("Journal", protocol.Journal),
        "## What it speaks of\n",
        "\n".join(
            entry(name, value)
            for name, value in vars(protocol).items()
            if is_record(value) and value.__module__.startswith(f"{protocol.__name__}.")
        ),
    )


def events_page() -> str:
    """What can happen to a run."""
    from seawall.core import events

    kinds = [
        value for value in vars(events).values() if is_record(value) and value.__module__ == events.__name__
    ]
    recorded = [cls for cls in kinds if issubclass(cls, events.Base) and cls is not events.Base]
    held = [cls for cls in kinds if not issubclass(cls, events.Base)]
    return _page(
        "Events",
        f"{text_of(events)}\n\nImport them from `seawall.events`; there is `TextDelta` too, a piece of streamed text.",
        _records(recorded),
        "## Parts of events\n",
        _records(held).replace("## `", "### `"),
    )


def types_page() -> str:
    """What a guard and a scripted model are given, for annotations."""
    from seawall.models import protocol, scripted
    from seawall.run import frame, state, step, verdict

    text = (
        "What guards, scripts and models of your own are given, for reading. Each heading names the module to"
        " import from."
    )
    known = [
        (name, value)
        for name, value in vars(protocol).items()
        if isinstance(value, type) and value.__module__ == protocol.__name__ and not hasattr(seawall, name)
    ]
    return _page(
        "Types",
        text,
        "## `seawall.models.protocol`\n",
        *(entry(name, value) for name, value in [*known, ("Message", protocol.Message)]),
        "## `seawall.models.scripted`\n",
        entry("Entry", scripted.Entry),
        "## `seawall.run.step`\n",
        entry("Step", step.Step),
        entry("Result", step.Result),
        "## `seawall.run.state`\n",
        *(
            entry(cls.__name__, cls)
            for cls in (state.RunState, frame.Frame, frame.PendingCall, frame.MessageRef)
        ),
        "## `seawall.run.verdict`\n",
        entry("Verdict", verdict.Verdict),
    )


def cli_page() -> str:
    """Each command's own help, as `--help` prints it, and the exit codes."""
    from typer.main import get_command

    from seawall.cli import app
    from seawall.cli.exits import Exit

    group: Any = get_command(app)
    text = "`seawall --help` and `seawall COMMAND --help` print the same."
    rows = [f"| {Exit[name].value} | {_cell(meaning)} |" for name, meaning in _member_texts(Exit).items()]
    codes = "\n".join(["## Exit codes\n", "| code | |", "|---|---|", *rows]) + "\n"
    return _page("Commands", text, *_commands("", group), codes)


def lint_page() -> str:
    """Every code of the lint, the plain form, and what `import seawall.lint` offers."""
    from seawall import lint
    from seawall.lint.codes import CODES
    from seawall.lint.reading.plain import AGENT_KEYS, TEAM_KEYS, TOOL_KEYS

    rows = [f"| `{each.code}` | {each.severity} | {_cell(each.title)} |" for each in CODES.values()]
    codes = [
        f"### {each.code}: {each.title}\n\n{each.meaning}\n\n- Example: {each.example}\n- To mend: {each.mend}\n"
        for each in CODES.values()
    ]
    forms = [
        f"### {what}\n\n| key | |\n|---|---|\n"
        + "".join(f"| `{key}` | {_cell(text)} |\n" for key, text in keys.items())
        for what, keys in (("A team", TEAM_KEYS), ("An agent", AGENT_KEYS), ("A tool", TOOL_KEYS))
    ]
    return _page(
        "Lint",
        "`seawall lint` says what is wrong with a team before it is deployed. `seawall lint --explain CODE` prints what stands"
        " here of a code. [Find overlapping roles](../how-to/find-overlapping-roles.md) shows it at work.",
        "## Codes\n\n| code | severity | |\n|---|---|---|\n" + "\n".join(rows) + "\n",
        *codes,
        "## The plain form\n\nA team of any framework, in YAML or JSON. Keys that begin with `x-` are your own.\n",
        *forms,
        "## `seawall.lint`\n",
        text_of(lint) + "\n",
        listed(lint),
    )


def recordings_page() -> str:
    """Every format that `seawall audit` reads, and what it prints with `--json`."""
    from seawall.audit import findings, report
    from seawall.audit.formats import FORMATS

    rows = [f"| {each.name} | {_cell(each.reads)} | {_cell(each.run)} |\n" for each in FORMATS]
    text = "`seawall audit` finds the format of each value by its shape. See [Audit what was recorded](../how-to/audit-recorded-runs.md)."
    formats = "## Formats\n\n| | is read | is one run |\n|---|---|---|\n" + "".join(rows)
    records = [findings.RunFindings, findings.Cost, findings.ToolCounts, report.AuditSummary]
    return _page("Recordings", text, formats, "## What `--json` prints\n", _records(records))


def _commands(prefix: str, group: Any) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(f"{prefix}{name} ", command)
        else:
            yield f"## `seawall {prefix}{name}`\n\n{_command(prefix + name, command)}"


def _command(name: str, command: Any) -> str:
    """One command: its call, its text, its arguments and options."""
    usage = [f"seawall {name}"]
    rows: list[str] = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            shown = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
            usage.append(shown if parameter.required else f"[{shown.strip('[]')}]")
        else:
            metavar = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
            shown = ", ".join([*parameter.opts, *parameter.secondary_opts]) + metavar
            if parameter.required:
                usage.insert(1, f"{parameter.opts[0]}{metavar}")
        default = parameter.default
        given = "" if default in (None, False, "", (), []) or callable(default) else f"`{default}`"
        given = "required" if parameter.required else given
        rows.append(f"| {_cell(f'`{shown}`')} | {_cell(given)} | {_cell(parameter.help or '')} |")
    head = f"```text\n{' '.join(usage)}\n```\n\n{inspect.cleandoc(command.help or '')}\n"
    return head + ("\n| | default | |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else "")


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "api.md": api_page(),
        "testing.md": testing_page(),
        "limits.md": limits_page(),
        "guards.md": guards_page(),
        "journal.md": journal_page(),
        "events.md": events_page(),
        "types.md": types_page(),
        "cli.md": cli_page(),
        "lint.md": lint_page(),
        "recordings.md": recordings_page(),
    }


def stale() -> list[str]:
    """The pages that differ from what the code says now."""
    return [
        name
        for name, text in pages().items()
        if not (PAGES / name).exists() or (PAGES / name).read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write the pages, or with `--check` only compare them."""
    parser = argparse.ArgumentParser(description="Write docs/reference/ from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    check = bool(parser.parse_args().check)
    changed = stale()
    if check:
        for name in changed:
            print(f"docs/reference/{name} is out of date: run `make docs`", file=sys.stderr)
        return 1 if changed else 0
    written = pages()
    for name in changed:
        (PAGES / name).write_text(written[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
