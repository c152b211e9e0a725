"""Plays the scenarios of `agent-budget-semantics`, an external set, against Seawall, with that set's own mock server.

The scenarios and the server are in the source archive of the package (MIT licence); its wheel has no scenarios. Each is
played with its `max_iterations` as `model_calls`, then as `tool_calls`, and with its `max_tokens` as `tokens`. What
Seawall counts is compared with the server's own ledger and with the calls that its tools got. A run that is halted, or
that answers at its limit, is raised and goes on, so that nothing may be made twice. S3 ends at its first reply, which
calls nothing: in Seawall that is an answer.

    pip download --no-deps --no-binary :all: agent-budget-semantics==0.5.0 && tar xzf agent_budget_semantics-0.5.0.tar.gz
    pip install --group semantics
    python bench/budget_semantics.py agent_budget_semantics-0.5.0 [--json]

Exit code 1: a count differs.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
import threading
from dataclasses import asdict, dataclass
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from seawall import Agent, Limits, Outcome, Seawall, Team, Tool
from seawall.models.providers import resolve

NO_LIMIT = 1_000
DEFAULTS = {"max_iterations": 3, "max_tokens": 400}
"""For scenarios that name none."""
REPLY_TOKENS = 60
"""More than any scripted reply has."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """One scenario under one limit."""

    scenario: str
    limit: str
    ended: str
    """The status and, after `at`, the limit."""
    model_calls: int
    asked: int
    """Requests in the server's ledger."""
    tool_calls: int
    called: int
    """Calls that the tools got."""
    tokens: int
    reported: int
    """Tokens in the server's ledger."""
    raised: str
    """How the run ended with raised limits; "": it was not stopped."""

    @property
    def exact(self) -> bool:
        """Whether Seawall's counts are those of the server and of the tools."""
        counted = (self.model_calls, self.tool_calls, self.tokens)
        return counted == (self.asked, self.called, self.reported)


class Mock:
    """The package's mock server, on a port of its own."""

    def __init__(self, archive: Path) -> None:
        spec = importlib.util.spec_from_file_location("mock_llm_server", archive / "mock-llm" / "server.py")
        assert spec is not None
        assert spec.loader is not None
        self.module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = self.module
        spec.loader.exec_module(self.module)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.module.Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def load(self, script: list[dict[str, Any]]) -> None:
        self.module.reset()
        self.module.load_script(script)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        return self.module.LEDGER


