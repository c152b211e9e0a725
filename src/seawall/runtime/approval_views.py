"""Builds what people are shown of proposals and effects: the journal's records with their texts."""

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
    """A proposal as people are shown it: may exactly this be done?

    Show all arguments first, because they are what is performed. Show the tool's preview and the agent's words after
    them.
    """

    id: str
    """The proposal's id. For a question of an older version, it is the run and the step with a space between them, and a
    person decides with `Seawall.decide(run, step)` or, in a shell, `seawall approve RUN STEP`."""
    hash: str
    """The hash of what would be performed. A decision names it, so that nobody approves anything that they were not shown;
    "" for a question of an older version."""
    state: ProposalState
    kind: str
    """`tool`, or the kind of another step that a guard holds."""
    tool: str
    """The name of the tool, or of another kind of step."""
    version: str
    """Fingerprint of the tool's definition: name, declared version, description and schema."""
    arguments: dict[str, Any] | None
    """The decoded arguments; None if they were erased, or the step has none."""
    arguments_text: str
    """The canonical text of the arguments, without secrets: what is performed, and what `hash` covers."""
    amount: Money | None
    flags: tuple[str, ...]
    """Warnings about the arguments: invisible or bidirectional characters, markup, padding."""
    reasons: tuple[Reason, ...]
    """Why each guard holds the step. An approval covers only these guards."""
    preview: str | None
    """The text of the tool's preview function; None if it has none."""
    preview_failed: bool
    reverted: tuple[str, ...]
    """Entries of memory, and their authors, that the run had read and a person has reverted since. The call may rest on
    them."""
    summary: str | None
    """The agent's text beside the call. It is not checked, and may contradict the arguments. Only `Seawall.approval` reads
    it; it is None elsewhere, and if the agent wrote nothing."""
    causes: tuple[CauseStep, ...]
    """The earlier steps that led to the call, the nearest first."""
    asks: Literal["approve", "confirm"]
    """`approve`: anybody but the requester decides. `confirm`: the requester does."""
    declared: bool
    """True if the tool declares that a person decides; the person must then be authenticated."""
    roles: tuple[str, ...]
    """The roles of which the person who decides needs one; empty if no role is needed."""
    people: int
    """How many different people must approve."""
    votes: tuple[Vote, ...]
    """The decisions of people on the current arguments."""
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
    """The principal for whom the run is made."""
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
    """The group of the proposal. It is equal for proposals with the same tool, requester and session."""


class RecordedEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One effect that a run has attempted or will, and what became of it. All times are wall seconds."""

    id: str
    """`e-` and a digest of the key."""
    key: str
    """The idempotency key that the tool gets."""
    state: EffectState
    """`proposed`: a person is asked. `approved`: the effect may begin. `attempting`: it has begun. `committed`: it
    happened. `failed`: it did not happen. `unknown`: it is not known whether it happened."""
    tool: str
    """The tool's name."""
    version: str
    """Fingerprint of the tool's definition: name, declared version, description and schema."""
    arguments: dict[str, Any] | None
    """The decoded arguments; None if they were erased, or there are none."""
    arguments_text: str
    """The canonical text of the arguments, without secrets."""
    amount: Money | None
    """The amount that counts in the tool's sums; None if the tool declares no amount."""
    receipt: str | None
    """The tool's result, or the receipt that a person gave in its place."""
    reason: str
    """Why the effect failed, or the explanation of the person who found out what became of it."""
    settled_by: str
    """Who settled the effect: "" for the run's own result, `late`, `reconcile`, or the name of a person."""
    run: str
    """The run that has claimed it."""
    step: int | None
    """The step of the newest attempt."""
    agent: str
    """The agent that called the tool."""
    requester: str
    """The principal for whom the run is made."""
    session: str | None
    """The conversation that it belongs to."""
    tenant: str
    """The tenant of its run."""
    claimed_at: float
    """When the run claimed the effect, before a person was asked."""
    attempted_at: float | None
    """When the first attempt began. From then on the other system may know the key."""
    settled_at: float | None
    """When it became known whether the effect happened; None if that is not known yet."""
    proposal: str
    """The id of the effect's proposal; "" if no person was asked."""
    undoes: str
    """The id of the effect that it undoes; "": none."""
    again: str
    """The person who has allowed the same effect once more, until that effect is claimed."""


async def list_proposals(journal: Journal, wanted: ProposalFilter, limit: int, now: float) -> list[Proposal]:
    """Returns proposals, oldest first. A proposal past its expiry is not open, even if it is not marked as expired yet."""
    found: list[Proposal] = []
    while True:
        page = await journal.proposals(wanted, limit=limit - len(found))
        found += (each for each in page if wanted.state != "open" or not has_expired(each, now))
        if not page or len(found) >= limit:
            return found
        wanted = replace(wanted, after=page[-1].id)


def has_expired(proposal: Proposal, now: float) -> bool:
    """Returns whether an open proposal has expired, so that it can't be decided any more."""
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
    """Returns one proposal, with the agent's text beside the call. Raises `Misused` if there is no such proposal."""
    found = await journal.proposal(proposal)
    (approval,) = await build_approvals(journal, [found], now)
    return replace(approval, summary=await _read_summary(journal, found))


async def build_effects(journal: Journal, records: Sequence[EffectRecord]) -> list[RecordedEffect]:
    """Returns what people are shown of these effects."""
    texts = await _read_texts(journal, ((each.tenant, (each.arguments, each.receipt)) for each in records))
    return [_build_effect(each, texts) for each in records]


async def _read_summary(journal: Journal, proposal: Proposal) -> str | None:
    """Returns the agent's text beside the call of a proposal; None if there is none, or if it is lost."""
    ref = _find_reply(await journal.events(proposal.run), proposal.step)
    data = None if ref is None else (await journal.bodies(proposal.tenant, [ref])).get(ref)
    return None if data is None else read_assistant(data.decode("utf-8", "replace")).content or None


def _find_reply(events: Iterable[Event], approval: int) -> Ref | None:
    """Returns the model's message that asked for the call of approval step `approval`."""
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
    """Returns the texts of these bodies, by tenant and address. Erased bodies are left out."""
    refs: dict[str, list[Ref]] = {}
    for tenant, found in wanted:
        refs.setdefault(tenant, []).extend(ref for ref in found if ref)
    return {
        (tenant, ref): data.decode("utf-8", "replace")
        for tenant, each in refs.items()
        if each
        for ref, data in (await journal.bodies(tenant, list(dict.fromkeys(each)))).items()
    }
