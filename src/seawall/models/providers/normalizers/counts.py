"""Reads the usage that a provider reports, in one report or in many.

Each report covers the whole reply so far, whether a server sends one at the end or one with each chunk. So a later
number replaces the earlier one. A number that is missing, null or zero does not replace an earlier one, because some
servers count the input only in the first report. Tokens that only the total counts are output: some servers count no
reasoning in the output. A number below the earlier one contradicts it, and the call is then
booked at its upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from seawall.models.usage import find_count_problem, read_count


class UsageReports:
    """The reports of one reply. The fields `inputs` add up to the input tokens, the fields `outputs` to the output."""

    def __init__(
        self,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        *,
        total: str = "",
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._inputs, self._outputs, self._total = inputs, outputs, total
        self._aliases = aliases or {}
        self._newest: dict[str, Any] = {}
        self._sums = (0, 0)
        self.problem = ""
        """What is wrong with the reports; "" if they can be true."""

    def __repr__(self) -> str:
        return f"<UsageReports {self._newest} {self.problem}>"

    @property
    def merged(self) -> dict[str, Any] | None:
        """All reports so far, merged; None if there was none."""
        if not self._newest:
            return None
        made = dict(self._newest)
        parts = sum(made.get(name, 0) for name in (*self._inputs, *self._outputs))
        if self._total:
            # what only the total counts: a part that is not reported, or reasoning beside the output
            rest = max(0, made.get(self._total, 0) - parts)
            name = self._inputs[0] if self._inputs[0] not in made else self._outputs[0]
            made[name] = made.get(name, 0) + rest
            made.setdefault(self._total, parts)
        made.setdefault(self._inputs[0], 0)
        made.setdefault(self._outputs[0], 0)
        return made

    def add(self, report: object) -> None:
        """Adds one report. A value that is not an object is ignored."""
        if not isinstance(report, dict):
            return
        counted = {*self._inputs, *self._outputs, self._total}
        for key, value in cast("dict[str, Any]", report).items():
            name = self._aliases.get(key, key)
            if name in counted:
                self._count(name, value)
            elif (clean := _clean(value)) is not None:
                self._newest[name] = clean
        sums = (self._sum(self._inputs), self._sum(self._outputs))
        for what, before, after in zip(("input_tokens", "output_tokens"), self._sums, sums, strict=True):
            if after < before and not self.problem:
                self.problem = f"{what} was reported as {before} and then as {after}"
        self._sums = sums

    def _count(self, name: str, value: object) -> None:
        if value is None:
            return
        count = int(value) if isinstance(value, float) and value.is_integer() else read_count(value)
        problem = find_count_problem(name, value, count)
        if problem or count is None:
            self.problem = self.problem or problem
        elif count or name not in self._newest:
            self._newest[name] = count

    def _sum(self, names: tuple[str, ...]) -> int:
        return sum(self._newest.get(name, 0) for name in names)


def _clean(value: object) -> object:
    """Returns a detail of a report without nulls, and with whole numbers as integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        items = {key: _clean(each) for key, each in cast("dict[str, Any]", value).items()}
        return {key: each for key, each in items.items() if each is not None}
    if isinstance(value, list):
        return [_clean(each) for each in cast("list[object]", value)]
    return value
