"""The vocabulary of the journal: everything that can happen to a run, one struct for each kind of event.

Events hold no content. Prompts, arguments, results and answers are *bodies*, stored once under their hash; an
event holds the hash (`Ref`). So a body can be erased, and the run can still be folded.

Fields are only ever added, with a default, and never change their meaning, so that a newer version can read the
journal of an older one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from seawall.core.canonical import Ref, encode_text
from seawall.core.errors import Misused
from seawall.core.event_parts import Call, Fork, Gist, Permit, StoppedBy
from seawall.core.limits import Limits

StepKind = Literal["model", "tool", "handoff", "review", "memory", "approval"]
PERFORMED: tuple[StepKind, ...] = ("model", "tool", "memory")
"""Kinds of steps that are performed by one call. A hand-off or a review consists of steps, and an approval is a
person's decision."""
CALLED: tuple[StepKind, ...] = ("tool", "memory")
"""Kinds of steps that count as tool calls in limits and guards: calls of an agent's own tools, and of its memory
tools."""
REQUESTED = frozenset[StepKind]({*CALLED, "handoff"})
"""Kinds of steps that an agent requests in its reply, and whose results it gets."""
VerdictKind = Literal["allow", "advise", "replace", "hold", "refuse", "halt"]
Mode = Literal["off", "observe", "enforce"]
Stage = Literal["before", "after"]
Status = Literal["completed", "refused", "halted", "failed", "cancelled"]
EffectState = Literal["proposed", "approved", "attempting", "committed", "failed", "unknown"]
Tie = Literal["value", "exposure"]
FoldKind = Literal[
    "line",  # a text of Seawall's own, which says what was there
    "reference",  # its beginning, and how to read the rest
    "left_out",  # nothing: a line before it speaks of it
]
FoldReason = Literal[
    "failed",  # the call failed, and that tool was called again
    "repeated",  # an earlier result says the same
    "stale",  # the same call was made again, with another result
    "large",  # a long result
    "exchange",  # a call with its result, of an earlier turn or long ago
    "turn",  # an earlier turn of the session
]
FoldTrigger = Literal["budget", "junk", "too_long"]
PlanAction = Literal[
    "skip",  # a call is not made: to an optional agent, or because it can't be done in time or within a limit
    "cut",  # a step or a whole frame was ended, so that the steps that must follow still fit
    "review",  # an answer goes out without its review
    "fallback",  # the team's fallback agent answers
    "partial",  # the run answers with the results that are recorded
    "close",  # a frame answers with what it has, in one last call without tools
]
StepStatus = Literal[
    "ok",  # performed, with a result
    "error",  # performed, and failed; the output says how
    "timeout",  # performed, and given up; a late result may follow
    "cancelled",  # performed, and stopped because the run ended
    "lost",  # the process died between intent and result; a read or model call is made again as a new step
    "unknown",  # an effect of which it is not known whether it happened
    "refused",  # not performed: a guard refused; the output is the message to the agent
    "replaced",  # not performed: a guard answered instead
    "invalid",  # not performed: the name is unknown, or the arguments do not validate
    "withdrawn",  # not performed: the run ended before it began, or was paused; then it is made again later
    "simulated",  # not performed: an effect in a fork
]

EVERYTHING = -1
"""Stands as the step of a cause for every earlier step: more was shown than is indexed."""


class Cause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An edge from an earlier step. Step 0 is what the run began with: the request, and the conversation before it."""

    step: int
    tie: Tie


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a value came from that an earlier run left behind: an entry of memory, or a message of the session's
    conversation.
    """

    entry: int = 0
    """The number of the memory entry; 0: the source is not an entry."""
    run: str = ""
    """The earlier run of the session."""
    step: int | None = None
    """The step of that run. 0: the run's request; None: its answer."""


REJECTED = "rejected"
"""The error of a step that a person has rejected or has not approved in time, and of a step whose same proposal was
rejected before."""
LOST = "lost"
"""The seal of an approval step that was asked for because the original arguments are lost. Such an approval allows no
call."""