def name_colleagues(script: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the script with the set's delegation tools as hand-offs: `ask_…` is what Seawall calls them."""
    renamed: list[dict[str, Any]] = json.loads(json.dumps(script))
    for call in (call["function"] for turn in renamed for call in turn.get("tool_calls") or ()):
        if call["name"].startswith("delegate_to_"):
            given = json.loads(call["arguments"])
            colleague = given.get("specialist") or call["name"].removeprefix("delegate_to_")
            call["name"], call["arguments"] = f"ask_{colleague}", json.dumps({"task": given["task"]})
    return renamed


def list_colleagues(script: list[dict[str, Any]]) -> list[str]:
    calls = [call["function"]["name"] for turn in script for call in turn.get("tool_calls") or ()]
    return list(dict.fromkeys(name.removeprefix("ask_") for name in calls if name.startswith("ask_")))


def build_tools(scenario: dict[str, Any], called: list[str]) -> list[Tool[..., Any]]:
    """Returns the scenario's tools. One whose `tool_behavior` says so fails at its first call."""
    behaviour = json.dumps(scenario.get("tool_behavior", {})).lower()
    found: list[Tool[..., Any]] = []
    for each in scenario.get("tools") or scenario.get("tool_definitions") or ():
        name = each["name"]
        if name.startswith("delegate_to_"):
            continue

        play = partial(_play_tool, name, called, fails="error" in behaviour or "timeout" in behaviour)
        found.append(Tool(play, name=name, description=each["description"], schema=each["parameters"]))
    return found


def _play_tool(tool: str, called: list[str], *, fails: bool, **arguments: Any) -> str:
    called.append(tool)
    if fails and len(called) == 1:
        raise TimeoutError(f"{tool} did not answer")
    return f"result {len(called)} of {tool}: {json.dumps(arguments)}"


def build_team(scenario: dict[str, Any], mock: Mock, called: list[str], limits: Limits) -> Team:
    model = resolve("openai:mock", base_url=mock.base_url, api_key="none")
    tools, colleagues = build_tools(scenario, called), list_colleagues(mock.module.SCRIPT)
    role = scenario.get("system_prompt", "Does what is asked.")
    options: dict[str, Any] = {"model": model, "tools": tools, "max_output_tokens": REPLY_TOKENS}
    below: list[Agent | Team] = []
    for name in reversed(colleagues):  # each asks the next one
        lead = Agent(f"{name}-lead" if below else name, role="Helps.", **options)
        below = [Team(name, lead, specialists=below) if below else lead]
    return Team("desk", Agent("lead", role=role, **options), specialists=below, limits=limits)


async def play(name: str, scenario: dict[str, Any], mock: Mock, what: str) -> Played:
    budget = {**DEFAULTS, **scenario.get("budget", {})}
    script = name_colleagues(scenario["script"])
    low = budget["max_tokens"] if what == "tokens" else budget["max_iterations"]
    called: list[str] = []
    mock.load(script)
    free = Limits(model_calls=NO_LIMIT, tool_calls=NO_LIMIT)
    limits = Limits(**{"model_calls": NO_LIMIT, "tool_calls": NO_LIMIT, what: low})
    team = build_team(scenario, mock, called, limits)
    async with Seawall() as sea:
        run = await sea.start(team, scenario.get("task", "Do it."), stream=bool(scenario.get("streaming")))
        first = await run.outcome()
        stopped = first.status == "halted" or "limits" in first.pruned
        outcome = first
        if stopped:
            again = await sea.resume(run.id, team, limits=free, by="bench")
            outcome = await again.outcome()
        assert (await sea.journal.verify()).ok
    return Played(
        scenario=name,
        limit=f"{what}={low}",
        ended=f"{first.status} at {what}" if stopped else describe(first),
        model_calls=outcome.model_calls,
        asked=len(mock.ledger),
        tool_calls=outcome.tool_calls,
        called=len(called),
        tokens=outcome.tokens,
        reported=sum(entry["total_tokens"] for entry in mock.ledger),
        raised=describe(outcome) if stopped else "",
    )


def describe(outcome: Outcome) -> str:
    by = "" if outcome.stopped_by is None else f" by {outcome.stopped_by.guard}"
    return f"{outcome.status}{by}"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("archive", type=Path, help="the unpacked source archive")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    mock = Mock(options.archive)
    paths = sorted(
        (options.archive / "scenarios").glob("S*.yaml"), key=lambda path: int(path.stem.split("-")[0][1:])
    )
    played: list[Played] = []
    for path in paths:
        scenario = yaml.safe_load(path.read_text(encoding="utf-8"))
        limits = ("model_calls", "tool_calls", "tokens")
        played += [await play(path.stem, scenario, mock, what) for what in limits]
    if options.json:
        print(json.dumps([{**asdict(each), "exact": each.exact} for each in played], indent=1))
    else:
        print(f"{'scenario':34} {'limit':16} {'ended':26} {'raised':20} models tools tokens (server's)")
        for each in played:
            counts = f"{each.model_calls} ({each.asked})  {each.tool_calls} ({each.called})  {each.tokens} ({each.reported})"
            mark = "" if each.exact else "  DIFFERS"
            print(f"{each.scenario:34} {each.limit:16} {each.ended:26} {each.raised:20} {counts}{mark}")
        print(f"{sum(each.exact for each in played)} of {len(played)} counts are exact")
    return 0 if all(each.exact for each in played) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
