"""A team at work: prepares and performs the steps that `decide` proposes. One for each run."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from seawall.core.canonical import Ref, canonical
from seawall.core.errors import describe_error
from seawall.core.events import StepIntended
from seawall.core.limits import Limits
from seawall.models.protocol import Model, ModelFailed, ModelReply, ModelRequest, Price, TextDelta, Usage
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import make_gist
from seawall.run.frame import Frame, MessageRef
from seawall.run.state import RunState
from seawall.run.step import Action, Propose, Result, Step
from seawall.runtime.exceptions import classify_exception
from seawall.runtime.threads import Threads, Turn
from seawall.team.agent import ANSWER_TOOL, ASK_PREFIX, Agent
from seawall.team.context import Context, build_transcript, encode_manifest, parse_json, write_review_task
from seawall.team.decide import decide
from seawall.team.partial import write_fallback_task
from seawall.team.reply import read_reply
from seawall.team.team import REVIEW_TOOL, Member, Team
from seawall.team.tool import INLINE_BYTES, PREVIEW_CHARS, NotDone, Tool, ToolContext, encode_canonical

EVIDENCE_RESULTS = 50
"""Newest results that a reviewer is shown."""
EVIDENCE_CHARS = 2_000
"""Of each of them."""


class Resources:
    """What the runs of one team share in a process: models by agent, prices, thread pools."""

    def __init__(
        self, team: Team, models: Mapping[str, Model], price: Callable[[Agent], Price | None]
    ) -> None:
        """`price` says what an agent's model costs, or None where that is not known."""
        self.models = dict(models)
        self.prices = {name: price(member.agent) for name, member in team.members.items()}
        self.schemas_bytes = {
            name: sum(len(canonical(spec)) for spec in member.specs) for name, member in team.members.items()
        }
        self._threads: dict[int, Threads] = {}
        weakref.finalize(self, _close, self._threads)

    def threads(self, tool: Tool) -> Threads:
        """The pool of a sync tool."""
        pool = self._threads.get(id(tool))
        if pool is None:
            pool = self._threads[id(tool)] = Threads(f"seawall-{tool.name}", tool.threads)
        return pool


def _close(pools: dict[int, Threads]) -> None:
    for pool in pools.values():
        pool.close()


