"""`seawall lint`: a table, JSON, SARIF, explanations, opinions, and exit codes for CI."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from seawall.cli import app
from seawall.cli.exits import Exit
from seawall.lint import LintFinding
from seawall.lint.codes import CODES
from seawall.testing import ModelServer, say

APP = """
from seawall import Agent, Effect, Team, tool
from seawall.testing import ScriptedModel

print("a print of the user's own")

@tool(effect=True)
def send_email(to: str) -> str:
    "Sends an e-mail."
    return to

model = ScriptedModel([])
clerk = Agent("clerk", "Clerk", model=model, tools=[send_email])
cashier = Agent("cashier", "Cashier", model=model, tools=[send_email])
team = Team("desk", clerk, specialists=[cashier], waive={"SW204 send_email": "the relay drops duplicates"})
quiet = Team(Agent("alone", "Answers.", model=model))
"""
PLAIN = """\
agents:
  clerk: {instructions: Approves refunds.}
  cashier: {instructions: Approves refunds.}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lintdesk", raising=False)  # another test's, from another directory
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "lintdesk.py").write_text(APP, encoding="utf-8")
    (tmp_path / "team.yaml").write_text(PLAIN, encoding="utf-8")
    return tmp_path


def seawall(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["lint", *arguments])


def test_a_team_of_seawall_is_shown_with_reasons_mends_waivers_and_lines(here: Path) -> None:
    done = seawall("lintdesk:team")

    assert done.exit_code == Exit.BROKEN
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["CODE", "SEVERITY", "AGENTS", "TOOLS", "WHERE"]
    assert lines[1].split() == ["SW203", "warning", "cashier,", "clerk", "send_email", "lintdesk.py:14"]
    assert lines[2] == "  └ 'cashier' and 'clerk' all hold 'send_email', which changes the world"
    assert any(line.split()[:2] == ["SW204", "waived"] for line in lines)
    assert "  └ waived: the relay drops duplicates" in lines
    assert "a print of the user's own" not in done.stdout
    assert (
        "desk (Seawall): 1 warning, 1 note; 1 waived; seawall lint --explain SW203 says more" in done.stderr
    )


def test_notes_alone_and_nothing_at_all_exit_well(here: Path) -> None:
    errors = seawall("lintdesk:team", "--min-severity", "error")
    nothing = seawall("lintdesk:quiet")

    assert (errors.exit_code, errors.stdout) == (Exit.OK, "")
    assert "nothing found; 3 findings below --min-severity not shown" in errors.stderr
    assert (nothing.exit_code, nothing.stdout) == (Exit.OK, "")
    assert "alone (Seawall): nothing found" in nothing.stderr


def test_a_file_and_a_folder_are_read_and_json_has_everything(here: Path) -> None:
    of_file, of_folder = seawall("team.yaml", "--json"), seawall(".", "--json")

    assert of_file.exit_code == of_folder.exit_code == Exit.BROKEN
    document = json.loads(of_file.stdout)
    assert json.loads(of_folder.stdout) == document
    assert (document["team"], document["form"]) == ("team", "plain")
    [finding] = [each for each in document["findings"] if each["code"] == "SW201"]
    assert finding["agents"] == ["clerk", "cashier"]
    assert finding["places"] == [{"file": "team.yaml", "line": 2}, {"file": "team.yaml", "line": 3}]
    assert finding["sentences"][0] == {"agent": "clerk", "text": "Approves refunds.", "start": 0}


def test_sarif_names_the_file_and_the_line(here: Path) -> None:
    log = json.loads(seawall("team.yaml", "--sarif").stdout)

    [result] = [each for each in log["runs"][0]["results"] if each["ruleId"] == "SW201"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "team.yaml"},
        "region": {"startLine": 2},
    }


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_explained_with_an_example_and_how_to_mend_and_waive_it(code: str) -> None:
    done = seawall("--explain", code.lower())

    assert done.exit_code == Exit.OK
    assert done.stdout.startswith(f"{code}: {CODES[code].title}")
    assert all(label in done.stdout for label in ("Example:", "To mend:", "To waive:"))
    assert json.loads(seawall("--explain", code, "--json").stdout)["code"] == code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a team"),
        (("team.yaml", "--json", "--sarif"), "choose one of them"),
        (("team.yaml", "--min-severity", "bad"), "it is one of note, warning, error"),
        (("--explain", "SW999"), "there is no such code; there are SW001"),
        (("nope.yaml",), "there is no file nope.yaml"),
        (("lintdesk.py",), "write it as lintdesk:…"),
        (("lintdesk:nobody",), "there is no 'nobody' in module 'lintdesk'"),
        (("team.yaml", "--model", "x", "--max-usd", "many"), "it must be a number of US dollars"),
        (("team.yaml", "--model", "x"), "'x' is not a model"),
    ],
)
def test_a_wrong_call_says_what_is_right(here: Path, arguments: tuple[str, ...], said: str) -> None:
    done = seawall(*arguments)

    assert done.exit_code == Exit.MISUSED
    assert said in done.stderr


def test_a_models_opinion_is_shown_as_its_own_and_changes_no_exit_code(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = LintFinding(
        code="SW102", severity="note", agents=("clerk", "cashier"), reason="both pay", mend="Choose."
    )
    monkeypatch.setattr("seawall.lint.linting.RULES", (lambda team: [finding],))

    async def ask() -> tuple[int, str, str]:
        async with ModelServer([say("no overlap: one of them only checks.")]) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            done = await asyncio.to_thread(seawall, "team.yaml", "--model", "openai:judge")
            return done.exit_code, done.stdout, done.stderr

    exit_code, out, err = asyncio.run(ask())

    assert exit_code == Exit.OK
    assert "  └ a model's opinion, openai:judge: no overlap: one of them only checks." in out
    assert "the price of openai:judge is not known, so --max-usd bounded nothing (1 call)" in err


def test_signs_that_steer_a_terminal_are_not_printed(here: Path) -> None:
    (here / "team.json").write_text(
        json.dumps({"agents": {"a\u001b[2J": {"instructions": "Hands over to the \u001b[31mBillingAgent."}}}),
        encoding="utf-8",
    )

    assert "\u001b" not in seawall("team.json").stdout
