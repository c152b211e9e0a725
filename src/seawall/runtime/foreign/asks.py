"""The open asks of a framework's loop. Through them, the asking tasks and the driver of the run exchange steps and results."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from seawall.core.canonical import Ref
from seawall.core.errors import Broken, Refused
from seawall.core.events import Event, RunEnded, StepDone, StepIntended, StepStatus
from seawall.run.bodies import Bodies
from seawall.run.frame import find_call
from seawall.run.outcome import Outcome, build_outcome
from seawall.run.requests import PreparedRequest
from seawall.run.state import RunState
from seawall.run.step import Close, End, Ownership, Result
from seawall.runtime.foreign.asked import Asked, HandoffAsk, ModelAsk, ToolAsk
from seawall.runtime.foreign.reply import CallerReply
from seawall.runtime.foreign.tools import AskedTool, ToolDeclarations

AskKind = Literal["model", "tool", "handoff"]
_KINDS: Mapping[type, AskKind] = {ModelAsk: "model", ToolAsk: "tool", HandoffAsk: "handoff"}
ROOT = 0
"""The frame in which a run begins."""


class Halted(Refused):
    """The run has ended, so no further step is performed. `outcome` says how it ended, `outcome.stopped_by` why."""

    def __init__(self, outcome: Outcome[Any]) -> None:
        stopped = outcome.stopped_by
        guard = "" if stopped is None else stopped.guard
        super().__init__(
            f"run {outcome.run} has ended: {outcome}",
            guard=guard,
            limit=None if stopped is None else stopped.limit,
            value=None if stopped is None else stopped.value,
        )
        self.outcome = outcome


class Held(Refused):
    """A step waits for a person. After the decision, the same request with the same request id goes on with the run."""

    def __init__(
        self, run: str, step: int, name: str, proposal: str, reason: str, *, journal: str = ""
    ) -> None:
        """`journal`: the path of its file; "": it has none."""
        command = f"seawall approve {proposal}" if proposal else f"seawall reconcile {run} {step}"
        command += f" --journal {shlex.quote(journal)}" if journal else ""
        super().__init__(
            f"run {run} waits for a person to decide on {name!r} (step {step}): {reason}. Decide with: {command}",
            guard="hold",
            value=name,
        )
        self.run, self.step, self.name, self.proposal, self.reason = run, step, name, proposal, reason
        self.command = command
        """The command with which a person decides, in any directory; for an effect whose fate is not known it is
        `seawall reconcile`."""

    def describe(self, problem: str = "") -> dict[str, Any]:
        """Returns the question for a person as JSON values. `problem` says why an earlier answer was not accepted."""
        described = {
            "seawall": self.proposal,
            "run": self.run,
            "step": self.step,
            "tool": self.name,
            "reason": self.reason,
            "decide": self.command,
        }
        return {**described, "problem": problem} if problem else described


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The asker's permission to perform a step now: the step is admitted and recorded."""

    step: int
    call: str = ""
    """The key of the step in its frame. It is the same if the step is asked for again after a crash."""
    arguments: Mapping[str, Any] = {}
    """For tools: the arguments to perform. A person may have changed them."""
    notes: tuple[str, ...] = ()
    """The advice of guards, which is added to the request to a model."""
    key: str = ""
    """For effects: the idempotency key for the other system."""
    remaining_s: float = 0.0
    """Active seconds that the run has left."""
    max_output_tokens: int = 0
    """For models: the most tokens of the reply that fit into the limits; 0: as many as the asker said."""
    last: bool = False
    """For models: True if a limit is used up. The model is then asked without tools, and the last of the notes says so."""
    owned_until: float | None = None
    """For effects: the time before which no other process takes the run, in seconds since the Unix epoch."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a step: its recorded `status`, and the `text` that the agent is given."""

    step: int
    status: StepStatus
    text: str = ""
    notes: tuple[str, ...] = ()
    """The advice of guards on a tool's result."""
    raw: str | None = None
    """The reply of a model, or the adapter's form of a tool's result, as JSON. None if there is none, or if it holds a
    secret that this process does not have."""
    calls: tuple[tuple[str, str, str], ...] = ()
    """For models: the calls of the recorded reply as (id, name, arguments as JSON)."""
    replayed: bool = False
    """True if the result was recorded before, so that nothing was performed now."""
    performed: bool = False
    """True if the asker's own result was recorded unchanged."""

    @property
    def told(self) -> str:
        """The text followed by the advice of guards."""
        return "\n\n".join((self.text, *self.notes))

    @property
    def is_redacted(self) -> bool:
        """Whether the recorded reply is a redacted form of the model's reply, and not a text in its place."""
        return self.raw is None and self.status == "ok"


