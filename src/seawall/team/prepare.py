"""The logic of a team for one run: it decides what comes next, and prepares each step. It performs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar, cast

from msgspec.structs import replace

from seawall.core.big_values import LEAST_KEPT_CHARS, encode_in_pieces
from seawall.core.canonical import Ref, digest_of, measure_bytes
from seawall.core.events import Gist, Status, StepIntended
from seawall.core.frozen import freeze
from seawall.core.money import Money
from seawall.core.redact import MARK
from seawall.memory.calls import prepare_memory
from seawall.models.protocol import Price
from seawall.run.bodies import Bodies
from seawall.run.fingerprint import make_gist
from seawall.run.frame import Frame, MessageRef, find_call
from seawall.run.ledger import Rest
from seawall.run.state import RunState
from seawall.run.step import Action, EffectFacts, Propose, RetryPolicy, Step
from seawall.run.traces import find_traces
from seawall.team.agent import ANSWER_TOOL, ASK_PREFIX, READ_RESULT
from seawall.team.assembly import Assembly
from seawall.team.context import build_transcript, cut_bytes, encode_manifest, parse_json, write_review_task
from seawall.team.conversation import Conversation
from seawall.team.decide import decide
from seawall.team.partial import write_fallback_task
from seawall.team.problem import InvalidValue, Problem, describe_problem
from seawall.team.read_result import give, make_read_tool
from seawall.team.team import REVIEW_TOOL, Member, Team
from seawall.team.tool import Tool, encode_canonical

EVIDENCE_RESULTS = 50
"""How many of the newest results a reviewer is shown."""
EVIDENCE_CHARS = 2_000
"""The most characters of each of these results."""


T = TypeVar("T")
_NO_USD = Decimal(0)
_UNSAID = Problem("the arguments do not validate")


class TeamLogic:
    """`run.step.Logic` of a team. `prices` are by agent; None if a price is not known."""

    def __init__(
        self,
        team: Team,
        bodies: Bodies,
        *,
        prices: Mapping[str, Price | None],
        windows: Mapping[str, int | None] | None = None,
        history: Sequence[MessageRef] = (),
        run: str = "",
    ) -> None:
        """`run` is the key of the texts that this process keeps only in memory. A run that only decides needs none of them.

        `windows` holds the tokens of each agent's model's context, reply included, by agent; None if they are not known.
        """
        self.team = team
        effects = {name: _find_effects(team, name) for name in team.members}
        self.context = Conversation(bodies, history, run, effects=effects)
        self._assembly = Assembly(team, self.context, bodies, prices, windows or {})
        self._bodies = bodies
        self._written: dict[tuple[str, int | None], _Written] = {}
        """The arguments of effects as they are performed, by call and by the approval step that allows it."""

    def __repr__(self) -> str:
        return f"<TeamLogic of {self.team.name}>"

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns the next actions; none if everything waits."""
        return decide(self.team, self._assembly.answer_too_long(state))

    def transcript(self, state: RunState, status: Status = "completed") -> Ref | None:
        """Returns the manifest of the conversation of a run that ends, for the session's next run."""
        answers_only = self.team.history == "answers"
        manifest = build_transcript(
            state,
            self._bodies,
            answers_only=answers_only,
            status=status,
            before=self.context.history_size,
        )
        if manifest is None:
            return None
        named = replace(manifest, run=state.started.run)
        return self._bodies.put(encode_manifest(named).decode())

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns the reserve for the last replies of a frame if `step`, or no step, is made before them."""
        return self._assembly.compute_rest(state.frames[frame], step, state)

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns the retry policy of the step's agent or tool."""
        frame = state.frames.get(step.frame)
        if frame is None or step.kind == "memory":
            return "never"
        if step.kind == "model":
            failures, allowed = frame.failures, self.team.members[step.agent].agent.retries
        else:
            pending = None if step.call is None else find_call(frame, step.call.id)
            tool = cast("tuple[Tool, Any]", step.target)[0] if step.target else None
            if pending is None or tool is None:
                return "never"
            failures, allowed = pending.failures, tool.retries
        return "never" if not allowed else "left" if failures < allowed else "used_up"

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """Resolves and validates a proposal; `Step.invalid` says what is wrong with it."""
        # None: the agent has left the team, and only its effects are settled
        member = self.team.members.get(proposal.agent)
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
            last=proposal.last,
            rest_s=proposal.rest_s,
            input=None if proposal.call is None else proposal.call.arguments,
            seal="" if proposal.call is None else proposal.call.seal or "",
            version="" if member is None else member.version,
        )
        if member is None:
            return step
        bodies, members = self._bodies, self.team.members
        match proposal.kind:
            case "model":
                return self._assembly.prepare_model(step, member, state)
            case "tool" if proposal.reconciles is not None:
                return _prepare_reconcile(step, member, proposal.reconciles)
            case "tool":
                return self._prepare_tool(step, member, state)
            case "handoff" if proposal.call is None:
                return _prepare_fallback(step, members[proposal.name], state, bodies)
            case "handoff":
                return _prepare_handoff(step, members[proposal.name], bodies)
            case "review":
                room = self._assembly.find_room(members[proposal.name])
                return _prepare_review(step, members[proposal.name], state, proposal.frame, bodies, room)
            case "memory":
                return prepare_memory(step, member.memory, state, bodies)
            case "approval":
                return step

    def _prepare_tool(self, step: Step, member: Member, state: RunState) -> Step:
        tool = _find_tool(member, step.name, undoes=_is_undo(state))
        if tool is None and step.name == READ_RESULT:
            frame = state.frames[step.frame]
            if self.context.has_folds(frame):
                return self._prepare_read(step, member, frame)
        if tool is None:
            return _make_invalid(step, _explain_missing(step, member))
        return self.prepare_call(step, tool, state)

    def prepare_call(self, step: Step, tool: Tool, state: RunState) -> Step:
        """Returns a step as the call of this tool: validated, with what the tool declares."""
        step = replace(
            step,
            version=tool.version,
            effect=tool.effect,
            idempotent=tool.idempotent,
            timeout_s=tool.timeout_s,
            endpoint=tool.endpoint,
            outlasts=tool.retries > 0,
            poll=tool.poll,
            untrusted=tool.untrusted,
            fresh_s=tool.fresh_s,
            volatile=tool.volatile,
        )
        bodies, run = self._bodies, state.started.run
        if tool.effect:
            return self._prepare_effect(step, tool, state)
        shown, seal = (
            "" if step.call is None else bodies.text(step.call.arguments),
            step.call and step.call.seal,
        )
        grant = step.grant
        if grant is not None and grant.edited:
            step = replace(step, seal="")
            shown, seal = bodies.text(grant.input), ""
        written = _find_written(seal, shown, bodies, run)
        if written is None:
            return replace(step, lost=True)
        read = read_arguments(tool, written, bodies)
        if read.problem is not None:
            problem = read.problem
            if written != shown:  # a message about the stored text has no secret
                problem = read_arguments(tool, shown, bodies).problem or _UNSAID
            return _make_invalid(step, f"Error: {tool.name!r}: {problem.text}", problem.kind)
        return replace(
            step,
            arguments=read.arguments,
            input=bodies.put_json(read.encoded),
            target=(tool, read.target),
        )

    def _prepare_read(self, step: Step, member: Member, frame: Frame) -> Step:
        """Prepares the reading of a shortened message, which the conversation has."""
        written = "" if step.call is None else self._bodies.text(step.call.arguments)
        tool = make_read_tool()
        read = read_arguments(tool, written, self._bodies)
        problem = read.problem
        if problem is None:
            label, page = str(read.arguments["step"]), read.arguments.get("page", 1)
            text = self._assembly.read_again(frame, member, label, page)
            if text is not None:
                step = replace(step, version=tool.version, endpoint=tool.endpoint, arguments=read.arguments)
                return replace(step, input=self._bodies.put_json(read.encoded), target=give(text))
            problem = Problem(f"this conversation has no result of a step {label!r} with a page {page}")
        return _make_invalid(step, f"Error: {READ_RESULT!r}: {problem.text}", problem.kind)

    def _prepare_effect(self, step: Step, tool: Tool, state: RunState) -> Step:
        """Prepares an effect. Its arguments are read from the text that a person would be shown.

        That text has the validated values with all defaults. It is made once for each call, because a default factory may
        make another value each time, and once for each approval. If the tool reads the approved arguments differently by
        now, the text differs, and the approval is not valid for it.
        """
        bodies, run = self._bodies, state.started.run
        source = _find_source(step, state)
        place = (state.call_key(step.frame, step.call and step.call.id), source.approval)
        known = self._written.get(place)
        if known is None:
            shown = bodies.text(source.ref)
            written = _find_written(source.seal, shown, bodies, run)
            if written is None:
                return replace(step, lost=True)
            known, problem = _Written(written, shown), _UNSAID
            if not source.final:
                known, problem = _try(lambda: _encode(tool, written))
            if known is None:
                if written != shown:  # a message about the stored text has no secret
                    problem = _try(lambda: _encode(tool, shown))[1] or _UNSAID
                return _make_invalid(step, f"Error: {tool.name!r}: {problem.text}", problem.kind)
            self._written[place] = known
        text, concealed = known
        read, problem = _try(lambda: _read_effect(tool, text))
        if read is None:
            if bodies.redact_json(text) != text:
                problem = _UNSAID
            return _make_invalid(step, f"Error: {tool.name!r}: {problem.text}", problem.kind)
        ref, seal = bodies.put_arguments(run, text, concealed)
        target = (tool, read.target)
        return replace(step, arguments=read.arguments, input=ref, seal=seal, target=target, facts=read.facts)


