"""The guard `effects`: an effect is attempted only after it is claimed in the journal, and approved if its tool
requires that.

A claim is a commit, so the gate defers the call until the journal has answered. The answer decides: go on, return the
receipt of an effect that was done already, wait for another call, ask a person, or refuse. The guard has no modes: it
can't be switched off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from seawall.core.clock import Clock
from seawall.core.errors import Broken, SeawallError, describe_error
from seawall.core.events import MemoryCut, RunStarted
from seawall.core.money import Money
from seawall.effects.decided import list_decisions
from seawall.effects.identity import compute_identity
from seawall.effects.proposals import compute_likeness, compute_proposal_hash, explain_rejection
from seawall.guards.shared import Defer
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import ClaimAnswer, EffectClaim, SumRule
from seawall.memory.cuts import find_cut
from seawall.run.approve import Approve
from seawall.run.bodies import Bodies
from seawall.run.spend_delta import day_of
from seawall.run.state import RunState
from seawall.run.step import EffectFacts, Step
from seawall.run.verdict import GuardVerdict, Halt, Hold, Refuse, Rejected, Replace

EFFECTS = "effects"
"""The guard's name in verdicts."""
NO_FACTS = EffectFacts()

_log = logging.getLogger("seawall")

Preview = Callable[[], Awaitable[tuple[str, bool]]]
"""Calls a tool's preview function; returns its text, and whether it failed."""
Detach = Callable[[Step, RunState, tuple[str, ...]], Awaitable[str]]
"""Starts a separate run for an effect on which a person must decide, for these reasons; returns the text for the
agent."""

GiveUp = Callable[[str, Exception], bool]
"""Gives up a run whose claim the journal failed to write, so that it can be resumed; returns False if the run is not at
work in this process."""


class Question(NamedTuple):
    """The question for a person, in addition to the reasons of other guards."""

    holds: tuple[GuardVerdict, ...]
    """The guard's own reasons; none if only other guards hold the step."""
    rule: Approve
    asks: Literal["approve", "confirm"]
    declared: bool
    hash: str
    effect: str
    """The id of the claimed effect record."""
    preview: str | None
    preview_failed: bool


class Passed(NamedTuple):
    """The step may be attempted, under this identity and key ("": the key of its run and call)."""

    identity: str
    key: str


class Blocked(NamedTuple):
    """The step waits until another call's effect is settled."""

    effect: str
    reason: str


FREE = Passed("", "")
EffectsAnswer = Passed | Question | Blocked | MemoryCut | Replace | Refuse | Halt | Defer
"""The guard's answer. `MemoryCut`: memory that the run has read was reverted since, and the step is judged again."""


class _Asked:
    """One claim, from its first check until the step is recorded."""

    def __init__(self, signature: object, wake: Callable[[], None]) -> None:
        self.signature = signature
        """Identifies what was asked for: a different request makes a new claim."""
        self.wake = wake
        self.answer: EffectsAnswer | None = None


