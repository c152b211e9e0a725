"""Edits: a person replaces the agent's arguments by others, which the tool itself checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from seawall.core.errors import Misused
from seawall.core.redact import MARK
from seawall.effects.proposals import compute_proposal_hash
from seawall.journal.protocol import Ballot, Proposal
from seawall.run.bodies import Bodies
from seawall.team.prepare import read_edit
from seawall.team.team import Team
from seawall.team.tool import Tool, encode


def write_edit(edit: Mapping[str, Any] | str | None) -> str | None:
    """Returns an edit as JSON text, which nobody changes while the decision waits. Raises `Misused` if it has no JSON."""
    try:
        text = None if edit is None else encode(edit, "edit")
    except TypeError:
        raise Misused(f"approve: edit is a {type(edit).__name__} that has no JSON form") from None
    return text.decode() if isinstance(text, bytes) else text


def prepare_edit(
    ballot: Ballot,
    proposal: Proposal,
    team: Team | None,
    edit: str,
    bodies: Bodies,
) -> Ballot:
    """Returns the ballot with other arguments, JSON text, which are kept in `bodies`.

    Raises `Misused` if the tool does not accept them, and if this process does not have the tool's proposed version.
    """
    tool = _find_tool(proposal, team)
    if not edit.strip():  # empty arguments of a model would mean the defaults
        raise Misused(f"proposal {proposal.id}: the edit is empty; write all arguments as a JSON object")
    try:
        text, amount = read_edit(tool, edit)
    except ValueError as error:
        raise Misused(
            f"proposal {proposal.id}: tool {tool.name!r} does not take this edit: {error}"
        ) from None
    ref = bodies.put_json(text)
    if bodies.text(ref) != text or MARK in text:
        raise Misused(
            f"proposal {proposal.id}: an edit can't hold a secret, which is not recorded and could not be performed"
        )
    hash_ = compute_proposal_hash(proposal.kind, proposal.name, proposal.version, text, "")
    return replace(ballot, edit=ref, edit_hash=hash_, edit_amount=amount)


def _find_tool(proposal: Proposal, team: Team | None) -> Tool:
    """Returns the tool of a proposal. Raises `Misused` if this process does not have its proposed version."""
    if proposal.kind != "tool":
        raise Misused(f"proposal {proposal.id} is about a {proposal.kind}, which has no arguments to edit")
    if team is None:
        raise Misused(
            f"proposal {proposal.id}: an edit is checked by its tool, and this process does not have team "
            f"{proposal.team!r} of run {proposal.run}"
        )
    member = team.members.get(proposal.agent)
    tools = () if member is None else member.agent.tools
    tool = next((each for each in tools if each.name == proposal.name), team.find_asked_tool(proposal.name))
    if tool is None or tool.version != proposal.version:
        raise Misused(
            f"proposal {proposal.id}: tool {proposal.name!r} of agent {proposal.agent!r} has changed since it was proposed"
        )
    return tool
