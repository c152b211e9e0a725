"""A step on its way through the gate: the proposal, the prepared step, and its result."""

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
    """The tool's declaration for this call of an effect, as far as the gate needs it."""

    values: tuple[str, ...] = ()
    """The values of `unique_by`, as text; empty: the effect is unique to this call."""
    scope: Scope = "tenant"
    amount: Money | None = None
    rules: tuple[Approve, ...] = ()
    confirm: bool = False
    detached: bool = False
    key_ttl_s: float | None = None
    """Seconds for which the external system remembers the key. Infinite: it never forgets the key. None: it honours no
    key."""
    has_preview: bool = False
    doubt: str = ""
    """Why a person must check this particular call, whatever is declared; "": no reason."""

    @property
    def needs_claim(self) -> bool:
        """Whether the effect must be claimed in the journal before it is attempted."""
        return bool(self.values or self.rules or self.confirm or self.doubt)


class Propose(msgspec.Struct, frozen=True, kw_only=True):
    """A step that `decide` proposes as the next one."""

    kind: StepKind
    name: str
    agent: str
    frame: int
    depth: int
    call: Call | None = None
    delay_s: float = 0.0
    """Seconds that the step waits before it is performed."""
    grant: Grant | None = None
    skip: Ref | None = None
    """The text that the agent gets if the planner pruned the step, which is then not performed."""
    last: bool = False
    """Model steps: see `StepIntended.last`."""
    ahead: bool = False
    """Whether the call's turn has not come yet: a person is asked for the effect early, and it is not performed."""
    reconciles: int | None = None
    """The effect step whose result the external system is asked for."""
    rest_s: float = 0.0
    """See `Step.rest_s`."""


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-off or review step ends with the result of its frame."""

    step: int
    status: StepStatus
    output: Ref | None = None
    text: str | None = None
    """The text of the result, if it has no body yet."""
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
    """The body of the error, if it has one."""


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
    """Whether the arguments were redacted and this process does not have the originals: the step must not be
    performed."""
    arguments: dict[str, Any] | None = None
    """Tools and hand-offs: the arguments, decoded. Guards are shown a copy that can't be changed."""
    version: str = ""
    effect: bool = False
    facts: EffectFacts | None = None
    """Effects: the tool's declaration. None: the tool declares nothing."""
    idempotent: bool = False
    """Whether the effect's tool honours its key: the effect may then be attempted again under the same key."""
    identity: str = ""
    """See `StepIntended.identity`."""
    key: str = ""
    """See `StepIntended.key`."""
    reconciles: int | None = None
    """See `StepIntended.reconciles`."""
    may_write: bool = False
    """Whether it is not declared if the tool changes the world, for example in a recording."""
    advice: str = ""
    """Advice for the operators of the application when this step is made. It is recorded, and agents are not told."""
    poll: bool = False
    """Whether the tool is called repeatedly until something has happened: equal results of it are expected."""
    untrusted: bool = False
    """See `StepIntended.untrusted`."""
    fresh_s: float | None = None
    """Active seconds for which a read's result may be given again, if nothing was written since."""
    volatile: tuple[str | re.Pattern[str], ...] = ()
    """Parts of the tool's results that mean nothing: fields of JSON by name, and patterns."""
    gist: Gist | None = None
    """Hand-offs: the task, for comparing."""
    last: bool = False
    """See `StepIntended.last`."""
    halts: bool = False
    """Whether the step halts the run at a limit: the loop that asks for it can't be given an answer in its place, and
    can't ask for a last reply."""
    tokens: int = 0
    """Upper bound of the step's tokens, with the longest reply."""
    reply_tokens: int = 0
    """Model steps: the longest reply that the model is given. A limit may make it shorter."""
    reply_token_usd: Decimal = Decimal(0)
    """US dollars for one more token of the reply."""
    usd: Decimal | None = Decimal(0)
    """Upper bound of the step's cost in US dollars; None if the price is not known."""
    prepaid: str = ""
    """The day (UTC) in whose account the step is already reserved; "" if it is not."""
    input_token_usd: Decimal = Decimal(0)
    """US dollars for one more token of input."""
    context: int = 0
    context_bytes: int = 0
    """See `StepIntended.context_bytes`."""
    context_tokens: int = 0
    """Model steps: estimated tokens of the context."""
    junk: float = 0.0
    """See `StepIntended.junk`."""
    folded: ContextFolded | None = None
    """Model steps: the shortening of the context before this step. It is recorded before the step's intent."""
    endpoint: str = ""
    """The name of the endpoint that the step calls, which runs share: `tool:bank`, `model:openai:gpt-5.2`; "" if it
    calls none."""
    outlasts: bool = False
    """Whether the step may wait for its endpoint's recovery, because its agent or tool allows further tries."""
    rest_s: float = 0.0
    """Active seconds that the following steps need, by the planner's estimate: the step waits at most until only these
    are left."""
    enclosing: frozenset[int] = frozenset()
    """Steps in flight that can't end before their inner steps do: a tool in which a framework's agent asks for
    steps."""
    timeout_s: float | None = None
    claims: tuple[FoundClaim, ...] = ()
    """Claims of permission. For effects: those on which they rest. For hand-offs and writes to memory: those in their
    input. For the first model step of a frame: those of its task."""
    decided: tuple[str, ...] = ()
    """Effects with claims: earlier approvals of exactly this call by people, in words."""
    invalid: str | None = None
    """Why the step can't be performed at all; None if it can."""
    invalid_kind: str = ""
    """The wrong fields and the kinds of mistakes, without values; "": `invalid` has no values either."""
    likeness: str = ""
    """See `StepIntended.likeness`."""
    about: int = 0
    """Hand-offs: the text (see `StepDone.version_of`) of which the task holds a version; 0: none."""
    target: Any = None
    """The object that performs the step: a tool and its arguments. Guards are not shown it."""

    @property
    def arguments_key(self) -> str:
        """A key that is equal for equal arguments, as they were written."""
        return join_seal(self.input, self.seal) if self.seal else self.input or ""

    @property
    def asked_key(self) -> str:
        """A key that is equal for equal arguments, however they were spelled."""
        return self.asked or self.arguments_key


