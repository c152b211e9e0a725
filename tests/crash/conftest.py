"""What the tests of crashes share: a fork server for each process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crash.fork_server import ForkServer

pytest.register_assert_rewrite("crash.check")


@pytest.fixture(scope="session")
def workers() -> Iterator[ForkServer]:
    made = ForkServer()
    yield made
    made.close()
