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

PROBE = """
import json, sys, time
before = time.process_time()
import seawall
print(json.dumps([time.process_time() - before, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture(scope="module")
def imports() -> list[tuple[float, set[str]]]:
    """Three times: the processor seconds of `import seawall` in a new process, and what it loaded."""
    runs: list[tuple[float, set[str]]] = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
        cpu_s, names = json.loads(done.stdout)
        runs.append((cpu_s, set(names)))
    return runs


def test_importing_seawall_loads_no_heavy_library(imports: list[tuple[float, set[str]]]) -> None:
    for _, names in imports:
        assert names & HEAVY == set()


def test_importing_seawall_stays_under_three_tenths_of_a_second(
    imports: list[tuple[float, set[str]]],
) -> None:
    # Processor time, and the best of three: what other processes do at the moment does not count.
    assert min(cpu_s for cpu_s, _ in imports) < CPU_S
