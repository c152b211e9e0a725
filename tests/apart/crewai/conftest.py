"""CrewAI tells nobody of these tests, and keeps its files where they are thrown away."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import pytest

os.environ.update(
    CREWAI_DISABLE_TELEMETRY="true",
    CREWAI_DISABLE_TRACKING="true",
    CREWAI_TRACING_ENABLED="false",
    CREWAI_TESTING="true",
    OTEL_SDK_DISABLED="true",
    XDG_DATA_HOME=tempfile.mkdtemp(prefix="crewai-"),
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of itself while it is imported
    import crewai  # noqa: F401 -- it is imported for that

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CrewAI uses what it has deprecated itself. Every other warning is an error here, too."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(r"ignore::DeprecationWarning:crewai(\..*)?"))
