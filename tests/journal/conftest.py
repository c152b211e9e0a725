"""What the journal's tests share."""

from __future__ import annotations

import pytest

from seawall.testing import ManualClock

pytest.register_assert_rewrite(
    "journal.contract",
    "journal.contract_runs",
    "journal.contract_inbox",
    "journal.contract_records",
    "journal.contract_accounts",
    "journal.contract_decisions",
    "journal.contract_effects",
    "journal.contract_memory",
    "journal.effects_story",
    "journal.memory_story",
    "journal.contract_retention",
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
