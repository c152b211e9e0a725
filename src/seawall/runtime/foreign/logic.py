"""The logic and the executor of a run whose steps a framework's loop asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from decimal import Decimal

from msgspec.structs import replace

from seawall.core.events import Call
from seawall.core.frozen import thaw
from seawall.models.protocol import Price
from seawall.models.usage import compute_bound_usd
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import make_gist
from seawall.run.frame import Frame, PendingCall, find_call
from seawall.run.ledger import LEAST_REPLY_TOKENS, NO_REST, Rest
from seawall.run.requests import RequestRecord
from seawall.run.state import RunState
from seawall.run.step import (
    Action,
    EffectFacts,
    Executor,
    LoopElsewhere,
    Ownership,
    Propose,
    Result,
    Step,
)
from seawall.runtime.foreign.asked import HandoffAsk, ModelAsk, ToolAsk
from seawall.runtime.foreign.asks import Ask, AskedRequest, Asks, Turn
from seawall.runtime.foreign.tools import advise_on_undeclared
from seawall.team.assembly import CLOSING_TOKENS
from seawall.team.decide import decide_stop, find_asked_skip
from seawall.team.partial import write_last_note
from seawall.team.prepare import TeamLogic

_ZERO = Decimal(0)

FindPrice = Callable[[str], Price | None]
"""Returns the price of a model by its name; None if it is not known."""


class ForeignLogic(LoopElsewhere):
    """`run.step.Logic` of a run whose steps a framework's loop asks for: the next steps are the asks without a record."""

    def __init__(self, asks: Asks, tools: TeamLogic, bodies: Bodies, find_price: FindPrice) -> None:
        """`tools` prepares calls of tools, because effects need the same checks as in runs of a team."""
        self._asks, self._tools, self._bodies = asks, tools, bodies
        self._find_price = find_price
        self._requests: dict[int, RequestRecord] = {}

    def __repr__(self) -> str:
        return f"<ForeignLogic {self._asks!r}>"

    def decide(self, state: RunState) -> Sequence[Action]:
        """See `Logic.decide`."""
        if state.ended is not None:
            return []
        if (stopped := decide_stop(state)) is not None:
            return [stopped]
        if self._asks.is_behind:
            return []
        closes = [close for step, close in self._asks.closes.items() if step in state.open]
        asked = list(self._list_asked(state))
        end, answer = self._asks.end, self._asks.answer
        if end is not None and not (closes or asked or state.in_flight):
            return [end if answer is None else replace(end, answer=self._bodies.put(answer))]
        return [*closes, *asked]

    def _list_asked(self, state: RunState) -> Iterator[Action]:
        for ask in list(self._asks.open.values()):
            frame = state.frames.get(ask.frame)
            if frame is None:
                continue  # the session tells the asker
            pending = find_call(frame, ask.key)
            if pending is None or pending.step is None:
                yield self._propose(ask, frame, pending, state)

    def _write_call(self, ask: Ask, run: str) -> Call:
        """Returns the call of an ask as it is recorded. The call is made once and kept."""
        if ask.kind == "tool":
            return Call(ask.key, ask.name, *self._bodies.put_arguments(run, ask.text))
        return Call(ask.key, ask.name, self._bodies.put(ask.text))

    def _propose(self, ask: Ask, frame: Frame, pending: PendingCall | None, state: RunState) -> Propose:
        reconciles = None if pending is None else pending.unknown
        may_ask = ask.tool is not None and ask.tool.options.reconcile is not None
        if (
            pending is not None
            and reconciles is not None
            and (pending.reconciled == reconciles or not may_ask)
        ):
            return Propose(
                kind="approval",
                name=ask.name,
                agent=ask.agent,
                frame=frame.id,
                depth=frame.depth,
                call=pending.call,
            )
        return Propose(
            kind=ask.kind,
            name=ask.name,
            agent=ask.agent,
            frame=frame.id,
            depth=frame.depth + (ask.kind == "handoff"),
            call=self._write_call(ask, state.started.run),
            grant=None if pending is None else pending.grant,
            skip=None if ask.halts else find_asked_skip(state, ask.kind, frame, ask.key, pending),
            last=ask.kind == "model" and not ask.halts and state.is_closing(frame.id),
            reconciles=reconciles,
        )

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """See `Logic.prepare`."""
        call = proposal.call
        step = Step(
            number=number,
            kind=proposal.kind,
            name=proposal.name,
            agent=proposal.agent,
            frame=proposal.frame,
            depth=proposal.depth,
            call=call,
            grant=proposal.grant,
            delay_s=proposal.delay_s,
            last=proposal.last,
            input=None if call is None else call.arguments,
            seal="" if call is None else call.seal or "",
            enclosing=self._asks.list_enclosing(state),
        )
        ask = self._asks.find(proposal.frame, None if call is None else call.id)
        if ask is None or proposal.kind == "approval":
            return step
        if ask.halts:
            step = replace(step, halts=True)
        if proposal.reconciles is not None and ask.tool is not None:
            return replace(
                step,
                version=ask.tool.version,
                reconciles=proposal.reconciles,
                endpoint=ask.tool.endpoint,
                target=(ask.tool, {}),
            )
        match ask.asked:
            case ModelAsk():
                return self._prepare_model(step, ask)
            case HandoffAsk():
                task = self._bodies.text(step.input)
                return replace(step, arguments={"task": task}, gist=make_gist(task))
            case ToolAsk(untrusted=untrusted):
                return self._prepare_tool(step, ask, state, untrusted=untrusted)

    def _prepare_model(self, step: Step, ask: Ask) -> Step:
        request = ask.request
        if request is None:
            return replace(step, invalid="Error: the request to the model has no messages")
        record = self._requests.get(ask.frame)
        if record is None:
            record = self._requests[ask.frame] = RequestRecord()
        price, most = self._find_price(ask.name), request.max_output_tokens
        told = CLOSING_TOKENS if step.last else 0
        return replace(
            step,
            input=record.put(request, self._bodies),
            asked=request.digest,
            tokens=request.size_bytes + told + most,
            reply_tokens=most,
            reply_token_usd=compute_bound_usd(price, 0, 1) or _ZERO,
            input_token_usd=compute_bound_usd(price, 1, 0) or _ZERO,
            usd=compute_bound_usd(price, request.size_bytes + told, most),
            context=len(request.messages),
            context_bytes=request.size_bytes,
            endpoint=f"model:{step.name}",
        )

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns the reserve for the last reply of each agent that waits for this step, if its requests are known.

        After a request without tools no further reply follows. An agent whose hand-off transfers the answer does not speak
        again, and an agent that has asked no model needs no reserve.
        """
        if step is None or step.kind != "model":
            return NO_REST
        ask = self._asks.find(step.frame, None if step.call is None else step.call.id)
        rest, inner = NO_REST, None
        for number in state.walk_up(step.frame):
            if inner is None:
                found = None if ask is None or step.last else _read_request(ask)
            elif inner in self._asks.transfers:
                found = None
            else:
                found = self._asks.find_request(number)
            if found is not None:
                rest = self._keep_reply(rest, found, is_told=inner is not None)
            inner = number
        return rest

    def _keep_reply(self, rest: Rest, request: AskedRequest, *, is_told: bool) -> Rest:
        """Returns the reserve with one more last reply: the shortest reply to the same request again.

        `is_told`: the request grows by the end of a hand-off.
        """
        price, least = self._find_price(request.model), min(LEAST_REPLY_TOKENS, request.reply_tokens)
        bound = request.context_bytes + CLOSING_TOKENS + (LEAST_REPLY_TOKENS if is_told else 0)
        return Rest(
            model_calls=rest.model_calls + 1,
            tokens=rest.tokens + bound + least,
            usd=rest.usd + (compute_bound_usd(price, bound, least) or _ZERO),
            grows=True,
            input_token_usd=max(rest.input_token_usd, compute_bound_usd(price, 1, 0) or _ZERO),
        )

    def _prepare_tool(self, step: Step, ask: Ask, state: RunState, *, untrusted: bool) -> Step:
        tool = ask.tool
        if tool is None:
            return replace(step, invalid=f"Error: nothing is known of tool {step.name!r}")
        step = self._tools.prepare_call(step, tool, state)
        if ask.doubt and step.effect:
            step = replace(step, facts=replace(step.facts or EffectFacts(), doubt=ask.doubt))
        advice = advise_on_undeclared(tool.name) if self._asks.must_advise(tool) else ""
        return replace(step, may_write=tool.undeclared, advice=advice, untrusted=untrusted)


def _read_request(ask: Ask) -> AskedRequest | None:
    """Returns the data of an ask's request; None if the request has no tools, so that its reply is the answer."""
    request = ask.request
    if request is None or not request.tools:
        return None
    return AskedRequest(ask.name, request.size_bytes, request.max_output_tokens)


