"""The meaning of duties, by the embedding of `seawall[lint]`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from seawall.lint.embedding import PACKAGE, Meaning, load_meaning


@pytest.fixture
def meaning() -> Meaning:
    found = load_meaning()
    assert found is not None, "the tests need the extra seawall[lint]"
    return found


def test_texts_of_like_meaning_are_closer_than_others(meaning: Meaning) -> None:
    space = meaning.place(
        [["repair the car"], ["fix the vehicle"], ["bake bread for the party"], ["sing a song"]]
    )

    assert space.find_closest(0, 1)[0] > space.find_closest(0, 2)[0]
    assert space.find_closest(0, 1)[0] > space.find_closest(0, 3)[0]


def test_the_closest_duties_of_two_agents_are_named(meaning: Meaning) -> None:
    space = meaning.place([["sing a song", "repair the car"], ["bake bread", "draw maps", "fix the vehicle"]])

    alike, first, second = space.find_closest(0, 1)

    assert (first, second) == (1, 2)
    assert 0.0 < alike <= 1.0


@pytest.mark.parametrize("texts", [[[""], [""]], [[], []], [["检查"], ["x" * 100_000]]])
def test_any_text_has_a_place(meaning: Meaning, texts: list[list[str]]) -> None:
    assert -1.001 <= meaning.place(texts).find_closest(0, 1)[0] <= 1.001


def test_without_the_package_there_is_no_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == PACKAGE else find(name))

    assert load_meaning.__wrapped__() is None


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, seawall.lint.overlap; "
        "print(sorted({'numpy', 'tokenizers', 'safetensors', 'wordllama'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_package_of_the_weights_is_never_imported() -> None:
    code = "import sys; from seawall.lint.embedding import load_meaning; load_meaning(); print('wordllama' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
