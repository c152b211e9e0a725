"""Options explain themselves: every field has its unit, default and reason below it."""

from __future__ import annotations

import pytest
import reference

from seawall.core.events import Limits

OPTIONS = [*reference.defined("seawall", reference.is_options), Limits]


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in OPTIONS])
def test_every_field_has_a_text_below_it(cls: type) -> None:
    assert [field.name for field in reference.fields(cls) if not field.text] == []


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__name__) for cls in OPTIONS])
def test_every_options_class_has_a_text_of_its_own(cls: type) -> None:
    assert reference.text_of(cls)
