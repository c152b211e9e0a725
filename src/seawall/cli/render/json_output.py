"""Builds the documents that commands print with `--json`. Nothing in them is shortened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from seawall.cli.journals import BodyTexts
from seawall.core.events import (
    EVERYTHING,
    CommandTaken,
    ContextFolded,
    Event,
    Judged,
    Planned,
    Source,
    StepDeferred,
)
from seawall.history.origins import OriginLink
from seawall.history.record import RunRecord, StepRecord
from seawall.history.why import Explanation
from seawall.journal.protocol import Command, RunRow, Setting
from seawall.run.fold import fold
from seawall.run.ledger import describe_usage_problem, is_at_bound
from seawall.run.outcome import Outcome, Waiting, list_above_limits
from seawall.run.waste import Wasted, WasteKind

if TYPE_CHECKING:
    from seawall.cli.render.runs_table import RunEntry
    from seawall.cli.resuming import Resumed

# ---- how a run ended, or what it waits for


def build_rest_document(rest: Outcome | Waiting) -> dict[str, Any]:
    """Returns the outcome's fields, or `status` `waiting` and what the run waits for."""
    fields = {name: getattr(rest, name) for name in rest.__struct_fields__}
    if isinstance(rest, Waiting):
        waiting = {name: value for name, value in fields.items() if name != "run"}
        return {"run": rest.run, "status": "waiting", "waiting": waiting}
    return fields


def build_resumed_document(resumed: Resumed) -> dict[str, Any]:
    """Returns what became of a run that was resumed with others."""
    if resumed.rest is None:
        return {"run": resumed.run, "status": None, "problem": resumed.problem}
    return {**build_rest_document(resumed.rest), "problem": None}


# ---- `seawall runs`


def build_entry_document(entry: RunEntry) -> dict[str, Any]:
    """Returns one run of the list."""
    row = msgspec.structs.asdict(entry.row)
    del row["summary"]
    spent = msgspec.structs.asdict(entry.spent)
    waiting: dict[str, Any] | None = None
    if entry.waits is not None:
        waiting = msgspec.structs.asdict(entry.waits)
        del waiting["run"]
        if entry.waits.kind == "pause":
            waiting["lifted"] = entry.lifted
        if entry.decision is not None:
            waiting["decision"] = {"approved": entry.decision.approved, "by": entry.decision.by}
    return {
        **row,
        **spent,
        "status": spent["status"] if entry.row.state == "ended" else None,
        "waiting": waiting,
        "deferred": _build_deferred(entry.deferred) if entry.deferred is not None else None,
        "cancel": build_cancel_document(entry.cancel),
    }


def build_cancel_document(command: Command | None) -> dict[str, Any] | None:
    """Returns a cancellation that no process has taken up yet; None if there is none."""
    return None if command is None else {"by": command.by, "reason": command.reason}


# ---- `seawall show`


def build_run_document(
    row: RunRow,
    record: RunRecord | None,
    events: Sequence[Event],
    texts: BodyTexts,
    cancel: Command | None = None,
) -> dict[str, Any]:
    """Returns one run with all of its steps. `steps` is None if its events were pruned."""
    found: dict[str, Any] = msgspec.structs.asdict(row)
    if record is None:
        return {**found, "steps": None, "cancel": None}
    state = fold(events)
    ended, started = record.ended, record.started
    ledger = state.ledger
    return {
        **found,
        "request": texts.get(started.intent),
        "answer": texts.get(ended.answer) if ended is not None and ended.answer else None,
        "stopped_by": None if ended is None else ended.stopped_by,
        "error": None if ended is None else ended.error,
        "reviewed": None if ended is None else ended.reviewed,
        "unverified": () if ended is None else ended.unverified,
        "pruned": () if ended is None else ended.pruned,
        "lacks": () if ended is None else ended.lacks,
        "memory": "" if ended is None else ended.memory,
        "causes": () if ended is None else _build_causes(ended.causes),
        "sources": () if ended is None else _build_sources(ended.sources),
        "principal": started.principal,
        "request_id": started.request_id,
        "limits": {name: getattr(started.limits, name) for name in started.limits.__struct_fields__},
        "authority": started.authority,
        "raised": [
            {
                "at": each.at,
                "by": each.by,
                "reason": each.reason,
                "limits": msgspec.structs.asdict(each.limits),
            }
            for each in state.raised
        ],
        "modes": state.modes,
        "deferred": [_build_deferred(each) for each in state.deferred.values()],
        "usd": ledger.usd,
        "tokens": ledger.tokens,
        "model_calls": ledger.model_calls,
        "tool_calls": ledger.tool_calls,
        "usage_problems": tuple(state.usage_problems),
        "above_limits": list_above_limits(state),
        "wasted": dict(state.waste.wasted),
        "handoffs": ledger.handoffs,
        "left_s": state.left_s,
        "effects": [
            {"step": each.step, "tool": each.tool, "state": each.state} for each in state.effect_states()
        ],
        "segments": [
            {"number": s.number, "owner": s.taken.owner, "at": s.taken.at, "first_step": s.first_step}
            for s in record.segments
        ],
        "commands": [_build_command(each, texts) for each in record.commands],
        "planned": [_build_planned(each) for each in record.planned],
        "unmade": [_build_verdict(each, texts) for each in record.unmade],
        "steps": [_build_step(each, texts) for each in record.steps.values()],
        "cancel": build_cancel_document(cancel),
    }


def _build_deferred(event: StepDeferred) -> dict[str, Any]:
    """Returns a step that waits for an endpoint which is out of order."""
    return {
        "at": event.at,
        "kind": event.kind,
        "name": event.name,
        "agent": event.agent,
        "endpoint": event.endpoint,
        "reason": event.reason,
    }


