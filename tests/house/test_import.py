"""`import seawall` is quick and brings no provider, server, plotting or command-line library along."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp", "anthropic", "boto3", "botocore", "fastapi", "google", "groq", "httpcore", "httpx", "langchain",
    "langgraph", "logfire", "matplotlib", "mistralai", "numpy", "openai", "opentelemetry", "pandas", "plotly",
    "psycopg", "pydantic_ai", "requests", "rich", "starlette", "typer", "urllib3", "uvicorn", "websockets",
}  # fmt: skip
CPU_S = 0.3
"""What `import seawall` may take on the machine that the number was set on."""
PYDANTIC = 4.0
"""Slower machines are measured by the largest part of it: it may take this many times `import pydantic`."""

PROBE = """
import json, sys, time
times = [time.process_time()]
from pydantic import BaseModel, TypeAdapter
times.append(time.process_time())
import seawall
times.append(time.process_time())
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([times[2] - times[0], times[1] - times[0], names]))
"""


@pytest.fixture(scope="module")
def imports() -> list[tuple[float, float, set[str]]]:
    """Three new processes: processor seconds for `import seawall`, pydantic's share, and what was loaded."""
    runs: list[tuple[float, float, set[str]]] = []
    for _ in range(3):  # the first one may compile, as an installation does
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
        whole_s, pydantic_s, names = json.loads(done.stdout)
        runs.append((whole_s, pydantic_s, set(names)))
    return runs


def test_importing_seawall_loads_no_heavy_library(imports: list[tuple[float, float, set[str]]]) -> None:
    for _, _, names in imports:
        assert names & HEAVY == set()


def test_importing_seawall_stays_under_three_tenths_of_a_second(
    imports: list[tuple[float, float, set[str]]],
) -> None:
    # Processor time, and the best of three: what other processes do at the moment does not count.
    whole_s, pydantic_s, _ = min(imports)

    assert whole_s < max(CPU_S, PYDANTIC * pydantic_s)
