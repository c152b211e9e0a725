"""Options explain themselves: every field has its unit, default and reason below it."""

from __future__ import annotations

import pytest
import reference

from seawall.core.limits import Limits


@pytest.fixture(scope="module")
def options() -> list[type]:
    """Every class whose fields a user sets in Python; the command line has its own help."""
    found = reference.defined("seawall", reference.is_options)
    return [*(cls for cls in found if not cls.__module__.startswith("seawall.cli")), Limits]


def test_every_options_class_has_a_text_of_its_own(options: list[type]) -> None:
    assert [cls.__name__ for cls in options if not reference.text_of(cls)] == []


def test_every_field_of_every_options_class_has_a_text_below_it(options: list[type]) -> None:
    bare = [
        f"{cls.__name__}.{field.name}" for cls in options for field in reference.fields(cls) if not field.text
    ]

    assert bare == []
