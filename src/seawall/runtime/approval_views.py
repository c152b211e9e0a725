"""What people are shown of proposals and effects: the journal's records with the texts that they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec
from msgspec.structs import replace

from seawall.core.canonical import Ref
from seawall.core.events import EffectState, Event, StepDone, StepIntended
from seawall.core.money import Money
from seawall.journal.protocol import Journal
from seawall.journal.protocol.effects import (
    CauseStep,
    EffectRecord,
    Proposal,
    ProposalFilter,
    ProposalState,
    Reason,
    Vote,
)
from seawall.team.context import read_assistant

ERASED = "[erased]"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked, or was: may exactly this be done?

    Show the arguments first, and all of them: they are what is performed. What the tool's preview and the agent say
    comes after them.
    """

    id: str
    """Its id; of what an older version asked, the run and the step, with a space between them: that is decided with
    `Seawall.decide(run, step)`, in a shell `seawall approve RUN STEP`."""
    hash: str
    """Of what would be performed. A decision names it, so nobody approves what they were not shown. "": an older version
    asked."""
    state: ProposalState
    kind: str
    """`tool`, or the kind of another step that a guard holds."""
    tool: str
    """The tool's name; of another kind of step its name."""
    version: str
    """Fingerprint of the tool's definition: name, declared version, description and schema."""
    arguments: dict[str, Any] | None
    """Decoded; None if they were erased, or the step has none."""
    arguments_text: str
    """The canonical text of the arguments, without secrets: what is performed, and what `hash` covers."""
    amount: Money | None
    flags: tuple[str, ...]
    """What is odd about the arguments: invisible or bidirectional characters, markup, padding."""
    reasons: tuple[Reason, ...]
    """Why each guard holds it. An approval covers these guards, and no others."""
    preview: str | None
    """What the tool's own preview function says; None: it has none."""
    preview_failed: bool
    reverted: tuple[str, ...]
    """What its run had read in memory that a person has reverted since, with who wrote it: it may rest on that."""
    summary: str | None
    """What the agent wrote beside the call. Nobody has checked it, and it may contradict the arguments. Only
    `Seawall.approval` reads it; None elsewhere, and if the agent wrote nothing."""
    causes: tuple[CauseStep, ...]
    """The earlier steps that led to it, the nearest first."""
    asks: Literal["approve", "confirm"]
    """`approve`: anybody but the requester decides. `confirm`: the requester does."""
    declared: bool
    """The tool declares that it is asked about, so whoever decides must be authenticated."""
    roles: tuple[str, ...]
    """One of these is needed; empty: none is."""
    people: int
    """How many different people must approve."""
    votes: tuple[Vote, ...]
    """Who has decided on the arguments as they are now."""
    created_at: float
    """Wall seconds, like all times here."""
    expires_at: float | None
    escalated: bool
    escalate_to: tuple[str, ...]
    decided_at: float | None
    original: str | None
    """The arguments as the agent proposed them, if a person has edited them."""
    edited_by: str
    requester: str
    """The principal on whose behalf the run is."""
    agent: str
    run: str
    step: int
    session: str | None
    tenant: str
    team: str
    app: str | None
    effect: str
    """The id of the effect that is claimed for it; "": none."""
    group: str
    """Equal for proposals of one kind from one source: tool, requester and session."""


class RecordedEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One effect that a run has attempted or will, and what became of it. All times are wall seconds."""

    id: str
    """`e-` and a digest of the key."""
    key: str
    """The idempotency key that the tool gets."""
    state: EffectState
    """`proposed`: a person is asked. `approved`: it may begin. `attempting`: it has begun. `committed`, `failed`, or
    `unknown`: nobody knows which of both."""
    tool: str
    """The tool's name."""
    version: str
    """Fingerprint of the tool's definition: name, declared version, description and schema."""
    arguments: dict[str, Any] | None
    """Decoded; None if they were erased, or there are none."""
    arguments_text: str
    """The canonical text of the arguments, without secrets."""
    amount: Money | None
    """What counts in the tool's sums; None: the tool declares no amount."""
    receipt: str | None
    """What the tool returned, or what a person said that it would have."""
    reason: str
    """Why it failed, or what somebody said of it who found out what became of it."""
    settled_by: str
    """"": the run's own result; `late`, `reconcile`, or the person who said what became of it."""
    run: str
    """The run that has claimed it."""
    step: int | None
    """The newest attempt."""
    agent: str
    """The agent that called the tool."""
    requester: str
    """The principal on whose behalf the run is."""
    session: str | None
    """The conversation that it belongs to."""
    tenant: str
    """The tenant of its run."""
    claimed_at: float
    """When its run claimed it, before anybody was asked."""
    attempted_at: float | None
    """When the first attempt began: from then on the other side may know the key."""
    settled_at: float | None
    """When it was known what became of it; None: it is not known yet."""
    proposal: str
    """The id of the proposal under which it is asked about, or was approved; "": nobody was asked."""
    undoes: str
    """The id of the effect that it undoes; "": none."""
    again: str
    """The person who has allowed another one like it, until that is claimed."""


