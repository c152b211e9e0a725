"""Assembles what is sent to a model within a budget: the system prompt, the session so far, and the frame's messages.

The result is a pure function of a frame's messages and of its recorded folds. `plan` chooses further folds if the
context gets too long; they are recorded with the model step before which they are made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from seawall.core.canonical import measure_bytes
from seawall.core.events import ContextFolded, FoldTrigger
from seawall.models.protocol import Message, System
from seawall.run.bodies import Bodies
from seawall.run.frame import TOO_LONG, Frame, MessageRef, apply_folded
from seawall.team.context import FRAMING_TOKENS, add_notes, read_assistant
from seawall.team.context_options import Context
from seawall.team.folding import Folding
from seawall.team.read_result import PAGE_CHARS, READ_BYTES, cut_page
from seawall.team.survey import Item, Survey

TOKENS_PER_BYTE = 0.3
"""The estimate before a provider has counted tokens: JSON and code have 3 to 3.5 bytes per token, prose has more."""
LEAST_SAVING = 0.1
"""The smallest share of the context that folding must save, because it gives up the provider's prompt cache."""
LEAST_JUNK_TOKENS = 1_000
"""The fewest tokens of junk that are folded below the budget, because folding gives up the prompt cache."""
WAIT_SHARE = 0.05
"""The share by which the context must grow after a plan that found no worthwhile folds, before the next plan."""


class Weighed(NamedTuple):
    """The size of a frame's context, and its share of junk."""

    bound: int
    """Upper bound of the context's tokens."""
    size: int
    """Bytes of the context, with the system prompt and the tools' schemas."""
    tokens: int
    """The estimated tokens of the context."""
    junk: float
    """The share of the context that is junk, from 0 to 1."""


