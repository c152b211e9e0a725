"""The declarations of a framework's tools: which tools are effects, and what identifies and approves an effect."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, cast

from seawall.core.canonical import to_canonical_text
from seawall.core.errors import Misused, SeawallBug
from seawall.effects.options import Effect
from seawall.effects.verbs import seems_to_write
from seawall.run.step import EffectFacts
from seawall.team.parameters import Parameters
from seawall.team.tool import MAX_ENDPOINT_CHARS, Tool

Effects = Sequence[str] | Mapping[str, Effect | bool]
"""The names of tools that are effects, or patterns such as `bank.*`; or a mapping of these to declarations."""
FindEffect = Callable[[str], Effect | bool | None]
"""Returns the declaration of the effect of this name; None for a tool that is not an effect. It is for declarations that no list of
patterns can express, such as what all of several matching patterns say together."""
ToolKind = Literal["effect", "read", "undeclared"]

MAX_TOOLS = 10_000
"""How many tools are kept. A program has some hundred. The bound is for a program that makes new names all the time."""

MAX_DEPTH = 200
"""The most levels of lists and objects in a call's arguments, because guards walk through them recursively."""


def _asked(**arguments: Any) -> Any:
    raise SeawallBug("a tool that a framework calls was called by Seawall")


class AskedTool(Tool[..., Any]):
    """A tool that a framework calls. It may have any name, and the framework checks its arguments."""

    def __init__(self, name: str, effect: Effect | bool | None, *, poll: bool = False) -> None:
        """`effect` is None for an undeclared tool. `poll`: see `Tool`. Raises `Misused` for a wrong declaration of an effect."""
        if not name:
            raise Misused("a tool that was asked for has no name")
        self.undeclared = effect is None
        self.seems_to_write = effect is None and seems_to_write(name)
        """True if the tool is not declared and its name says that it changes the world."""
        names = _list_parameters(effect) if isinstance(effect, Effect) else []
        schema: dict[str, Any] = {"type": "object", "properties": {each: {} for each in names}}
        super().__init__(
            _asked,
            name=name,
            description="",
            effect=effect or False,
            poll=poll,
            schema=schema,
            endpoint=name[:MAX_ENDPOINT_CHARS],
        )

    def read_facts(self, values: dict[str, Any]) -> EffectFacts | None:
        """See `Tool.read_facts`. Raises `ValueError` for a call without a parameter of `unique_by`.

        The framework's schema is not known here, so a misspelt name in `unique_by` is found only at the first call. Without
        this check, all calls would count as the same effect.
        """
        named = [path.partition(".")[0] for path in self.options.unique_by]
        missing = [name for name in dict.fromkeys(named) if name not in values]
        if missing:
            there = ", ".join(sorted(values)) or "none"
            raise ValueError(
                f"{', '.join(missing)}: unique_by says that this makes it the same effect, and the call has no such argument "
                f"(it has: {there})"
            )
        return super().read_facts(values)

    def _check_name(self) -> None:
        """Checks nothing, because a framework's names need not be identifiers."""

    def _read_parameters(self, function: Callable[..., Any], schema: dict[str, Any] | None) -> Parameters:
        return Parameters(self.name, function, schema, checks=False)


def _list_parameters(effect: Effect) -> list[str]:
    """Returns the parameters that a declaration names."""
    paths = [*effect.unique_by, *([] if effect.amount is None else [effect.amount])]
    return list(dict.fromkeys(path.partition(".")[0] for path in paths))


