"""What holds for every test: no network beyond loopback, no skipping in CI, one Hypothesis profile."""

from __future__ import annotations

import functools
import gc
import ipaddress
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import typer.main
import typer.testing

IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

ROOM_BYTES = 2 * 1024**3
"""What must be free in memory. A run fills half of it if every directory is kept, and only those of failed tests are."""
LONGEST = re.compile(
    r"/(?:torture/test_torture|crash/test_\w+|memory/test_kill_points|bench/test_memory|cli/test_demo|cli/test_streams)[.]py$"
)

# Machines differ in speed, so no example has a deadline; a failure prints what reproduces it. 40 examples a run, because
# the whole suite has 20 minutes on two cores: other runs draw others, and `HYPOTHESIS_EXAMPLES=1000` draws more.
hypothesis.settings.register_profile(
    "seawall",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "40")),
)
hypothesis.settings.load_profile("seawall")


# Tests start hundreds of interpreters. Where the environment keeps Python from storing what it has compiled, each of them
# would compile Seawall and what it imports again, which takes three times as long as to import them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No test reaches a server by TLS. Where these name a file of certificates, each of the thousand clients that are made
# would read all of them, which takes longer than a test's calls.
for _variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(_variable, None)


# Typer's runner builds all commands anew each time that it is asked to call one, and that takes as long as many a test.
typer.testing._get_command = functools.cache(typer.main.get_command)  # pyright: ignore[reportPrivateImportUsage] -- it has no option for that


def _make_temporary_files_in_memory() -> None:
    """Journals are committed ten thousands of times, and each commit waits for the disk.

    No test can see that: a killed process loses nothing that it has written, and disks that fail are `journal.disk`.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free >= ROOM_BYTES:
        os.environ["TMPDIR"] = str(memory)
        tempfile.tempdir = None  # what was found before is forgotten


_make_temporary_files_in_memory()


def _is_loopback(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise RuntimeError(f"a test reached for the network: {event} {address!r}")
    elif event == "socket.getaddrinfo" and not _is_loopback(arguments[0]):
        raise RuntimeError(f"a test reached for the network: looked up {arguments[0]!r}")


sys.addaudithook(_forbid_network)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts what is in its background like that, and every process of a test would ignore Ctrl-C, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped_in_ci(report)
    if isinstance(collector, pytest.Directory) and collector.config.getoption("randomly_reorganize", False):
        _begin_elsewhere(report)
    return report


def _begin_elsewhere(report: pytest.CollectReport) -> None:
    """Lets each process that runs tests begin with other files of a folder, so that it finds the others compiled.

    In a fresh clone nothing is, and to compile modules takes longer than to import them. All processes have the tests in
    one order again once pytest-randomly has mixed them.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    found: list[pytest.Item | pytest.Collector] = list(report.result or ())
    first = len(found) * worker // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    report.result = found[first:] + found[:first]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest tests first: one that began as the last would run alone at the end.

    The process that begins with them has most of the crash tests, so few others start the servers that fork their workers.
    """
    items.sort(key=lambda item: LONGEST.search(item.path.as_posix()) is None)


def pytest_collection_finish() -> None:
    """Spares the garbage collector the modules and tests that stay to the end: looking through them takes long."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints how many kill points the tests have tried, of each kind (their property `kill points of …`)."""
    tried: dict[str, Counter[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, points in getattr(report, "user_properties", []):
            if name.startswith("kill points of "):
                tried.setdefault(name, Counter()).update(points)
    for name, points in sorted(tried.items()):
        kinds = ", ".join(f"{what} {n}" for what, n in points.most_common())
        terminalreporter.write_line(f"{points.total()} {name}: {kinds}")