class _Source(NamedTuple):
    """Where the arguments of an effect come from."""

    ref: Ref | None
    seal: str | None
    """See `Call.seal`."""
    approval: int | None = None
    """The approval step that allows the arguments; None if they are the model's own."""
    final: bool = False
    """True if the arguments are performed exactly as recorded, without the defaults that the tool has now."""


def _find_source(step: Step, state: RunState) -> _Source:
    call, grant = step.call, step.grant
    written = "" if call is None else call.seal
    if grant is not None and grant.input is not None:
        # an earlier version showed the arguments like that
        final = not grant.proposal and grant.version == step.version
        old = written is None and not grant.seal and not grant.proposal
        return _Source(grant.input, None if old else grant.seal, grant.step, final=final)
    attempt = None if call is None else state.find_attempt(step.frame, call.id)
    # the other system may know the key with these arguments
    if attempt is not None and attempt.input is not None:
        old = written is None and not attempt.seal
        return _Source(attempt.input, None if old else attempt.seal, final=True)
    return _Source(None if call is None else call.arguments, written)


class _Written(NamedTuple):
    """The arguments of an effect as text, in the performed form and in the form that may be stored."""

    text: str
    concealed: str


def _encode(tool: Tool, given: str) -> _Written:
    text = tool.encode_arguments(_parse_arguments(given))
    return _Written(text, tool.conceal_arguments(text))


