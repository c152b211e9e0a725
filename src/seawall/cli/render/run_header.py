"""Draws the first lines about a run: its status, what was asked and answered, what it took."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.text import Text

from seawall.cli.going_on import explain_decision, explain_raising, explain_resume
from seawall.cli.hints import format_command
from seawall.cli.journals import BodyTexts
from seawall.cli.render import wording
from seawall.cli.render.formats import UNLIMITED, format_age, format_duration, format_number, format_seconds
from seawall.cli.render.table import draw_field
from seawall.core.events import Event, RunEnded
from seawall.history.record import RunRecord
from seawall.journal.protocol import Command, RunRow
from seawall.run.fold import fold
from seawall.run.outcome import Waiting, list_above_limits, list_waits
from seawall.run.state import RunState

_MAX_LINES = {"request": 3, "answer": 6, "error": 4}
"""The most lines of these fields. The other fields are written by Seawall, and are shown whole."""

Field = tuple[str, str, str]
"""Label, text and style."""


def compute_active_s(state: RunState, record: RunRecord) -> float:
    """Returns the active seconds up to the newest recorded event."""
    if state.ended is None and record.segments and not state.waits:
        segment = record.segments[-1]  # nothing was recorded since its last event
        return state.started.limits.active_s - segment.taken.left_s + segment.last_at - segment.taken.at
    return state.started.limits.active_s - state.left_s


def draw_run_header(
    row: RunRow,
    record: RunRecord | None,
    events: Sequence[Event],
    texts: BodyTexts,
    width: int,
    now: float,
    *,
    decisions: Mapping[int, Command] | None = None,
    cancel: Command | None = None,
    paused: Collection[str] = (),
    full: bool = False,
) -> Iterator[Text]:
    """Yields all lines above the tree.

    No process has taken up `decisions` and `cancel` yet. `paused` holds the targets that are paused now.
    """
    yield _draw_title(row, record, now)
    if record is None:
        return
    state = fold(events)
    fields = list(_list_result_fields(record, texts))
    call_width = UNLIMITED if full else 2 * width  # calls are shortened here; the question itself stays whole
    waits = list_waits(state, events, texts.get)
    fields += _list_waiting_fields(state, waits, now, decisions or {}, paused, call_width)
    for event in state.deferred.values():
        ago = format_age(now - event.at)
        fields.append(
            ("waits", f"for {event.endpoint}, for {ago}: {wording.format_deferred(event)}", "yellow")
        )
    if cancel is not None:
        fields.append(("cancel", wording.format_pending_cancel(cancel), "yellow"))
    if state.ended is None and row.state == "interrupted":
        fields.append(("next", explain_resume(record.started), "yellow"))
    if (lease := wording.explain_lease(row)) is not None:
        fields.append(("owner", f"{row.owner}; {lease}", "yellow"))
    limit_s = record.started.limits.active_s
    time = f"{format_seconds(compute_active_s(state, record))} of {format_duration(limit_s)}"
    fields.append(("took", wording.format_usage(state.ledger, time), ""))
    if state.usage_problems:
        told = f"{format_number(len(state.usage_problems), 'problem')}, named at the steps"
        fields.append(("usage", f"{told}; a reply without a count is counted at its upper bound", "yellow"))
    if record.ended is not None:
        fields += _list_review_fields(record.ended)
    fields += _list_other_fields(record, state, now)
    for label, text, style in fields:
        yield from draw_field(label, text, style, width, lines=None if full else _MAX_LINES.get(label))


def _draw_title(row: RunRow, record: RunRecord | None, now: float) -> Text:
    status = wording.format_status(row)
    title = Text(row.run, style="bold")
    title.append("  ")
    title.append(status, style=wording.STATUS_STYLES.get(status, ""))
    stopped = None if record is None or record.ended is None else record.ended.stopped_by
    if stopped is not None and (by := wording.format_stopped_by(stopped.guard)):
        title.append(f" by {by}")
    title.append(f"  team {row.team}, {format_age(now - row.started_at)} ago", style="dim")
    return title


def _list_result_fields(record: RunRecord, texts: BodyTexts) -> Iterator[Field]:
    yield "request", texts.get(record.started.intent), ""
    fork, ended = record.started.fork, record.ended
    probed = None if fork is None or not fork.probe else record.steps.get(fork.at_step)
    if probed is not None and probed.done is not None:
        yield "judged", texts.get(probed.done.answer), "yellow"
    if ended is None:
        return
    if ended.answer is not None:
        yield "answer", texts.get(ended.answer), ""
    stopped = ended.stopped_by
    if stopped is not None:
        before = "" if stopped.step is None else f" (before step {stopped.step})"
        yield "stopped", f"{stopped.reason}{before}", "red"
    if ended.error and (stopped is None or ended.error != stopped.reason):
        yield "error", ended.error, "red"
    if how := explain_raising(record.started, ended):
        yield "next", how, "yellow"


def _list_waiting_fields(
    state: RunState,
    waiting: Sequence[Waiting],
    now: float,
    decisions: Mapping[int, Command],
    paused: Collection[str],
    width: int,
) -> Iterator[Field]:
    for each in waiting:
        if each.kind == "pause" and each.what not in paused:
            yield "waits", wording.format_lifted(each, state.started), "yellow"
            continue
        question = wording.format_question(each, width)
        where = wording.format_waiting_for(each)
        yield "waits", f"{where}, for {format_age(now - each.since)}: {question}", "magenta"
        if each.step in decisions:
            yield "", wording.format_pending_decision(decisions[each.step], each, state.started), "yellow"
        elif how := explain_decision(state, each):
            yield "next", how, "yellow"


def _list_review_fields(ended: RunEnded) -> Iterator[Field]:
    """Yields whether the answer was checked, and what is missing in it."""
    if ended.reviewed is not None:
        yield "review", wording.format_review(ended.reviewed, ended.pruned), ""
    if ended.unchecked_delivery:
        yield "streamed", "the answer was delivered before it was checked", "yellow"
    if ended.unverified:
        yield "unverified", "; ".join(ended.unverified), "yellow"
    if ended.pruned:
        yield "pruned", ", ".join(ended.pruned), "yellow"
    if ended.memory == "merged":
        yield "memory", "what it wrote is merged", ""
    elif ended.memory == "conflict":
        yield "memory", f"{wording.MEMORY_CONFLICT}: {format_command('memory conflicts')}", "yellow"


def _list_guard_fields(state: RunState) -> Iterator[Field]:
    """Yields which guards do not enforce, and what the agents may do."""
    usual = state.modes | {"context": "enforce"} if state.modes.get("context") == "observe" else state.modes
    not_enforced = [f"{name} {mode}" for name, mode in usual.items() if mode != "enforce"]
    if not_enforced:
        yield "guards", f"{', '.join(not_enforced)}; the others enforce", "yellow"
    for permit in state.started.authority:
        yield "authority", wording.format_permit(permit), ""


def _list_other_fields(record: RunRecord, state: RunState, now: float) -> Iterator[Field]:
    """Yields effects, guards, pauses, segments, and how the run was started."""
    started = record.started
    effects = [f"step {each.step} {each.tool} {each.state}" for each in state.effect_states()]
    if effects:
        yield "effects", "; ".join(effects), ""
    if state.waste.wasted:
        yield "wasted", wording.format_wasted(state.waste.wasted), "yellow"
    for each in list_above_limits(state):
        yield "above", wording.format_above_limit(each), "red"
    yield from _list_guard_fields(state)
    for pause in state.past_pauses:
        why = f": {pause.why}" if pause.why else ""
        yield "paused", f"{pause.what} for {format_seconds(pause.seconds)} by {pause.by}{why}", ""
    for before, raised in record.raised:
        yield "limits", wording.format_raise(before, raised, now), "yellow"
    if len(record.segments) > 1:
        owners = ", ".join(f"{s.number} from step {s.first_step} by {s.taken.owner}" for s in record.segments)
        yield "segments", owners, ""
    for command in record.commands:
        if command.command == "cancel":
            reason = f": {command.reason}" if command.reason else ""
            yield "cancelled", f"by {command.by or 'somebody'}{reason}", ""
    if started.fork is not None:
        what = f"a probe ({started.fork.probe}) " if started.fork.probe else ""
        yield "fork", f"{what}of run {started.fork.run} at step {started.fork.at_step}", "cyan"
    options = [("tenant", started.tenant), ("principal", started.principal), ("session", started.session)]
    options += [("request id", started.request_id), ("app", started.app)]
    given = [f"{name} {value}" for name, value in options if value]
    if given:
        yield "for", ", ".join(given), ""
