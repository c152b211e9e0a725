"""`seawall runs` with filters, tables at every width, and the ends that people set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len

from cli.desks import Desks
from seawall import Misused, RunFilter


def test_runs_are_filtered_by_text_time_team_principal_and_all_together(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is ORDER 1042?", "--principal", "ann", "--tenant", "acme")
    desks("run", desks.app("looping"), "Is there any?", "--principal", "bob")
    desks(
        "run",
        desks.app("desk"),
        "Refund order 7, key sk-proj-0123456789abcdef0123456789abcdef0123456789abcdef",
    )

    def listed(*words: str) -> list[str]:
        found = desks("runs", *words, "--json")
        assert found.exit_code == 0
        return [f"{row['team']} {row['tenant']}".strip() for row in found.document["runs"]]

    assert listed("--text", "order") == ["desk", "desk acme"]
    assert listed("--text", "order", "--limit", "1") == ["desk"]
    assert listed("--text", "sk-proj-0123456789") == [], "a secret can't be looked for: it is not recorded"
    assert listed("--team", "looper") == ["looper"]
    assert listed("--principal", "ann") == ["desk acme"]
    assert listed("--since", "1h", "--until", "0s") == ["desk", "looper", "desk acme"]
    assert listed("--until", "1h") == []
    since = ("--since", "2000-01-01", "--status", "completed", "--state", "ended")
    assert listed(*since, "--team", "desk", "--principal", "ann", "--tenant", "acme", "--text", "where") == [
        "desk acme"
    ]
    assert listed("--principal", "bob", "--team", "desk") == []
    assert (
        "no runs in seawall.db with team nobody, text x"
        in desks("runs", "--text", "x", "--team", "nobody").err
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--since", "soon"), "--since soon: write a time such as 2026-11-29"),
        (("--until", "25:00"), "--until 25:00: write a time such as 2026-11-29"),
        (("--since", "1h", "--until", "2h"), "--since 1h is not before --until 2h"),
        (("--text", ""), "--text is empty: every request holds that"),
        (("--team", "\udcff"), "--team is '\\udcff', which has no UTF-8"),
        (("--state", "asleep"), "--state asleep: it is one of running"),
    ],
)
def test_a_filter_that_fits_no_run_is_refused_with_its_value(
    desks: Desks, words: tuple[str, ...], message: str
) -> None:
    desks("run", desks.app("desk"), "Hi.")

    done = desks("runs", *words)

    assert (done.exit_code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize("command", ["show", "why", "replay", "resume", "cancel"])
def test_a_name_that_is_no_text_is_not_taken_for_damage(desks: Desks, command: str) -> None:
    desks("run", desks.app("desk"), "Hi.")

    done = desks(command, "\udcff")

    assert done.exit_code == 2
    assert "has no UTF-8" in done.err


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_every_table_keeps_to_its_columns_and_cuts_no_name(desks: Desks, width: int) -> None:
    first = desks("run", desks.app("parked"), "\u4e2d\u6587 " * 30, "--tenant", "\u4e2d", "--json").document[
        "run"
    ]
    run = desks("run", desks.app("looping"), "Hi.", "--session", "s" * 20, "--json").document["run"]
    desks("pause", "--tool", "stock", "--by", "kim", "--why", "the warehouse moves " * 4)
    desks("guards", "set", "loops", "observe", "--for", "36h", "--by", "kim", "--why", "too many alarms " * 4)
    desks("breakers", "--isolate", "stock", "--by", "kim", "--why", "they migrate to another system " * 3)

    for words in (
        ("runs",),
        ("breakers",),
        ("guards",),
        ("pause",),
        ("budget",),
        ("show", first),
        ("show", run),
        ("show", first, "--full"),
        ("why", first),
        ("why", run),
        ("replay", run, "--mode", "loops=off"),
    ):
        for line in desks(*words, width=width).out.splitlines():
            assert cell_len(line) <= width or len(line.split()) == 1, (words, line)
    assert {first, run} <= set(desks("runs", width=width).out.split())
    assert "tool:stock" in desks("breakers", width=width).out.split()
    assert "tool:stock" in desks("pause", width=width).out.split()


@pytest.mark.parametrize("columns", [None, "", "0", "wide", "-5"])
def test_a_pipe_without_columns_gets_whole_tables(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    desks("run", desks.app("desk"), "Hi.", "--session", "s" * 200)
    if columns is None:
        monkeypatch.delenv("COLUMNS")
    else:
        monkeypatch.setenv("COLUMNS", columns)

    done = desks("runs")

    assert "s" * 200 in done.out
    assert done.err == ""


def test_a_name_of_several_lines_is_one_line(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Hi.")
    forged = "a\nok: all is well"

    lists = [desks(each, "--tenant", forged) for each in ("runs", "approvals", "effects")]
    desks("guards", "set", forged, "off")

    assert all(done.err.endswith("with tenant a ok: all is well\n") for done in lists)
    assert desks("runs", "--tenant", "", "--team", "x").err.endswith("with tenant '', team x\n")
    assert [line[:18] for line in desks("guards").out.splitlines() if "ok: all" in line] == [
        "a ok: all is well "
    ]


def test_one_long_name_takes_no_column_from_the_other_rows(desks: Desks) -> None:
    long = "x" * 300
    for tenant in ("acme", "ajax", long):
        desks("run", desks.app("desk"), "Hi.", "--tenant", tenant)
        desks("pause", "--tenant", tenant, "--by", "ann")

    paused, spent = desks("pause", width=80), desks("budget", width=80)

    assert "PAUSED       BY   SINCE" in paused.out
    assert f"tenant:{long}" in paused.out.splitlines()
    assert "not shown" not in paused.err + spent.err
    assert paused.out.count("ann") == 3


@pytest.mark.parametrize(
    ("given", "shown"),
    [("90min", "1 h 30 min"), ("90s", "1 min 30 s"), ("1h30m15s", "1 h 30 min 15 s"), ("2w", "14 d")],
)
def test_an_end_is_shown_as_it_was_given(desks: Desks, given: str, shown: str) -> None:
    desks("run", desks.app("looping"), "Hi.")

    for words in (("guards", "set", "loops", "observe"), ("breakers", "--isolate", "stock")):
        assert f"({shown})" in desks(*words, "--for", given, width=200).out


@pytest.mark.parametrize(
    "words", [("pause", "--tool", "x"), ("guards", "set", "loops", "off"), ("breakers", "--open", "stock")]
)
def test_an_end_beyond_every_calendar_is_refused(desks: Desks, words: tuple[str, ...]) -> None:
    desks("run", desks.app("looping"), "Hi.")

    done = desks(*words, "--for", "99999999d")

    assert done.exit_code == 2
    assert "--for 99999999d: write a number above zero and a unit" in done.err


@pytest.mark.parametrize("odd", ["yesterday", datetime(2026, 11, 29, tzinfo=UTC), True])
def test_a_time_that_is_no_number_is_misuse_and_not_an_empty_list(odd: Any) -> None:
    for name in ("since", "until"):
        with pytest.raises(Misused, match=f"RunFilter: {name} is .*; it must be seconds since 1970"):
            RunFilter(**{name: odd})