class EffectsGuard:
    """Claims effects in the journal. A process has one object of it; all calls come on the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._journal: Journal | None = None
        self._key: bytes | None = None
        self._asked: dict[str, dict[str, _Asked]] = {}
        """The claims by run and call. Bounded by the calls of the runs in flight."""
        self._decided: dict[str, dict[str, tuple[str, ...] | None]] = {}
        """By run, and by call and arguments: the earlier decisions; None while the journal is asked."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.detach: Detach | None = None
        self.give_up: GiveUp | None = None

    def __repr__(self) -> str:
        return f"<EffectsGuard {sum(map(len, self._asked.values()))} asked>"

    def open(self, journal: Journal) -> None:
        """Begins to claim in this journal."""
        self._journal, self._key = journal, None

    async def close(self) -> None:
        """Waits for the claims that are under way. Effects stay claimed: a resumed run goes on with them."""
        self._journal = None
        self._asked.clear()
        self._decided.clear()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def forget(self, run: str) -> None:
        """Forgets the claims of a run that has come to rest."""
        self._asked.pop(run, None)
        self._decided.pop(run, None)

    def take(self, run: RunState, step: Step) -> None:
        """Drops the answer for a step, because it was recorded."""
        mine = self._asked.get(run.started.run)
        if mine is not None:
            mine.pop(_call_of(step, run), None)

    def check(
        self,
        step: Step,
        run: RunState,
        holds: Sequence[GuardVerdict],
        bodies: Bodies,
        preview: Preview | None,
        wake: Callable[[], None],
        *,
        ahead: bool,
    ) -> EffectsAnswer:
        """Returns the answer for a prepared effect that other guards' verdicts `holds` hold; at first a `Defer`.
        `ahead`: the call's turn has not come yet, and the effect is claimed only if a person is asked.
        """
        facts = step.facts or NO_FACTS
        granted = "" if step.grant is None else step.grant.proposal
        is_plain = not facts.needs_claim and not holds and not granted and run.started.errand is None
        if is_plain and not run.reads:
            return FREE
        text = bodies.text(step.input)
        hash_ = compute_proposal_hash(step.kind, step.name, step.version, text, step.seal)
        mine = self._asked.setdefault(run.started.run, {})
        call = _call_of(step, run)
        signature = (hash_, granted, bool(holds), ahead, run.read_entries, run.cut)
        asked = mine.get(call)
        if asked is None or asked.signature != signature:
            asked = mine[call] = _Asked(signature, wake)
            claim = self._build_claim(step, run, facts, hash_, asks=bool(holds), ahead=ahead)
            claim = replace(claim, likeness=compute_likeness(step, text))
            self._spawn(self._ask(asked, step, run, holds, claim, bodies, preview, is_plain=is_plain))
        asked.wake = wake
        if ahead and _waits_behind(mine, asked):
            return Defer(f"{step.kind} {step.name!r} waits for the claims of the calls before it")
        return asked.answer or Defer(f"{step.kind} {step.name!r} waits for its claim")

    def _build_claim(
        self, step: Step, run: RunState, facts: EffectFacts, hash_: str, *, asks: bool, ahead: bool
    ) -> EffectClaim:
        started = run.started
        always = any(rule.limit is None for rule in facts.rules) or facts.confirm or bool(facts.doubt)
        unknown = facts.amount is None and bool(facts.rules)
        undoes = _get_undone(run)
        earlier = run.find_attempt(step.frame, step.call and step.call.id)
        key = ""
        if not facts.values or (earlier is not None and not earlier.tool_key):
            key = f"{started.run}:{_call_of(step, run)}"
        return EffectClaim(
            tenant=started.tenant,
            run=started.run,
            call=_call_of(step, run),
            tool=step.name,
            version=step.version,
            agent=step.agent,
            session=_session_of(started),
            principal=started.principal,
            key=key,
            amount=facts.amount,
            day=day_of(self._clock.wall_s()),
            rules=_list_sum_rules(facts),
            asks=asks or always or unknown or started.errand is not None,
            hash=hash_,
            # If another guard holds the step now, a new proposal is made under the same terms, and the approval is not
            # used.
            proposal="" if step.grant is None or asks else step.grant.proposal,
            ahead=ahead,
            # An errand has no memory, so it could not show a person which entries were reverted.
            detached=facts.detached and self.detach is not None and started.errand is None and not run.cut,
            arguments=step.input,
            undoes=undoes,
        )

    # ---- asking the journal

    def find_decisions(
        self, step: Step, run: RunState, text: str, wake: Callable[[], None]
    ) -> tuple[str, ...] | Defer:
        """Returns the earlier approvals of the same effect, in words; at first a `Defer`. `text` has the arguments. If
        all claims on which the effect rests were made in earlier runs of its session, a decision in one of these runs
        counts as well.
        """
        mine = self._decided.setdefault(run.started.run, {})
        key = f"{_call_of(step, run)} {step.arguments_key}"
        if key not in mine:
            mine[key] = None
            self._spawn(self._look_up(mine, key, step, run, text, wake))
        found = mine[key]
        return (
            Defer(f"{step.kind} {step.name!r}: the journal is asked for decisions")
            if found is None
            else found
        )

    async def _look_up(
        self,
        mine: dict[str, tuple[str, ...] | None],
        key: str,
        step: Step,
        run: RunState,
        text: str,
        wake: Callable[[], None],
    ) -> None:
        found: tuple[str, ...] = ()
        try:
            if self._journal is not None:
                facts = step.facts or NO_FACTS
                identity = ""
                if facts.values:
                    identity = await self._compute_identity(self._journal, step, run, facts)
                earlier = [] if any(not each.run for each in step.claims) else [e.run for e in step.claims]
                runs = dict.fromkeys((run.started.run, *earlier))
                found = await list_decisions(
                    self._journal, run.started.tenant, list(runs), step, identity, text
                )
        except Exception:  # noqa: BLE001 -- fail closed: without an answer there is no decision
            _log.exception("run %s: the decisions on %s could not be read", run.started.run, step.name)
        mine[key] = found
        wake()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(
        self,
        asked: _Asked,
        step: Step,
        run: RunState,
        holds: Sequence[GuardVerdict],
        claim: EffectClaim,
        bodies: Bodies,
        preview: Preview | None,
        *,
        is_plain: bool,
    ) -> None:
        """Asks the journal for one call. A plain call needs no claim: its run has only read from memory."""
        try:
            journal = self._journal
            if journal is None:
                return
            if is_plain:
                asked.answer = await self._find_cut(journal, run, bodies) or FREE
            else:
                asked.answer = await self._claim(journal, step, run, holds, claim, bodies, preview)
        except SeawallError as error:
            if isinstance(error, Broken) and self.give_up is not None and self.give_up(claim.run, error):
                return
            asked.answer = Halt(f"{step.kind} {step.name!r}: it could not be claimed: {error}")
        except Exception as error:  # noqa: BLE001 -- fail closed: after any error the effect is not made
            _log.exception("run %s: %s could not be claimed", claim.run, step.name)
            asked.answer = Halt(
                f"{step.kind} {step.name!r}: it could not be claimed: {describe_error(error)}"
            )
        if self._asked.get(claim.run, {}).get(claim.call) is asked:  # otherwise no step waits for it any more
            asked.wake()

    async def _claim(
        self,
        journal: Journal,
        step: Step,
        run: RunState,
        holds: Sequence[GuardVerdict],
        claim: EffectClaim,
        bodies: Bodies,
        preview: Preview | None,
    ) -> EffectsAnswer:
        facts = step.facts or NO_FACTS
        if facts.values:
            identity = await self._compute_identity(journal, step, run, facts)
            claim = replace(claim, identity=identity)
        data = None if claim.arguments is None else bodies.data(claim.arguments)
        known = {} if claim.arguments is None or data is None else {claim.arguments: data}
        answer = await journal.claim(claim, known)
        effect = answer.effect
        # This is checked after the claim, so that no change can come between the two.
        if answer.status in ("claimed", "asks") and (cut := await self._find_cut(journal, run, bodies)):
            return cut
        match answer.status:
            case "claimed":
                default = f"{claim.run}:{claim.call}"
                key = "" if effect is None or effect.key == default else effect.key
                return Passed(claim.identity, key)
            case "committed":
                return await self._give_receipt(journal, answer, claim, bodies)
            case "waits" | "asks" if claim.detached and self.detach is not None:
                # Also if a person is asked already, perhaps for the same call before a crash: the run does not wait.
                own = (
                    [] if answer.status == "waits" else _list_reasons(answer, step, run, facts, claim, holds)
                )
                held = [*holds, *(GuardVerdict(EFFECTS, each, "enforce") for each in own)]
                told = await self.detach(step, run, tuple(bodies.redact(_describe(each)) for each in held))
                return Replace(f"{step.name!r} was asked for, and the run does not wait for it", told)
            case "waits":
                return _wait_for(answer, step)
            case "rejected":
                return _refuse(answer, step)
            case "asks":
                return await self._build_question(answer, step, run, holds, claim, preview)

    async def _find_cut(self, journal: Journal, run: RunState, bodies: Bodies) -> MemoryCut | None:
        return await find_cut(journal, run, bodies, self._clock.wall_s()) if run.reads else None

    async def _compute_identity(self, journal: Journal, step: Step, run: RunState, facts: EffectFacts) -> str:
        if self._key is None:
            self._key = await journal.identity_key()
        started = run.started
        origin, session = find_origin(started)
        within = {
            "run": origin,
            "session": f"{started.tenant}\0{session or origin}",
            "principal": f"{started.tenant}\0{started.principal}",
            "tenant": started.tenant,
            "everyone": "",
        }[facts.scope]
        return compute_identity(self._key, step.name, facts.scope, within, facts.values)

    async def _give_receipt(
        self, journal: Journal, answer: ClaimAnswer, claim: EffectClaim, bodies: Bodies
    ) -> Replace:
        effect = answer.effect
        assert effect is not None
        text = "[it was done already]"
        if effect.receipt is not None and effect.tenant == claim.tenant:
            found = await journal.bodies(effect.tenant, [effect.receipt])
            data = found.get(effect.receipt)
            text = "[it was done already; its receipt was erased]" if data is None else data.decode()
        reason = f"{claim.tool!r} was done already: effect {effect.id}, run {effect.run}, step {effect.step}"
        return Replace(reason, text, value=effect.id)

    async def _build_question(
        self,
        answer: ClaimAnswer,
        step: Step,
        run: RunState,
        holds: Sequence[GuardVerdict],
        claim: EffectClaim,
        preview: Preview | None,
    ) -> Question:
        facts = step.facts or NO_FACTS
        limited = _limits(facts)
        declared = [*(limited[over.rule] for over in answer.over), *_list_rules_without_limit(facts)]
        declared += _list_rules_of_asker(run, facts, asked=bool(declared))
        own = _list_reasons(answer, step, run, facts, claim, holds)
        rule = max(declared, key=lambda rule: _rank(rule, facts.amount)) if declared else Approve()
        text, failed = (None, False) if preview is None else await preview()
        effect = answer.effect
        return Question(
            holds=tuple(GuardVerdict(EFFECTS, each, "enforce") for each in own),
            rule=rule,
            # What a limit or another guard holds is not for the user alone to decide.
            asks="confirm"
            if facts.confirm and not (declared or _is_held_by_others(run, holds))
            else "approve",
            declared=bool(declared) or facts.confirm or bool(claim.undoes),
            hash=claim.hash,
            effect="" if effect is None else effect.id,
            preview=text,
            preview_failed=failed,
        )