class MemoryEdit(msgspec.Struct, frozen=True, kw_only=True):
    """A write of a memory step on its frame's branch."""

    scope: str
    key: str
    value: str | None = None
    """The written value; None: the key is forgotten."""
    labels: tuple[str, ...] = ()
    ttl_s: float | None = None
    loose: str = ""
    """See `MemoryWritten.loose`."""


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """The reads and writes of a memory step, besides its text."""

    read: tuple[int, ...] = ()
    """The numbers of the entries that the step shows."""
    seen: tuple[int, ...] = ()
    """The steps of the run whose writes the step shows."""
    edit: MemoryEdit | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of performing a step."""

    status: StepStatus
    output: str | bytes = ""
    error: str | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    endpoint: Literal["answered", "broken", "cut", "unasked"] = "answered"
    """What the result tells about the endpoint. `answered`: it answered, if only with a refusal. `broken`: it is out of
    order. `cut`: nothing, because the run ended the call early. `unasked`: nothing, because the call was not made."""
    calls: tuple[tuple[str, str, str], ...] = ()
    """(id, name, arguments as JSON text), as the model wrote them."""
    reasoning: str | None = None
    """Model steps: reasoning data that the model's server expects back with its message, unchanged."""
    answer: str | None = None
    problem: str | None = None
    problem_kind: str = ""
    """The wrong fields of the answer and the kinds of mistakes, without values; "": `problem` has no values either."""
    approved: bool | None = None
    fingerprint: str | None = None
    """See `run.fingerprint.compute_fingerprints`; the gate fills it in."""
    loose_fingerprint: str | None = None
    """See `run.fingerprint.compute_fingerprints`; the gate fills it in."""
    answer_fingerprint: str | None = None
    """See `run.fingerprint.compute_fingerprints`; the gate fills it in."""
    whole: tuple[str, str] | None = None
    """Digests of the complete result if the output is only its beginning, see `run.fingerprint.digest_whole`."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Input tokens that the provider read from its cache; they are part of the input tokens."""
    cache_write_tokens: int = 0
    """Input tokens that the provider wrote to its cache; they are part of the input tokens."""
    usd: Decimal = Decimal(0)
    uncharged: bool = False
    """Whether the provider rejected the model call before it did any work: the call costs nothing."""
    usage_problem: str = ""
    """Why the usage that a model reported can't be true; "" if it can."""
    delivered: bool = False
    """Models that an outside loop calls: whether the text was passed on as it arrived, before the step was settled."""
    memory: MemoryUse | None = None
    """Memory steps: what they read and write."""
    claims: tuple[FoundClaim, ...] = ()
    """Claims of permission in the output; the gate fills it in."""
    trace: str = ""
    """The traceback of a model or tool that raised, without secrets."""
    duration_s: float = 0.0


