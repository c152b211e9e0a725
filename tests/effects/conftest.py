"""What these tests share: a bank and a fork server for each process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from effects.case import Case
from effects.job import Processes
from effects.world.client import Bank

pytest.register_assert_rewrite("effects.check")


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank that knows keys for a day. Tests use order numbers of their own."""
    made = Bank(tmp_path_factory.mktemp("bank"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Starts processes."""
    made = Processes()
    yield made
    made.close()


@pytest.fixture
def case(processes: Processes, bank: Bank, tmp_path: Path) -> Case:
    """A journal and an order of its own."""
    return Case(processes, bank, tmp_path)