class AskedRequest(NamedTuple):
    """What is known of a request that was sent to a model."""

    model: str
    context_bytes: int
    reply_tokens: int
    """The most tokens that its reply could have."""


class Ask:
    """One step that a loop has asked for. It is used only on the engine's event loop."""

    def __init__(
        self,
        asked: Asked,
        key: str,
        *,
        within: int = 0,
        waits: bool = False,
        text: str = "",
        tool: AskedTool | None = None,
        request: PreparedRequest | None = None,
        doubt: str = "",
    ) -> None:
        """`within` is the tool's step during which this was asked for, if any. With `waits`, the asker waits for a held step and
        gets no `Held`. `text` holds the arguments as canonical JSON, or the task of a hand-off; `request` has the digest of its
        redacted meaning. `doubt`: see `EffectFacts.doubt`.
        """
        self.asked, self.key, self.within, self.waits = asked, key, within, waits
        self.kind: AskKind = _KINDS[type(asked)]
        self.name, self.agent, self.frame, self.halts = asked.name, asked.agent, asked.frame, asked.halts
        self.text, self.tool, self.request, self.doubt = text, tool, request, doubt
        self.reply: CallerReply[Any] | None = None
        """The reply to the caller that waits for its turn, or for the end of a step that it has performed."""
        self.end: Settled | Exception | None = None
        """The end of the step, or the error; None while the ask is open."""
        self.result: asyncio.Future[Result] | None = None
        """The result that the asker brings; None before its turn."""
        self.ownership: Ownership | None = None
        """For effects: shows whether this process still owns the run. The asker checks it right before it performs."""
        self.on_over: Callable[[], None] | None = None
        """Called if the step ends while the asker performs it, because its time is up or the run has ended."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the ask is settled, has failed, or is withdrawn. Other callers that ask for the same step wait for it."""

    def __repr__(self) -> str:
        return f"<Ask {self.kind} {self.name} {self.key} of frame {self.frame}>"

    @property
    def is_performed(self) -> bool:
        """Whether the asker has its turn."""
        return self.result is not None

    def give_turn(self, turn: Turn) -> None:
        """Gives the asker its turn."""
        if self.reply is not None:
            self.reply.give((self, turn))
            self.reply = None

    def wait(self, reply: CallerReply[Any]) -> None:
        """Gives `reply` the end of the step, now or once there is one."""
        self.reply = reply
        if self.end is not None:
            self._answer(self.end)

    def settle(self, settled: Settled) -> None:
        """Tells the asker the end of the step."""
        self._finish(settled)

    def fail(self, error: Exception) -> None:
        """Has the asker raise `error`, because the run has ended or broke."""
        self._finish(error)

    def _finish(self, end: Settled | Exception) -> None:
        if self.end is None:
            self.end = end
            self._answer(end)
        _finish(self.over)
        self.tell_over()

    def _answer(self, end: Settled | Exception) -> None:
        if self.reply is None:
            return
        if isinstance(end, Exception):
            self.reply.fail(end)
        else:
            self.reply.give(end)

    def tell_over(self) -> None:
        """Tells an asker that performs the step that its result is not needed any more."""
        if self.on_over is not None and self.result is not None and not self.result.done():
            with contextlib.suppress(RuntimeError):  # the asker's event loop is closed: no task performs it
                self.on_over()


