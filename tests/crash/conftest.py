"""What the tests of crashes share: a nursery of workers for each process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crash.nursery import Nursery

pytest.register_assert_rewrite("crash.check")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()
