"""Seawall's gate around another system: an engine on a file, with the same limits and guards as Seawall has itself."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from limits.asked import MODEL, Asked, AskedRun, Bench
from limits.systems.seawall import PRICE, make_limits
from seawall import Engine, Limits, Loops

UNBOUNDED = 10_000
"""Of a framework's own limit that would only come before Seawall's."""


class Gate:
    """An engine for one cell."""

    def __init__(self, asked: Asked) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="limits-")
        limits = make_limits(asked)
        fitted = asked.config == "fitted"
        words = [f"{name} {value}" for name, value in limits.items()]
        words += [f"Loops(writes={asked.calls})"] if fitted else []
        self.words = ", ".join(words) or "nothing"
        self.engine = Engine(
            Path(self._directory.name) / "journal.db",
            effects=[one.name for one in asked.tools if one.effect],
            reads=[one.name for one in asked.tools if not one.effect],
            limits=Limits(**limits),
            guards=[Loops(writes=asked.calls)] if fitted else (),
            prices={f"openai:{MODEL}": PRICE},
        )

    async def close(self) -> None:
        """Close the journal."""
        await self.engine.aclose()
        self._directory.cleanup()


class Gated:
    """A system with Seawall's adapter in it."""

    def __init__(self, inner: Bench, gate: Gate, own: str) -> None:
        """`own`: what is configured of the framework itself."""
        self._inner, self._gate = inner, gate
        self.configured = f"Seawall: {gate.words}; {own}"
        self.version = f"seawall {version('seawall')}, {inner.version}"

    async def turn(self, run: AskedRun, number: int, request: str) -> str:
        """As the system itself."""
        return await self._inner.turn(run, number, request)

    async def close(self) -> None:
        """Close the system, and then the gate."""
        await self._inner.close()
        await self._gate.close()
