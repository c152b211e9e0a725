"""What the journal's tests share."""

from __future__ import annotations

import pytest

from seawall.testing import ManualClock

pytest.register_assert_rewrite("journal.contract")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
