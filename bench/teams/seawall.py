"""Seawall: not there yet."""

from __future__ import annotations

from pathlib import Path

from teams import Bench, Workload


async def setup(directory: Path, workload: Workload, variant: str) -> Bench:
    """Fails until the runtime has `Seawall`, `Team`, `Agent` and `tool`."""
    raise NotImplementedError("the Seawall adapter waits for seawall.Seawall, Team, Agent and tool")