class _ReadEffect(NamedTuple):
    """The arguments of an effect."""

    arguments: dict[str, Any]
    target: dict[str, Any]
    """The arguments as the function takes them."""
    facts: EffectFacts | None


def _read_effect(tool: Tool, text: str) -> _ReadEffect:
    arguments = _parse_arguments(text)
    target = tool.validate_arguments(arguments)
    return _ReadEffect(arguments, target, tool.read_facts(target))


def _make_invalid(step: Step, text: str, kind: str = "") -> Step:
    """Returns a step that can't be made. It has none of its tool's declarations; it is not a poll, for example."""
    return replace(step, invalid=text, invalid_kind=kind, poll=False, fresh_s=None)


def _try(read: Callable[[], T]) -> tuple[T | None, Problem]:
    """Returns the result of `read`, or None and the problem. A user's own validator may raise anything."""
    try:
        return read(), _UNSAID
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- as above
        return None, describe_problem(error)


def _is_undo(state: RunState) -> bool:
    return state.started.errand is not None and bool(state.started.errand.undoes)


def _find_tool(member: Member | None, name: str, *, undoes: bool) -> Tool | None:
    """Returns an agent's tool or, with `undoes`, the undo tool of one of its tools, which no model can call."""
    tools = () if member is None else member.agent.tools
    for tool in tools:
        offered = tool.options.undo if undoes else tool
        if isinstance(offered, Tool) and offered.name == name:
            return cast("Tool", offered)
    return None


