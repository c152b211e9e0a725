"""Records what a person found out about an effect of unknown fate, and sends it to the runs that wait for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seawall.cli.decisions import send_command
from seawall.cli.journals import open_seawall
from seawall.cli.render.formats import UNLIMITED
from seawall.cli.render.wording import format_call, format_decided, format_status
from seawall.core.errors import Misused
from seawall.history.recorded import read_waits
from seawall.runtime.seawall import Seawall

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen

EFFECT = "e-"
"""How the id of an effect begins."""
STDIN = "-"
MAX_RECEIPT_BYTES = 16 * 1024 * 1024
"""The largest receipt in bytes: as much as a tool may return."""


@dataclass(frozen=True, kw_only=True)
class EffectFinding:
    """What a person found out about an effect."""

    target: str
    """An effect's id, or a run's id or a part of it, or `last`."""
    step: int | None
    committed: str | None
    """The receipt, if the effect happened; else None."""
    failed: str | None
    credential: str | None
    by: str
    reason: str


def read_receipt(source: str | None) -> str | None:
    """Returns what a file or, for `-`, stdin holds, without the newlines at its end. Raises `Misused` if it can't be read."""
    if source is None:
        return None
    try:
        if source == STDIN:
            if sys.stdin.isatty():
                typer.echo(
                    "seawall: write the receipt, and end it with Ctrl-D on a line of its own", err=True
                )
            data = sys.stdin.buffer.read(MAX_RECEIPT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(MAX_RECEIPT_BYTES + 1)
        if len(data) > MAX_RECEIPT_BYTES:
            raise Misused(f"--committed {source}: the receipt has more than {MAX_RECEIPT_BYTES:,} bytes")
        receipt = data.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise Misused(
            f"--committed {source} can't be read: {error.strerror}; give the file with the receipt, or - for stdin"
        ) from None
    except UnicodeDecodeError:
        raise Misused(f"--committed {source}: the receipt is not UTF-8 text") from None
    if not receipt:
        raise Misused(f"--committed {source}: there is no receipt in it; write what shows that it happened")
    return receipt


async def send_finding(screen: Screen, path: Path, finding: EffectFinding) -> None:
    """Records the finding and sends it to the run. Raises `Misused` if no step asks what became of the effect."""
    async with open_seawall(path) as sea:
        if finding.target.startswith(EFFECT):
            await _settle_effect(screen, sea, finding)
        else:
            await _settle_in_run(screen, sea, finding)


async def _settle_effect(screen: Screen, sea: Seawall, finding: EffectFinding) -> None:
    if finding.step is not None:
        raise Misused(f"{finding.target} is an effect: it has no step {finding.step} to name")
    record = await sea.journal.effect(finding.target)
    row = await sea.journal.row(record.run)
    sending = _reconcile(sea, record.id, None, finding)
    arguments = None
    if record.arguments is not None:
        data = (await sea.journal.bodies(record.tenant, [record.arguments])).get(record.arguments)
        arguments = None if data is None else data.decode("utf-8", "replace")
    call = record.tool if arguments is None else format_call(record.tool, arguments, UNLIMITED)
    happened = "DID" if finding.failed is None else "did NOT"
    await send_command(
        screen, sea, row, "reconcile", sending, f"recorded: {call} {happened} happen ({record.id})"
    )


async def _settle_in_run(screen: Screen, sea: Seawall, finding: EffectFinding) -> None:
    row = await sea.journal.row(await sea.journal.find(finding.target))
    if row.state == "ended":
        raise Misused(
            f"run {row.run} has ended: {format_status(row)}; name the effect, as seawall effects lists it"
        )
    asked = [each for each in await read_waits(sea.journal, row.run) if each.kind == "unknown"]
    steps = ", ".join(str(each.step) for each in asked) or "none"
    chosen = [each for each in asked if finding.step in (None, each.step)]
    if not chosen:
        what = "nothing" if finding.step is None else f"step {finding.step}"
        raise Misused(f"run {row.run}: {what} asks what became of an effect (such steps: {steps})")
    if len(chosen) > 1:
        raise Misused(f"run {row.run} asks what became of {len(chosen)} effects: name the step ({steps})")
    (waiting,) = chosen
    sending = _reconcile(sea, row.run, waiting.step, finding)
    by = f", by {finding.by}" if finding.by else ""
    done = f"{format_decided(waiting, approved=finding.failed is None)} (step {waiting.step}{by})"
    await send_command(screen, sea, row, "reconcile", sending, done)


async def _reconcile(sea: Seawall, effect: str, step: int | None, finding: EffectFinding) -> None:
    await sea.reconcile(
        effect,
        step=step,
        committed=finding.committed,
        failed=finding.failed,
        credential=finding.credential,
        by=finding.by,
        reason=finding.reason,
    )
