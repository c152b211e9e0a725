"""`seawall budget`: shows what tenants and days have spent and reserved, what is left, and when it runs out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seawall.cli.options import DEFAULT_JOURNAL, JournalOption, JsonOption, TenantOption

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen


def budget(
    tenant: TenantOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many tenants at most.")
    ] = 20,
    journal: JournalOption = DEFAULT_JOURNAL,
    json: JsonOption = False,
) -> None:
    """Show what is spent, reserved and left, for each tenant today and in all, and for all tenants together today.

    Days are days of UTC. The rate is today's rate so far. Caps are the caps that a process gave last with Seawall(budget=…). Tenants that spent most today come first.
    """
    from seawall.cli.render.screen import Screen
    from seawall.cli.signals import run_async

    screen = Screen(json=json)
    run_async(lambda _: _budget(screen, journal, tenant, limit))


async def _budget(screen: Screen, path: Path, tenant: str | None, limit: int) -> None:
    from seawall.cli.journals import open_journal
    from seawall.cli.render.budget_table import make_budget_table
    from seawall.cli.spending import list_spending, list_tenants
    from seawall.core.clock import SystemClock
    from seawall.guards.budget.recorded_caps import read_caps, read_shortfalls
    from seawall.run.spend_delta import day_of

    now = SystemClock().wall_s()
    today = day_of(now)
    async with open_journal(path) as journal:
        accounts = [*await journal.accounts(day=today), *await journal.accounts(day="*")]
        caps = await read_caps(journal)
        short = await read_shortfalls(journal, today)
    names = list_tenants(accounts, today, caps)
    if tenant is not None:
        known = tenant in names or any(cap.scope != "day" for cap in caps.list_caps(tenant))
        if tenant not in names:
            later = " yet; the caps of all tenants hold for it" if known else ""
            screen.print_note(f"tenant {tenant!r} has no account in {path}{later}")
        names = [tenant] if known else []
    cut = len(names) > limit
    found = list_spending(accounts, names[:limit], caps, now, everybody=tenant is None, short=short)
    if screen.json:
        screen.print_document({"day": today, "accounts": found, "cut": cut})
        return
    if not found:
        if tenant is None:
            screen.print_note(f"nothing was spent in {path}")
        return
    screen.print_table(make_budget_table(found))
    if cut:
        screen.print_note(f"{limit} of {len(names):,} tenants: --limit {len(names)} shows all")
