"""The demo checks itself by what its worlds counted; here the worlds' files are read once more."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

import warm_python
from seawall import Broken, Misused
from seawall.cli.commands.demo import demo
from seawall.cli.demo import scenes, single_run_scenes
from seawall.cli.demo.results import CheckedClaim
from seawall.cli.demo.scripts import behave_well
from seawall.models import providers
from seawall.models.protocol import ModelRequest, System
from seawall.models.scripted import Entry, ScriptedModel, fail

Counters = dict[str, int]
LOOKS: Counters = {"find_order": 1, "track_parcel": 1}
PAID: Counters = {**LOOKS, "refund": 1}

EXPECTED: dict[str, tuple[Counters, Counters]] = {
    "good": ({**PAID, "find_payment": 1}, {**PAID, "find_payment": 1}),
    "error": ({"track_parcel": 40}, {"track_parcel": 4}),
    "ping-pong": ({"find_order": 20, "track_parcel": 20}, {"find_order": 4, "track_parcel": 4}),
    "undo": ({"stop_parcel": 8, "send_parcel": 8}, {"stop_parcel": 5, "send_parcel": 5}),
    "heed": ({**PAID, "track_parcel": 12, "find_payment": 1}, {**PAID, "track_parcel": 2, "find_payment": 1}),
    "writes": ({"refund": 64}, {"refund": 25}),
    "fan-out": ({"find_order": 64}, {"find_order": 24}),
    "crash": ({**PAID, "find_payment": 2}, {**PAID, "find_payment": 2}),
    "unknown": (PAID, PAID),
    "signed": (
        {"find_order": 2, "track_parcel": 2, "refund": 2, "find_payment": 3},
        {"find_order": 2, "track_parcel": 2, "refund": 1, "find_payment": 2},
    ),
    "rogue": (
        {**PAID, "find_payment": 1},
        {"find_order": 2, "track_parcel": 2, "refund": 1, "find_payment": 1},
    ),
    "wrong": ({**PAID, "find_payment": 1}, {**PAID, "find_payment": 1}),
    "roles": ({"find_order": 2, "track_parcel": 2, "refund": 2}, {**PAID, "find_payment": 1}),
    "claimed": (PAID, LOOKS),
    "argue": ({}, {}),
}
"""What each world counts, by tool: observed, enforced. Of scenes of one run; the others are in `test_demo_many_runs`."""

STATES = {
    "good": ("completed", "completed"),
    "error": ("completed", "halted"),
    "ping-pong": ("completed", "halted"),
    "undo": ("completed", "halted"),
    "heed": ("completed", "completed"),
    "writes": ("completed", "halted"),
    "fan-out": ("completed", "completed"),
    "crash": ("completed", "completed"),
    "unknown": ("waiting", "waiting"),
    "signed": ("completed", "completed"),
    "rogue": ("completed", "cancelled"),
    "wrong": ("completed", "completed"),
    "roles": ("completed", "completed"),
    "claimed": ("completed", "completed"),
    "argue": ("completed", "completed"),
}
PAYMENTS: dict[str, tuple[int, int]] = {
    "writes": (64, 25),
    "signed": (2, 1),
    "rogue": (1, 1),
    "roles": (2, 1),
}
"""Where more than one order is paid back, or one of them twice."""
CROWDS = ("storm", "tenant", "pause", "crowd")
TIMED = ("slow", "pruned")
"""Where a machine that is too busy makes no more calls than these, and maybe less."""

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Play:
    """Plays scenes into `tmp_path` and gives the document."""

    def play(*names: str, **options: Any) -> dict[str, Any]:
        demo(scene=list(names), directory=tmp_path, pace_ms=0.0, json=True, **options)
        return json.loads(capsys.readouterr().out)

    return play


def counted(directory: Path, scene: str, mode: str) -> Counters:
    with closing(sqlite3.connect(directory / f"world-{scene}-{mode}.db")) as world:
        return dict(world.execute("SELECT tool, count(*) FROM calls GROUP BY tool"))


def payments(directory: Path, scene: str, mode: str) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(directory / f"world-{scene}-{mode}.db")) as world:
        return world.execute("SELECT order_id, cents FROM payments").fetchall()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scene_comes_out_as_claimed_by_its_worlds_count(name: str, play: Play, tmp_path: Path) -> None:
    report = play(name)

    [scene] = report["scenes"]
    assert report["ok"]
    assert scene["name"] == name
    for mode, calls, state in zip(("observe", "enforce"), EXPECTED[name], STATES[name], strict=True):
        take = scene[mode]
        assert counted(tmp_path, name, mode) == calls
        assert take["calls_by_tool"] == calls
        assert take["calls"] == take["recorded_calls"] == sum(calls.values())
        assert take["state"] == state
        if name in PAYMENTS:
            assert len(payments(tmp_path, name, mode)) == PAYMENTS[name][mode == "enforce"]
        else:
            assert payments(tmp_path, name, mode) == ([("1042", 5140)] if "refund" in calls else [])


def test_every_scene_is_tested() -> None:
    assert set(EXPECTED) == set(STATES) == set(scenes.NAMES) - {*CROWDS, *TIMED}


def test_the_story_is_six_scenes_and_all_of_them_are_numbered_in_the_order_of_play() -> None:
    assert [scene.name for scene in scenes.STORY] == [
        "error",
        "tenant",
        "pruned",
        "unknown",
        "signed",
        "rogue",
    ]
    assert scenes.SCENES[:6] == scenes.STORY
    assert [scenes.get_number(name) for name in scenes.NAMES] == list(range(1, 22))


def test_without_options_it_plays_the_story_and_says_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenes, "STORY", (scenes.get_scene("good"),))

    demo(directory=tmp_path, pace_ms=0.0)

    out, err = capsys.readouterr()
    assert " 11  A good request\n" in out
    assert err == " 11  good\n"
    assert "demo --all plays all 21 scenes" in _one_line(out)
    assert "demo --scene wrong shows a wrong answer that no guard stops" in _one_line(out)


def test_all_scenes_and_one_scene_are_not_asked_for_together(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="--all and --scene: give one of them"):
        demo(all_=True, scene=["good"], directory=tmp_path)


def test_what_is_not_caught_is_said_to_be_not_caught(play: Play) -> None:
    [scene] = play("wrong")["scenes"]

    take = scene["enforce"]
    assert (take["state"], take["reviewed"], take["would_stop"]) == ("completed", True, None)
    assert take["figures"] == {"wrong": 1}
    assert scene["lesson"].startswith("Not caught")


def test_a_deadline_ends_a_run_before_its_slow_hop_has_answered(play: Play, tmp_path: Path) -> None:
    [scene] = play("slow")["scenes"]

    assert counted(tmp_path, "slow", "observe") == {"track_parcel": 1}
    assert counted(tmp_path, "slow", "enforce").items() <= {"track_parcel": 1}.items()
    assert (scene["observe"]["state"], scene["enforce"]["state"]) == ("completed", "halted")
    assert scene["observe"]["figures"] == {"unanswered": 0}
    assert scene["enforce"]["figures"] == {"unanswered": scene["enforce"]["calls"]}


def test_an_answer_in_time_says_what_it_lacks(play: Play) -> None:
    [scene] = play("pruned")["scenes"]

    assert (scene["observe"]["state"], scene["enforce"]["state"]) == ("halted", "completed")
    assert scene["observe"]["answer"] is None
    assert "tool:track_parcel" in scene["enforce"]["pruned"]
    assert "51.40 EUR" in scene["enforce"]["answer"]


def test_a_scene_that_a_busy_machine_can_not_play_in_time_is_played_again_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scenes, "SCENES", (single_run_scenes.make_pruned(0.001),))  # a commit takes as long

    demo(scene=["pruned"], directory=tmp_path, pace_ms=0.0, json=True)

    [scene] = json.loads(capsys.readouterr().out)["scenes"]
    assert "51.40 EUR" in scene["enforce"]["answer"]
    assert "waits 0.001 s" not in scene["story"]
    assert (tmp_path / "world-pruned-enforce-2.db").exists()


def test_the_good_request_costs_and_answers_the_same_in_both_modes(play: Play) -> None:
    [scene] = play("good")["scenes"]

    observe, enforce = (
        {**scene[mode], "seconds": 0, "run": "", "mode": ""} for mode in ("observe", "enforce")
    )
    assert observe == enforce
    assert enforce["reviewed"] is True
    assert "51.40 EUR" in enforce["answer"]


def test_a_kill_repeats_no_recorded_call_and_an_unknown_refund_waits(play: Play) -> None:
    unknown, crash = play("crash", "unknown")["scenes"]

    for mode in ("observe", "enforce"):
        assert crash[mode]["kill"] == {"signal": 9, "calls": 4, "recorded": 3, "repeated": 0, "again": 1}
        assert crash[mode]["effects"] == ["committed"]
        assert unknown[mode]["kill"] == {"signal": 9, "calls": 3, "recorded": 2, "repeated": 0, "again": 0}
        assert unknown[mode]["effects"] == ["unknown"]
        assert unknown[mode]["waits_at"] is not None


def test_a_refund_is_signed_off_by_two_people_and_asked_for_again_in_vain(play: Play, tmp_path: Path) -> None:
    [scene] = play("signed")["scenes"]

    observe, enforce = scene["observe"], scene["enforce"]
    assert payments(tmp_path, "signed", "enforce") == [("1042", 5140)]
    assert enforce["kill"] == {"signal": 9, "calls": 2, "recorded": 2, "repeated": 0, "again": 5}
    after_one = {"paid_after_one": 0, "open_after_one": 1}
    assert enforce["figures"] == {"asked": 1, "paid_at_kill": 0, **after_one, "receipts": 1}
    assert payments(tmp_path, "signed", "observe") == [("1042", 5140)] * 2
    assert observe["figures"] == {"asked": 0, "paid_at_kill": 1, "receipts": 2}


def test_what_an_agent_has_made_up_is_taken_back_before_it_is_paid(play: Play, tmp_path: Path) -> None:
    [scene] = play("rogue")["scenes"]

    assert payments(tmp_path, "rogue", "observe") == [("1043", 5590)]
    assert payments(tmp_path, "rogue", "enforce") == [("1042", 5140)]
    found = {"asked": 1, "led": 1, "removed": 1, "restored": 1, "wrong": 0}
    assert scene["enforce"]["figures"] == found
    assert scene["enforce"]["ends"] == {"completed, reviewed": 3, "cancelled by cancel": 1}


def test_the_keys_of_those_who_sign_off_are_in_files_for_their_owner_and_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    demo(scene=["signed"], directory=tmp_path, pace_ms=0.0, json=True)

    printed = "".join(capfd.readouterr())
    for name in ("alice", "bob"):
        path = tmp_path / f"{name}.key"
        key = path.read_text(encoding="utf-8").strip()
        assert path.stat().st_mode & 0o077 == 0
        assert key not in printed
        others = [each for each in tmp_path.iterdir() if each.is_file() and each != path]
        assert [each.name for each in others if key.encode() in each.read_bytes()] == []


def test_the_whole_demo_is_one_document_on_stdout_with_progress_on_stderr(tmp_path: Path) -> None:
    place = tmp_path / "new"
    done = subprocess.run(
        [sys.executable, "-m", "seawall.cli.demo", "--all", "--json", "--pace-ms", "0", "--dir", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert [scene["name"] for scene in report["scenes"]] == list(scenes.NAMES)
    assert len(done.stderr.splitlines()) == len(scenes.NAMES)
    for mode in ("observe", "enforce"):
        last = {scene["name"]: scene[mode]["calls"] for scene in report["scenes"]}
        counts = {name: sum(counted(place, name, mode).values()) for name in scenes.NAMES if name != "pruned"}
        assert last == {**counts, "pruned": last["pruned"]}  # which may have been played more than once
        assert report[mode]["calls"] == sum(last.values())
    assert (place / "desk.db").exists()


def test_what_is_saved_is_told_from_the_figures_of_this_very_run(play: Play) -> None:
    saved = play("error")["saved"]

    assert saved.startswith("Prevented: 36 calls to the world (4 instead of 40)")
    assert "killed" not in saved


def test_a_scene_that_is_not_as_claimed_is_named_and_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = replace(
        scenes.get_scene("good"), claims=lambda observe, enforce: [CheckedClaim("the moon is blue", False)]
    )
    monkeypatch.setattr(scenes, "SCENES", (wrong,))

    with pytest.raises(typer.Exit) as left:
        demo(scene=["good"], directory=tmp_path, pace_ms=0.0)

    out = capsys.readouterr().out
    assert left.value.exit_code == 1
    assert "not as claimed: the moon is blue" in out
    assert "Not as claimed: good." in out


def test_a_child_that_ends_before_it_is_killed_breaks_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the child knows the scene as it is, without a call to hold
    monkeypatch.setattr(scenes, "SCENES", (replace(scenes.get_scene("good"), kill_at=4, workload="crash"),))

    with pytest.raises(Broken, match="scene 'good': the child was to be killed in call 4: nobody killed"):
        demo(scene=["good"], directory=tmp_path, pace_ms=0.0, json=True)


def test_an_unknown_scene_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="no scene 'bad'; there are: error, tenant, pruned, unknown, signed"):
        demo(scene=["bad"], directory=tmp_path)


def test_a_directory_that_holds_a_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "desk.db").write_text("mine", encoding="utf-8")

    with pytest.raises(Misused, match="holds a demo already"):
        demo(directory=tmp_path)

    assert (tmp_path / "desk.db").read_text(encoding="utf-8") == "mine"


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Misused, match=r"can't make the directory '.*file"):
        demo(directory=tmp_path / "file" / "below")


def test_a_real_model_without_its_key_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(Misused, match="needs a key: set OPENAI_API_KEY"):
        demo(directory=tmp_path / "new", model="openai:gpt-5.2")

    assert not (tmp_path / "new").exists()


def test_a_real_model_plays_where_the_world_is_to_blame(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    script = behave_well()

    def well_behaved(request: ModelRequest) -> Entry:
        prompt = request.messages[0]
        assert isinstance(prompt, System)
        name = prompt.content.removeprefix("You are ").partition(".")[0]
        asked.append(name)
        return script[name](request)

    def resolve(model: str) -> ScriptedModel:
        return ScriptedModel(well_behaved, name=model)

    monkeypatch.setattr(providers, "resolve", resolve)
    report = play("good", "error", "fan-out", model="acme:one")

    played = {scene["name"]: scene for scene in report["scenes"]}
    assert report["ok"]
    assert set(asked) == {"desk", "clerk", "cashier", "auditor"}
    assert {name: scene["played_by"] for name, scene in played.items()} == {
        "good": "acme:one",
        "error": "acme:one",
        "fan-out": "scripted",
    }
    assert played["good"]["enforce"]["usd"] is None
    assert "script" not in played["error"]["story"]
    assert "found a way out in time" in played["error"]["lesson"]


def test_a_real_model_that_fails_is_no_success_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        providers, "resolve", lambda model: ScriptedModel([fail("rejected", "no such model")] * 9)
    )

    with pytest.raises(typer.Exit) as left:
        demo(scene=["good"], directory=tmp_path, model="acme:one")

    assert left.value.exit_code == 1
    assert "not as claimed: enforce: no run failed (Error: model 'scripted': no such model)" in _one_line(
        capsys.readouterr().out
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_teams_of_a_demo_are_found_in_its_directory(play: Play, tmp_path: Path) -> None:
    play("good")

    spec = importlib.util.spec_from_file_location("demo_desk", tmp_path / "desk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert repr(module.good_observe) == "<Team order-desk of clerk, cashier, desk, auditor>"
    assert module.good_enforce.limits == scenes.get_scene("good").limits


@pytest.mark.parametrize(("more", "who"), [((), "--by you"), (("signed",), "--key-file alice.key")])
def test_the_commands_that_it_suggests_do_what_they_say(
    more: tuple[str, ...], who: str, play: Play, tmp_path: Path
) -> None:
    report = play("error", "unknown", *more)

    change, *commands = report["next"]
    assert change == f"cd {tmp_path}"
    for command in commands:
        seawall, *words = command.split()
        assert seawall == "seawall"
        done = warm_python.run(
            ["-c", "from seawall.cli import main; main()", *words],
            cwd=tmp_path,
            input="it is on the bank's statement",
            text=True,
        )
        # replay names the decision that an enforced guard takes differently, and exits with 1 for it
        assert done.returncode == (words[0] == "replay"), f"{command}: {done.stdout}{done.stderr}"
        if words[0] == "resume":
            assert done.stdout.startswith("Your parcel is lost, we are sorry. We have refunded 51.40 EUR")
    assert any(f"--committed receipt-unknown-enforce.json {who}" in command for command in commands)
    assert payments(tmp_path, "unknown", "enforce") == [("1042", 5140)]
