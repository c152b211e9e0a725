"""The suite's own rules: no network beyond loopback, and nothing skipped in CI."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

import warm_python
from house import code

SKIPPED = {
    "a test": "import pytest\ndef test_it():\n    pytest.skip('not here')\n",
    "a module": "import pytest\npytest.importorskip('no_such_module_anywhere')\ndef test_it():\n    pass\n",
}


def test_a_connection_to_elsewhere_is_refused_before_it_is_made() -> None:
    with pytest.raises(RuntimeError, match=r"192\.0\.2\.1"), socket.socket() as sock:
        sock.connect(("192.0.2.1", 80))


def test_a_name_is_not_looked_up_elsewhere() -> None:
    with pytest.raises(RuntimeError, match=r"example\.invalid"):
        socket.getaddrinfo("example.invalid", 80)


def test_loopback_works() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("what", SKIPPED)
@pytest.mark.parametrize(("ci", "exit_code"), [("true", 1), ("", 0)])
def test_what_is_skipped_fails_in_ci_alone(tmp_path: Path, what: str, ci: str, exit_code: int) -> None:
    shutil.copy(code.ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "test_one.py").write_text(
        f"{SKIPPED[what]}\n\ndef test_other():\n    pass\n", encoding="utf-8"
    )
    if what == "a module":  # a run that collected nothing at all has an exit code of its own
        (tmp_path / "test_two.py").write_text("def test_two():\n    pass\n", encoding="utf-8")

    done = warm_python.run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci},
        text=True,
    )

    failed = 1 if done.returncode in (1, 2) else done.returncode  # 2: it failed at collection
    assert failed == exit_code, done.stdout + done.stderr