def _list_rules_without_limit(facts: EffectFacts) -> list[Approve]:
    """Returns the rules by which a person is asked for each call. A missing amount counts as above each limit."""
    return [rule for rule in facts.rules if rule.limit is None or facts.amount is None]


def _list_reasons(
    answer: ClaimAnswer,
    step: Step,
    run: RunState,
    facts: EffectFacts,
    claim: EffectClaim,
    holds: Sequence[GuardVerdict],
) -> list[Hold]:
    """Returns this guard's own reasons to ask, in addition to the `holds` of other guards."""
    limited, errand = _limits(facts), run.started.errand
    own = [_explain(limited[over.rule], over.value, facts.amount) for over in answer.over]
    always = _list_rules_without_limit(facts)
    if always:
        what = (
            "asks for approval of each call"
            if facts.amount is not None or all(rule.limit is None for rule in always)
            else "has no amount"
        )
        own.append(Hold(f"{step.name!r} {what}"))
    if facts.confirm:
        own.append(Hold(f"{step.name!r} is done once the acting user has confirmed it"))
    if facts.doubt:
        own.append(Hold(facts.doubt))
    if errand is not None and not claim.undoes:
        own.append(Hold(f"run {errand.run} was to ask for it, and has gone on"))
        known = {_describe(each) for each in holds} | {_describe_hold(EFFECTS, each) for each in own}
        own += [Hold(f"there, {reason}") for reason in errand.reasons if reason not in known]
    if claim.undoes:
        own.append(Hold(f"it undoes effect {claim.undoes}"))
    if answer.problem:
        own.insert(0, Hold(f"the approval does not hold: {answer.problem}"))
    return own