class ForeignExecutor:
    """`run.step.Executor` of such a run: it gives the asker its turn, and waits for its result."""

    def __init__(self, asks: Asks, beside: Executor) -> None:
        """`beside` calls the preview and the reconcile function of an effect."""
        self._asks, self._beside = asks, beside
        self.delivered = False
        self.on_sign: Callable[[int], None] = lambda step: None

    def __repr__(self) -> str:
        return f"<ForeignExecutor {self._asks!r}>"

    def perform(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None
    ) -> Awaitable[Result]:
        """See `Executor.perform`."""
        if step.reconciles is not None:
            return self._beside.perform(step, state, left_s, ownership)
        return self._give_turn(step, state, left_s, ownership)

    async def _give_turn(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None
    ) -> Result:
        call = None if step.call is None else step.call.id
        ask = self._asks.find(step.frame, call)
        if ask is None:
            return Result(status="withdrawn")  # its asker has gone
        frame = state.frames.get(step.frame)
        pending = None if frame is None else find_call(frame, call or "")
        notes = () if pending is None or step.kind != "model" else pending.notes
        closed = state.find_closed(step.frame) if step.last else None
        last = () if closed is None else (write_last_note(closed.limit, closed.part),)
        turn = Turn(
            step=step.number,
            call=call or "",
            arguments=thaw(step.arguments or {}),
            notes=(*[self._asks.read(note) for note in notes], *last),
            key=(step.key or f"{state.started.run}:{state.call_key(step.frame, call)}")
            if step.effect
            else "",
            remaining_s=left_s,
            max_output_tokens=step.reply_tokens,
            last=step.last,
        )
        return await self._asks.begin(ask, turn, ownership)

    async def preview(self, step: Step, state: RunState, left_s: float) -> tuple[str, bool]:
        """See `Executor.preview`."""
        return await self._beside.preview(step, state, left_s)

    def withdraw(self, step: Step) -> Result | None:
        """See `Executor.withdraw`."""
        ask = self._asks.find(step.frame, None if step.call is None else step.call.id)
        return Result(status="withdrawn") if ask is not None and not ask.is_performed else None