class ToolDeclarations:
    """The declarations of an application's tools. Exact names come first, then the patterns in their order."""

    def __init__(
        self, effects: Effects | FindEffect = (), reads: Sequence[str] = (), polls: Sequence[str] = ()
    ) -> None:
        """`polls` are reads that are asked again until something has happened (`Tool.poll`). An exact name among `reads` and
        `polls` comes before a function for `effects`, and a pattern after it.

        Raises `Misused` for a name or a pattern that is an effect and also a read or a poll, and for arguments of another type.
        """
        self._find_effect = effects if callable(effects) else None
        listed_effects = () if callable(effects) else effects
        given = (
            dict(listed_effects)
            if isinstance(listed_effects, Mapping)
            else dict.fromkeys(_check_names("effects", listed_effects), True)
        )
        for name, effect in cast("dict[object, object]", given).items():
            if not isinstance(name, str) or not isinstance(effect, bool | Effect):
                raise Misused(f"effects: {name!r} is {effect!r}; it must be True, False or Effect(…)")
            if isinstance(effect, Effect) and (effect.detached or effect.undo is not None):
                what = "detached" if effect.detached else "undo"
                raise Misused(
                    f"effects: {name!r} is declared with {what}, which has no use here: the call would be a run of its own, "
                    "and only the framework's loop calls its tools"
                )
        declared = {_normalise(name): effect for name, effect in given.items()}
        listed = {what: _check_names(what, names) for what, names in (("polls", polls), ("reads", reads))}
        for what, names in listed.items():
            for name in names:
                if declared.setdefault(_normalise(name), False) is not False:
                    raise Misused(f"{name!r} is among the effects and among the {what}")
        self._effects: Effects | FindEffect = given if self._find_effect is None else self._find_effect
        self._reads, self._polls = listed["reads"], listed["polls"]
        self._declared = declared
        self._polled = frozenset(map(_normalise, listed["polls"]))
        self._outer: ToolDeclarations | None = None
        """The declarations around these, see `within`."""
        self._tools: dict[str, AskedTool] = {}
        self._every = dict.fromkeys(declared)
        """The names and patterns that are declared here, and for parts of the application."""
        self._asked: dict[str, None] = {}
        """The names of the tools that were asked for, here and in those parts."""

    def __repr__(self) -> str:
        return f"<ToolDeclarations {', '.join(self._declared) or 'none'}>"

    def declare(
        self, effects: Effects | None, reads: Sequence[str], polls: Sequence[str]
    ) -> ToolDeclarations:
        """Returns what is declared of a part of the application's tools: `effects` take the place of all that is declared here,
        and without them `reads` and `polls` come beside that. Raises `Misused` as above.
        """
        if effects is not None:
            part = ToolDeclarations(effects, reads, polls)
        elif reads or polls:
            own = ToolDeclarations((), reads, polls)
            part = ToolDeclarations(self._effects, (*self._reads, *own._reads), (*self._polls, *own._polls))
        else:
            return self
        if len(self._every) < MAX_TOOLS:
            self._every.update(part._every)
        part._every, part._asked = self._every, self._asked
        return part

    def find_own(
        self, effects: Effects | None, reads: Sequence[str], polls: Sequence[str]
    ) -> ToolDeclarations | None:
        """As `declare`, for an agent that may work inside of another one. None if nothing is declared of its tools alone."""
        part = self.declare(effects, reads, polls)
        return None if part is self else part

    def within(self, outer: ToolDeclarations) -> ToolDeclarations:
        """Returns the declarations of an agent that works inside of another one, whose declarations are `outer`: a tool that is
        not declared here is as it is declared there.
        """
        if self is outer:
            return self
        part = ToolDeclarations(self._effects, self._reads, self._polls)
        part._every, part._asked, part._outer = self._every, self._asked, outer
        return part

    def find_kind(self, name: str) -> ToolKind:
        """Returns the kind of a tool by its declaration."""
        declared = self.find_declared(name)[0]
        return "undeclared" if declared is None else "read" if declared is False else "effect"

    def find_tool(self, name: str) -> AskedTool:
        """Returns a tool with its declaration."""
        tool = self._tools.get(name)
        if tool is None:
            effect, poll = self.find_declared(name)
            tool = AskedTool(name, effect, poll=poll)
            if len(self._tools) < MAX_TOOLS:
                self._tools[name] = tool
            if len(self._asked) < MAX_TOOLS:
                self._asked[_normalise(name)] = None
        return tool

    def list_uncalled(self) -> list[str]:
        """Returns the declared names and patterns that match no tool which was asked for so far."""
        names = self._asked
        return [
            each
            for each in self._every
            if each not in names and not any(fnmatchcase(name, each) for name in names)
        ]

    def find_declared(self, name: str) -> tuple[Effect | bool | None, bool]:
        """Returns what is declared of a tool, and whether it is a poll."""
        name = _normalise(name)
        if name not in self._declared and self._find_effect is not None:
            effect = self._find_effect(name)
            if effect is not None:
                return effect, False
        matching = (each for each in self._declared if fnmatchcase(name, each))
        found = name if name in self._declared else next(matching, None)
        if found is None:
            return (None, False) if self._outer is None else self._outer.find_declared(name)
        return self._declared[found], found in self._polled


def advise_on_undeclared(name: str) -> str:
    """Returns the warning for the operator about an undeclared tool whose name says that it writes."""
    return (
        f"tool {name!r} counts as a read, so it may be made again, and its name says that it writes: add it to effects=[…], or to "
        "reads=[…] if it only reads"
    )


def write_arguments(tool: str, arguments: Mapping[str, Any]) -> str:
    """Returns a call's arguments as canonical JSON. Raises `Misused` if they are not JSON, or nested too deep."""
    try:
        text = to_canonical_text(dict(arguments))
    except (TypeError, ValueError, RecursionError) as error:
        raise Misused(f"tool {tool!r}: its arguments can't be written as JSON: {error}") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(arguments):
        raise Misused(f"tool {tool!r}: its arguments are nested more than {MAX_DEPTH} levels deep")
    return text


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [each for part in level for each in _list_parts(part)]
    return bool(level)


def _list_parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).values()
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _normalise(name: str) -> str:
    """Returns a name in Python's normal form of identifiers, in which an accent and its letter are one character."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def _check_names(what: str, names: Iterable[object]) -> list[str]:
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        if not isinstance(name, str) or not name:
            raise Misused(f"{what} has {name!r} in it; it takes names of tools and patterns such as 'bank.*'")
    return cast("list[str]", listed)