class Asks:
    """The open asks of one run. They outlive the run's drivers, of which this process may have several in turn.

    Implements `run.step.RunWatcher`: it tells the askers of an event once the event is durable. It tells them the result
    of a read and a reply that calls tools at once, because no effect depends on these before a later batch is durable.
    """

    def __init__(self) -> None:
        self.run = ""
        self.journal_path = ""
        """The path of the journal in which people decide; "" if it is in memory."""
        self.open: dict[tuple[int, str], Ask] = {}
        """The open asks by frame and key, in the order in which they came."""
        self.within: dict[int, int] = {}
        """For each frame, the tool's step in which its hand-off was asked for."""
        self.closes: dict[int, Close] = {}
        """The hand-offs that are to end, by step."""
        self.end: End | None = None
        """The end that the loop gives the run; None before it."""
        self.answer: str | None = None
        """The answer with which the loop ends the run."""
        self.bodies: Bodies | None = None
        """The bodies of the run's current or last driver; before the first driver, the loop's own."""
        self.on_event: Callable[[Event, RunState], None] = lambda event, before: None
        self.must_advise: Callable[[AskedTool], bool] = lambda tool: False
        """Returns whether the operator must be told now that a tool is undeclared and seems to write."""
        self.is_behind = False
        """True if the run went on elsewhere since the loop has last read its events. Nothing is decided before it has read them."""
        self.on_parked: Callable[[], None] = lambda: None
        """Called once the run waits for people and has no driver."""
        self.on_turn: Callable[[Ask, int], None] = lambda ask, calls: None
        """Called when an asker gets its turn (1), and when its turn is taken back (-1)."""
        self.on_held: Callable[[Ask, Held], None] = lambda ask, held: ask.fail(held)
        """Called when a step waits for a person but its asker does not wait."""
        self.on_untold: Callable[[Ask], None] = lambda ask: None
        """Called when an ask is over and its asker was told no result."""
        self.find_request: Callable[[int], AskedRequest | None] = lambda frame: None
        """Returns the newest request to a model in a frame."""
        self.transfers: set[int] = set()
        """Frames whose answer is also the answer of the frame above, in which no model is asked any more."""
        self.declared: dict[int, ToolDeclarations] = {}
        """The declarations of the tools of each frame. The team sets those of the root."""
        self._unsent: list[tuple[Callable[[], None], bool]] = []
        """Calls that tell askers something, each with whether it may be made before the batch is durable."""
        self._closing: dict[int, asyncio.Future[None]] = {}
        self._settling: set[Ask] = set()
        """Asks whose end is recorded; their askers are told once it is durable."""

    def __repr__(self) -> str:
        return f"<Asks {len(self.open)} open>"

    @property
    def is_waited_for(self) -> bool:
        """Whether a caller waits for a step or an end of the run."""
        return bool(self.open or self._closing)

    def attach(self, run: str, bodies: Bodies, finished: asyncio.Future[None]) -> None:
        """Attaches the run's new driver. If the driver gives the run up, the askers are told why."""
        self.run, self.bodies = run, bodies

        def tell(finished: asyncio.Future[None]) -> None:
            error = None if finished.cancelled() else finished.exception()
            if isinstance(error, Exception):
                self.fail_all(error)
            elif self.is_waited_for:
                self.on_parked()

        finished.add_done_callback(tell)

    def add(self, ask: Ask) -> None:
        """Adds an ask. The driver must decide again after this."""
        self.open[ask.frame, ask.key] = ask

    def find(self, frame: int, key: str | None) -> Ask | None:
        """Returns the open ask with this key; None if there is none."""
        return None if key is None else self.open.get((frame, key))

    def list_enclosing(self, state: RunState) -> frozenset[int]:
        """Returns the tools' steps that wait for other steps, because an ask or a hand-off was made within them.

        If the tool in which a hand-off was made has ended, its agent works in the background. Then each tool that the agent
        above calls meanwhile may wait for it.
        """
        enclosing = {ask.within for ask in self.open.values() if ask.within}
        for frame, step in self.within.items():
            if frame not in state.open:
                continue
            enclosing.add(step)
            if step not in state.open:
                above = state.open[frame].frame
                enclosing.update(
                    each.step for each in state.open.values() if each.frame == above and each.kind == "tool"
                )
        return frozenset(enclosing)

    def note_frame(self, frame: int, opening: HandoffAsk, within: int) -> None:
        """Notes in which tool's step a hand-off was asked for, whether its answer is also the answer of the frame above, and what
        is declared there.
        """
        if within:
            self.within[frame] = within
        if opening.transfers:
            self.transfers.add(frame)
        above = self.declared.get(opening.frame, self.declared[ROOT])
        self.declared[frame] = above if opening.declared is None else opening.declared.within(above)

    def withdraw(self, ask: Ask) -> None:
        """Forgets an ask whose asker has gone before it began the step. The step may be asked for again."""
        if self.open.get((ask.frame, ask.key)) is ask:
            del self.open[ask.frame, ask.key]
        if ask.result is not None and not ask.result.done():
            ask.result.set_result(Result(status="withdrawn"))
            self.on_turn(ask, -1)
        _finish(ask.over)
        self.on_untold(ask)

    def fail_all(self, error: Exception) -> None:
        """Has every asker raise `error`, because the run has ended or is given up in this process."""
        asks, self.open = [*self.open.values(), *self._settling], {}
        self._settling = set()
        for ask in asks:
            self.on_untold(ask)
            ask.fail(error)
        closing, self._closing = list(self._closing.values()), {}
        for future in closing:
            if not future.done():
                future.set_exception(error)
                future.exception()  # marks the error as seen, because the caller may be gone

    def wait_closed(self, step: int) -> asyncio.Future[None]:
        """Returns a future that is done once the end of a hand-off is durable."""
        future = self._closing.get(step)
        if future is None:
            future = self._closing[step] = asyncio.get_running_loop().create_future()
        return future

    def forget_close(self, step: int) -> None:
        """Forgets a hand-off's end for which no caller waits any more."""
        self.closes.pop(step, None)
        if (closing := self._closing.pop(step, None)) is not None:
            _finish(closing)

    async def begin(self, ask: Ask, turn: Turn, ownership: Ownership | None) -> Result:
        """Gives the asker its turn, and returns the result that it brings. Only a second cancellation ends the wait."""
        ask.result, ask.ownership = asyncio.get_running_loop().create_future(), ownership
        if ask.end is not None or ask.over.done():
            return Result(status="withdrawn")  # its asker has gone
        self.on_turn(ask, 1)
        ask.give_turn(turn)
        try:
            return await asyncio.shield(ask.result)
        except asyncio.CancelledError:  # the run has ended meanwhile; a late result is still recorded
            if not ask.result.done():
                ask.tell_over()
            return await ask.result

    # ---- what the driver records

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """See `RunWatcher.note`."""
        self.on_event(event, before)
        match event:
            case StepIntended():
                self._note_intended(event, after)
            case StepDone():
                self._note_done(event, before, after)
            case RunEnded():
                outcome = build_outcome(after, None if event.answer is None else self.read(event.answer))
                self._unsent.append((lambda: self.fail_all(Halted(outcome)), False))
            case _:
                pass

    def may_wait(self) -> bool:
        """See `RunWatcher.may_wait`."""
        return bool(self._unsent) and all(early for _, early in self._unsent)

    def sent(self, durable: asyncio.Future[None] | None) -> None:
        """See `RunWatcher.sent`."""
        unsent, self._unsent = self._unsent, []
        waiting: list[Callable[[], None]] = []
        for tell, early in unsent:
            if durable is None or (early and not waiting):
                tell()
            else:
                waiting.append(tell)
        if waiting and durable is not None:
            durable.add_done_callback(lambda written: _tell_all(written, waiting))

    def _note_intended(self, intent: StepIntended, after: RunState) -> None:
        ask = self.find(intent.frame, intent.call)
        if ask is None:
            return
        if intent.kind == "approval" and not intent.waits_for and not ask.waits:
            self._take(ask)
            reason = "it needs an approval" if intent.proposal else "what became of it is not known"

            def hold() -> None:
                self._settling.discard(ask)
                self.on_held(ask, self.make_held(intent, reason))

            self._unsent.append((hold, False))
        elif isinstance(ask.asked, HandoffAsk) and intent.kind == "handoff" and intent.perform:
            self._take(ask)
            self.note_frame(intent.step, ask.asked, ask.within)
            settled = Settled(step=intent.step, status="ok")
            self._unsent.append((lambda: self._settle(ask, settled), True))

    def _note_done(self, done: StepDone, before: RunState, after: RunState) -> None:
        intent = before.open.get(done.step)
        if intent is None:
            return
        if intent.kind == "handoff" and (closing := self._closing.pop(done.step, None)) is not None:
            self.closes.pop(done.step, None)
            self._unsent.append((lambda: _finish(closing), True))
        ask = self.find(intent.frame, intent.call)
        frame = after.frames.get(intent.frame)
        if ask is None or done.status == "cancelled":  # the run ends, and its end tells the asker why
            return
        if frame is not None and find_call(frame, ask.key) is not None:
            return  # the step is proposed again: it was approved or withdrawn, or its fate is asked about
        self._take(ask)
        own = before.frames.get(intent.frame)
        pending = None if own is None else find_call(own, ask.key)
        notes = () if pending is None else tuple(self.read(note) for note in pending.notes)
        settled = self.describe(
            done, () if intent.kind == "model" else notes, performed=self._stands(ask, done)
        )
        early = intent.kind == "tool" and not intent.effect
        early = early or (intent.kind == "model" and bool(done.calls))
        self._unsent.append((lambda: self._settle(ask, settled), early))

    def make_held(self, question: StepIntended, reason: str) -> Held:
        """Returns what an asker is told of a step that waits for a person."""
        journal = self.journal_path
        return Held(self.run, question.step, question.name, question.proposal, reason, journal=journal)

    def _take(self, ask: Ask) -> None:
        del self.open[ask.frame, ask.key]
        self._settling.add(ask)

    def _settle(self, ask: Ask, settled: Settled) -> None:
        self._settling.discard(ask)
        ask.settle(settled)

    def _stands(self, ask: Ask, done: StepDone) -> bool:
        """Returns whether a step has the result that its asker has brought, and not one that a guard gave it."""
        if ask.result is None or not ask.result.done() or self.bodies is None:
            return False
        return done.output == self.bodies.put(ask.result.result().output)

    def describe(self, done: StepDone, notes: tuple[str, ...] = (), *, performed: bool = False) -> Settled:
        """Returns the end of a step for its asker. `performed`: the asker's own result was recorded unchanged."""
        bodies = self.bodies
        raw = (
            None if bodies is None or done.reasoning is None else bodies.find_opaque(self.run, done.reasoning)
        )
        return Settled(
            step=done.step,
            status=done.status,
            text=self.read(done.output),
            notes=notes,
            raw=raw,
            calls=tuple([(call.id, call.name, self.read(call.arguments)) for call in done.calls]),
            performed=performed,
        )

    def read(self, ref: Ref | None) -> str:
        """Returns the text of a body."""
        return "" if self.bodies is None else self.bodies.text(ref)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _tell_all(written: asyncio.Future[None], waiting: list[Callable[[], None]]) -> None:
    """Makes the waiting calls if the batch is durable. If it failed, the driver gives the run up and tells the askers."""
    if written.cancelled() or written.exception() is not None:
        return
    for tell in waiting:
        with contextlib.suppress(Broken):
            tell()
