"""What a framework's loop asks for, and what becomes of it: where the asking tasks and the driver of the run meet."""

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
from seawall.runtime.foreign.reply import CallerReply
from seawall.runtime.foreign.tools import AskedTool

AskKind = Literal["model", "tool", "handoff"]


class Halted(Refused):
    """The run has ended, so nothing more of it is performed. `outcome` says how; `outcome.stopped_by` why."""

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
    """A step waits for a person. The same request, asked again with the same request id, goes on after the decision."""

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
        """The command with which a person decides, in any directory; an effect whose fate is not known has no proposal."""

    def describe(self, problem: str = "") -> dict[str, Any]:
        """Returns what a framework asks a person, as JSON values. `problem`: why an answer that was given does not count."""
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
    """It is the asker's turn: the step is admitted and recorded, and the asker performs it now."""

    step: int
    arguments: Mapping[str, Any] = {}
    """Tools: as they are to be performed. A person may have changed them."""
    notes: tuple[str, ...] = ()
    """What guards advise: for the request of a model."""
    key: str = ""
    """Effects: the idempotency key for the other side."""
    remaining_s: float = 0.0
    """Active seconds that the run has left."""
    max_output_tokens: int = 0
    """Models: the longest reply that there is room for; 0: as the asker said."""
    last: bool = False
    """Models: a limit is used up, so the model is asked without tools, and told so by the last of the notes."""
    owned_until: float | None = None
    """Effects: until when no other process takes the run, in seconds since the Unix epoch."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A step is over. `status` is that of its record; `text` what the agent is to be given."""

    step: int
    status: StepStatus
    text: str = ""
    notes: tuple[str, ...] = ()
    """What guards advise, beside the text of a tool's result."""
    raw: str | None = None
    """The reply of a model, or what the adapter keeps of a tool's result, as JSON; None: there is none, or it holds a secret
    that this process does not have."""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Models: (id, name, arguments as JSON) of the recorded reply."""
    replayed: bool = False
    """It was recorded before, and nothing was performed now."""
    performed: bool = False
    """The asker's own result stands, as it gave it."""

    @property
    def told(self) -> str:
        """The text with what guards advise beside it."""
        return "\n\n".join((self.text, *self.notes))

    @property
    def is_redacted(self) -> bool:
        """Whether a recorded reply is not what the model wrote. What took its place was written by nobody else."""
        return self.raw is None and self.status != "replaced"


class AskedRequest(NamedTuple):
    """What is known of a request to a model that was made."""

    model: str
    context_bytes: int
    reply_tokens: int
    """The longest reply that it could have."""


class Ask:
    """One thing that was asked for. Lives on the engine's event loop."""

    def __init__(
        self,
        kind: AskKind,
        name: str,
        agent: str,
        frame: int,
        key: str,
        *,
        text: str = "",
        tool: AskedTool | None = None,
        request: PreparedRequest | None = None,
        waits: bool = False,
        doubt: str = "",
        within: int = 0,
        transfers: bool = False,
        halts: bool = False,
        untrusted: bool = False,
    ) -> None:
        """`transfers`, `halts`: see `HandoffAsk`. `within`: the step in which it is asked for, if that is a tool's. `text`: the arguments as canonical JSON, or the task of a hand-off. `waits`: a step that is held is waited for, and does not raise `Held`. `doubt`: see `EffectFacts.doubt`."""
        self.kind: AskKind = kind
        self.name, self.agent, self.frame, self.key = name, agent, frame, key
        self.text, self.tool, self.request = text, tool, request
        self.waits, self.doubt, self.within = waits, doubt, within
        self.transfers, self.halts = transfers, halts
        self.untrusted = untrusted
        self.reply: CallerReply[Any] | None = None
        """Who waits for the turn, or for the end of a step that is performed."""
        self.again: tuple[Any, int] | None = None
        """What was asked for, and within which step, to ask for it once more."""
        self.end: Settled | Exception | None = None
        """What became of it; None as long as it is open."""
        self.result: asyncio.Future[Result] | None = None
        """What the asker brings; None until it is its turn."""
        self.ownership: Ownership | None = None
        """Effects: whether the run is still this process's. The asker confirms it at the last moment, where it performs."""
        self.on_over: Callable[[], None] | None = None
        """Is called if the step ends while the asker performs it: its time is up, or the run has ended."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the ask is settled, has failed, or is withdrawn: who asks for the same waits for it."""

    def __repr__(self) -> str:
        return f"<Ask {self.kind} {self.name} {self.key} of frame {self.frame}>"

    @property
    def is_performed(self) -> bool:
        """Whether it is the asker's turn."""
        return self.result is not None

    def give_turn(self, turn: Turn) -> None:
        """Tells the asker that it is its turn."""
        if self.reply is not None:
            self.reply.give((self, turn))
            self.reply = None

    def wait(self, reply: CallerReply[Any]) -> None:
        """The asker waits for the end, or has it at once."""
        self.reply = reply
        if self.end is not None:
            self._answer(self.end)

    def settle(self, settled: Settled) -> None:
        """Tells the asker what became of it."""
        self._finish(settled)

    def fail(self, error: Exception) -> None:
        """Tells the asker that the run has ended or broke."""
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
        """Tells an asker that performs the step that nobody waits for it any more."""
        if self.on_over is not None and self.result is not None and not self.result.done():
            with contextlib.suppress(RuntimeError):  # the asker's event loop is closed: no task performs it
                self.on_over()