def honours_key(team: Team, step: StepIntended, age_s: float) -> bool:
    """Returns whether today's team may attempt this effect again with its key, which was first used `age_s` seconds ago.

    The tool must be the same and must still honour keys, and the other system must remember keys for `age_s` seconds.
    """
    member = team.members.get(step.agent)
    tool = _find_tool(member, step.name, undoes=False) or _find_tool(member, step.name, undoes=True)
    tool = tool or team.find_asked_tool(step.name)
    if tool is None or not tool.idempotent or not tool.has_version(step.version):
        return False
    return tool.options.key_ttl_s is None or age_s < tool.options.key_ttl_s


def _prepare_reconcile(step: Step, member: Member, effect: int) -> Step:
    """Prepares the read that asks the other system what became of an effect."""
    tool = next(item for item in member.agent.tools if item.name == step.name)
    return replace(
        step,
        version=tool.version,
        reconciles=effect,
        timeout_s=tool.timeout_s,
        endpoint=tool.endpoint,
        target=(tool, {}),
    )


def _explain_missing(step: Step, member: Member) -> str:
    """Returns the error for an agent that calls a tool which it does not have."""
    agent = member.agent
    if step.name in (ANSWER_TOOL, REVIEW_TOOL) and any(spec.name == step.name for spec in member.specs):
        return f"Error: call {step.name!r} alone, after the other results."
    there = ", ".join(spec.name for spec in member.specs) or "none"
    if step.name.startswith(ASK_PREFIX):
        name = step.name.removeprefix(ASK_PREFIX)
        asks = ", ".join(member.asks) or "nobody"
        return f"Error: {agent.name!r} can't hand work to {name!r}; it may ask: {asks}."
    return f"Error: there is no tool {step.name!r}; there are: {there}."


class ReadArguments(NamedTuple):
    """The arguments of a call. Arguments of a long text are kept and shared, so they must not be changed."""

    arguments: dict[str, Any]
    encoded: str
    target: dict[str, Any] | None
    """The arguments as the function takes them. None for a long text, which is validated again before the call."""
    problem: Problem | None


def read_arguments(tool: Tool, text: str, bodies: Bodies) -> ReadArguments:
    """Reads the arguments of a call that a model wrote. A long text is read only once."""

    def read(text: str) -> ReadArguments:
        arguments, target, problem = _validate(tool, text)
        if len(text) < LEAST_KEPT_CHARS:
            return ReadArguments(arguments, encode_canonical(arguments), target, problem)
        encoded = encode_in_pieces(arguments, encode_canonical)
        return ReadArguments(freeze(arguments), encoded, None, problem)

    return bodies.cache.compute(read, text, ("read_arguments", tool))


def read_edit(tool: Tool, text: str) -> tuple[str, Money | None]:
    """Returns a person's edited arguments for a call in the form that is performed, and their amount.

    Raises `ValueError`, which says what is wrong with them.
    """
    try:
        given = _parse_arguments(text)
        if not tool.effect:
            tool.validate_arguments(given)
            return encode_canonical(given), None
        written = tool.encode_arguments(given)
        facts = tool.read_facts(tool.validate_arguments(_parse_arguments(written)))
        concealed = tool.conceal_arguments(written)
    except Exception as error:  # noqa: BLE001 -- a user's own validator may raise anything
        raise ValueError(describe_problem(error).text) from None
    if concealed != written:
        raise ValueError(
            "a parameter is a secret, which is not recorded, so the edit could not be performed later"
        )
    return written, None if facts is None else facts.amount


def expect_calls(calls: Sequence[tuple[str, str]], member: Member, bodies: Bodies) -> None:
    """Computes the results that `TeamLogic.prepare` and the gate need for calls with long arguments.

    `calls` are pairs (name, arguments). The computation has no side effects, so a thread may do it.
    """
    tools = {tool.name: tool for tool in member.agent.tools}
    for name, text in calls:
        bodies.prepare_arguments(text)
        tool = tools.get(name)
        if tool is not None:
            read = read_arguments(tool, text, bodies)
            body = bodies.prepare_json(read.encoded)
            bodies.cache.compute(find_traces, body.text or "")
        elif name.startswith(ASK_PREFIX):
            task = _read_task(bodies.redact_json(text), bodies)
            body = bodies.prepare(task.task)
            bodies.cache.compute(find_traces, body.text or "")


def _find_written(seal: str | None, shown: str, bodies: Bodies, run: str) -> str | None:
    """Returns the arguments as they were written; None if only their redacted text is left."""
    if seal is None:  # recorded by a version that did not say whether it redacted them
        return None if MARK in shown else shown
    return bodies.originals.find(run, seal) if seal else shown


