"""A step on its way through the gate: what is proposed, what is prepared, what came back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol

import msgspec

from seawall.core.canonical import Ref
from seawall.core.events import (
    Call,
    ContextFolded,
    Event,
    Gist,
    Status,
    StepIntended,
    StepKind,
    StepStatus,
    StoppedBy,
    join_seal,
)
from seawall.core.money import Money
from seawall.run.approve import Approve, Scope
from seawall.run.frame import Grant
from seawall.run.ledger import NO_REST, Rest
from seawall.run.permission_claims import FoundClaim
from seawall.run.state import RunState


class EffectFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an effect's tool declares of this call, as far as the gate needs it."""

    values: tuple[str, ...] = ()
    """The values of `unique_by`, as text; empty: the call is an effect of its own."""
    scope: Scope = "tenant"
    amount: Money | None = None
    rules: tuple[Approve, ...] = ()
    confirm: bool = False
    detached: bool = False
    key_ttl_s: float | None = None
    """Infinite: the other side never forgets the key. None: it honours none."""
    has_preview: bool = False
    doubt: str = ""
    """Why a person must look at this very call, whatever is declared; "": nothing speaks against it."""

    @property
    def needs_claim(self) -> bool:
        """Whether the journal must be asked before it is attempted."""
        return bool(self.values or self.rules or self.confirm or self.doubt)


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A step that `decide` wants taken next."""

    kind: StepKind
    name: str
    agent: str
    frame: int
    depth: int
    call: Call | None = None
    delay_s: float = 0.0
    """The step waits this long before it is performed."""
    grant: Grant | None = None
    skip: Ref | None = None
    """The planner pruned it: it is not performed, and the agent gets this text."""
    last: bool = False
    """Model steps: see `StepIntended.last`."""
    ahead: bool = False
    """It is not its turn: an effect is only asked about, so that a person can decide early."""
    reconciles: int | None = None
    """The effect step of which the other side is asked what became of it."""
    rest_s: float = 0.0
    """See `Step.rest_s`."""


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-off or review step ends with the result of its frame."""

    step: int
    status: StepStatus
    output: Ref | None = None
    text: str | None = None
    """Used where there is no body yet."""
    error: str | None = None
    approved: bool | None = None


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The run ends."""

    status: Status
    answer: Ref | None = None
    reviewed: bool | None = None
    stopped_by: StoppedBy | None = None
    error: str | None = None
    error_ref: Ref | None = None
    """The body of the error, where it has one."""


Action = Propose | Close | End


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A prepared step, as guards see it and as it is performed."""

    number: int
    kind: StepKind
    name: str
    agent: str
    frame: int
    depth: int
    call: Call | None = None
    grant: Grant | None = None
    delay_s: float = 0.0
    input: Ref | None = None
    """The body of the arguments, task or system prompt."""
    seal: str = ""
    """See `Call.seal`: `input` is redacted, and `arguments` are not."""
    asked: str = ""
    """See `StepIntended.asked`."""
    wording: str = ""
    """See `StepIntended.wording`."""
    lost: bool = False
    """The arguments were redacted, and this process does not have the original: it must not be performed."""
    arguments: dict[str, Any] | None = None
    """Tools and hand-offs: the arguments, decoded. Guards are shown a copy that can't be changed."""
    version: str = ""
    effect: bool = False
    facts: EffectFacts | None = None
    """Effects: what the tool declares. None: nothing."""
    idempotent: bool = False
    """An effect whose tool honours the key: it may be attempted again under it."""
    identity: str = ""
    """See `StepIntended.identity`."""
    key: str = ""
    """See `StepIntended.key`."""
    reconciles: int | None = None
    """See `StepIntended.reconciles`."""
    may_write: bool = False
    """A tool that may change the world or not, for example in a recording: nobody has declared it."""
    advice: str = ""
    """What whoever runs the application is advised on when this step is made. It is recorded, and no agent is told."""
    poll: bool = False
    """A tool that is asked until something has happened: equal results are expected of it."""
    untrusted: bool = False
    """See `StepIntended.untrusted`."""
    fresh_s: float | None = None
    """A read whose result may be given again for so many active seconds, if nothing was written since."""
    volatile: tuple[str | re.Pattern[str], ...] = ()
    """Parts of its results that mean nothing: fields of JSON by name, and patterns."""
    gist: Gist | None = None
    """Hand-offs: the task, for comparing."""
    last: bool = False
    """See `StepIntended.last`."""
    halts: bool = False
    """At a limit it halts the run: whoever asks for it can be told nothing in its place, and can't ask for a last reply."""
    tokens: int = 0
    """Upper bound, with the longest reply."""
    reply_tokens: int = 0
    """Model steps: the longest reply that the model is given. A limit may make it shorter."""
    reply_token_usd: Decimal = Decimal(0)
    """What one more token of the reply costs."""
    usd: Decimal | None = Decimal(0)
    """Upper bound; None where the price is not known."""
    prepaid: str = ""
    """The day in whose account it is reserved already; "" if in none."""
    input_token_usd: Decimal = Decimal(0)
    """What one more token of input costs."""
    context: int = 0
    context_bytes: int = 0
    """See `StepIntended.context_bytes`."""
    context_tokens: int = 0
    """Model steps: how many tokens the context has, by an estimate."""
    junk: float = 0.0
    """See `StepIntended.junk`."""
    folded: ContextFolded | None = None
    """Model steps: what is shortened before it. It is recorded before the step's intent."""
    endpoint: str = ""
    """The name of what it calls, as runs share it: `tool:bank`, `model:openai:gpt-5.2`; "" where it calls nothing."""
    outlasts: bool = False
    """It may wait for its endpoint's recovery: its agent or tool allows further tries."""
    rest_s: float = 0.0
    """Active seconds that what must follow it needs, as the planner estimates: it waits no longer than up to them."""
    enclosing: frozenset[int] = frozenset()
    """Steps in flight that can't end before others do: a tool in which a framework's agent asks for steps of its own."""
    timeout_s: float | None = None
    claims: tuple[FoundClaim, ...] = ()
    """Claims of permission: effects have those that they rest on, hand-offs and writes to memory those in their input, and
    the first model step of a frame those of its task."""
    decided: tuple[str, ...] = ()
    """Effects with claims: what people have approved of this very call before, in words."""
    invalid: str | None = None
    """Why it can't be performed at all."""
    invalid_kind: str = ""
    """Which fields are wrong and in which way, without values; "": `invalid` says it."""
    likeness: str = ""
    """See `StepIntended.likeness`."""
    about: int = 0
    """Hand-offs: the text (see `StepDone.version_of`) of which the task holds a version; 0: none."""
    target: Any = None
    """What performs it: a tool and its arguments. Guards are not shown it."""

    @property
    def arguments_key(self) -> str:
        """What is equal for equal arguments, as they were written."""
        return join_seal(self.input, self.seal) if self.seal else self.input or ""

    @property
    def asked_key(self) -> str:
        """What is equal for equal arguments, however they were spelled."""
        return self.asked or self.arguments_key


class MemoryEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What a memory step writes on its frame's branch."""

    scope: str
    key: str
    value: str | None = None
    """None: the key is forgotten."""
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """See `MemoryWritten.loose`."""


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a memory step has done beside its text."""

    read: tuple[int, ...] = ()
    """The numbers of the entries that it shows."""
    seen: tuple[int, ...] = ()
    """The steps of the run whose own writes it shows."""
    edit: MemoryEdit | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of performing a step."""

    status: StepStatus
    output: str | bytes = ""
    error: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    endpoint: Literal["answered", "broken", "cut", "unasked"] = "answered"
    """What the result says of the other side: it answered, if only to say no; it is broken; or nothing, because the
    call was cut short for the run's own reasons, or was not made."""
    calls: tuple[tuple[str, str, str], ...] = ()
    """(id, name, arguments as JSON text), as the model wrote them."""
    reasoning: str | None = None
    """Model steps: what the model's server wants back with its message, as it came."""
    answer: str | None = None
    problem: str | None = None
    problem_kind: str = ""
    """Which fields of the answer are wrong and in which way, without values; "": `problem` says it."""
    approved: bool | None = None
    fingerprint: str | None = None
    """See `run.fingerprint.compute_fingerprints`; the gate fills it in."""
    loose_fingerprint: str | None = None
    """See `run.fingerprint.compute_fingerprints`; the gate fills it in."""
    whole: tuple[str, str] | None = None
    """Of a result of which the output is only the beginning: digests of all of it, see `run.fingerprint.digest_whole`."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Of the input tokens: what the provider read from its cache."""
    cache_write_tokens: int = 0
    """Of the input tokens: what the provider wrote to its cache."""
    usd: Decimal = Decimal(0)
    uncharged: bool = False
    """A model call that was turned away before the provider did any work: it costs nothing."""
    usage_problem: str = ""
    """Why the usage that a model reported can't be true; "" if it can."""
    delivered: bool = False
    """Models that a loop outside calls: the text was passed on as it came, before it was settled."""
    memory: MemoryUse | None = None
    """Memory steps: what they read and write."""
    claims: tuple[FoundClaim, ...] = ()
    """What the output claims of permissions; the gate fills it in."""
    trace: str = ""
    """The traceback of a model or tool that raised, without secrets."""
    duration_s: float = 0.0


