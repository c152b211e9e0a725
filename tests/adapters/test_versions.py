"""Which versions of a framework an adapter takes: the same in its code, its extra, its tests and its documentation."""

from __future__ import annotations

import ast
import importlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from lowest_versions import read_lowest

from house import code
from seawall import Misused
from seawall.adapters import versions
from seawall.adapters.mcp.connection import McpConnection
from seawall.adapters.mcp.servers import read_servers
from seawall.adapters.versions import check_version

FOLDER = code.SRC / "adapters"
SHARED = {"langchain_core"}
"""No adapters: what adapters share."""
APART = code.ROOT / "tests" / "apart"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What an adapter says of the versions of its framework."""

    adapter: str
    package: str
    lowest: str
    below: str
    extra: str


def find_checks() -> list[Checked]:
    """Returns what each adapter tells `check_version`."""
    return [
        Checked(
            adapter=path.relative_to(FOLDER).parts[0],
            package=ast.literal_eval(call.args[0]),
            **{str(each.arg): ast.literal_eval(each.value) for each in call.keywords},
        )
        for path in sorted(FOLDER.glob("*/*.py"))
        for call in ast.walk(code.tree(path))
        if isinstance(call, ast.Call) and code.dotted(call.func) == "check_version"
    ]


CHECKS = find_checks()
EACH = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.adapter)


def find_pin(pins: Path, package: str) -> str:
    """Returns the version of a package that a file of pins has. Raises `ValueError` if it has none, or two."""
    (found,) = re.findall(
        rf"^{re.escape(package)}==([^\s;]+)", pins.read_text(encoding="utf-8"), re.MULTILINE
    )
    return found


def find_newest(check: Checked) -> str:
    """Returns the version that `make test` runs: of a framework that can't live in .venv, in its own environment."""
    apart = APART / f"constraints-{check.extra}.txt"
    return find_pin(apart if apart.exists() else code.ROOT / "constraints.txt", check.package)


def read(text: str) -> tuple[int, ...]:
    return versions._read_version(text)


def test_every_adapter_checks_the_version_of_its_framework() -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert {check.adapter for check in CHECKS} == folders - SHARED


@EACH
def test_the_lowest_version_is_that_of_the_extra_and_of_the_tests(check: Checked) -> None:
    assert read_lowest(check.extra)[check.package] == check.lowest
    lowest = find_pin(APART / f"constraints-{check.extra}-lowest.txt", check.package)
    assert read(lowest) == read(check.lowest)


@EACH
def test_the_newest_version_that_is_tested_is_in_the_range(check: Checked) -> None:
    assert read(check.lowest) <= read(find_newest(check)) < read(check.below)


@EACH
def test_the_documentation_has_the_range(check: Checked) -> None:
    page = (code.ROOT / "docs" / "explanation" / "adapters.md").read_text(encoding="utf-8")
    row = f"| `seawall[{check.extra}]` | {check.package} | {check.lowest} | {find_newest(check)} | {check.below} |"
    assert row in page


def load(adapter: str) -> None:
    """Imports an adapter as if for the first time; that of MCP looks when it connects, as others read its pins."""
    if adapter == "mcp":
        (server,) = read_servers({"bank": ["bank-mcp"]})
        McpConnection(server)
    else:
        importlib.reload(importlib.import_module(f"seawall.adapters.{adapter}"))


def is_in_venv(check: Checked) -> bool:
    return not (APART / f"constraints-{check.extra}.txt").exists()


HERE = pytest.mark.parametrize(
    "check", [check for check in CHECKS if is_in_venv(check)], ids=lambda check: check.adapter
)


@HERE
def test_an_adapter_says_at_import_that_its_framework_is_too_new(
    monkeypatch: pytest.MonkeyPatch, check: Checked
) -> None:
    monkeypatch.setattr(versions, "version", lambda package: f"{check.below}.1")
    with pytest.warns(UserWarning, match=re.escape(f"{check.below}.1 is installed")):
        load(check.adapter)


@HERE
def test_an_adapter_is_not_imported_beside_a_framework_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch, check: Checked
) -> None:
    monkeypatch.setattr(versions, "version", lambda package: "0.1")
    with pytest.raises(Misused, match=re.escape(f"needs {check.package} {check.lowest} or newer, and 0.1")):
        load(check.adapter)


@HERE
def test_an_adapter_without_its_framework_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, check: Checked
) -> None:
    def find_nothing(package: str) -> str:
        raise versions.PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", find_nothing)
    with pytest.raises(Misused, match=re.escape(f"pip install 'path/to/seawall[{check.extra}]'")):
        load(check.adapter)


@pytest.mark.parametrize("found", ["1.5", "1.5.0", "1.5.0.post1", "1.9.12", "1.10"])
def test_a_version_in_the_range_is_silent(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(versions, "version", lambda package: found)
    with warnings.catch_warnings(record=True) as told:
        check_version("desk", lowest="1.5", below="2.0", extra="desk")
    assert told == []


@pytest.mark.parametrize("found", ["2", "2.0", "2.0.0rc1", "2.0.1", "10.0"])
def test_a_newer_version_is_told(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(versions, "version", lambda package: found)
    with pytest.warns(UserWarning, match="test what it gates"):
        check_version("desk", lowest="1.5", below="2.0", extra="desk")


@pytest.mark.parametrize("found", ["1", "1.4.99", "0.15"])
def test_an_older_version_is_refused(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(versions, "version", lambda package: found)
    with pytest.raises(Misused, match=r"desk 1\.5 or newer"):
        check_version("desk", lowest="1.5", below="2.0", extra="desk")
