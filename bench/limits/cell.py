"""The systems' processes, from the driver's side: one each, all alive for the whole benchmark, one at work at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from limits.asked import Asked, Reported, reported

_BENCH = Path(__file__).resolve().parent.parent
_START_S = 240.0
"""To import everything: CrewAI takes some 5 s on a quiet machine, and a machine may be busy with other benchmarks."""
_LINE_BYTES = 16 * 1024 * 1024
"""Of a report: one ending a run."""


class CellFailed(Exception):
    """A process brought no report; the message says why."""


class TookTooLong(CellFailed):
    """It did not end in time, and was killed: that is a result."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A line of the tables."""

    module: str
    label: str


SYSTEMS = {
    "seawall": System(module="seawall", label="Seawall"),
    "langchain": System(module="langchain", label="LangChain"),
    "openai-agents": System(module="openai_agents", label="OpenAI Agents"),
    "pydantic-ai": System(module="pydantic_ai", label="Pydantic AI"),
    "langchain-seawall": System(module="langchain_gated", label="LangChain with Seawall"),
    "openai-agents-seawall": System(module="openai_agents_gated", label="OpenAI Agents with Seawall"),
    "pydantic-ai-seawall": System(module="pydantic_ai_gated", label="Pydantic AI with Seawall"),
    "crewai": System(module="crew_ai", label="CrewAI"),
}


class Child:
    """One system's process; started when it is needed, and again after it had to be killed."""

    def __init__(self, system: System, python: Path, log: Path) -> None:
        self._system, self._python, self._log = system, python, log
        self._process: asyncio.subprocess.Process | None = None

    async def play(self, asked: Asked, cap_s: float) -> Reported:
        """Have it play one cell. Raises `CellFailed`, and `TookTooLong` after `cap_s`."""
        process = self._process or await self._start()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(asked.to_json().encode() + b"\n")
        try:
            async with asyncio.timeout(cap_s):
                line = await process.stdout.readline()
        except TimeoutError:
            await self.stop()
            raise TookTooLong(f"did not stop within {cap_s:g} s") from None
        if not line:
            await self.stop()
            raise CellFailed(self._last_words())
        return reported(line.decode())

    async def _start(self) -> asyncio.subprocess.Process:
        if not self._python.exists():
            raise CellFailed(f"not installed: there is no {self._python.parent.parent.name}")
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                str(self._python),
                *("-W", "ignore", "-m", "limits.child", self._system.module),
                cwd=_BENCH,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_BYTES,
            )
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if line != b"ready\n":
            await self.stop()
            raise CellFailed(self._last_words())
        return process

    def _last_words(self) -> str:
        """The last line that the process wrote names the error; those above it are frames with this machine's paths."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "ended without a word"

    async def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
