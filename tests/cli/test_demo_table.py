"""How the demo looks: at every width, without colour, and where only ASCII can be shown."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from rich.console import Console

from seawall.cli.demo.report import DemoReport, make_report, make_scene_result
from seawall.cli.demo.results import DemoMode, Kill, ModeResult
from seawall.cli.demo.scenes import SCENES, get_scene
from seawall.cli.demo.single_run_scenes import DEADLINE_S, make_pruned
from seawall.cli.demo.table import DemoTable, format_outcome

FIGURES = dict.fromkeys(
    ("down", "held", "parked", "turned_away", "busiest", "late", "shed", "unanswered", "wrong"), 3
)
BILLED = {"acme": Decimal("0.01"), "bolt": Decimal("0.02")}


def take(mode: DemoMode = "enforce", **changes: Any) -> ModeResult:
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
    return ModeResult(mode=mode, **{**given, **changes})


def halted() -> ModeResult:
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


def report(*, played_by: str = "scripted") -> DemoReport:
    result = make_scene_result(
        get_scene("error"), take("observe", would_stop="loops"), halted(), played_by, Path("demo/desk.db")
    )
    return make_report([result], Path("demo/desk.db"), 2.0)


def shown(width: int, made: DemoReport, **options: Any) -> list[str]:
    file = io.StringIO()
    table = DemoTable(Console(file=file, width=width, highlight=False, force_terminal=True, **options))
    table.print_opening("Scripted models play them.")
    table.print_scene(made.scenes[0])
    table.print_closing(made, "A scripted reply takes 30 ms.")
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


def test_the_bar_has_a_scale_and_a_legend() -> None:
    lines = shown(80, report(), color_system=None)

    assert "  A bar shows the calls that reached the world; a full bar is 64 calls." in lines
    [scale] = [line for line in lines if "64 world" in line]
    [row] = [line for line in lines if line.startswith("     observe")]
    assert scale.index("0") == row.index("█")


def test_wide_rows_end_with_their_runs_id() -> None:
    rows = [line for line in shown(120, report(), color_system=None) if line.startswith("     enforce")]

    assert rows[0].endswith("r-0123456789abcdef")


def test_the_command_that_shows_more_is_whole_at_any_width() -> None:
    lines = shown(60, report(), color_system=None)

    assert "     seawall show r-0123456789abcdef --journal demo/desk.db" in lines


def test_what_was_saved_is_in_plain_words() -> None:
    assert report().saved == (
        "Prevented: 36 calls to the world (4 instead of 40) and $0.0384 of model calls ($0.0025 instead of $0.0409). "
        "The requests took 1.5 s instead of 1.5 s."
    )


def test_where_nothing_was_stopped_nothing_is_said_to_be_saved() -> None:
    result = make_scene_result(get_scene("good"), take("observe"), take(), "acme:one", Path("desk.db"))

    assert make_report([result], Path("desk.db"), 1.0).saved == (
        "Nothing had to be stopped: 40 calls to the world in either mode."
    )


def test_kills_are_counted_over_all_takes() -> None:
    kill = Kill(signal=9, calls=4, recorded=3, repeated=1, again=1)
    crash = make_scene_result(
        get_scene("crash"), take("observe", kill=kill), take(kill=kill), "scripted", Path("desk.db")
    )

    made = make_report([crash], Path("desk.db"), 1.0)

    assert (
        made.saved
        == "2 processes were killed with 6 recorded calls between them; 2 of those were made again."
    )
    assert not made.ok


def test_ascii_is_enough() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # strict: anything else raises
    table = DemoTable(Console(file=file, width=80, highlight=False))
    for scene in SCENES:
        observe, enforce = (
            msgspec.structs.replace(each, figures=FIGURES, billed=BILLED)
            for each in (take("observe", usd=None), halted())
        )
        table.print_scene(make_scene_result(scene, observe, enforce, "acme:one", Path("desk.db")))
    made = report(played_by="acme:one")
    table.print_opening("Scripted models play them.")
    table.print_closing(made, "A scripted reply takes 30 ms.")
    file.flush()
    assert b"A scripted reply takes 30 ms." in cast("io.BytesIO", file.buffer).getvalue()


def test_an_outcome_is_two_or_three_words() -> None:
    assert format_outcome(take(ends={"waits for a person": 1})) == "waits for a person"
    assert format_outcome(take(ends={"failed": 1})) == "failed"
    assert format_outcome(halted()) == "halted by loops"


def test_the_outcome_of_many_runs_counts_them() -> None:
    ends = {"halted by budget": 3, "completed, reviewed": 8, "completed": 1}

    assert format_outcome(take(ends=ends)) == "9 completed, 3 halted"


def test_a_scene_is_not_played_with_more_and_more_time_for_ever() -> None:
    scene, waited = make_pruned(DEADLINE_S), [DEADLINE_S]
    while (slower := scene.make_slower(halted())) is not None:
        scene = slower
        waited.append(scene.limits.active_s)

    assert waited == [0.6, 1.2, 2.4, 4.8, 9.6]
