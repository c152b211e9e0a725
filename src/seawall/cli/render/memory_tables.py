"""Makes the tables of memory. Agents or outsiders wrote the keys and values, so every character is shown plainly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from seawall.cli.render.formats import format_age, format_number, format_until, join_lines, shorten_text
from seawall.cli.render.table import Table
from seawall.core.odd_text import show_plainly
from seawall.journal.protocol import MemoryVersion
from seawall.runtime.memory import RevertPlan
from seawall.runtime.memory_views import ConflictItem, MemoryDifference, MemoryItem

VALUE_WIDTH = 60
"""Columns of a value in a list; --json has the whole value."""
PREVIEWED = 20
"""How many entries of each kind a preview lists; the others are counted."""
_ORIGIN_STYLES = {
    "run": "",
    "revert": "yellow",
    "rollback": "yellow",
    "forget": "yellow",
    "import": "magenta",
}


def format_value(value: str | None, width: int = VALUE_WIDTH) -> str:
    """Returns a value as one line in which all of it can be seen, shortened to `width`."""
    return "(forgotten)" if value is None else shorten_text(show_plainly(join_lines(value)), width)


def format_key(key: str) -> str:
    """Returns a key as one line in which all of it can be seen."""
    return format_value(key, 40)


def format_origin(item: MemoryItem) -> str:
    """Returns who wrote an entry: `run r-1 step 4, clerk`."""
    if not item.run:
        return "from outside"
    step = "" if item.step is None else f" step {item.step}"
    return f"run {item.run}{step}{f', {show_plainly(item.agent)}' if item.agent else ''}"


def _list_marks(item: MemoryItem) -> str:
    marks = [
        *(["reviewed"] if item.reviewed else []),
        *(["flagged"] if item.flagged is not None else []),
        *(["reverted"] if item.reverted else []),
        *(["quarantined"] if item.quarantined else []),
        *map(show_plainly, item.labels),
    ]
    return ", ".join(marks)


def make_items_table(items: Sequence[MemoryItem], width: int, now: float) -> Table:
    """Returns the table of entries."""
    table = Table(
        ("NUMBER", "SCOPE", "KEY", "VALUE", "VERSION", "AGE", "MARKS", "BY", "EXPIRES", "FOR"),
        required=("NUMBER", "KEY", "VALUE"),
        right=("NUMBER", "VERSION", "AGE"),
        below=("BY", "MARKS"),
    )
    for item in items:
        table.add_row(
            (
                str(item.number),
                show_plainly(item.scope),
                format_key(item.key),
                format_value(item.value, min(VALUE_WIDTH, max(20, width // 2))),
                str(item.born),
                format_age(max(0.0, now - item.at)),
                Text(_list_marks(item), style="yellow" if item.flagged is not None or item.reverted else ""),
                format_origin(item),
                format_until(item.expires_at, now),
                show_plainly(item.principal),
            )
        )
    return table


def make_versions_table(versions: Sequence[MemoryVersion], now: float) -> Table:
    """Returns the table of versions."""
    table = Table(
        ("VERSION", "SCOPE", "BY", "WRITTEN", "REMOVED", "CONFLICTS", "AGE", "REVIEWED", "ABOUT"),
        required=("VERSION", "SCOPE", "BY"),
        right=("VERSION", "WRITTEN", "REMOVED", "CONFLICTS", "AGE"),
        below=("ABOUT",),
    )
    for each in versions:
        by = f"run {each.run}" if each.origin == "run" else f"{each.origin} by {show_plainly(each.by)}"
        table.add_row(
            (
                str(each.version),
                show_plainly(each.scope),
                Text(by, style=_ORIGIN_STYLES.get(each.origin, "")),
                str(each.written or ""),
                str(each.removed or ""),
                str(each.conflicts or ""),
                format_age(max(0.0, now - each.at)),
                "yes" if each.reviewed else "",
                show_plainly(each.about),
            )
        )
    return table


def make_differences_table(differences: Sequence[MemoryDifference], width: int) -> Table:
    """Returns the table of what differs between two versions."""
    table = Table(("SCOPE", "KEY", "BEFORE", "AFTER"), required=("KEY", "BEFORE", "AFTER"))
    room = min(VALUE_WIDTH, max(16, width // 3))
    for each in differences:
        before = "" if each.before is None else format_value(each.before.value, room)
        after = "" if each.after is None else format_value(each.after.value, room)
        table.add_row(
            (
                show_plainly(each.scope),
                format_key(each.key),
                Text(before, style="red"),
                Text(after, style="green"),
            )
        )
    return table


def make_conflicts_table(conflicts: Sequence[ConflictItem], width: int, now: float) -> Table:
    """Returns the table of conflicts."""
    table = Table(
        ("CONFLICT", "SCOPE", "KEY", "THERE", "OURS", "WHY", "RUN", "AGE", "STATE"),
        required=("CONFLICT", "KEY", "THERE", "OURS"),
        right=("CONFLICT", "AGE"),
        below=("WHY",),
    )
    room = min(VALUE_WIDTH, max(16, width // 3))
    why = {
        "newer": "another run wrote the key first",
        "reverted": "the run had read what was reverted since",
    }
    for each in conflicts:
        table.add_row(
            (
                str(each.number),
                show_plainly(each.scope),
                format_key(each.key),
                "" if each.theirs is None else format_value(each.theirs.value, room),
                format_value(each.ours, room),
                why[each.why],
                f"{each.run} step {each.step}",
                format_age(max(0.0, now - each.at)),
                each.state if each.state == "open" else f"resolved by {show_plainly(each.resolved_by)}",
            )
        )
    return table


def draw_plan(plan: RevertPlan, *, exposed: bool) -> Iterator[Text]:
    """Yields what a revert would do."""
    whole = "the whole run" if plan.step == 0 else f"step {plan.step}"
    yield Text(f"{whole} of run {plan.run}", style="bold")
    parts = (
        ("removed", "took a value from it", plan.removes, "red"),
        (
            "removed" if exposed else "flagged",
            "was merely exposed to it",
            plan.flags,
            "red" if exposed else "yellow",
        ),
    )
    for word, why, items, style in parts:
        if not items:
            continue
        yield Text()
        yield Text(f"{word}: {format_number(len(items), 'entry', 'entries')} that {why}", style=style)
        for item in items[:PREVIEWED]:
            gone = "" if item.died is None else ", no longer in force"
            yield Text(
                f"  {item.number}  {show_plainly(item.scope)}  {format_key(item.key)} = "
                f"{format_value(item.value)}  ({format_origin(item)}{gone})"
            )
        if len(items) > PREVIEWED:
            yield Text(f"  … and {len(items) - PREVIEWED:,} more (--json has all)")
    yield Text()
    if plan.removes or plan.flags:
        scopes = {item.scope for item in (*plan.removes, *plan.flags)}
        where = ", ".join(sorted(map(show_plainly, scopes)))
        kept = format_number(plan.kept, "other entry", "other entries")
        yield Text(f"kept: {kept} of {where}", style="green")
    elif not plan.conflicts:
        yield Text("nothing in memory descends from it", style="green")
    for what, runs in (
        (
            "open conflicts that end with what is there, as their run took its value from it",
            [*map(str, plan.conflicts)],
        ),
        ("answers that took a value from it", plan.answers),
        ("answers that were exposed to it", plan.exposed),
        ("runs in flight that read what goes: their effects wait for a person", plan.running),
    ):
        if runs:
            more = f" and {len(runs) - PREVIEWED:,} more" if len(runs) > PREVIEWED else ""
            yield Text(f"{what}: {', '.join(runs[:PREVIEWED])}{more}")
