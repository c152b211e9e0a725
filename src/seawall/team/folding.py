"""Shortens a conversation: junk first, then earlier turns, large results, and old exchanges.

Calls and results stay in pairs: either a result is replaced by a shorter text under the same call, or a whole exchange
is replaced. Every replacement says how to read the original again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from seawall.core.canonical import measure_bytes
from seawall.core.events import Folded, FoldKind, FoldReason
from seawall.run.bodies import Bodies
from seawall.run.frame import MessageRef
from seawall.team.agent import READ_RESULT
from seawall.team.context import (
    FRAMING_TOKENS,
    NOT_ANSWERED,
    bound_tokens,
    read_assistant,
    shorten_review_task,
)
from seawall.team.survey import RECALL, Item, Survey, ToolExchange, read_folded

NOT_FROM_USER = "[Not from the user: "
"""The beginning of every message that Seawall writes in the role of the user."""

LESSON_CHARS = 200
"""Characters that are kept of an error: its first words, or the last line of a traceback, say what was wrong."""
LINE_CHARS = 120
"""Characters of the arguments, and of the result, in the line that replaces a call."""
RECEIPT_CHARS = 2_000
"""Characters that are kept of an effect's result, because later requests are mostly about what was done."""
HITS_CHARS = 400
"""Characters of memory entries in the line that replaces a call."""
KEPT_TURNS = 1
"""How many earlier turns of the session are never left out, because a request often refers to the one before it."""
KEPT_EXCHANGES = 1
"""How many of the newest exchanges stay unchanged, besides the one that the model has not seen yet."""


class Chosen(NamedTuple):
    """The chosen folds, and what they save."""

    folded: tuple[Folded, ...]
    saved: int
    """Saved bytes."""
    bound: int
    """See `ContextFolded.bound`."""