def _is_held_by_others(run: RunState, holds: Sequence[GuardVerdict]) -> bool:
    """Returns whether another guard holds a step, or has held it in the run that asked for an errand."""
    errand = run.started.errand
    asked = () if errand is None else errand.reasons
    return bool(holds) or any(not reason.startswith(f"{EFFECTS}: ") for reason in asked)


def _describe(held: GuardVerdict) -> str:
    assert isinstance(held.verdict, Hold)
    return _describe_hold(held.guard, held.verdict)


def _describe_hold(guard: str, hold: Hold) -> str:
    """Returns why a guard holds a step, for people."""
    values = "" if hold.limit is None else f" (value {hold.value}, limit {hold.limit})"
    return f"{guard}: {hold.reason}{values}"


def _session_of(started: RunStarted) -> str | None:
    """Returns the conversation that an effect belongs to; for an errand, that of the run that asked for it."""
    return started.session if started.errand is None else started.errand.session


def find_origin(started: RunStarted) -> tuple[str, str | None]:
    """Returns the run, and the conversation, within which a run's effects are unique.

    An errand performs the request of another run, and a fork repeats what its origin has done.
    """
    errand, fork = started.errand, started.fork
    if errand is not None and (errand.origin or errand.run):
        return errand.origin or errand.run, errand.origin_session if errand.origin else errand.session
    if fork is not None:
        return fork.origin or fork.run, fork.session
    return started.run, started.session


