"""The kinds of loops and of good work, as `bench/loop_kinds.toml` describes them, and which of them are set aside."""

from __future__ import annotations

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

KINDS = Path(__file__).resolve().parent.parent / "loop_kinds.toml"
THIRD = KINDS.with_name("loop_kinds_third.toml")
"""Kinds that were written, and split, after the guard was tuned on those of `KINDS`; they have figures of their own."""
Class = Literal["loop", "good"]
Half = Literal["open", "aside", "later"]
"""`later` is set aside, too: of the kinds that were added and split after the guard was tuned on the first ones."""
LONGEST = 60
"""Calls (or replies) after which a loop that nothing stops is ended."""


class BadKinds(Exception):
    """The descriptions are not of the form that this program reads."""


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """One step of a round. Texts are templates, see `texts.py`."""

    tool: str = ""
    args: dict[str, str]
    raw: str = ""
    """Arguments as text, which need not be JSON."""
    result: str = "ok"
    error: str = ""
    """The call fails with this. For what can't be made or used: what others are told of it."""
    effect: bool = False
    poll: bool = False
    required: tuple[str, ...] = ()
    """Arguments that the tool insists on."""
    unmade: bool = False
    """The call can't be made, or the answer not be used; the runtime says so itself."""
    rejected: str = ""
    """A person is asked, and says no, for this reason."""
    approved: bool = False
    """A person is asked, and says yes."""
    reply: str | None = None
    """A reply without a call, of no use."""
    finish: str = "stop"
    to: str = ""
    """A hand-off to this agent, who makes the steps `inside` and answers."""
    inside: tuple[StepKind, ...] = ()
    answer: str = ""
    times: tuple[int, int] = (1, 1)
    """How often it is made in a row, drawn."""
    every: int = 1
    """It is made in each so-manieth round."""
    rounds: tuple[int, int] | None = None
    """It is made in these rounds only; -1 is the last one."""
    chance: float = 1.0
    pause_s: float = 0.0
    """Time that the call takes beside the kind's pace."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind."""

    name: str
    cls: Class
    family: str
    half: Half
    added: str = ""
    """The day on which it was added, after the first split; "" for a kind of that split."""
    split: bool = False
    """It was added later, and split with the others of its day before the guard was shown any of them."""
    what: str
    steps: tuple[StepKind, ...]
    between: tuple[StepKind, ...] = ()
    """Known calls of which one may stand after each step."""
    between_chance: float = 0.5
    asked: str = "Go on until it is done."
    """What the user asks for."""
    rounds: tuple[int, int] = (LONGEST, LONGEST)
    """Rounds, drawn; a loop goes on until its longest."""
    shuffle: bool = False
    """The order of the steps varies from round to round."""
    pace_s: float = 4.0
    """What a call takes with the thought before it."""
    output: str = ""
    """`int`: the answer has to be a number."""


def load(path: Path = KINDS) -> list[Kind]:
    """All kinds. Raises `BadKinds`."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["kind"]
        kinds = [_kind(row) for row in rows]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise BadKinds(f"{path}: {type(error).__name__}: {error}") from error
    names = [kind.name for kind in kinds]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise BadKinds(f"{path}: two kinds have the name {', '.join(twice)}")
    first = [kind for kind in kinds if not kind.added]
    second = [kind for kind in kinds if kind.added and kind.split]
    expected = [*zip(first, halves(first), strict=True), *zip(second, halves(second, "later"), strict=True)]
    wrong = [kind.name for kind, half in expected if kind.half != half]
    wrong += [kind.name for kind in kinds if kind.added and not kind.split and kind.half != "open"]
    if wrong:
        raise BadKinds(
            f"{path}: of these kinds 'half' is not what the hash of the name says: {', '.join(wrong)}"
        )
    return kinds


def halves(kinds: Sequence[Kind], aside: Half = "aside") -> list[Half]:
    """Which half each kind of a split belongs to, by nothing but its name. `aside`: what the other half is called.

    Within each family of loops and of good work the kinds stand in the order of a hash of their names, and every other
    one is set aside; the first of a family goes to either half by a hash of the family's name. Kinds that were added
    without a split are none of these: all of them are open.
    """
    families: dict[tuple[str, str], list[Kind]] = defaultdict(list)
    for kind in kinds:
        families[kind.cls, kind.family].append(kind)
    found: dict[str, Half] = {}
    for (cls, family), members in families.items():
        first = _hash(f"{cls}/{family}") % 2
        for place, kind in enumerate(sorted(members, key=lambda each: _hash(each.name))):
            found[kind.name] = aside if (place + first) % 2 else "open"
    return [found[kind.name] for kind in kinds]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"loops_hard/{text}".encode()).digest()[:8])


def _kind(row: dict[str, Any]) -> Kind:
    row = dict(row)
    row["cls"] = row.pop("class")
    row["steps"] = tuple(map(_step, row["steps"]))
    row["between"] = tuple(map(_step, row.get("between", ())))
    if "rounds" in row:
        row["rounds"] = tuple(row["rounds"])
    return Kind(**row)


def _step(row: dict[str, Any]) -> StepKind:
    known = {each.name for each in fields(StepKind)}
    if unknown := set(row) - known:
        raise KeyError(f"a step has no {', '.join(sorted(unknown))}")
    made: dict[str, Any] = {"args": {}, **row}
    for name in ("times", "rounds", "required"):
        if name in made:
            made[name] = tuple(made[name])
    made["inside"] = tuple(map(_step, made.get("inside", ())))
    return StepKind(**made)