class Folding:
    """Chooses which parts of a survey are shortened, until `spare` bytes are saved."""

    def __init__(self, survey: Survey, bodies: Bodies, *, counted: int, head_chars: int) -> None:
        """`counted` is the number of the frame's own messages whose tokens the provider has counted."""
        self._survey, self._bodies = survey, bodies
        self._counted, self._head_chars = counted, head_chars
        self._fresh = survey.find_fresh()
        self._new: dict[int, Folded] = {}
        self._sizes: dict[int, int] = {}
        self.saved = 0

    def conclude(self) -> Chosen:
        """Returns the chosen folds."""
        bound = 0
        for place, fold in self._new.items():
            if place < self._counted and fold.text:
                bound += self._sizes[place]
        return Chosen(tuple(self._new[place] for place in sorted(self._new)), self.saved, bound)

    # ---- the rules, in the order in which they are applied

    def fold_junk(self, kept: Sequence[ToolExchange] = ()) -> None:
        """Shortens failures, repeats, and outdated results, except repeats in exchanges that are `kept`."""
        for item in self._survey.items[: self._fresh]:
            needed = item.junk == "repeated" and item.exchange in kept
            if item.junk and item.fold is None and not needed:
                self._replace(item, "line", item.junk, self._write_junk(item))

    def fold_to(self, spare: int, least: int) -> None:
        """Applies the rules in turn, to the oldest messages first, until `spare` bytes are saved or nothing is left.

        Earlier requests and answers are left out only if the other rules save less than `least` bytes.
        """
        self.fold_junk(self._find_kept())  # the results that these repeat may be left out next
        for rule in (self._fold_turns, self._fold_results, self._fold_exchanges, self._drop_lines):
            rule(spare)
        self._drop_turns(least)

    def fold_fresh(self, spare: int) -> None:
        """Shortens the newest results, the largest first, although the model has not seen them, because they do not fit."""
        kept = [item for exchange in self._find_kept() for item in exchange.results]
        fresh = [*kept, *self._survey.items[self._fresh :]]
        results = [item for item in fresh if item.ref.role == "tool"]
        for least in (self._head_chars, self._head_chars // 4, 0):
            self._refer_largest(results, spare, least)

    def shorten_review(self, spare: int) -> None:
        """Shortens the results in a reviewer's task, which is its first message that is not a fact."""
        for at in range(len(self._survey.items) if self.saved < spare else 0):
            item = self._survey.items[at]
            if item.ref.role == "user" and not self._is_fact(self._survey.items, at):
                limit = self._size_of(item) - FRAMING_TOKENS - (spare - self.saved)
                text = shorten_review_task(self._bodies.text(item.ref.ref), limit)
                self._replace(item, "reference", "large", text)
                return

    def refer_turns(self, spare: int) -> None:
        """Shortens earlier requests and answers to their beginning, the largest first."""
        said = [
            item
            for at, item in enumerate(self._survey.items)
            if item.place < 0 and item.exchange is None and not self._is_fact(self._survey.items, at)
        ]
        self._refer_largest(said, spare, self._head_chars)

    def _refer_largest(self, items: Sequence[Item], spare: int, least: int) -> None:
        """Cuts the largest of these messages to their beginning; at least `least` characters of each stay."""
        for item in sorted(items, key=lambda item: -self._size_of(item)):
            fold = self._new.get(item.place) or item.fold
            if self.saved < spare and (fold is None or fold.how == "reference"):
                keep = (self._size_of(item) - (spare - self.saved)) // 2
                self._refer(item, max(least, keep), 2 * least)

    def _fold_turns(self, spare: int) -> None:
        """Reduces earlier turns to their requests and answers, with one line for each call."""
        for exchanges in self._list_neighbours(earlier=True):
            if self.saved < spare:
                self._fold_together(exchanges)

    def _fold_results(self, spare: int) -> None:
        """Cuts large results of this run to their beginning."""
        for item in self._list_old():
            if self.saved >= spare:
                return
            if item.ref.role == "tool" and item.place not in self._new and item.fold is None:
                self._refer(item, self._head_chars, 2 * self._head_chars)

    def _fold_exchanges(self, spare: int) -> None:
        """Replaces exchanges of this run by one line for each call."""
        for exchanges in self._list_neighbours(earlier=False):
            chosen: list[ToolExchange] = []
            size = 0
            for exchange in exchanges:
                if self.saved + size >= spare:
                    break
                chosen.append(exchange)
                size += sum(self._size_of(item) for item in exchange.items) - LINE_CHARS
            if chosen:
                self._fold_together(chosen)

    def _drop_turns(self, spare: int) -> None:
        """Leaves out the oldest turns of the session; facts, and lines about effects, stay."""
        turns = self._list_turns()
        if not turns or self.saved >= spare:
            return
        dropped: list[Item] = []
        size = 0
        for turn in turns[:-KEPT_TURNS]:
            if self.saved + size >= spare:
                break
            dropped += turn
            size += sum(self._size_of(item) for item in turn)
        if dropped:
            first, last = dropped[0].label, dropped[-1].label
            text = (
                f"{NOT_FROM_USER}the messages {first} to {last} of this conversation are left out here; "
                f'{READ_RESULT}(step="{first}") gives one again.]'
            )
            self._replace_all(dropped, text, "turn")

    def _drop_lines(self, spare: int) -> None:
        """Replaces the lines about the oldest exchanges that only read by one line that counts them."""
        for block in list(self._list_blocks()):
            chosen: list[list[Item]] = []
            size = 0
            for unit in block:
                if self.saved + size >= spare:
                    break
                chosen.append(unit)
                size += sum(self._size_of(item) for item in unit)
            items = [item for unit in chosen for item in unit]
            results = [item for item in items if item.ref.role == "tool"]
            if results:
                text = (
                    f"{NOT_FROM_USER}{len(results)} earlier calls are left out here, steps {results[0].label} to "
                    f"{results[-1].label}; {READ_RESULT}(step=…) gives a result again.]"
                )
                self._replace_all(items, text, "exchange")

    # ---- which items

    def _list_old(self) -> Iterator[Item]:
        """Yields the messages of this run that may be shortened: all but the unseen ones and the newest exchanges."""
        kept = self._find_kept()
        for item in self._survey.items[: self._fresh]:
            if item.place >= 0 and item.exchange is not None and item.exchange not in kept:
                yield item

    def _find_kept(self) -> list[ToolExchange]:
        exchanges: list[ToolExchange] = []
        for item in reversed(self._survey.items[: self._fresh]):
            if item.exchange is not None and item.exchange.asked is item and item.place >= 0:
                exchanges.append(item.exchange)
                if len(exchanges) == KEPT_EXCHANGES:
                    break
        return exchanges

    def _list_neighbours(self, *, earlier: bool) -> Iterator[list[ToolExchange]]:
        """Yields groups of adjacent exchanges, oldest first. Open questions and folded exchanges separate the groups."""
        kept = self._find_kept()
        chosen: list[
            ToolExchange
        ] = []  # either reads or effects, because lines about effects are kept longer
        for item in self._survey.items[: self._fresh]:
            exchange = item.exchange
            folded = item.fold is not None and exchange is not None and exchange.asked is item
            if (
                exchange is None
                or exchange.is_open
                or exchange in kept
                or folded
                or (item.place < 0) != earlier
            ):
                if chosen:
                    yield chosen
                chosen = []
            elif exchange.asked is item:
                if chosen and chosen[-1].lasts != exchange.lasts:
                    yield chosen
                    chosen = []
                chosen.append(exchange)
        if chosen:
            yield chosen

    def _list_blocks(self) -> Iterator[list[list[Item]]]:
        """Yields groups of adjacent lines about exchanges, each line with all messages that it replaces."""
        block: list[list[Item]] = []
        for item in self._survey.items[: self._fresh]:
            fold = self._new.get(item.place) or item.fold
            exchange = item.exchange
            if fold is None or exchange is None or exchange.lasts or fold.how == "reference":
                if block:
                    yield block
                block = []
            elif fold.how == "line" and exchange.asked is item:
                block.append([item])
            elif fold.how == "left_out" and block:
                block[-1].append(item)
        if block:
            yield block

    def _list_turns(self) -> list[list[Item]]:
        """Returns the messages of each earlier turn that may be left out: a request, its answer, and lines about reads."""
        turns: list[list[Item]] = []
        items = [item for item in self._survey.items if item.place < 0]
        for at, item in enumerate(items):
            fold = self._new.get(item.place) or item.fold
            if fold is not None and fold.why == "turn":
                continue
            if item.ref.role == "user":
                if self._is_fact(items, at):
                    if turns and turns[-1] == [items[at - 1]]:  # a fact about that request
                        turns.pop()
                    continue
                turns.append([])
            exchange = item.exchange
            if exchange is None and item.ref.role == "assistant" and self._is_unanswered(item):
                del turns[-1:]  # its request is an open question
                continue
            if exchange is not None and (exchange.lasts or exchange.is_open or not self._is_folded(exchange)):
                continue
            if turns:
                turns[-1].append(item)
        return turns

    def _is_unanswered(self, item: Item) -> bool:
        return read_assistant(self._bodies.text(item.ref.ref)).content == NOT_ANSWERED

    def _is_folded(self, exchange: ToolExchange) -> bool:
        """Returns whether a line replaces the whole exchange, alone or together with earlier ones."""
        return exchange.asked.place in self._new or exchange.asked.fold is not None

    def _is_fact(self, items: Sequence[Item], at: int) -> bool:
        return self._bodies.text(items[at].ref.ref).startswith(NOT_FROM_USER)

    # ---- replacing

    def _size_of(self, item: Item) -> int:
        return self._sizes.get(item.place, item.size)

    def _replace(self, item: Item, how: FoldKind, why: FoldReason, text: str) -> bool:
        """Replaces a message by `text`, if that is shorter."""
        fold = Folded(item.place, how, why, self._bodies.put(text) if text else _NO_TEXT)
        size = self._measure(item.ref, fold)
        saved = self._size_of(item) - size
        if saved <= 0 and how != "left_out":
            return False
        self._new[item.place], self._sizes[item.place] = fold, size
        self.saved += saved
        return True

    def _measure(self, ref: MessageRef, fold: Folded) -> int:
        message = read_folded(ref, fold, self._bodies)
        return 0 if message is None else bound_tokens(message)

    def _replace_all(self, items: Sequence[Item], text: str, why: FoldReason) -> bool:
        """Replaces the first of these messages by `text` and leaves the others out, if that is shorter."""
        size = sum(self._size_of(item) for item in items)
        if measure_bytes(text) + FRAMING_TOKENS >= size:
            return False
        first, *others = items
        fold = Folded(first.place, "line", why, self._bodies.put(text))
        self.saved += self._size_of(first) - self._measure(first.ref, fold)
        self._new[first.place], self._sizes[first.place] = fold, self._measure(first.ref, fold)
        for item in others:
            self._replace(item, "left_out", why, "")
        return True

    def _refer(self, item: Item, keep: int, least: int) -> None:
        """Cuts a text to its beginning, with a reference to the whole, if it is not shorter than `least`."""
        text = self._bodies.text(item.ref.ref)
        if item.ref.role == "assistant":
            text = read_assistant(text).content or ""
        if len(text) < least:
            return
        if item.is_effect:
            head = cut_middle(text, max(keep, RECEIPT_CHARS))
        else:
            head = (shorten_hits(text) if item.name == RECALL else "") or text[:keep]
        end = f"[of {len(text):,} characters; {_read_again(item)} gives all]"
        self._replace(item, "reference", "large", f"{head}\n{end}")

    def _write_junk(self, item: Item) -> str:
        text = self._bodies.text(item.ref.ref)
        again = _read_again(item)
        match item.junk:
            case "failed":
                lesson = one_line(find_lesson(text), LESSON_CHARS)
                rest = "" if len(text) <= len(lesson) else f"; {again} gives all of it"
                later = "failed, too" if item.because_failed else "did not"
                head = f"failed, and a later call of {item.name} {later} (step {item.because})"
                return f"[{head}: {lesson}{rest}]"
            case "repeated":
                return f"[the same as the result of step {item.because}; {again} gives it]"
            case _:
                return f"[an earlier result of the same call, which gave another one in step {item.because}; {again} gives this one]"

    def _fold_together(self, exchanges: Sequence[ToolExchange]) -> None:
        items = [item for exchange in exchanges for item in exchange.items]
        lines = [line for exchange in exchanges for line in self._describe(exchange)]
        head = f"{NOT_FROM_USER}earlier calls, shortened; {READ_RESULT}(step=…) gives a result again.]"
        self._replace_all(items, "\n".join([head, *lines]), "exchange")

    def _describe(self, exchange: ToolExchange) -> Iterator[str]:
        said = read_assistant(self._bodies.text(exchange.asked.ref.ref)).content
        if said and said.strip():
            yield f"- said: {one_line(said, LINE_CHARS)}"
        for item in exchange.results:
            text = self._bodies.text(item.ref.ref)
            limit = LINE_CHARS
            if item.is_effect:
                text, limit = cut_middle(text, RECEIPT_CHARS), RECEIPT_CHARS + 1
            elif item.name == RECALL:
                text, limit = shorten_hits(text) or text, HITS_CHARS
            elif item.failed:
                text = find_lesson(text)
            verb = "failed: " if item.failed else ""
            arguments = one_line(item.arguments, LINE_CHARS)
            yield f"- step {item.label}: {item.name}({arguments}) → {verb}{one_line(text, limit)}"
            for note in item.ref.notes:
                yield f"  advice on it: {one_line(self._bodies.text(note), RECEIPT_CHARS)}"


_NO_TEXT = Folded(0, "left_out", "turn").text


def _read_again(item: Item) -> str:
    return f'{READ_RESULT}(step="{item.label}")'


def one_line(text: str, limit: int) -> str:
    """Returns a text on one line, cut after `limit` characters."""
    flat = " ".join(text[: 4 * limit].split())
    return flat if len(flat) <= limit and len(text) <= 4 * limit else f"{flat[:limit]}…"


def cut_middle(text: str, limit: int) -> str:
    """Returns a text without its middle, if it is longer than `limit`. The end stays, because it may hold a number."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[-half:]}"


def find_lesson(text: str) -> str:
    """Returns the message of an error: the last line of a traceback that is not indented, or the whole text."""
    if "Traceback (most recent call last)" not in text:
        return text
    lines = [line for line in text.splitlines() if line.strip() and not line[0].isspace()]
    return lines[-1] if lines else text


def shorten_hits(text: str) -> str:
    """Returns memory entries without their values: keys, versions and ages stay. "" if the text has no memory entries."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, dict) and "entries" in value:
        found = cast("dict[str, Any]", value)
        hits = _drop_values(found["entries"])
        return "" if hits is None else json.dumps({**found, "entries": hits}, ensure_ascii=False)
    hits = _drop_values(value)
    return "" if hits is None else json.dumps(hits, ensure_ascii=False)


def _drop_values(hits: Any) -> list[dict[str, Any]] | None:
    if not isinstance(hits, list) or not all(isinstance(each, dict) for each in cast("list[Any]", hits)):
        return None
    listed = cast("list[dict[str, Any]]", hits)
    return [{name: item for name, item in hit.items() if name != "value"} for hit in listed]
