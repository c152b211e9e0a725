"""`seawall.testing` where the extra `modelserver` is not installed."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules['h11'] = None\n"


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + script], capture_output=True, text=True, check=False
    )


def test_everything_can_be_imported_but_the_model_server() -> None:
    done = python("from seawall.testing import *; print(ScriptedModel.__name__, 'ModelServer' in globals())")

    assert (done.returncode, done.stdout, done.stderr) == (0, "ScriptedModel False\n", "")


def test_the_model_server_asked_for_by_name_says_what_it_needs() -> None:
    done = python("from seawall.testing import ModelServer")

    assert done.returncode == 1
    assert "pip install 'path/to/seawall[modelserver]'" in done.stderr