def _build_folded(folded: ContextFolded) -> dict[str, Any]:
    return {
        "trigger": folded.trigger,
        "messages": len(folded.folded),
        "before_tokens": folded.before,
        "after_tokens": folded.after,
    }


def _build_step(step: StepRecord, texts: BodyTexts) -> dict[str, Any]:
    """Returns one step. `status` is None while it has no result."""
    intent, done = step.intent, step.done
    return {
        "step": intent.step,
        "kind": intent.kind,
        "name": intent.name,
        "agent": intent.agent,
        "frame": intent.frame,
        "depth": intent.depth,
        "junk": intent.junk,
        "folded": None if step.folded is None else _build_folded(step.folded),
        "segment": step.segment,
        "at": intent.at,
        "performed": intent.perform,
        "effect": intent.effect,
        "grant": intent.grant,
        "causes": _build_causes(intent.causes),
        "sources": _build_sources(intent.sources),
        "input": texts.get(intent.input),
        "status": None if done is None else done.status,
        "output": None if done is None else texts.get(done.output),
        "trace": None if done is None or done.trace is None else texts.get(done.trace),
        "answer": None if done is None or done.answer is None else texts.get(done.answer),
        "problem": None if done is None or done.problem is None else texts.get(done.problem),
        "approved": None if done is None else done.approved,
        "version_of": None if done is None or not done.version_of else done.version_of,
        "rewrites": False if done is None else done.rewrites,
        "error": None if done is None else done.error,
        "retry": False if done is None else done.retry,
        "spared": False if done is None else done.spared,
        "duration_s": step.duration_s,
        "input_tokens": 0 if done is None else done.input_tokens,
        "output_tokens": 0 if done is None else done.output_tokens,
        "cache_read_tokens": 0 if done is None else done.cache_read_tokens,
        "cache_write_tokens": 0 if done is None else done.cache_write_tokens,
        "usd": "0" if done is None else done.usd,
        "at_bound": {"tokens": intent.tokens, "usd": intent.usd}
        if done is not None and is_at_bound(intent, done)
        else None,
        "usage_problem": "" if done is None else describe_usage_problem(intent, done),
        "verdicts": [_build_verdict(each, texts) for each in step.judged],
        "decision": None if step.decision is None else _build_command(step.decision, texts),
        "effect_states": [{"at": each.at, "state": each.state} for each in step.moved],
        "late": None
        if step.late is None
        else {"at": step.late.at, "status": step.late.status, "output": texts.get(step.late.output)},
    }


def _build_causes(causes: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns edges. An edge from every earlier step has no `step`."""
    return [{"step": None if each.step == EVERYTHING else each.step, "tie": each.tie} for each in causes]


def _build_sources(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [{"entry": each.entry or None, "run": each.run or None, "step": each.step} for each in sources]


def _build_verdict(judged: Judged, texts: BodyTexts) -> dict[str, Any]:
    return {
        "step": judged.step,
        "guard": judged.guard,
        "verdict": judged.verdict,
        "mode": judged.mode,
        "stage": judged.stage,
        "reason": judged.reason,
        "limit": judged.limit,
        "value": judged.value,
        "note": texts.get(judged.note) if judged.note else None,
        "trace": texts.get(judged.trace) if judged.trace else None,
    }


def _build_planned(event: Planned) -> dict[str, Any]:
    return {
        "pruned": event.pruned,
        "action": event.action,
        "mode": event.mode,
        "reason": event.reason,
        "limit": event.limit,
        "value": event.value,
        "left_s": event.left_s,
        "needed_s": event.needed_s,
        "quantile": event.quantile,
    }


def _build_command(command: CommandTaken, texts: BodyTexts) -> dict[str, Any]:
    return {
        "command": command.command,
        "at": command.at,
        "by": command.by,
        "reason": command.reason,
        "step": command.step,
        "approved": command.approved,
        "output": texts.get(command.output) if command.output else None,
    }


# ---- `seawall why`


def build_why_document(
    why: Explanation,
    state: str,
    texts: BodyTexts,
    origins: Sequence[OriginLink],
    remembered: BodyTexts,
    wasted: Mapping[WasteKind, Wasted],
) -> dict[str, Any]:
    """Returns the explanation, with the texts that it refers to."""
    found: dict[str, Any] = msgspec.to_builtins(why)
    found["state"] = state
    found["wasted"] = dict(wasted)
    for repeat in found["repeats"]:
        repeat["input"], repeat["output"] = texts.get(repeat["input"]), texts.get(repeat["output"])
    for wanted, each in zip(found["wanted"], why.wanted, strict=True):
        wanted["call"] = {
            "id": each.call.id,
            "name": each.call.name,
            "arguments": texts.get(each.call.arguments),
        }
    for name, judged in (("verdicts", why.verdicts), ("refusals", why.refusals)):
        for verdict, each in zip(found[name], judged, strict=True):
            verdict["note"] = texts.get(each.note) if each.note else None
    found["origins"] = [
        {
            **msgspec.to_builtins(each),
            "key": remembered.get(each.key) if each.key else None,
            "value": remembered.get(each.value) if each.value else None,
        }
        for each in origins
    ]
    return found


# ---- `seawall guards`


def build_guard_document(name: str, setting: Setting | None) -> dict[str, Any]:
    """Returns one guard; `mode` is None if nobody has set it, and the code's own mode holds."""
    if setting is None:
        return {"guard": name, "mode": None, "by": None, "why": None, "since": None, "until": None}
    return {
        "guard": name,
        "mode": setting.value,
        "by": setting.by,
        "why": setting.why,
        "since": setting.at,
        "until": setting.until,
    }
