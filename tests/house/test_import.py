"""`import seawall` loads little and brings no provider, server, plotting or command-line library along."""

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
MAX_MODULES = 600
"""Modules that `import seawall` may load, those of Python and of pydantic included: some 540 are loaded."""

PROBE = """
import json, sys
import seawall
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def modules() -> list[str]:
    """What a new process has loaded after `import seawall`."""
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_seawall_loads_no_heavy_library(modules: list[str]) -> None:
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()


def test_importing_seawall_loads_few_modules(modules: list[str]) -> None:
    assert len(modules) < MAX_MODULES
