"""`verify`, `prune`, `erase`, `replay` and `fork`, and the command line itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.desks import Desks
from seawall import __version__


def test_a_sound_journal_is_verified_and_a_changed_byte_is_found(desks: Desks, tmp_path: Path) -> None:
    desks("run", desks.app("desk"), "Where is 1042?")
    assert desks("verify").out.startswith("ok: ")
    assert desks("verify", "--json").document["ok"] is True

    path = tmp_path / "seawall.db"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Order 1042 is lost", b"Order 1043 is lost"))
    done = desks("verify")

    assert done.exit_code == 1
    assert done.out.startswith("bad: batch ")


def test_a_kept_head_and_a_key_are_checked(
    desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setenv("SEAWALL_SIGNING_KEY_FILE", str(key))
    desks("run", desks.app("desk"), "Where is 1042?")
    monkeypatch.delenv("SEAWALL_SIGNING_KEY_FILE")
    head = desks("verify", "--json").document["head"]

    assert "signed from batch 1 on" in desks("verify", "--key", "key", "--head", head.upper()).out
    assert desks("verify", "--head", "0" * 64).out.startswith("bad: the file: the head 000000000000… is not")
    assert (desks("verify", "--head", "1042").exit_code, desks("verify", "--key", "no").exit_code) == (2, 2)
    key.write_text("another key of more than sixteen characters")
    assert "was not signed with this key" in desks("verify", "--key", "key").out
    refused = desks("pause", "--all", "--by", "ops")
    assert (refused.exit_code, "SEAWALL_SIGNING_KEY_FILE" in refused.err) == (2, True)


def test_the_signing_key_of_the_environment_is_no_text_of_a_journal(
    desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "correct horse battery staple"  # nothing about it looks like a secret
    (tmp_path / "key").write_text(secret + "\n")
    (tmp_path / "reader.py").write_text(
        "from pathlib import Path\n"
        "from seawall import *\nfrom seawall.testing import *\n"
        "@tool\ndef look() -> str:\n    'Look.'\n    return Path('key').read_text()\n"
        "app = Agent('reader', model=ScriptedModel([call('look'), say('Done.')]), tools=[look])\n"
    )
    monkeypatch.setenv("SEAWALL_SIGNING_KEY_FILE", str(tmp_path / "key"))

    assert desks("run", "reader:app", "Look.").exit_code == 0
    assert not [file.name for file in tmp_path.glob("seawall.db*") if secret.encode() in file.read_bytes()]


def test_old_runs_are_pruned_to_their_summaries(desks: Desks) -> None:
    run = desks("run", desks.app("desk"), "Where is 1042?", "--json").document["run"]

    assert desks("prune", "--older-than", "0s", "--dry-run").out.startswith("would remove 1 run, ")
    assert desks("prune", "--older-than", "30d").out.startswith("removed 0 runs, ")
    assert desks("prune", "--older-than", "0s", "--json").document["runs"] == 1
    shown = desks("show", run)
    assert "completed" in shown.out
    assert "its events were pruned" in shown.err
    for command in (("why", run), ("replay", run), ("fork", run, "--at", "1")):
        done = desks(*command)
        assert (done.exit_code, "its events were pruned" in done.err) == (2, True)
    assert desks("runs").out.count(run) == 1
    assert desks("verify").exit_code == 0


def test_an_age_that_is_none_is_named(desks: Desks) -> None:
    assert (
        "--older-than yesterday: write a number and a unit" in desks("prune", "--older-than", "yesterday").err
    )


def test_a_tenants_texts_are_erased_only_on_a_word(desks: Desks) -> None:
    desks("run", desks.app("desk"), "Where is 1042?", "--tenant", "acme")
    desks("run", desks.app("desk"), "Where is 1042?", "--tenant", "other")

    refused = desks("erase", "--tenant", "acme")
    assert (refused.exit_code, "confirm with --yes" in refused.err) == (2, True)
    assert desks("erase", "--tenant", "acme", "--yes").out.startswith("erased ")

    acme = desks("runs", "--tenant", "acme", "--json").document["runs"][0]["run"]
    other = desks("runs", "--tenant", "other", "--json").document["runs"][0]["run"]
    assert desks("show", acme, "--json").document["request"] == "[erased]"
    replayed = desks("replay", acme)
    assert (replayed.exit_code, replayed.out) == (2, "")
    assert f"run {acme}: its texts were erased" in replayed.err
    assert desks("show", other, "--json").document["request"] == "Where is 1042?"
    assert desks("verify").exit_code == 0


def test_a_replay_names_what_other_limits_and_modes_would_change(desks: Desks, tmp_path: Path) -> None:
    desks("run", desks.app("looping"), "Hi.")
    (tmp_path / "limits.toml").write_text("tool_calls = 2\n", encoding="utf-8")

    same = desks("replay", "last")
    assert (same.exit_code, "decided the same in 9 steps" in same.out) == (0, True)
    limited = desks("replay", "last", "--limits", "limits.toml")
    assert limited.exit_code == 1
    assert "today     halt by 'limits'" in limited.out
    document = desks("replay", "last", "--mode", "loops=off", "--json").document
    assert {each["what"] for each in document["replays"][0]["differences"]} == {"verdict"}


def test_a_fork_goes_on_from_another_result(desks: Desks) -> None:
    desks.write("""
def asked(request):
    last = request.messages[-1]
    if type(last).__name__ != "ToolResult":
        return call("find_order", order_id="1042")
    return say(f"I was told: {last.content}")
echo = Team(Agent("echo", model=ScriptedModel(asked), tools=[find_order]))
""")
    run = desks("run", desks.app("echo"), "Where is 1042?", "--json").document["run"]

    done = desks("fork", run, "--at", "2", "--set", "result=nothing at all")

    assert (done.exit_code, done.out) == (0, "I was told: nothing at all\n")
    assert f"of run {run} at step 2" in desks("show", "last").out
    assert (
        "only the result of a step can be changed" in desks("fork", run, "--at", "2", "--set", "input=x").err
    )
    assert f"run {run} has no step 9" in desks("fork", run, "--at", "9").err


def test_the_version_and_the_exit_codes_are_told(desks: Desks) -> None:
    assert desks("--version").out == f"seawall {__version__}\n"
    assert "4 halted" in " ".join(desks("--help").out.split())


def test_help_loads_no_provider_no_server_and_no_journal() -> None:
    probe = "import sys; from seawall.cli import app; print(sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout

    for name in ("pydantic_ai", "openai", "anthropic", "httpx", "starlette", "uvicorn"):
        assert f"'{name}'" not in loaded


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "runs",
        "show",
        "why",
        "resume",
        "cancel",
        "approve",
        "reject",
        "verify",
        "prune",
        "erase",
        "replay",
        "fork",
        "demo",
    ],
)
def test_every_command_has_help_and_json(desks: Desks, command: str) -> None:
    told = desks(command, "--help").out

    assert "--json" in told
