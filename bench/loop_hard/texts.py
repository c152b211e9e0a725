"""Templates of texts: `<<name:argument:argument#tag>>` stands for a value that is drawn or counted.

A value without a tag is drawn anew each time. One with `#tag` is drawn once for the whole run, one with `@tag` once for
each round. Times are filled in last, when the call is made (`tell_time`): they are told by the clock that the guard
sees, too.
"""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

_MARK = re.compile(r"<<([a-z_]+)((?::[^<>:#@]*)*)(?:([#@])(\w+))?>>")
_TIME = re.compile(r"\[\[(iso|hms|epoch|epoch_ms|epoch_us|epoch_ns|http)(?:([+-]\d+))?\]\]")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = _WORD.findall(
    "amber anchor apple arrow basin beacon birch bridge canal candle cedar cellar circle cobalt copper coral cotton "
    "crater delta desert dynamo ember engine fabric falcon feather field filter fjord forest fossil garden ginger "
    "glacier granite harbor hazel helmet hollow indigo island ivory jasmine kernel ladder lagoon lantern lattice ledger "
    "linen lumber magnet maple marble meadow mirror mortar nectar needle nickel oasis olive orchid oxygen paddle parcel "
    "pebble pepper pigment pillow pioneer plaster pocket prairie quartz rabbit radar ribbon river saddle saffron salmon "
    "satin shadow signal silver socket spindle spruce summit sunset tablet timber tunnel turbine valley velvet violet "
    "walnut willow window winter yellow zephyr"
)
_NAMES = _WORD.findall(
    "Ada Ben Chloe David Elif Farid Grace Hana Ivan Jana Kofi Lena Mateo Nadia Omar Priya Quinn Rosa Sven Tomo"
)


@dataclass
class Texts:
    """Fills templates for one run."""

    rng: random.Random
    constants: dict[str, str] = field(default_factory=dict)
    of_round: dict[str, str] = field(default_factory=dict)
    n: int = 1
    """The round, from 1."""
    rounds: int = 1
    call: int = 1
    """The call within the run, from 1."""
    k: int = 1
    """Which time of a step that is made several times in a row."""

    def begin_round(self, n: int, rounds: int) -> None:
        """Forget what was drawn for the last round."""
        self.n, self.rounds = n, rounds
        self.of_round.clear()

    def fill(self, template: str) -> str:
        """The template with its values, the inner ones first; times stay marked."""
        filled = _MARK.sub(self._value, template)
        while filled != template:
            template, filled = filled, _MARK.sub(self._value, filled)
        return filled

    def _value(self, found: re.Match[str]) -> str:
        name, rest, scope, tag = found[1], found[2], found[3], found[4]
        arguments = rest.split(":")[1:]
        if scope is None:
            return self._draw(name, arguments)
        kept = self.constants if scope == "#" else self.of_round
        key = f"{name}{rest}{tag}"
        if key not in kept:
            kept[key] = self._draw(name, arguments)
        return kept[key]

    def _draw(self, name: str, arguments: list[str]) -> str:
        counted = self._counted(name, arguments)
        return counted if counted is not None else DRAWN[name](self.rng, *arguments)

    def _counted(self, name: str, arguments: list[str]) -> str | None:
        """What goes by the round and the call."""
        match name:
            case "n":
                return str(self.n)
            case "call":
                return str(self.call)
            case "k":
                return str(self.k)
            case "linear":  # start, step: by the round
                return str(int(arguments[0]) + int(arguments[1]) * (self.n - 1))
            case "by_call":  # start, step: by the call
                return str(int(arguments[0]) + int(arguments[1]) * (self.call - 1))
            case "percent":
                return str(round(100 * self.n / (self.rounds + 1)))
            case "left":
                return str(self.rounds - self.n)
            case "cycle":
                choices = ":".join(arguments).split("|")
                return choices[(self.n - 1) % len(choices)]
            case "last":  # before, in the last round
                return arguments[1] if self.n == self.rounds else arguments[0]
            case "chain":  # a token of this round, or of so many rounds later
                at = self.n + int(arguments[0])
                return self.constants.setdefault(f"chain/{at}", DRAWN["hex"](self.rng, "12"))
            case "chars":  # the first n words of a fixed text: a text that grows
                return " ".join(_WORDS[(7 * i) % len(_WORDS)] for i in range(self.n))
            case _:
                return None


def _case(rng: random.Random, text: str) -> str:
    return "".join(rng.choice((letter.lower(), letter.upper())) for letter in text)


def _reorder(rng: random.Random, pairs: str) -> str:
    """An object of `name=value` pairs, in another order and with other white space each time."""
    fields = [each.split("=") for each in pairs.split(",")]
    rng.shuffle(fields)
    space = rng.choice(("", " ", "\n  "))
    return "{" + ",".join(f'{space}"{name}":{space and " "}"{value}"' for name, value in fields) + "}"


def _shuffle(rng: random.Random, text: str, split: str = " ", joined: str = " ") -> str:
    """The words of a text, or other parts of it, in another order."""
    parts = text.split(split)
    rng.shuffle(parts)
    return joined.join(parts)


def _big(_: random.Random, kib: str) -> str:
    """So many KiB of rows, always the same."""
    row = "row of the table, with nothing to be seen in it\n"
    return row * (int(kib) * 1024 // len(row))


DRAWN: dict[str, Callable[..., str]] = {
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "hex": lambda rng, size: f"{rng.getrandbits(4 * int(size)):0{size}x}",
    "digits": lambda rng, size: str(rng.randrange(10 ** (int(size) - 1), 10 ** int(size))),
    "int": lambda rng, low, high: str(rng.randint(int(low), int(high))),
    "float": lambda rng, low, high: f"{rng.uniform(float(low), float(high)):.4f}",
    "word": lambda rng: rng.choice(_WORDS),
    "words": lambda rng, size: " ".join(rng.sample(_WORDS, int(size))),
    "name": lambda rng: rng.choice(_NAMES),
    "path": lambda rng: f"src/{rng.choice(_WORDS)}/{rng.choice(_WORDS)}_{rng.choice(_WORDS)}.py",
    "pick": lambda rng, *of: rng.choice(":".join(of).split("|")),
    "case": _case,
    "pad": lambda rng: " " * rng.randrange(4),
    "reorder": _reorder,
    "shuffle": _shuffle,
    "shuffle_list": lambda rng, text: _shuffle(rng, text, ",", '", "'),
    "mixed": lambda rng, size: "".join(rng.choices(string.ascii_letters + string.digits, k=int(size))),
    "big": _big,
}


def tell_time(text: str, wall_s: float) -> str:
    """The text with its times, as it is told at that time."""
    if "[[" not in text:
        return text

    def told(found: re.Match[str]) -> str:
        at_s = wall_s + int(found[2] or 0)
        at = datetime.fromtimestamp(at_s, UTC)
        ns = int(at_s * 1_000_000) * 1000 + 417
        return {
            "iso": f"{at:%Y-%m-%dT%H:%M:%S}.{ns // 1_000_000 % 1000:03}Z",
            "hms": f"{at:%H:%M:%S}",
            "http": f"{at:%a, %d %b %Y %H:%M:%S} GMT",
            "epoch": str(int(at_s)),
            "epoch_ms": str(ns // 1_000_000),
            "epoch_us": str(ns // 1000),
            "epoch_ns": str(ns),
        }[found[1]]

    return _TIME.sub(told, text)