class Asks:
    """The open asks of one run, for all drivers that it has in this process, one after another.

    Implements `run.step.RunWatcher`: what it hears of, it tells the askers once it is durable; the result of a read and a
    reply that calls tools at once, because nothing outside acts on them before a later batch is durable.
    """

    def __init__(self) -> None:
        self.run = ""
        self.journal_path = ""
        """Of the file in which people decide; "": there is none."""
        self.open: dict[tuple[int, str], Ask] = {}
        """By frame and key, in the order in which they came."""
        self.within: dict[int, int] = {}
        """By frame: the tool's step in which its hand-off was asked for."""
        self.closes: dict[int, Close] = {}
        """By step: hand-offs that are to end."""
        self.end: End | None = None
        """How the loop ends the run."""
        self.answer: str | None = None
        """What it answers."""
        self.bodies: Bodies | None = None
        """Of the driver that the run has now."""
        self.on_event: Callable[[Event, RunState], None] = lambda event, before: None
        self.must_advise: Callable[[AskedTool], bool] = lambda tool: False
        """Whether whoever runs the application is to be told of an undeclared tool when it is called now."""
        self.is_behind = False
        """The run went on elsewhere since the loop has looked: nothing is decided before it has looked again."""
        self.on_parked: Callable[[], None] = lambda: None
        """Is called once the run waits for people and has no driver."""
        self.on_turn: Callable[[Ask], None] = lambda ask: None
        """Is called when it is an asker's turn."""
        self.on_held: Callable[[Ask, Held], None] = lambda ask, held: ask.fail(held)
        """Is called when a step waits for a person, and its asker does not."""
        self.on_failed: Callable[[Ask], None] = lambda ask: None
        """Is called when the run has ended or broke before an ask was settled."""
        self.find_request: Callable[[int], AskedRequest | None] = lambda frame: None
        """Returns the newest request to a model in a frame."""
        self.transfers: set[int] = set()
        """Frames whose answer is that of the frame above: nobody speaks after them there."""
        self._unsent: list[tuple[Callable[[], None], bool]] = []
        """What to tell, and whether that can be told before it is durable."""
        self._closing: dict[int, asyncio.Future[None]] = {}
        self._settling: set[Ask] = set()
        """What is over in the record, of which the askers are told once that is durable."""

    def __repr__(self) -> str:
        return f"<Asks {len(self.open)} open>"

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for something of the run."""
        return bool(self.open or self._closing)

    def attach(self, run: str, bodies: Bodies, finished: asyncio.Future[None]) -> None:
        """The run has a driver. If that gives the run up, the askers are told why."""
        self.run, self.bodies = run, bodies

        def tell(finished: asyncio.Future[None]) -> None:
            error = None if finished.cancelled() else finished.exception()
            if isinstance(error, Exception):
                self.fail_all(error)
            elif self.is_waited_for:
                self.on_parked()

        finished.add_done_callback(tell)

    def add(self, ask: Ask) -> None:
        """Adds something that is asked for; the driver decides again after this."""
        self.open[ask.frame, ask.key] = ask

    def find(self, frame: int, key: str | None) -> Ask | None:
        """Returns what is open under this key."""
        return None if key is None else self.open.get((frame, key))

    def list_enclosing(self, state: RunState) -> frozenset[int]:
        """Returns the steps that wait for others: tools in which something is asked for, or an agent works."""
        asked = {ask.within for ask in self.open.values() if ask.within}
        return frozenset(asked.union(step for frame, step in self.within.items() if frame in state.open))

    def note_frame(self, frame: int, *, transfers: bool) -> None:
        """Notes of a hand-off that is open whether its answer is that of the frame above."""
        if transfers:
            self.transfers.add(frame)

    def withdraw(self, ask: Ask) -> None:
        """Forgets an ask whose asker is gone before it began the step, which will be asked for again."""
        if self.open.get((ask.frame, ask.key)) is ask:
            del self.open[ask.frame, ask.key]
        if ask.result is not None and not ask.result.done():
            ask.result.set_result(Result(status="withdrawn"))
        _finish(ask.over)

    def fail_all(self, error: Exception) -> None:
        """Tells every asker that the run has ended, or is given up in this process."""
        asks, self.open = [*self.open.values(), *self._settling], {}
        self._settling = set()
        for ask in asks:
            self.on_failed(ask)
            ask.fail(error)
        closing, self._closing = list(self._closing.values()), {}
        for future in closing:
            if not future.done():
                future.set_exception(error)
                future.exception()  # a caller that is gone need not look

    def wait_closed(self, step: int) -> asyncio.Future[None]:
        """Returns a future that is done once the end of a hand-off is durable."""
        future = self._closing.get(step)
        if future is None:
            future = self._closing[step] = asyncio.get_running_loop().create_future()
        return future

    def forget_close(self, step: int) -> None:
        """Nobody waits for the end of this hand-off any more."""
        self.closes.pop(step, None)
        if (closing := self._closing.pop(step, None)) is not None:
            _finish(closing)

    async def begin(self, ask: Ask, turn: Turn, ownership: Ownership | None) -> Result:
        """Gives the asker its turn, and returns what it brings. Cancelled once, it goes on waiting; cancelled twice, it stops."""
        ask.result, ask.ownership = asyncio.get_running_loop().create_future(), ownership
        if ask.end is not None or ask.over.done():
            return Result(status="withdrawn")  # nobody waits for it
        self.on_turn(ask)
        ask.give_turn(turn)
        try:
            return await asyncio.shield(ask.result)
        except asyncio.CancelledError:  # the run has ended over it; what it brings yet is worth recording
            if ask.result.done():
                raise
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
        elif intent.kind == "handoff" and intent.perform:
            self._take(ask)
            self.note_frame(intent.step, transfers=ask.transfers)
            if ask.within:
                self.within[intent.step] = ask.within
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
        if ask is None or done.status == "cancelled":  # the run ends over it, and that says why
            return
        if frame is not None and find_call(frame, ask.key) is not None:
            return  # it is proposed again: it was approved, withdrawn, or its fate is asked about
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
        """Returns whether a step has the result that its asker has brought, and no guard's."""
        if ask.result is None or not ask.result.done() or self.bodies is None:
            return False
        return done.output == self.bodies.put(ask.result.result().output)

    def describe(self, done: StepDone, notes: tuple[str, ...] = (), *, performed: bool = False) -> Settled:
        """Returns the end of a step as its asker is told. `performed`: the asker's own result, if nothing took its place."""
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
    """Tells the askers what is durable now. If it is not, the driver gives the run up, and they are told that."""
    if written.cancelled() or written.exception() is not None:
        return
    for tell in waiting:
        with contextlib.suppress(Broken):
            tell()