RetryPolicy = Literal["never", "left", "used_up"]
"""`left`: tries are left. `used_up`: no tries are left, except those that wait for an endpoint's recovery, which are
not counted."""


class Logic(Protocol):
    """The engine's view of a team as it is defined today: what to do next, and how. Pure."""

    def decide(self, state: RunState) -> Sequence[Action]:
        """Returns the next actions; none if everything waits."""
        ...

    def prepare(self, proposal: Propose, state: RunState, number: int) -> Step:
        """Resolves and validates a proposal; the problem with an invalid one goes into `Step.invalid`."""
        ...

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns the reserve that is kept for the last replies of a frame if `step` (None: no step) is made before
        them.
        """
        ...

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns whether the policy of the step's agent or tool allows another try after a failure."""
        ...

    def transcript(self, state: RunState, status: Status) -> Ref | None:
        """Returns the manifest of the conversation of a run that ends with `status`, for the session's next run."""
        ...


class Ownership(Protocol):
    """Tells whether the run still belongs to this process, just before a call that changes the world."""

    async def confirm(self) -> float | None:
        """Returns the time, in seconds since the Unix epoch, until which no other process takes the run; None if that
        can't be known. Raises `Fenced` if another process has taken the run, and the journal's error if the journal
        can't be asked.
        """
        ...

    def confirm_in_thread(self) -> float | None:
        """Returns and raises as `confirm`, in a thread other than the event loop's. It waits for the loop if the
        journal must be asked.
        """
        ...

    def find_deadline(self) -> float | None:
        """Returns the same time as `confirm` in any thread, without asking the journal; None if the journal must be
        asked.
        """
        ...


class Executor(Protocol):
    """Performs the steps of one run: calls its models and tools."""

    delivered: bool
    """Whether text of the answer was passed on to a caller that streams the run."""
    on_sign: Callable[[int], None]
    """Called with a step's number at each sign of life of its call: a piece of a stream."""

    def perform(
        self, step: Step, state: RunState, left_s: float, ownership: Ownership | None
    ) -> Awaitable[Result]:
        """Performs a prepared model or tool step. A step with `ownership`, an effect, confirms it at the last moment.

        Raises `CancelledError`, the errors of `ownership`, and `Broken` if a person interrupted it (Ctrl-C). Any other
        error of a tool or a model becomes a result.
        """
        ...

    async def preview(self, step: Step, state: RunState, left_s: float) -> tuple[str, bool]:
        """Calls the preview function of an effect's tool; returns its text, and whether it failed."""
        ...

    def withdraw(self, step: Step) -> Result | None:
        """Gives up a step that has not begun, and returns its result; None if it has begun."""
        ...


class LoopElsewhere:
    """The part of a `Logic` for runs whose decisions are made by a loop outside of Seawall."""

    def compute_rest(self, frame: int, step: Step | None, state: RunState) -> Rest:
        """Returns an empty reserve, because the outside loop decides when it answers."""
        return NO_REST

    def retries(self, step: Step, state: RunState) -> RetryPolicy:
        """Returns `never`, because the outside loop tries again with a new step."""
        return "never"

    def transcript(self, state: RunState, status: Status) -> Ref | None:
        """Returns None, because the outside loop holds the conversation."""
        return None


class RunWatcher(Protocol):
    """Observes the events of a run as they are folded, for an outside loop that waits for the run's steps."""

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        """Receives an event, right after it was folded and before anything else is decided."""
        ...

    def may_wait(self) -> bool:
        """Returns whether there are events since the last call of `sent` that the loop waits for, and all of them may
        be told before they are durable.
        """
        ...

    def sent(self, durable: asyncio.Future[None] | None) -> None:
        """Reports that all events since the last call become durable with `durable`; None: they may be told now."""
        ...


class _Unwatched:
    """The watcher of a run for whose steps no outside loop waits."""

    def note(self, event: Event, before: RunState, after: RunState) -> None:
        pass

    def may_wait(self) -> bool:
        return False

    def sent(self, durable: asyncio.Future[None] | None) -> None:
        pass


UNWATCHED: RunWatcher = _Unwatched()


def restore_step(intent: StepIntended) -> Step:
    """Returns a step that is rebuilt from its record: enough to settle it, but not to perform it."""
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