async def list_proposals(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> list[Proposal]:
    """Returns proposals, oldest first. One that is past its expiry is not open, also where nobody has marked it yet."""
    found: list[Proposal] = []
    while True:
        page = await journal.proposals(wanted, limit=limit - len(found))
        found += (each for each in page if wanted.state != "open" or not has_expired(each, now))
        if not page or len(found) >= limit:
            return found
        wanted = replace(wanted, after=page[-1].id)


def has_expired(proposal: Proposal, now: float) -> bool:
    """Returns whether nobody may decide on an open proposal any more."""
    return proposal.state == "open" and proposal.expires_at is not None and now >= proposal.expires_at


async def build_approvals(
    journal: Journal, proposals: Sequence[Proposal], now: float = 0.0
) -> list[Approval]:
    """Returns what people are shown of these proposals at this time."""
    texts = await _read_texts(
        journal,
        ((each.tenant, (each.arguments, each.preview, each.original, *each.reverted)) for each in proposals),
    )
    return [
        _build_approval(replace(each, state="expired") if has_expired(each, now) else each, texts)
        for each in proposals
    ]


async def read_approval(journal: Journal, proposal: str, now: float) -> Approval:
    """Returns one proposal, with what the agent wrote beside the call. Raises `Misused` if there is none."""
    found = await journal.proposal(proposal)
    (approval,) = await build_approvals(journal, [found], now)
    return replace(approval, summary=await _read_summary(journal, found))


async def build_effects(journal: Journal, records: Sequence[EffectRecord]) -> list[RecordedEffect]:
    """Returns what people are shown of these effects."""
    texts = await _read_texts(journal, ((each.tenant, (each.arguments, each.receipt)) for each in records))
    return [_build_effect(each, texts) for each in records]


async def _read_summary(journal: Journal, proposal: Proposal) -> str | None:
    """Returns what the agent wrote beside the call that is asked about; None if it wrote nothing, or that is lost."""
    ref = _find_reply(await journal.events(proposal.run), proposal.step)
    data = None if ref is None else (await journal.bodies(proposal.tenant, [ref])).get(ref)
    return None if data is None else read_assistant(data.decode("utf-8", "replace")).content or None


def _find_reply(events: Iterable[Event], approval: int) -> Ref | None:
    """Returns the model's message that asked for the call on which approval step `approval` is about."""
    frames: dict[int, int] = {}
    replies: list[StepDone] = []
    for event in events:
        if isinstance(event, StepDone) and event.calls:
            replies.append(event)
        elif isinstance(event, StepIntended):
            frames[event.step] = event.frame
            if event.step == approval:
                asked = (
                    reply.output
                    for reply in reversed(replies)
                    if frames.get(reply.step) == event.frame
                    and any(call.id == event.call for call in reply.calls)
                )
                return next(asked, None)
    return None


def _build_approval(proposal: Proposal, texts: Mapping[tuple[str, Ref], str]) -> Approval:
    def get(ref: Ref | None) -> str | None:
        return None if ref is None else texts.get((proposal.tenant, ref), ERASED)

    shared = {name: getattr(proposal, name) for name in Approval.__struct_fields__ if hasattr(proposal, name)}
    text = get(proposal.arguments) or ""
    shared |= {
        "tool": proposal.name,
        "arguments": _decode_arguments(text),
        "arguments_text": text,
        "preview": get(proposal.preview),
        "original": get(proposal.original),
        "reverted": tuple(get(ref) or ERASED for ref in proposal.reverted),
        "summary": None,
    }
    return Approval(**shared)


def _build_effect(record: EffectRecord, texts: Mapping[tuple[str, Ref], str]) -> RecordedEffect:
    def get(ref: Ref | None) -> str | None:
        return None if ref is None else texts.get((record.tenant, ref), ERASED)

    shared: dict[str, Any] = {
        name: getattr(record, name) for name in RecordedEffect.__struct_fields__ if hasattr(record, name)
    }
    text = get(record.arguments) or ""
    shared |= {
        "requester": record.principal,
        "arguments": _decode_arguments(text),
        "arguments_text": text,
        "receipt": get(record.receipt),
    }
    return RecordedEffect(**shared)


def _decode_arguments(text: str) -> dict[str, Any] | None:
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


async def _read_texts(
    journal: Journal, wanted: Iterable[tuple[str, Iterable[Ref | None]]]
) -> dict[tuple[str, Ref], str]:
    """Returns the texts of these bodies, by tenant and address; one that is absent was erased."""
    refs: dict[str, list[Ref]] = {}
    for tenant, found in wanted:
        refs.setdefault(tenant, []).extend(ref for ref in found if ref)
    return {
        (tenant, ref): data.decode("utf-8", "replace")
        for tenant, each in refs.items()
        if each
        for ref, data in (await journal.bodies(tenant, list(dict.fromkeys(each)))).items()
    }
