"""Shows people what `seawall wrap` has found: a table of the parts, what else to do, and the lines as a diff."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from seawall.cli.render.formats import format_number, join_lines
from seawall.cli.render.screen import Screen
from seawall.cli.render.table import Table
from seawall.wrap import FoundPart, WrapReport

_COLUMNS = ("KIND", "NAME", "WHERE", "GATED", "EFFECT")
_GATED = {
    "yes": ("yes", "green"),
    "added": ("with the lines", ""),
    "in part": ("in part", "yellow"),
    "no": ("no", "red"),
}


def draw_wrap_report(screen: Screen, report: WrapReport) -> None:
    """Prints a report: data to stdout, and what a person must do beside it to stderr."""
    screen.print_table(_make_table(report))
    for file in report.lines:
        screen.print_line()
        screen.print_text(file.diff)
    for note in _list_notes(report):
        screen.print_note(note)


def _make_table(report: WrapReport) -> Table:
    several = len(report.frameworks) > 1
    table = Table((*_COLUMNS, *(["FRAMEWORK"] if several else [])), required=("KIND", "NAME", "GATED"))
    for part in report.parts:
        text, style = _GATED[part.gated]
        cells = [
            part.kind,
            join_lines(part.name),
            f"{join_lines(part.file)}:{part.line}",
            Text(text, style=style),
            _describe_effect(part),
            *([part.framework] if several else []),
        ]
        table.add_row(cells, [Text(f"  └ {join_lines(part.why)}", style="dim")] if part.why else [])
    return table


def _describe_effect(part: FoundPart) -> str | Text:
    if part.kind != "tool" or (part.gated == "no" and not part.declared and part.seems != "effect"):
        return ""
    if part.declared:
        return f"{part.declared}, declared"
    if part.seems == "effect":
        return Text("writes, by its name", style="yellow")
    return "reads, by its name" if part.seems == "read" else "not known"


def _list_notes(report: WrapReport) -> Iterator[str]:
    yield from report.notes
    unknown = [
        part.name
        for part in report.parts
        if part.kind == "tool" and not part.declared and not part.seems and part.gated != "no"
    ]
    if unknown:
        names = ", ".join(dict.fromkeys(unknown))
        yield f"say of these whether they write, with effects=[…] or reads=[…]: {names}"
    if report.install:
        yield "install: " + " ".join(f"pip install 'path/to/{each}'" for each in report.install)
    if report.lines and any("effect" in (part.declared, part.seems) for part in report.parts):
        yield (
            "an effect is made once in a run; so that a request that is asked again, or a restart, does not make it again, "
            "give each request an id of yours, and say what makes two effects the same: Effect(unique_by=…)"
        )
    gated = [part for part in report.parts if part.kind in ("agent", "graph", "crew", "runner")]
    if gated and all(part.gated == "yes" for part in gated):
        yield f"the adapter is there already: {'the lines declare what is left' if report.lines else 'nothing is to be added'}"
    left = sum(part.gated in ("no", "in part") for part in report.parts)
    added = sum(part.gated == "added" for part in report.parts)
    later = f"{added} gated once the lines are added, " if added else ""
    names = ", ".join(report.frameworks)
    yield (
        f"{names}: {format_number(len(report.parts), 'part')} in {format_number(report.files, 'file')}, "
        f"{later}{left} not gated or in part"
    )