class TeamWork:
    """`run.step.Work` for a team."""

    def __init__(
        self,
        team: Team,
        crew: Resources,
        limits: Limits,
        bodies: Bodies,
        *,
        history: Sequence[MessageRef] = (),
        on_text: Callable[[int, str], None] | None = None,
    ) -> None:
        self.team = team
        self.context = Context(bodies, history)
        self._crew = crew
        self._limits = limits
        self._on_text = on_text
        self._bodies = bodies
        self._turns: dict[int, Turn] = {}

    @property
    def limits(self) -> Limits:
        """The run's limits."""
        return self._limits

    def decide(self, state: RunState) -> Sequence[Action]:
        """The next actions."""
        return decide(self.team, state)

    def transcript(self, state: RunState, bodies: Bodies) -> Ref | None:
        """The manifest of the run's conversation."""
        manifest = build_transcript(state, bodies, answers_only=self.team.history == "answers")
        return None if manifest is None else bodies.put(encode_manifest(manifest).decode())

    def retries(self, step: Step, state: RunState, result: Result) -> bool:
        """Whether the agent's or the tool's policy allows another try."""
        frame = state.frames.get(step.frame)
        if frame is None:
            return False
        if step.kind == "model":
            return frame.failures < self.team.members[step.agent].agent.retries
        slot = next((slot for slot in frame.turn if step.call and slot.call.id == step.call.id), None)
        tool = cast("tuple[Tool, Any]", step.target)[0] if step.target else None
        return slot is not None and tool is not None and slot.failures < tool.retries

    # ---- prepare

    def prepare(self, proposal: Propose, state: RunState, bodies: Bodies, number: int) -> Step:
        """Resolve and validate a proposal."""
        member = self.team.members.get(proposal.agent)  # None: gone since, and only its effects are settled
        step = Step(
            number=number,
            kind=proposal.kind,
            name=proposal.name,
            agent=proposal.agent,
            frame=proposal.frame,
            depth=proposal.depth,
            call=proposal.call,
            grant=proposal.grant,
            delay_s=proposal.delay_s,
            input=None if proposal.call is None else proposal.call.arguments,
            version="" if member is None else member.version,
        )
        if member is None or proposal.kind == "approval":
            return step
        frame = state.frames[proposal.frame]
        if proposal.kind == "model":
            return self._prepare_model(step, member, frame, bodies)
        if proposal.kind == "tool":
            return _prepare_tool(step, member, bodies)
        if proposal.kind == "handoff" and proposal.call is None:
            return _prepare_fallback(step, self.team.members[proposal.name], state, bodies)
        if proposal.kind == "handoff":
            return _prepare_handoff(step, self.team.members[proposal.name], bodies)
        if proposal.kind == "review":
            return _prepare_review(step, self.team.members[proposal.name], state, frame, bodies)
        return step

    def _prepare_model(self, step: Step, member: Member, frame: Frame, bodies: Bodies) -> Step:
        agent = member.agent
        size = self.context.bound(
            frame, agent.instructions, self._crew.schemas_bytes[agent.name], member.version
        )
        price = self._crew.prices.get(agent.name)
        most = Usage(size, agent.max_output_tokens)
        return msgspec.structs.replace(
            step,
            input=bodies.put(agent.instructions),
            tokens=size + agent.max_output_tokens,
            usd=None if price is None else price.usd(most),
            input_token_usd=Decimal(0) if price is None else price.usd(Usage(1)),
            context=len(frame.messages),
            endpoint=f"model:{step.name}",
        )

    # ---- perform

    async def perform(self, step: Step, state: RunState, bodies: Bodies, left_s: float) -> Result:
        """Perform a model or tool step."""
        if step.kind == "model":
            frame = state.frames[step.frame]
            return await self._ask_model(step, frame, bodies, state.started.stream, left_s)
        tool, arguments = cast("tuple[Tool, dict[str, Any]]", step.target)
        context = ToolContext(
            run=state.started.run,
            step=step.number,
            agent=step.agent,
            tenant=state.started.tenant,
            principal=state.started.principal,
            session=state.started.session,
            remaining_s=left_s,
            key=f"{state.started.run}:{state.call_key(step.frame, step.call and step.call.id)}",
        )
        return await self._call_tool(tool, arguments, context, bodies)

    async def _ask_model(
        self, step: Step, frame: Frame, bodies: Bodies, stream: bool, left_s: float
    ) -> Result:
        member = self.team.members[step.agent]
        agent = member.agent
        model = self._crew.models[agent.name]
        request = ModelRequest(
            messages=self.context.assemble(frame, agent.instructions),
            tools=member.specs,
            max_output_tokens=agent.max_output_tokens,
            temperature=agent.temperature,
            timeout_s=left_s or None,
            settings=agent.settings,
        )
        try:
            if stream and frame.kind == "root" and self._on_text is not None:
                reply = await self._streamed(model, request, step.number)
            else:
                reply = await model.respond(request)
            price = self._crew.prices.get(agent.name)
            usd = Decimal(0) if price is None else price.usd(reply.usage)
            return read_reply(reply, member, frame, usd, bodies.redact)
        except ModelFailed as failure:
            return Result(
                status="error",
                output=f"Error: model {model.name!r}: {failure}",
                error=failure.kind,
                uncharged=not failure.charged,
                retryable=failure.retryable,
                retry_after_s=failure.retry_after_s,
                endpoint="answered" if failure.kind in ("rejected", "spend_limit") else "broken",
            )
        except asyncio.CancelledError as error:
            _raise_if_ours()
            return Result(status="error", output=f"Error: {describe_error(error)}", error="CancelledError")
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- a model class of the user's own may do anything
            side = classify_exception(error)
            return Result(
                status="error",
                output=f"Error: {describe_error(error)}",
                error=type(error).__name__,
                endpoint=side.endpoint,
            )

    async def _streamed(self, model: Model, request: ModelRequest, number: int) -> ModelReply:
        """A reply whose text is told as it comes, without its secrets."""
        tell = self._on_text or _tell_nobody
        reply: ModelReply | None = None
        redactor = self._bodies.stream()
        async for item in model.stream(request):
            if isinstance(item, TextDelta):
                if text := redactor.feed(item.text):
                    tell(number, text)
            else:
                reply = item
        if text := redactor.end():
            tell(number, text)
        if reply is None:
            raise ModelFailed("incomplete", "the stream ended without a complete reply")
        return reply

    async def _call_tool(
        self, tool: Tool, arguments: dict[str, Any], context: ToolContext, bodies: Bodies
    ) -> Result:
        if tool.context_parameter is not None:
            arguments = {**arguments, tool.context_parameter: context}
        try:
            if tool.is_async:
                value = await tool.function(**arguments)
            else:
                turn = self._turns[context.step] = Turn()
                value = await self._crew.threads(tool).call(lambda: tool.function(**arguments), turn)
            encoded = tool.encoded(value)
        except NotDone as error:
            return _failed(error, f"Error: not done: {error}", "not_done")
        except asyncio.CancelledError:
            _raise_if_ours()
            return Result(
                status="error", output=f"Error: tool {tool.name!r} was cancelled", error="CancelledError"
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a tool raises, the agent is told
            return _failed(error, f"Error: {describe_error(error)}", type(error).__name__)
        finally:
            self._turns.pop(context.step, None)
        return _result(encoded, bodies)

    def withdrawn(self, step: Step) -> Result | None:
        """Give up a call that still waits for a thread of its tool; None if it has begun."""
        turn = self._turns.get(step.number)
        if turn is None or not turn.withdraw():
            return None
        tool = cast("tuple[Tool, Any]", step.target)[0]
        held = "the one thread" if tool.threads == 1 else f"all {tool.threads} threads"
        what = "a call that has" if tool.threads == 1 else "calls that have"
        verb = "is" if tool.threads == 1 else "are"
        return Result(
            status="error",
            output=f"Error: not done: {held} of {tool.name!r} {verb} held by {what} not returned",
            error="not_done",
            retryable=True,
            endpoint="unasked",
        )


def _failed(error: BaseException, output: str, kind: str) -> Result:
    """A tool that raised: what the agent is told, and what it says of the other side."""
    side = classify_exception(error)
    return Result(
        status="error",
        output=output,
        error=kind,
        retryable=True,
        retry_after_s=side.retry_after_s,
        endpoint=side.endpoint,
    )


def _tell_nobody(number: int, text: str) -> None:
    pass


def _raise_if_ours() -> None:
    """Within `except CancelledError`: go on raising it if the task was cancelled, and not by what it called."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise  # noqa: PLE0704 -- the error that is being handled by the caller


def _result(encoded: str | bytes, bodies: Bodies) -> Result:
    """A tool's result, by reference if it is bytes or too long for a context."""
    if isinstance(encoded, str) and len(encoded) <= INLINE_BYTES:
        return Result(status="ok", output=encoded)
    if isinstance(encoded, str):
        encoded = bodies.redact(encoded)  # before it is cut: half a secret has no shape to know it by
        whole = f"{len(encoded):,} characters; whole: {bodies.put(encoded)}"
        output = f"{encoded[:PREVIEW_CHARS]}\n[the first {PREVIEW_CHARS:,} of {whole}]"
    else:
        output = f"[{len(encoded):,} bytes, kept as {bodies.put(encoded)}]"
    return Result(status="ok", output=output)


def honours_key(team: Team, step: StepIntended) -> bool:
    """Whether today's team may attempt this effect again under its key: the same tool, and still idempotent."""
    member = team.members.get(step.agent)
    tools = () if member is None else member.agent.tools
    tool = next((item for item in tools if item.name == step.name), None)
    return tool is not None and tool.idempotent and tool.declared(step.version)


def _prepare_tool(step: Step, member: Member, bodies: Bodies) -> Step:
    agent = member.agent
    tool = next((item for item in agent.tools if item.name == step.name), None)
    if tool is None:
        if step.name in (ANSWER_TOOL, REVIEW_TOOL) and any(spec.name == step.name for spec in member.specs):
            return msgspec.structs.replace(
                step, invalid=f"Error: call {step.name!r} alone, after the other results."
            )
        there = ", ".join(spec.name for spec in member.specs) or "none"
        if step.name.startswith(ASK_PREFIX):
            name = step.name.removeprefix(ASK_PREFIX)
            asks = ", ".join(member.asks) or "nobody"
            return msgspec.structs.replace(
                step, invalid=f"Error: {agent.name!r} can't hand work to {name!r}; it may ask: {asks}."
            )
        return msgspec.structs.replace(
            step, invalid=f"Error: there is no tool {step.name!r}; there are: {there}."
        )
    step = msgspec.structs.replace(
        step,
        version=tool.version,
        effect=tool.effect,
        idempotent=tool.idempotent,
        timeout_s=tool.timeout_s,
        endpoint=tool.endpoint,
        poll=tool.poll,
        fresh_s=tool.fresh_s,
        volatile=tool.volatile,
    )
    try:
        arguments = _arguments(step, bodies)
        target = (tool, tool.validated(arguments))
    except ValueError as error:
        return msgspec.structs.replace(step, invalid=f"Error: {tool.name!r}: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- a validator of the user's own may raise anything
        return msgspec.structs.replace(step, invalid=f"Error: {tool.name!r}: {describe_error(error)}")
    return msgspec.structs.replace(
        step, arguments=arguments, input=bodies.put(encode_canonical(arguments)), target=target
    )


def _arguments(step: Step, bodies: Bodies) -> dict[str, Any]:
    text = bodies.text(step.call.arguments).strip() if step.call else ""
    arguments: Any = parse_json(text) if text else {}
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments are no JSON object (got {text[:200]!r})")
    return cast("dict[str, Any]", arguments)


def _prepare_handoff(step: Step, target: Member, bodies: Bodies) -> Step:
    try:
        arguments = _arguments(step, bodies)
    except ValueError as error:
        return msgspec.structs.replace(step, invalid=f"Error: {error}")
    task = arguments.get("task")
    if not isinstance(task, str) or not task.strip():
        given = encode_canonical(arguments)[:200]
        return msgspec.structs.replace(step, invalid=f"Error: a hand-off needs a text 'task' (got {given})")
    return msgspec.structs.replace(
        step, arguments=arguments, input=bodies.put(task), version=target.version, gist=make_gist(task)
    )


def _prepare_fallback(step: Step, target: Member, state: RunState, bodies: Bodies) -> Step:
    """The run's own hand-off, to the agent that answers in the team's place."""
    intent = bodies.text(state.started.intent)
    task = write_fallback_task(intent, state.plan.verified(), bodies)
    return msgspec.structs.replace(step, input=bodies.put(task), version=target.version)


def _prepare_review(step: Step, reviewer: Member, state: RunState, frame: Frame, bodies: Bodies) -> Step:
    lines = [line for line in frame.messages if line.role == "tool"][-EVIDENCE_RESULTS:]
    evidence = [(line.name, bodies.text(line.ref)[:EVIDENCE_CHARS]) for line in lines]
    task = write_review_task(bodies.text(frame.messages[0].ref), bodies.text(frame.answer), evidence)
    return msgspec.structs.replace(step, input=bodies.put(task), version=reviewer.version)