RetryPolicy = Literal["never", "left", "used_up"]
"""`left`: tries are left. `used_up`: it has had them all, but those that wait for an endpoint's recovery are not counted."""


class Logic(Protocol):
    """What the engine needs to know of a team as it is defined today: what to do next, and how. Pure."""

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns the next actions; none if everything waits."""
        ...

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """Resolves and validates a proposal; what is wrong with it goes into `Step.invalid`."""
        ...

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns what is kept for the last replies of a frame when `step`, if there is one, is made before them."""
        ...

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns what the policy of the step's agent or tool says of another try after a failure."""
        ...

    def transcript(self, state: RunState, status: Status) -> Ref | None:
        """Returns the manifest of the conversation of a run that ends with `status`, for the session's next run."""
        ...


class Ownership(Protocol):
    """Whether the run is still this process's, for the call that is about to change the world."""

    async def confirm(self) -> float | None:
        """Returns until when nobody else takes the run, in seconds since the Unix epoch; None if that can't be known.

        Raises `Fenced` if another process has taken it, and what the journal raises if it can't be asked.
        """
        ...

    def confirm_in_thread(self) -> float | None:
        """As `confirm`, for a thread beside the event loop. Waits for the loop if the journal must be asked."""
        ...

    def find_deadline(self) -> float | None:
        """As `confirm`, from what is known, for any thread; None if the journal must be asked."""
        ...


class Executor(Protocol):
    """Performs the steps of one run: calls its models and tools."""

    delivered: bool
    """Whether text of the answer was passed on to whoever streams the run."""
    on_sign: Callable[[int], None]
    """Called with a step's number at each sign of life of its call: a piece of a stream."""

    def perform(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None
    ) -> Awaitable[Result]:
        """Performs a prepared model or tool step. A step with `ownership`, an effect, confirms it at the last moment.

        Raises `CancelledError`, what `ownership` raises, and `Broken` if a person interrupted it (Ctrl-C). Whatever
        else a tool or a model raises is a result.
        """
        ...

    async def preview(self, step: Step, state: RunState, left_s: float) -> tuple[str, bool]:
        """Calls the preview function of an effect's tool; returns its text, and whether it failed."""
        ...

    def withdraw(self, step: Step) -> Result | None:
        """Gives up a step that has not begun, and returns what it comes to; None: it has begun."""
        ...


class LoopElsewhere:
    """The half of a `Logic` whose decisions were, or are, taken by a loop that is not Seawall's."""

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns nothing: that loop decides when it answers."""
        return NO_REST

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns `never`: that loop tries again by a step of its own."""
        return "never"

    def transcript(self, state: RunState, status: Status) -> Ref | None:
        """Returns None: that loop has the conversation."""
        return None


class RunWatcher(Protocol):
    """Is told what a run records, as it is folded: a loop outside waits for its steps."""

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """Takes in an event, right after it was folded and before anything else is decided."""
        ...

    def may_wait(self) -> bool:
        """Returns whether there is something to tell since the last call of `sent`, and all of it may be told before it is durable."""
        ...

    def sent(self, durable: asyncio.Future[None] | None) -> None:
        """All events noted since the last call are durable with `durable`; None: they may be told now."""
        ...


class _Unwatched:
    """Of a run for whose steps no loop outside waits."""

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        pass

    def may_wait(self) -> bool:
        return False

    def sent(self, durable: asyncio.Future[None] | None) -> None:
        pass


UNWATCHED: RunWatcher = _Unwatched()


def restore_step(intent: StepIntended) -> Step:
    """Returns a step made again from its record: enough to settle it, not to perform it."""
    return Step(
        number=intent.step,
        kind=intent.kind,
        name=intent.name,
        agent=intent.agent,
        frame=intent.frame,
        depth=intent.depth,
        last=intent.last,
        call=None
        if intent.call is None
        else Call(intent.call, intent.name, intent.input or Ref(""), intent.seal),
        grant=None
        if intent.grant is None
        else Grant(intent.grant, intent.version, intent.input, intent.seal),
        identity=intent.identity,
        key=intent.key,
        reconciles=intent.reconciles,
        input=intent.input,
        seal=intent.seal,
        asked=intent.asked,
        wording=intent.wording,
        version=intent.version,
        effect=intent.effect,
        idempotent=intent.idempotent,
        may_write=intent.may_write,
        poll=intent.poll,
        untrusted=intent.untrusted,
        gist=intent.gist,
        tokens=intent.tokens,
        usd=intent.usd,
        context=intent.context,
        context_bytes=intent.context_bytes,
        junk=intent.junk,
    )