class Conversation:
    """The messages of one run. It reads each of them once for each frame."""

    def __init__(
        self,
        bodies: Bodies,
        history: Sequence[MessageRef] = (),
        run: str = "",
        *,
        effects: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`effects` holds the tools that change the world, by agent."""
        self._bodies = bodies
        self._run = run
        self._history = tuple(history)
        self._effects = effects or {}
        self._surveys: dict[int, Survey] = {}
        """The surveys by frame. Except for its folds, a conversation only grows."""
        self._weighed: dict[int, tuple[Frame, str, int, str, Weighed]] = {}
        """The newest result of `weigh` by frame, because a step asks for it more than once."""

    def __repr__(self) -> str:
        return f"<Conversation of {self._run or 'a run'}, {len(self._surveys)} frames>"

    @property
    def history_size(self) -> int:
        """How many messages the session's conversation had before the run."""
        return len(self._history)

    def has_folds(self, frame: Frame) -> bool:
        """Returns whether a part of a frame's conversation is shortened, so that the agent needs the tool to read it again."""
        return self.survey(frame).has_folds

    def assemble(self, frame: Frame, system: str) -> list[Message]:
        """Returns all messages that are sent with the frame's next model call."""
        messages: list[Message] = [System(system)] if system else []
        messages += self.survey(frame).sent
        return messages

    def survey(self, frame: Frame) -> Survey:
        """Returns the survey of a frame. It reads only the messages that were added since the last call."""
        known = self._surveys.get(frame.id)
        if known is not None and known.refs is frame.messages and known.folds is frame.folds:
            return known
        if known is None or not known.continues(frame.messages):
            known = Survey(self._bodies, self._run, frame.folds, self._effects.get(frame.agent, ()))
            if frame.kind == "root":
                known.add_history(self._history)
            self._surveys[frame.id] = known
        known.fold(frame.folds)
        known.add(frame.messages)
        return known

    def weigh(self, frame: Frame, system: str, schemas_bytes: int, version: str) -> Weighed:
        """Returns the size of the frame's context.

        A token is at least one byte of text in every byte-level vocabulary. Once the provider has counted a context of
        this `version` of the agent, only the messages after it are bounded by their bytes.
        """
        known = self._weighed.get(frame.id)
        if known is None or known[0] is not frame or known[1:4] != (system, schemas_bytes, version):
            found = self._weigh(frame, system, schemas_bytes, version)
            known = self._weighed[frame.id] = (frame, system, schemas_bytes, version, found)
        return known[4]

    def _weigh(self, frame: Frame, system: str, schemas_bytes: int, version: str) -> Weighed:
        survey = self.survey(frame)
        fixed = (
            measure_bytes(system) + FRAMING_TOKENS + schemas_bytes + (READ_BYTES if survey.has_folds else 0)
        )
        size = bound = survey.size + fixed
        counted = frame.counted
        if counted.tokens and counted.version == version:
            since = len(frame.messages) - counted.messages
            added = sum(item.size for item in survey.items[-since:]) if since > 0 else 0
            bound = min(bound, counted.tokens + added) if frame.folds else counted.tokens + added
        rate = counted.tokens_per_byte or TOKENS_PER_BYTE
        return Weighed(bound, size, round(size * rate), round(survey.junk_size / size, 4) if size else 0.0)

    def plan(
        self, frame: Frame, weighed: Weighed, step: int, options: Context, budget: int | None
    ) -> ContextFolded | None:
        """Returns the folds to make before the frame's next model step, which has the number `step`; None if there are none.

        `budget` is the tokens of the whole context, if it is known.
        """
        if frame.failure is not None and frame.failure.kind == TOO_LONG:
            return self._fold(frame, weighed, step, options, "too_long", weighed.tokens // 2)
        limit = min(budget or frame.budget, frame.budget or budget or 0)
        survey = self.survey(frame)
        if limit and weighed.tokens > options.fold_at * limit:
            if weighed.tokens <= limit and weighed.size < survey.tried_at * (1 + WAIT_SHARE):
                return None
            goal = int(options.fold_to * limit)
            found = self._fold(frame, weighed, step, options, "budget", goal, limit)
            if found is None:
                survey.tried_at = weighed.size
            return found
        junk = weighed.junk * weighed.tokens
        if options.junk_at < 1 and weighed.junk >= options.junk_at and junk >= LEAST_JUNK_TOKENS:
            return self._fold(frame, weighed, step, options, "junk", 0)
        return None

    def _fold(
        self,
        frame: Frame,
        weighed: Weighed,
        step: int,
        options: Context,
        trigger: FoldTrigger,
        goal: int,
        limit: int = 0,
    ) -> ContextFolded | None:
        """Returns the folds that bring a context to `goal` tokens; None if there are none, or if they save too little."""
        rate = weighed.tokens / weighed.size
        survey = self.survey(frame)
        folding = Folding(
            survey,
            self._bodies,
            counted=frame.counted.messages,
            head_chars=options.head_chars,
        )
        if trigger == "junk":
            folding.fold_junk()
        else:
            most = goal if trigger == "too_long" else limit
            mark = goal if trigger == "too_long" else (goal + int(options.fold_at * limit)) // 2

            def spare(tokens: int) -> int:
                return int((weighed.tokens - tokens) / rate) + READ_BYTES

            folding.fold_to(spare(goal), spare(mark))
            folding.refer_turns(spare(most))
            folding.fold_fresh(spare(most))
            if frame.kind == "review":
                folding.shorten_review(spare(most))
        chosen = folding.conclude()
        first = 0 if survey.has_folds else READ_BYTES
        saved = round((chosen.saved - first) * rate)
        fits = trigger != "too_long" and weighed.tokens <= (limit or weighed.tokens)
        if not chosen.folded or saved <= 0 or (fits and saved < LEAST_SAVING * weighed.tokens):
            return None
        return ContextFolded(
            at=0.0,
            frame=frame.id,
            step=step,
            trigger=trigger,
            folded=chosen.folded,
            before=weighed.tokens,
            after=weighed.tokens - saved,
            budget=_learn_budget(frame, weighed) if trigger == "too_long" else 0,
            bound=chosen.bound + first,
        )

    def read_again(self, frame: Frame, label: str, page: int, budget: int | None) -> str | None:
        """Returns a page of the unshortened message; None if there is no such message or page."""
        item = self.survey(frame).find(label.strip())
        if item is None:
            return None
        chars = min(PAGE_CHARS, budget) if budget else PAGE_CHARS
        return cut_page(self._describe(item), page, chars)

    def _describe(self, item: Item) -> str:
        text = self._bodies.text(item.ref.ref)
        if item.ref.role == "assistant":
            return read_assistant(text).content or ""
        text = add_notes(text, item.ref, self._bodies)
        return f"{item.name}({item.arguments}) gave:\n{text}" if item.arguments else text


def _learn_budget(frame: Frame, weighed: Weighed) -> int:
    """Returns the budget of a frame whose model refused a context of this length: a tenth less."""
    learned = weighed.tokens * 9 // 10
    return min(learned, frame.budget) if frame.budget else learned


def fold_frame(frame: Frame, folded: ContextFolded | None) -> Frame:
    """Returns the frame with the planned folds applied."""
    return frame if folded is None else apply_folded(frame, folded)
