"""`seawall.__all__` is the public list: complete, documented, and with the version told once."""

from __future__ import annotations

import importlib.metadata
import inspect
import tomllib
from types import ModuleType

import pytest

import seawall
import seawall.events
import seawall.lint
import seawall.testing
from house import code

LISTS = [
    pytest.param(module, id=module.__name__)
    for module in (seawall, seawall.events, seawall.lint, seawall.testing)
]


@pytest.mark.parametrize("module", LISTS)
def test_every_listed_name_is_there_once_and_says_what_it_is(module: ModuleType) -> None:
    names: list[str] = list(module.__all__)

    assert len(names) == len(set(names))
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{name} has no docstring"
            assert value.__module__.startswith("seawall"), f"{name} is not ours: {value.__module__}"


@pytest.mark.parametrize("module", LISTS)
def test_the_package_opens_with_where_things_live(module: ModuleType) -> None:
    assert len((module.__doc__ or "").splitlines()) > 2


def test_nothing_public_is_left_out_of_the_list() -> None:
    visible = {
        name
        for name, value in vars(seawall).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }

    listed: list[str] = vars(seawall)["__all__"]
    assert visible <= set(listed)


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((code.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert "version" not in project
    assert project["dynamic"] == ["version"]
    assert importlib.metadata.version("seawall") == seawall.__version__
