"""Writes what `seawall audit` found as one HTML page that needs no network and no other file.

Everything that comes from a recording is escaped, and the page's own policy lets nothing be loaded or sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from html import escape

from seawall.audit.findings import Cost, RunFindings
from seawall.audit.report import AuditReport
from seawall.cli.render.audit_report import describe_cost, describe_loop, list_details, list_sums
from seawall.cli.render.formats import format_number, format_usd, replace_controls

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #7a7a7a; --bad: #b3261e; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --soft: #9a9a9a; --bad: #ff8a80; --warn: #ffcc66; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th button { font: inherit; font-weight: 600; background: none; border: 0; padding: 0; color: inherit; cursor: pointer; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code, .place { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
.soft, .place { color: var(--soft); } .bad { color: var(--bad); } .warn { color: var(--warn); }
details { margin: .25rem 0; }
"""
_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") !== "descending";
    heads.forEach(each => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      const order = head.classList.contains("number") ? x - y : x.localeCompare(y);
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }));
}
"""


def build_page(report: AuditReport) -> str:
    """Returns the page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>Seawall audit</title><style>{_STYLE}</style></head><body>",
        "<h1>Seawall audit</h1><dl>",
        *[f"<dt>{_show(label)}</dt><dd>{_show(text)}</dd>" for label, text in list_sums(report.summary)],
        "</dl>",
        *_list_runs(report),
        *_list_tools(report),
        *_list_unread(report),
        "<h2>How to read this</h2>",
        f"<p>{_show(_EXPLANATION)}</p>",
        f"<script>{_SCRIPT}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


_EXPLANATION = (
    "A run is stopped at the first call that Seawall's loop guard would not have let through; calls are counted from 0. "
    "What was recorded from there on is an upper bound of what the stop would have saved, because some runs end a loop by themselves. "
    "A repeat is a call whose agent had its result already; a duplicated read returned what another agent had read. "
    "Junk is the share of failures, repeats and outdated results in what the models were sent. An unsourced "
    "value stands in an answer and in no request, prompt or result before it: it may be computed, or made up. "
    "Money is an upper bound at today's prices."
)


def _show(text: str) -> str:
    return escape(replace_controls(text), quote=True)


def _build_table(heads: Sequence[tuple[str, bool]], rows: Iterable[str]) -> Iterator[str]:
    """Yields a table. Each head says whether its column holds numbers."""
    cells = "".join(
        f'<th scope="col"{_number_class(is_number)}><button type="button">{_show(name)}</button></th>'
        for name, is_number in heads
    )
    yield f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>'
    yield from rows
    yield "</tbody></table></div>"


def _number_class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _build_number(value: float | Decimal | None, shown: str | None = None) -> str:
    text = f"{value or 0:,}" if shown is None else shown
    return f'<td class="number" data-value="{value or 0}">{_show(text if value else "")}</td>'


def _list_runs(report: AuditReport) -> Iterator[str]:
    worst = report.list_worst()
    yield "<h2>Runs to look at</h2>"
    if not worst:
        yield "<p>None: nothing was found.</p>"
        return
    heads = [("Run", False), ("Finding", False), ("Calls", True), ("Useless", True), ("Useless tokens", True)]
    heads += [("Useless money", True), ("Junk", True), ("Unsourced", True)]
    yield from _build_table(heads, (_build_run(found) for found in worst))
    more = report.remarkable - len(worst)
    if more > 0:
        yield f'<p class="soft">{_show(format_number(more, "more run"))} with findings: --json has all.</p>'


def _build_run(found: RunFindings) -> str:
    vain = [found.after_halt or Cost(), *([] if found.after_halt else [found.repeats, found.duplicates])]
    tokens = sum(each.tokens or 0 for each in vain)
    usd = sum((each.usd or Decimal(0) for each in vain), Decimal(0))
    loop = describe_loop(found)
    kind = "bad" if found.halted_at is not None else "warn"
    details = "".join(f"<li>{_show(each)}</li>" for each in list_details(found))
    excerpt = f"<code>{_show(found.excerpt)}</code>" if found.excerpt else ""
    values = ", ".join(found.unsourced)
    named = f'<li class="soft">values: {_show(values)}</li>' if values else ""
    return (
        f'<tr><td>{_show(found.id)}<br><span class="place">{_show(f"{found.file}:{found.line}")}</span></td>'
        f'<td><span class="{kind}">{_show(loop)}</span><details><summary class="soft">more</summary>'
        f"<ul>{details}{named}</ul>{excerpt}</details></td>"
        f"{_build_number(found.calls)}{_build_number(found.useless)}{_build_number(tokens)}"
        f"{_build_number(usd, format_usd(usd))}{_build_number(found.junk, f'{found.junk or 0:.0%}')}"
        f"{_build_number(found.unsourced_count)}</tr>"
    )


def _list_tools(report: AuditReport) -> Iterator[str]:
    tools = report.list_tools()
    if not tools:
        return
    yield "<h2>Tools</h2>"
    heads = [("Tool", False), ("Calls", True), ("Failed", True), ("Useless", True), ("Loops", True)]
    rows = (
        f"<tr><td>{_show(each.tool)}</td>{_build_number(each.calls)}{_build_number(each.failed)}"
        f"{_build_number(each.useless)}{_build_number(each.loops)}</tr>"
        for each in tools
    )
    yield from _build_table(heads, rows)
    summary = report.summary
    yield f'<p class="soft">Repeats: {_show(describe_cost(summary.repeats))}. Duplicated reads: {_show(describe_cost(summary.duplicates))}.</p>'


def _list_unread(report: AuditReport) -> Iterator[str]:
    if not report.bad_lines:
        return
    yield "<h2>Not read</h2><ul>"
    yield from (f"<li><code>{_show(str(each))}</code></li>" for each in report.bad_lines)
    yield "</ul>"
    more = report.summary.bad - len(report.bad_lines)
    if more > 0:
        yield f'<p class="soft">… and {more:,} more.</p>'
