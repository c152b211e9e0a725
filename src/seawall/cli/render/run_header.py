"""The first lines about a run: how it is, what was asked and answered, what it took."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.text import Text

from seawall.cli.hints import hint
from seawall.cli.journals import Texts
from seawall.cli.render import formats, wording
from seawall.core.events import Event
from seawall.history.record import RunRecord
from seawall.journal.protocol import Command, Journal, RunRow
from seawall.run.fold import fold
from seawall.run.ledger import Ledger
from seawall.run.outcome import Waiting, list_waits
from seawall.run.state import RunState

_LINES = {"request": 3, "answer": 6, "error": 4}
"""Lines that these get at most; the others are our own words, and whole."""


def status_of(row: RunRow) -> str:
    """`completed`, `halted`, …, or what a run that has not ended is at."""
    return row.summary.status if row.state == "ended" and row.summary is not None else row.state


def active_s(state: RunState, told: RunRecord) -> float:
    """Active seconds so far, as they are recorded."""
    if state.ended is None and told.segments and not state.waits:  # nothing was recorded since the last event
        segment = told.segments[-1]
        return state.started.limits.active_s - segment.taken.left_s + segment.last_at - segment.taken.at
    return state.started.limits.active_s - state.left_s


def spent(ledger: Ledger, seconds: float, limit_s: float) -> str:
    """Calls, tokens, dollars and time."""
    parts = [formats.many(ledger.model_calls, "model call"), formats.many(ledger.tool_calls, "tool call")]
    if ledger.handoffs:
        parts.append(formats.many(ledger.handoffs, "hand-off"))
    if ledger.tokens:
        parts.append(f"{formats.count(ledger.tokens)} tokens")
    if ledger.usd:
        parts.append(formats.usd(ledger.usd))
    return ", ".join([*parts, f"{formats.seconds(seconds)} of {limit_s:g} s"])


def head(
    row: RunRow,
    told: RunRecord | None,
    events: Sequence[Event],
    texts: Texts,
    width: int,
    now: float,
    *,
    decisions: Mapping[int, Command] | None = None,
    cancel: Command | None = None,
    brakes: Collection[str] = (),
    full: bool = False,
) -> Iterator[Text]:
    """All that stands above the tree. `brakes`: what is paused now."""
    status = status_of(row)
    first = Text(row.run, style="bold")
    first.append("  ")
    first.append(status, style=wording.STATUS_STYLES.get(status, ""))
    stopped = told.ended.stopped_by if told is not None and told.ended is not None else None
    if stopped is not None:
        first.append(f" by {stopped.guard}")
    first.append(f"  team {row.team}, {formats.age(now - row.started_at)} ago", style="dim")
    yield first
    if told is None:
        return
    state = fold(events)
    pairs: list[tuple[str, str, str]] = [("request", texts.of(told.started.intent), "")]
    ended = told.ended
    if ended is not None and ended.answer is not None:
        pairs.append(("answer", texts.of(ended.answer), ""))
    if stopped is not None:
        pairs.append(("stopped", _stopped(stopped.reason, stopped.step), "red"))
    if ended is not None and ended.error and (stopped is None or ended.error != stopped.reason):
        pairs.append(("error", ended.error, "red"))
    call_width = 10**9 if full else 2 * width  # shortened here: what is asked stays whole
    pairs += _waits(list_waits(state, events, texts.of), now, decisions or {}, brakes, call_width)
    if cancel is not None:
        pairs.append(("cancel", cancels(cancel), "yellow"))
    if state.ended is None and row.state == "interrupted":
        pairs.append(("next", hint(f"resume {row.run}"), "yellow"))
    pairs.append(("took", spent(state.ledger, active_s(state, told), told.started.limits.active_s), ""))
    pairs += _beside(told, state)
    for name, text, style in pairs:
        lines = None if full or name not in _LINES else _LINES[name]
        for number, line in enumerate(formats.wrapped(text, width - 11, lines)):
            yield Text(f"{'' if number else name:<11}", style="dim") + Text(line, style=style)


def _stopped(reason: str, step: int | None) -> str:
    return reason if step is None else f"{reason} (before step {step})"


async def pending(journal: Journal, run: str, state: RunState) -> dict[int, Command]:
    """Decisions that lie in the inbox of a run that is at work nowhere, by their approval step."""
    decided: dict[int, Command] = {}
    for item in await journal.inbox(run, after=state.inbox):
        if item.command.kind == "decide" and item.command.step is not None:
            decided.setdefault(item.command.step, item.command)
    return decided


async def cancelling(journal: Journal, run: str, state: RunState) -> Command | None:
    """A cancellation that lies in the inbox of a run and was not taken up yet."""
    items = await journal.inbox(run, after=state.inbox)
    return next((item.command for item in items if item.command.kind == "cancel"), None)


def cancels(command: Command) -> str:
    """A cancellation that was not taken up yet."""
    reason = f": {command.reason}" if command.reason else ""
    return f"asked for by {command.by or 'somebody'}{reason}; whoever has the run has not taken it up yet"


def decided(command: Command, waiting: Waiting) -> str:
    """A decision that has not been taken up yet."""
    word = "approved" if command.approved else "rejected"
    if waiting.kind == "unknown":
        word = f"it {'DID' if command.approved else 'did NOT'} happen, recorded"
    return f"{word} by {command.by}, goes on with: {hint(f'resume {waiting.run}')}"


def lifted(waiting: Waiting) -> str:
    """Of a run that waits for a brake which is off: nobody has it, or it would have gone on."""
    return f"{waiting.what} is no longer paused; goes on with: {hint(f'resume {waiting.run}')}"


def _waits(
    waiting: Sequence[Waiting],
    now: float,
    decisions: Mapping[int, Command],
    on: Collection[str],
    width: int,
) -> Iterator[tuple[str, str, str]]:
    for each in waiting:
        if each.kind == "pause" and each.what not in on:
            yield "waits", lifted(each), "yellow"
            continue
        asked = wording.question(each, width)
        where = wording.asked_at(each)
        yield "waits", f"{where}, for {formats.age(now - each.since)}: {asked}", "magenta"
        if each.step in decisions:
            yield "", decided(decisions[each.step], each), "yellow"


def _stood(state: RunState) -> Iterator[tuple[str, str, str]]:
    for brake in state.past_pauses:
        yield (
            "paused",
            f"{brake.what} for {formats.seconds(brake.seconds)} by {brake.by}{f': {brake.why}' if brake.why else ''}",
            "",
        )


def _beside(told: RunRecord, state: RunState) -> Iterator[tuple[str, str, str]]:
    """What stands beside the status: review, effects, what was pruned, how it was started."""
    ended, started = told.ended, told.started
    if ended is not None and ended.reviewed is not None:
        yield "review", wording.review(ended.reviewed, ended.pruned), ""
    if ended is not None and ended.unchecked_delivery:
        yield "streamed", "the answer was delivered before it was checked", "yellow"
    if ended is not None and ended.unverified:
        yield "unverified", "; ".join(ended.unverified), "yellow"
    if ended is not None and ended.pruned:
        yield "pruned", ", ".join(ended.pruned), "yellow"
    effects = [f"step {each.step} {each.tool} {each.state}" for each in state.effect_states()]
    if effects:
        yield "effects", "; ".join(effects), ""
    watched = [f"{name} {mode}" for name, mode in state.modes.items() if mode != "enforce"]
    if watched:
        yield "guards", f"{', '.join(watched)}; the others enforce", "yellow"
    yield from _stood(state)
    if len(told.segments) > 1:
        owners = ", ".join(f"{s.number} from step {s.first_step} by {s.taken.owner}" for s in told.segments)
        yield "segments", owners, ""
    for command in told.commands:
        if command.command == "cancel":
            yield (
                "cancelled",
                f"by {command.by or 'somebody'}{f': {command.reason}' if command.reason else ''}",
                "",
            )
    if started.fork is not None:
        yield "fork", f"of run {started.fork.run} at step {started.fork.at_step}", "cyan"
    who = [("tenant", started.tenant), ("principal", started.principal), ("session", started.session)]
    who += [("request id", started.request_id), ("app", started.app)]
    given = [f"{name} {value}" for name, value in who if value]
    if given:
        yield "for", ", ".join(given), ""