def join_seal(arguments: Ref | None, seal: str) -> str:
    """Returns a key that is equal for equal arguments. The stored body alone is not enough: arguments that differ only
    in their secrets are stored as one body.
    """
    return f"{arguments or ''}~{seal}" if seal else arguments or ""


class Base(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """The base of all events: `at` is the time of recording in wall seconds. It is for people; no decision depends on
    it.
    """

    at: float


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call that a run is started for, without a model: an effect that is performed in a run of its own, apart from
    the run or the person that asked for it.
    """

    agent: str
    """The agent that makes the call."""
    tool: str
    arguments: Ref
    seal: str = ""
    """See `Call.seal`."""
    run: str = ""
    """The run that asked for it and does not wait for it; "" if a person asked."""
    session: str | None = None
    """The conversation whose next run is told the result. The errand itself is in no session."""
    undoes: str = ""
    """The id of the effect that this call undoes."""
    reasons: tuple[str, ...] = ()
    """Why a person had to be asked in the run that asked for it."""
    origin: str = ""
    """The run within which the effect is unique: the run that asked for it or, if that run is a fork, the first run."""
    origin_session: str | None = None
    """The conversation of the run `origin`."""


class RunStarted(Base, tag="run_started", frozen=True, kw_only=True):
    """A request arrived. Always seq 0."""

    run: str
    team: str
    team_version: str
    agent: str
    """The coordinator."""
    intent: Ref
    limits: Limits
    guards: dict[str, Mode]
    tenant: str = ""
    principal: str = ""
    session: str | None = None
    request_id: str | None = None
    app: str | None = None
    """The import path of the team, for `seawall resume`."""
    stream: bool = False
    fork: Fork | None = None
    errand: Errand | None = None
    """The run makes this one call, and ends with its result. None: its team answers the request."""
    authority: tuple[Permit, ...] = ()
    """The authority rows of the team and its nested teams: who may do what. For an agent without a row, the team's
    wiring holds."""
    again: str = ""
    """The earlier run whose request this run answers once more, because what that run had read was reverted. Effects of
    this run wait for a person."""
    loop: str = ""
    """The framework whose loop asks for the steps, for example `langchain`; "": Seawall's own loop decides them."""


class RunTaken(Base, tag="run_taken", frozen=True, kw_only=True):
    """A process took the run, to start it or to go on with it. This begins a new segment of active time."""

    owner: str
    epoch: int
    left_s: float
    history: Ref | None = None
    """First segment: the manifest of the session's conversation so far (see `RunEnded.transcript`)."""
    handover: dict[str, str] = msgspec.field(default_factory=dict[str, str], name="carried")
    """First segment: the `handover` of the session's previous run (see `RunEnded.handover`)."""
    facts: tuple[Ref, ...] = ()
    """First segment: what has happened since that conversation, outside of runs or in runs that had not ended when the
    next one began. The coordinator is shown these texts before the request. No later run is shown them."""
    behind: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """First segment: by id, the earlier runs of the session that had not ended, with the number of events of each that
    this run knows."""
    memory: int = 0
    """The version of memory that the run sees from here on; 0: the run has no memory."""
    changed: tuple[Ref, ...] = ()
    """Later segments: what has changed meanwhile in the memory that the run has read; its coordinator is shown these texts."""
    read: tuple[int, ...] = ()
    """First segment: the memory entries that were read or written by the earlier runs whose messages this run is
    shown."""


class StepIntended(Base, tag="step", frozen=True, kw_only=True):
    """A step is about to be performed or, with `perform=False`, was proposed and will not be performed."""

    step: int
    kind: StepKind
    name: str
    """The name of the tool, of the model, or of the agent that receives the hand-off."""
    agent: str
    """The agent that acts."""
    frame: int
    """The hand-off or review step in whose frame this happens; 0 is the frame of the run itself."""
    call: str | None = None
    """The model's call id that this step answers. Where a framework's own loop asks for steps, each has the key under which
    it is asked for again after a crash (see `seawall.runtime.foreign`)."""
    grant: int | None = None
    """The approval step that lets this one pass."""
    identity: str = ""
    """Effects: the keyed digest that is equal for the same effect in all runs; "": the effect is unique to this
    call."""
    key: str = ""
    """Effects: the idempotency key that the tool gets; "": made from the run and the call (`RunState.call_key`)."""
    proposal: str = ""
    """Approval steps: what a person is asked. Only a decision on this proposal decides the step; "": an earlier version
    asked."""
    likeness: str = ""
    """Approval steps: digest of the proposal that is equal for proposals that look the same: to reject one is to reject
    all. "": an earlier version asked, or the question is what became of an effect."""
    waits_for: str = ""
    """Approval steps: the effect of another call that this one waits for; nobody is asked."""
    reconciles: int | None = None
    """The effect step whose result this step asks the other side for."""
    input: Ref | None = None
    """The arguments; for a model step, its system prompt."""
    seal: str = ""
    """See `Call.seal`: the step is performed with the arguments as the model wrote them, and `input` is redacted."""
    asked: str = ""
    """Tools: a digest that is equal for other spellings of the same arguments (letter case, white space); "": use the
    address of the arguments. It is for comparing calls with their results, and identifies no effect. Model steps that a
    framework asked for: a digest of the request without ids and times."""
    wording: str = ""
    """Tools that are not polls: the words of the arguments as short hashes. They show a question without a new word,
    and a write without a text; see `seawall.run.wording`. "": not known."""
    context: int = 0
    """Model steps: the number of messages in the frame. Which of them were sent follows from the fold."""
    context_bytes: int = 0
    """Model steps: bytes that were sent, the tools' schemas included. They are compared with the provider's count of
    tokens."""
    junk: float = 0.0
    """Model steps: the share of failures, repeats and outdated results in what was sent, from 0 to 1."""
    causes: tuple[Cause, ...] = ()
    sources: tuple[Source, ...] = ()
    """Where values of the input come from outside of this run: details of the step's causes by value."""
    version: str = ""
    """Fingerprint of the tool's or the agent's definition."""
    effect: bool = False
    idempotent: bool = False
    """An effect whose tool honours its key: after a crash it may be attempted again under the same key."""
    may_write: bool = False
    """The tool's definition does not say whether the tool changes the world: a new result may mean that it did."""
    poll: bool = False
    """A tool that is called again and again until something has happened."""
    untrusted: bool = False
    """A tool whose results come from an untrusted source, such as another party's server. Claims in its results are
    noted even if the tool is an effect."""
    gist: Gist | None = None
    """Hand-offs: the task in a form to compare with others."""
    perform: bool = True
    last: bool = False
    """Model steps: the agent's last call, because a limit is used up. The model is sent no tools."""
    tokens: int = 0
    """Tokens that are reserved for the step: an upper bound."""
    usd: Decimal = Decimal(0)
    """US dollars that are reserved for the step: an upper bound."""
    prepaid: str = ""
    """The day (UTC) in whose account the step was reserved in advance; "": the reservation is booked together with this
    event."""
    depth: int = 1

    @property
    def arguments_key(self) -> str:
        """A key that is equal for equal arguments, as they were written."""
        return join_seal(self.input, self.seal) if self.seal else self.input or ""

    @property
    def asked_key(self) -> str:
        """A key that is equal for equal arguments, however they were spelled."""
        return self.asked or self.arguments_key


class StepDone(Base, tag="done", frozen=True, kw_only=True):
    """A step ended. There is at most one for each step; the first one counts."""

    step: int
    status: StepStatus
    output: Ref | None = None
    """The result; for a model step, the assistant's message."""
    reasoning: Ref | None = None
    """Model steps: reasoning data that the model's server expects back with that message. It is shown nowhere."""
    fingerprint: str | None = msgspec.field(default=None, name="news")
    """Digest of (name, arguments, normalised result). Steps with equal digests brought the same information."""
    loose_fingerprint: str | None = msgspec.field(default=None, name="alike")
    """A digest as `fingerprint`, but of the result without its numbers (tools that may write) or without all that may
    be noise (other tools); None if that makes no difference. For a read's short result it is a digest of the tool's
    name and the words of the result, in any order, so it can be equal for two different questions, unless there is an
    `answer_fingerprint`. For an error, or a result that reports one, it is `!` and a digest of the error's kind."""
    answer_fingerprint: str | None = msgspec.field(default=None, name="same")
    """Of a read's short result that has random words, which may be the answer: the digest with these words by which the
    answers to different questions are compared. None: `loose_fingerprint` is that digest."""
    error: str | None = None
    """The kind of failure, for example `rate_limited`; the text is in the output."""
    retry: bool = False
    """Whether the same call may be tried again."""
    spared: bool = False
    """This try does not count as one that its agent or tool allows: the endpoint was out of order, and the next try
    waits until it answers again."""
    uncounted: bool = False
    """The call cost nothing, and its count is given back (`Limits.count_failed`)."""
    retry_after_s: float | None = None
    calls: tuple[Call, ...] = ()
    answer: Ref | None = None
    """Model steps: the reply is final, and this is the checked answer."""
    version_of: int = 0
    """Model steps: the step of the first answer that is a version of the same text as this answer. It is this step's
    own number for a new text, and 0 for an answer that is too short to be compared."""
    rewrites: bool = False
    """Model steps: the answer says nearly what earlier versions of its text said, without a new value."""
    problem: Ref | None = None
    """Model steps: the problem with the reply; this text is sent to the model."""
    approved: bool | None = None
    """Review steps: what the reviewer decided."""
    proposal: str = ""
    """Approval steps: the proposal that was approved."""
    edit: Ref | None = None
    """Approval steps: the arguments that were approved in place of those that were proposed."""
    output_bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Input tokens that the provider read from its cache; they are part of the input tokens."""
    cache_write_tokens: int = 0
    """Input tokens that the provider wrote to its cache; they are part of the input tokens."""
    usd: Decimal = Decimal(0)
    uncharged: bool = False
    """A model call that the provider rejected before it did any work: it costs nothing."""
    usage_problem: str = ""
    """Why the usage that the model reported can't be true: the call is booked at its upper bound."""
    delivered: bool = False
    """Models that an outside loop calls: the text was passed on as it arrived, before the step was settled."""
    trace: Ref | None = None
    """The traceback of a model or tool that raised."""
    duration_s: float = 0.0
    left_s: float = 0.0
    """Active seconds that the run has left."""


class StepDeferred(Base, tag="deferred", frozen=True, kw_only=True):
    """A step waits for an endpoint that is out of order. The wait ends once the step is made, or its frame goes on
    without it.
    """

    kind: StepKind
    name: str
    agent: str
    frame: int
    call: str | None = None
    endpoint: str
    """`model:openai:gpt-5.2` or `tool:bank`."""
    reason: str
    left_s: float = 0.0
    """Active seconds that the run has left."""


class StepLate(Base, tag="late", frozen=True, kw_only=True):
    """A result arrived after the step or its run had ended. Recorded and dropped."""

    step: int
    status: StepStatus
    output: Ref | None = None


class Judged(Base, tag="judged", frozen=True, kw_only=True):
    """A guard's verdict other than `Allow`. A verdict that was only observed has mode `observe`."""

    step: int
    guard: str
    verdict: VerdictKind
    stage: Stage
    mode: Mode
    reason: str
    limit: str | None = None
    value: str | None = None
    note: Ref | None = None
    """`Advise` and `Refuse`: the message to the agent. `Replace`: the answer."""
    trace: Ref | None = None
    """The traceback of a guard that raised."""


class GuardSet(Base, tag="guard_set", frozen=True, kw_only=True):
    """A guard's mode changed while the run was live."""

    guard: str
    mode: Mode
    by: str
    until: float | None = None


class CommandTaken(Base, tag="command", frozen=True, kw_only=True):
    """The owner took a command from the run's inbox. The command takes effect with this event."""

    inbox: int
    command: Literal["cancel", "decide", "late", "settled"]
    by: str = ""
    reason: str = ""
    step: int | None = None
    """`decide`: the approval step. `settled`: the effect step, or the approval step that waits for the effect."""
    approved: bool | None = None
    """`settled`: whether the effect happened; None: the effect's claim was given up."""
    output: Ref | None = None
    """`decide` on an unknown effect, and `settled`: the receipt of the effect."""
    proposal: str = ""
    """`decide`: the proposal that was decided."""
    edit: Ref | None = None
    """`decide`: the arguments that were approved instead."""
    stop: bool = False
    """`decide`: the rejection ends the run."""


class EffectMoved(Base, tag="effect", frozen=True, kw_only=True):
    """An effect changed its state outside its own step, for example by a late receipt."""

    step: int
    state: EffectState
    receipt: Ref | None = None


class Folded(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The text that is sent in the place of one message from now on."""

    message: int
    """The message's index in the frame's conversation, from 0. Below zero, `~message` is its index in the session's
    conversation before the run."""
    how: FoldKind
    why: FoldReason
    text: Ref = Ref("")


class ContextFolded(Base, tag="context", frozen=True, kw_only=True):
    """The messages that a frame's model is sent were shortened, before the model step `step`. All later steps send them
    so.

    The messages themselves stay in the record. What is sent at any step follows from them and from these events.
    """

    frame: int
    step: int
    trigger: FoldTrigger
    folded: tuple[Folded, ...]
    before: int = 0
    """Estimated tokens of the context before."""
    after: int = 0
    """Estimated tokens of the context after."""
    budget: int = 0
    """Tokens that this frame's context may have from now on, because its model took no more; 0: nothing new."""
    bound: int = 0
    """Upper bound of the tokens of the new texts that replace messages which the provider has counted."""


class MemoryRead(Base, tag="memory_read", frozen=True, kw_only=True):
    """A memory step has shown these entries to its agent."""

    step: int
    """The memory step; 0: the run was told of the entries when it went on (`RunTaken.changed`)."""
    entries: tuple[int, ...]
    """The numbers of the entries, in the order in which they stand in the result."""
    written: tuple[int, ...] = ()
    """The steps of this run whose writes were shown, although they are not in memory yet."""


class MemoryCut(Base, tag="memory_cut", frozen=True, kw_only=True):
    """Entries that the run has read were reverted since. What was approved is void, and effects wait for a person."""

    entries: tuple[int, ...]
    told: tuple[Ref, ...] = ()
    """The texts of these entries: they are shown to the person who decides on the run's effects."""


class MemoryWritten(Base, tag="memory", frozen=True, kw_only=True):
    """A memory step has written an entry on its frame's branch. Memory itself changes when the run completes."""

    step: int
    scope: str
    """`tenant`, `session:s-17`, `team:desk` or `subject:user:7`."""
    key: Ref
    value: Ref | None = None
    """None: the entry is forgotten."""
    base: int = 0
    """The snapshot that the run saw when it wrote."""
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """Digest of the value without what is volatile in it."""


class Planned(Base, tag="planned", frozen=True, kw_only=True):
    """Work that no longer fits was pruned: by the planner for lack of time, or because of a limit. With mode `observe`
    it is only noted what would have been pruned.
    """

    pruned: tuple[str, ...]
    """`agent:archivist`, `tool:find`, `review`, `fallback:quick`, `answer:partial`, `limits`, `limits:clerk`."""
    reason: str
    limit: str = ""
    """The limit that is used up, for example `tool_calls=40`; "": the reason is lack of time."""
    value: str = ""
    """The value that the limit would have been exceeded with."""
    part: str = ""
    """The owner of the limit, for people: `agent 'clerk'`, `team 'archive'`; "": the run."""
    action: PlanAction = "skip"
    mode: Mode = "enforce"
    frame: int = 0
    """The frame whose call is not made, whose answer is not reviewed, or that ends."""
    call: str | None = None
    """`skip`: the call."""
    step: int | None = None
    """`cut`: the step in flight; None: the frame ends before its next step."""
    left_s: float = 0.0
    needed_s: float = 0.0
    """Seconds that the step and the steps that must follow it need."""
    quantile: float = 0.0
    """The quantile of the observed durations that `needed_s` is taken from."""
    fallback: str | None = None
    """`fallback`: the agent that answers."""
    note: Ref | None = None
    """`skip`, `cut` and `close`: the message to the agent."""
    told: Ref | None = None
    """`close`: the text that stands in for the results of the calls that are not made any more."""
    answer: Ref | None = None
    """`partial`: the answer."""
    made_of: tuple[int, ...] = ()
    """`partial`: the steps whose results make up the answer."""


class Paused(Base, tag="paused", frozen=True, kw_only=True):
    """The run is parked: everything that it could do next is paused by a person. One event for each pause."""

    what: str
    """`tool:refund`, `agent:clerk`, `tenant:acme`, `run:r-…` or `all`."""
    by: str
    why: str = ""
    until: float | None = None
    """Wall seconds; None: until somebody lifts the pause."""
    left_s: float = 0.0
    """Active seconds that the run has left; none of them pass while it is parked."""


class LimitsRaised(Base, tag="limits_raised", frozen=True, kw_only=True):
    """A person has given the run these limits. If one of its limits had halted it, it goes on from before that halt.

    With the limits that it had, a cap of its tenant or day had halted it: there is room in that account again.
    """

    limits: Limits
    by: str
    reason: str = ""
    again: tuple[int, ...] = ()
    """Effect steps that the halt cut off, and that are attempted again under their keys."""
    note: Ref | None = None
    """The message that asks the run's agents to go on, if the run had answered at its limit or was about to."""


class RunEnded(Base, tag="run_ended", frozen=True, kw_only=True):
    """The outcome. Only `StepLate` and `EffectMoved` may follow or, after a limit, `LimitsRaised`: then the run goes on."""

    status: Status
    answer: Ref | None = None
    causes: tuple[Cause, ...] = ()
    sources: tuple[Source, ...] = ()
    """Where values of the answer come from outside of this run."""
    reviewed: bool | None = None
    """None: the team has no reviewer."""
    stopped_by: StoppedBy | None = None
    error: str | None = None
    unverified: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """Work that was not done because a limit was used up, each with the limit."""
    unchecked_delivery: bool = False
    """The answer was streamed to the user before it was checked."""
    transcript: Ref | None = None
    """The manifest of the session's conversation: {"prev": manifest or null, "messages": [...]}."""
    handover: dict[str, str] = msgspec.field(default_factory=dict[str, str], name="carried")
    """By guard: the memory that the session's next run begins with, as the guard encoded it. It holds only digests, no
    content."""
    memory: Literal["", "merged", "conflict"] = ""
    """Whether the run's writes were merged; `conflict`: some of them are kept beside what another run wrote first."""
    left_s: float = 0.0


Event = (
    RunStarted
    | RunTaken
    | StepIntended
    | StepDone
    | StepDeferred
    | StepLate
    | Judged
    | GuardSet
    | CommandTaken
    | EffectMoved
    | ContextFolded
    | MemoryRead
    | MemoryCut
    | MemoryWritten
    | Planned
    | Paused
    | LimitsRaised
    | RunEnded
)


_encoder = msgspec.json.Encoder(enc_hook=encode_text)
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Returns an event as JSON, without fields that have their default."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> Event:
    """Returns the event that `encode_event` wrote. Raises `ValueError` for anything else."""
    try:
        return _decoder.decode(data)
    except Misused as error:  # limits that are not valid
        raise ValueError(str(error)) from None
