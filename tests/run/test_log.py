"""Logs that share their store behave as values: older versions never see what was added to newer ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.core.persistent import Log, Seen

steps = st.lists(st.tuples(st.integers(0, 20), st.lists(st.integers(0, 9), max_size=3)), max_size=30)


@given(steps)
def test_a_log_appended_to_from_any_version_is_a_list_of_its_own(script: list[tuple[int, list[int]]]) -> None:
    versions: list[tuple[Log[int], list[int]]] = [(Log(), [])]

    for which, items in script:
        log, model = versions[which % len(versions)]
        versions.append((log.append(*items), [*model, *items]))

    for log, model in versions:
        assert list(log) == model
        assert len(log) == len(model)
        assert log == Log(model)
        assert [log.since(start) for start in range(4)] == [model[start:] for start in range(4)]
        assert [log[index] for index in range(-len(model), len(model))] == model + model
        for index in (len(model), -len(model) - 1):
            with pytest.raises(IndexError):
                log[index]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers()), max_size=30))
def test_what_was_seen_in_any_version_is_a_mapping_of_its_own(script: list[tuple[int, int, int]]) -> None:
    versions: list[tuple[Seen[int, int], dict[int, int]]] = [(Seen(), {})]

    for which, key, value in script:
        seen, model = versions[which % len(versions)]
        versions.append((seen.add(key, value), {key: value, **model}))

    for seen, model in versions:
        assert dict(seen.items()) == model
        assert len(seen) == len(model)
        assert [key in seen for key in range(10)] == [key in model for key in range(10)]
        assert [seen.get(key) for key in range(10)] == [model.get(key) for key in range(10)]