def _call_of(step: Step, run: RunState) -> str:
    return run.call_key(step.frame, step.call and step.call.id)


def _waits_behind(mine: Mapping[str, _Asked], asked: _Asked) -> bool:
    """Returns whether an earlier claim of the run has no answer yet: people are asked in the order of the calls."""
    for each in mine.values():
        if each is asked:
            return False
        if each.answer is None:
            return True
    return False


def _list_sum_rules(facts: EffectFacts) -> tuple[SumRule, ...]:
    return tuple(
        [SumRule(over=rule.over, limit=rule.limit) for rule in _limits(facts) if rule.limit is not None]
    )


def _limits(facts: EffectFacts) -> list[Approve]:
    """Returns the rules that compare the amount, in order; without an amount none can be compared."""
    return [] if facts.amount is None else [rule for rule in facts.rules if rule.limit is not None]


def _list_rules_of_asker(run: RunState, facts: EffectFacts, *, asked: bool) -> list[Approve]:
    """Returns the rules by which the run of a detached effect had to ask, and by which its errand, a separate run, need
    not. These are the rules on the sum of the run. If no rule applies to the errand itself, they are all rules, because
    a sum may have become less meanwhile.
    """
    errand = run.started.errand
    if errand is None or errand.undoes:
        return []
    every = not asked and not facts.confirm
    return [rule for rule in facts.rules if every or rule.over == "run"]


def _rank(rule: Approve, amount: Money | None) -> tuple[int, bool, object]:
    """Returns the sort key by which the strictest of several rules is the greatest. A rule with more people is
    stricter; then one with a limit in the currency of the amount, of which the higher limit on one call counts. Limits
    on sums can't be compared with these, and count least.
    """
    limit = rule.limit
    if limit is None or rule.over != "call":
        return rule.people, False, 0
    return rule.people, amount is not None and limit.currency == amount.currency, limit.amount


def _get_undone(run: RunState) -> str:
    """Returns the id of the effect that a run undoes, on which a person always decides; "" for any other run."""
    errand = run.started.errand
    return "" if errand is None else errand.undoes


def _explain(rule: Approve, value: Money, amount: Money | None) -> Hold:
    assert rule.limit is not None
    what = {
        "call": "its amount",
        "run": "the sum of this run",
        "tenant": "the sum of the tenant",
        "day": "the sum of the tenant's day",
    }[rule.over]
    if value.currency != rule.limit.currency:
        reason = f"{what} is in {value.currency}, and the limit in {rule.limit.currency}"
    else:
        reason = (
            f"{what} is {value}, above {rule.limit}"
            if rule.over == "call"
            else f"{what} would be {value}, above {rule.limit}"
        )
    name = "amount" if rule.over == "call" else f"per_{rule.over}"
    return Hold(reason, f"{name}={rule.limit}", value)


def _wait_for(answer: ClaimAnswer, step: Step) -> Blocked:
    effect = answer.effect
    assert effect is not None
    state = "has an unknown fate" if effect.state == "unknown" else f"is {effect.state}"
    return Blocked(
        effect.id, f"the same effect {state} in run {effect.run}: effect {effect.id} of {step.name!r}"
    )


def _refuse(answer: ClaimAnswer, step: Step) -> Rejected:
    proposal = answer.proposal
    vote = None if proposal is None else next((vote for vote in proposal.votes if not vote.approve), None)
    told = ("", "") if vote is None else (vote.principal, vote.reason)
    return Rejected(explain_rejection(step.name, *told), value=None if proposal is None else proposal.id)
