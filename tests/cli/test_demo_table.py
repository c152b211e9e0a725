"""How the demo looks: at every width, without colour, and where only ASCII can be shown."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from seawall.cli.demo.alone import DEADLINE_S, pruned
from seawall.cli.demo.report import Report, report_of, result_of
from seawall.cli.demo.scenes import SCENES, scene_named
from seawall.cli.demo.table import Table, outcome
from seawall.cli.demo.take import Guarded, Kill, Take

FIGURES = dict.fromkeys(
    ("down", "held", "parked", "turned_away", "busiest", "late", "shed", "unanswered", "wrong"), 3
)
BILLED = {"acme": Decimal("0.01"), "bolt": Decimal("0.02")}


def take(mode: Guarded = "enforce", **changes: Any) -> Take:
    given: dict[str, Any] = {
        "run": "r-0123456789abcdef",
        "state": "completed",
        "reviewed": True,
        "stopped_by": None,
        "reason": None,
        "error": None,
        "would_stop": None,
        "answer": "Refunded.",
        "waits_at": None,
        "pruned": [],
        "ends": {"completed, reviewed": 1},
        "calls": 40,
        "calls_by_tool": {"track_parcel": 40},
        "payments": [],
        "paid_again": 0,
        "recorded_calls": 40,
        "cut_calls": 0,
        "effects": [],
        "model_calls": 50,
        "tokens": 1000,
        "unsettled_tokens": 0,
        "usd": Decimal("0.0409"),
        "billed": {"": Decimal("0.0409")},
        "seconds": 1.5,
        "figures": {},
    }
    return Take(mode=mode, **{**given, **changes})


def halted() -> Take:
    reason = "tool 'track_parcel' returned nothing new 3 times in a row (limit 3)"
    calls = {"calls": 4, "calls_by_tool": {"track_parcel": 4}, "recorded_calls": 4}
    return take(
        state="halted",
        ends={"halted by loops": 1},
        reviewed=None,
        stopped_by="loops",
        reason=reason,
        usd=Decimal("0.0025"),
        billed={"": Decimal("0.0025")},
        **calls,
    )


def report(*, played_by: str = "scripted") -> Report:
    result = result_of(
        scene_named("error"), take("observe", would_stop="loops"), halted(), played_by, Path("demo/desk.db")
    )
    return report_of([result], Path("demo/desk.db"), 2.0)


def shown(width: int, made: Report, **options: Any) -> list[str]:
    file = io.StringIO()
    table = Table(Console(file=file, width=width, highlight=False, force_terminal=True, **options))
    table.opening("Scripted models play them.")
    table.scene(1, made.scenes[0])
    table.closing(made, "A scripted reply takes 30 ms.")
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_but_a_command_is_wider_than_the_screen(width: int) -> None:
    lines = shown(width, report(), no_color=True, color_system=None)

    assert max(len(line) for line in lines if "seawall " not in line) <= max(width, 70)
    assert not any("\x1b" in line for line in lines)


def test_both_takes_are_rows_with_their_figures() -> None:
    lines = shown(80, report(), color_system=None)

    [observe] = [line.split() for line in lines if line.startswith("     observe")]
    [enforce] = [line.split() for line in lines if line.startswith("     enforce")]
    assert observe[2:] == ["40", "$0.0409", "1.50", "s", "completed,", "reviewed"]
    assert enforce[2:] == ["4", "$0.0025", "1.50", "s", "halted", "by", "loops"]


def test_wide_rows_end_with_their_runs_id() -> None:
    rows = [line for line in shown(120, report(), color_system=None) if line.startswith("     enforce")]

    assert rows[0].endswith("r-0123456789abcdef")


def test_the_command_that_shows_more_is_whole_at_any_width() -> None:
    lines = shown(60, report(), color_system=None)

    assert "     seawall show r-0123456789abcdef --journal demo/desk.db" in lines


def test_what_was_saved_is_in_plain_words() -> None:
    assert report().saved == (
        "With the guards enforced, the same requests made 4 calls to the world instead of 40, cost $0.0025 instead "
        "of $0.0409, and took 1.5 s instead of 1.5 s."
    )


def test_where_nothing_was_stopped_nothing_is_said_to_be_saved() -> None:
    result = result_of(scene_named("good"), take("observe"), take(), "acme:one", Path("desk.db"))

    assert report_of([result], Path("desk.db"), 1.0).saved == (
        "Nothing had to be stopped: 40 calls to the world in either mode."
    )


def test_kills_are_counted_over_all_takes() -> None:
    kill = Kill(signal=9, calls=4, recorded=3, repeated=1, again=1)
    crash = result_of(
        scene_named("crash"), take("observe", kill=kill), take(kill=kill), "scripted", Path("desk.db")
    )

    made = report_of([crash], Path("desk.db"), 1.0)

    assert (
        made.saved
        == "2 processes were killed with 6 recorded calls between them; 2 of those were made again."
    )
    assert not made.ok


def test_ascii_is_enough() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # strict: anything else raises
    table = Table(Console(file=file, width=80, highlight=False))
    for scene in SCENES:
        observe, enforce = (
            msgspec.structs.replace(each, figures=FIGURES, billed=BILLED)
            for each in (take("observe", usd=None), halted())
        )
        table.scene(1, result_of(scene, observe, enforce, "acme:one", Path("desk.db")))
    made = report(played_by="acme:one")
    table.opening("Scripted models play them.")
    table.closing(made, "A scripted reply takes 30 ms.")
    file.flush()


def test_an_outcome_is_two_or_three_words() -> None:
    assert outcome(take(ends={"waits for a person": 1})) == "waits for a person"
    assert outcome(take(ends={"failed": 1})) == "failed"
    assert outcome(halted()) == "halted by loops"


def test_the_outcome_of_many_runs_counts_them() -> None:
    ends = {"halted by budget": 3, "completed, reviewed": 8, "completed": 1}

    assert outcome(take(ends=ends)) == "9 completed, 3 halted"


def test_a_scene_is_not_played_with_more_and_more_time_for_ever() -> None:
    scene, waited = pruned(DEADLINE_S), [DEADLINE_S]
    while (slower := scene.slower(halted())) is not None:
        scene = slower
        waited.append(scene.limits.active_s)

    assert waited == [0.6, 1.2, 2.4, 4.8, 9.6]
