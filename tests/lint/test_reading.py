"""Readers: the plain form, CrewAI's files, and what is no team."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall import Misused
from seawall.lint import TeamDescription, lint_team, read_team
from seawall.lint.description import Place