def _validate(tool: Tool, text: str) -> tuple[dict[str, Any], dict[str, Any], Problem | None]:
    """Returns the arguments as given, the arguments as the function takes them, and the problem with them."""
    try:
        arguments = _parse_arguments(text)
        return arguments, tool.validate_arguments(arguments), None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a validator of the user's own may raise anything
        return {}, {}, describe_problem(error)


def _parse_arguments(text: str) -> dict[str, Any]:
    text = text.strip()
    arguments: Any = parse_json(text) if text else {}
    if not isinstance(arguments, dict):
        raise InvalidValue(f"the arguments are not a JSON object (got {text[:200]!r})", "no object")
    return cast("dict[str, Any]", arguments)


def _prepare_handoff(step: Step, target: Member, bodies: Bodies) -> Step:
    # The colleague is shown the stored text, so that a resumed run shows it the same task.
    read = _read_task("" if step.call is None else bodies.text(step.call.arguments), bodies)
    if read.problem is not None:
        return _make_invalid(step, f"Error: {read.problem.text}", read.problem.kind)
    gist = read.gist
    if step.seal:
        gist = replace(gist, names=digest_of([gist.names, step.seal]))
    return replace(
        step, arguments=read.arguments, input=bodies.put(read.task), version=target.version, gist=gist
    )


class _Task(NamedTuple):
    arguments: dict[str, Any]
    task: str
    gist: Gist
    problem: Problem | None


_NO_TASK = _Task({}, "", Gist("", ()), None)


def _read_task(text: str, bodies: Bodies) -> _Task:
    return bodies.cache.compute(_parse_task, text)


def _parse_task(text: str) -> _Task:
    try:
        arguments = _parse_arguments(text)
    except ValueError as error:
        return _NO_TASK._replace(problem=describe_problem(error))
    task = arguments.get("task")
    if not isinstance(task, str) or not task.strip():
        given = encode_canonical(arguments)[:200]
        problem = Problem(f"a hand-off needs a text 'task' (got {given})", "task")
        return _NO_TASK._replace(problem=problem)
    kept = freeze(arguments) if len(text) >= LEAST_KEPT_CHARS else arguments
    return _Task(kept, task, make_gist(task), None)


def _prepare_fallback(step: Step, target: Member, state: RunState, bodies: Bodies) -> Step:
    """Prepares the run's hand-off to the agent that answers in the team's place."""
    intent = bodies.text(state.started.intent)
    task = write_fallback_task(intent, state.plan.list_verified(), bodies)
    return replace(step, input=bodies.put(task), version=target.version)


def _find_effects(team: Team, name: str) -> frozenset[str]:
    """Returns the tools of an agent that change the world, with the hand-offs to agents that have such tools."""
    member = team.members[name]
    asks = [asked for asked, target in member.targets.items() if _may_act(team, target, set())]
    return member.effects | {f"{ASK_PREFIX}{asked}" for asked in asks}


def _may_act(team: Team, name: str, passed: set[str]) -> bool:
    """Returns whether an agent, or an agent that it hands work to, changes the world. Each agent is checked once."""
    if name in passed:
        return False
    passed.add(name)
    member = team.members[name]
    return bool(member.effects) or any(_may_act(team, target, passed) for target in member.targets.values())


def _prepare_review(
    step: Step, reviewer: Member, state: RunState, frame_id: int, bodies: Bodies, room: int | None
) -> Step:
    frame = state.frames[frame_id]
    facts = state.facts if frame.kind == "root" else ()
    lines = [line for line in frame.messages if line.role == "tool"][-EVIDENCE_RESULTS:]
    evidence = [("what has happened since", bodies.text(ref)[:EVIDENCE_CHARS]) for ref in facts]
    evidence += [(line.name, bodies.text(line.ref)[:EVIDENCE_CHARS]) for line in lines]
    request = bodies.text(frame.messages[len(facts)].ref)
    if room is not None and evidence:
        room -= measure_bytes(request) + measure_bytes(bodies.text(frame.answer))
        share = max(0, room) // len(evidence)
        evidence = [(name, cut_bytes(text, share)) for name, text in evidence]
    task = write_review_task(request, bodies.text(frame.answer), evidence)
    return replace(step, input=bodies.put(task), version=reviewer.version)
