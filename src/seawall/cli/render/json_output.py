"""A run as one JSON document: everything that `seawall show` tells, with nothing shortened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seawall.cli.journals import Texts
from seawall.core.events import CommandTaken, Event, Judged, Planned
from seawall.history.record import RunRecord, StepRecord
from seawall.journal.protocol import Command, RunRow
from seawall.run.fold import fold


def document(row: RunRow, told: RunRecord | None, events: Sequence[Event], texts: Texts) -> dict[str, Any]:
    """The document."""
    found: dict[str, Any] = msgspec.structs.asdict(row)
    if told is None:
        return {**found, "steps": None}
    state = fold(events)
    ended = told.ended
    ledger = state.ledger
    return {
        **found,
        "request": texts.of(told.started.intent),
        "answer": texts.of(ended.answer) if ended is not None and ended.answer else None,
        "stopped_by": None if ended is None else ended.stopped_by,
        "error": None if ended is None else ended.error,
        "reviewed": None if ended is None else ended.reviewed,
        "unverified": () if ended is None else ended.unverified,
        "pruned": () if ended is None else ended.pruned,
        "causes": () if ended is None else _causes(ended.causes),
        "principal": told.started.principal,
        "request_id": told.started.request_id,
        "limits": {
            name: getattr(told.started.limits, name) for name in told.started.limits.__struct_fields__
        },
        "modes": state.modes,
        "usd": ledger.usd,
        "tokens": ledger.tokens,
        "model_calls": ledger.model_calls,
        "tool_calls": ledger.tool_calls,
        "handoffs": ledger.handoffs,
        "left_s": state.left_s,
        "effects": [
            {"step": each.step, "tool": each.tool, "state": each.state} for each in state.effect_states()
        ],
        "segments": [
            {"number": s.number, "owner": s.taken.owner, "at": s.taken.at, "first_step": s.first_step}
            for s in told.segments
        ],
        "commands": [_command(each, texts) for each in told.commands],
        "planned": [_planned(each) for each in told.planned],
        "unmade": [_judged(each, texts) for each in told.unmade],
        "steps": [step(each, texts) for each in told.steps.values()],
    }


def step(told: StepRecord, texts: Texts) -> dict[str, Any]:
    """One step. `status` is None while it has no result."""
    intent, done = told.intent, told.done
    return {
        "step": intent.step,
        "kind": intent.kind,
        "name": intent.name,
        "agent": intent.agent,
        "frame": intent.frame,
        "depth": intent.depth,
        "segment": told.segment,
        "at": intent.at,
        "performed": intent.perform,
        "effect": intent.effect,
        "grant": intent.grant,
        "causes": _causes(intent.causes),
        "input": texts.of(intent.input),
        "status": None if done is None else done.status,
        "output": None if done is None else texts.of(done.output),
        "answer": None if done is None or done.answer is None else texts.of(done.answer),
        "problem": None if done is None or done.problem is None else texts.of(done.problem),
        "approved": None if done is None else done.approved,
        "error": None if done is None else done.error,
        "retry": False if done is None else done.retry,
        "duration_s": told.duration_s,
        "input_tokens": 0 if done is None else done.input_tokens,
        "output_tokens": 0 if done is None else done.output_tokens,
        "usd": "0" if done is None else done.usd,
        "verdicts": [_judged(each, texts) for each in told.judged],
        "decision": None if told.decision is None else _command(told.decision, texts),
        "effect_states": [{"at": each.at, "state": each.state} for each in told.moved],
        "late": None
        if told.late is None
        else {"at": told.late.at, "status": told.late.status, "output": texts.of(told.late.output)},
    }


def _causes(causes: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"step": each.step, "tie": each.tie} for each in causes]


def _judged(judged: Judged, texts: Texts) -> dict[str, Any]:
    return {
        "step": judged.step,
        "guard": judged.guard,
        "verdict": judged.verdict,
        "mode": judged.mode,
        "stage": judged.stage,
        "reason": judged.reason,
        "limit": judged.limit,
        "value": judged.value,
        "note": texts.of(judged.note) if judged.note else None,
    }


def _planned(event: Planned) -> dict[str, Any]:
    return {
        "pruned": event.pruned,
        "action": event.action,
        "mode": event.mode,
        "reason": event.reason,
        "left_s": event.left_s,
        "needed_s": event.needed_s,
        "quantile": event.quantile,
    }


def asked(command: Command) -> dict[str, Any]:
    """A cancellation that was not taken up yet."""
    return {"by": command.by, "reason": command.reason}


def _command(command: CommandTaken, texts: Texts) -> dict[str, Any]:
    return {
        "command": command.command,
        "at": command.at,
        "by": command.by,
        "reason": command.reason,
        "step": command.step,
        "approved": command.approved,
        "output": texts.of(command.output) if command.output else None,
    }
