"""`seawall wrap` on small applications of every framework: what it finds, and that the lines which it shows are the right ones."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from seawall.wrap import WrapReport, inspect_application
from wrap.unpacking import NAMES, apply_lines, read_parts, unpack

PARTS = {
    "langchain_support_desk": {
        ("agent", "desk", "added"),
        ("tool", "find_order", "added"),
        ("tool", "refund_order", "added"),
        ("tool", "send_email", "added"),
        ("tool", "escalate_case", "added"),
        ("model", "model of SummarizationMiddleware", "no"),
    },
    "langchain_research": {
        ("agent", "agent", "added"),
        ("tool", "TavilySearch", "added"),
        ("tool", "summarize_paper", "added"),
        ("tool", "web_search", "no"),
        ("tools", "client.get_tools()", "added"),
        ("model", "writer.invoke", "no"),
    },
    "langchain_old": {("agent", "executor", "no"), ("tool", "execute_sql", "no")},
    "langchain_gated": {
        ("agent", "agent", "yes"),
        ("tool", "refund", "yes"),
        ("tool", "find_order", "yes"),
        ("tool", "delete_order", "yes"),
    },
    "langgraph_triage": {
        ("graph", "helper", "added"),
        ("graph", "build_graph", "added"),
        ("tool", "get_ticket", "added"),
        ("tool", "close_ticket", "added"),
        ("tool", "search_manual", "added"),
        ("model", "ChatOpenAI", "added"),
    },
    "langgraph_plain": {
        ("graph", "flow", "added"),
        ("tool", "publish_post", "in part"),
        ("model", "client.responses.create", "no"),
    },
    "openai_agents_airline": {
        ("agent", "Seats", "added"),
        ("agent", "Booking", "added"),
        ("agent", "FAQ", "added"),
        ("agent", "Triage", "added"),
        ("agent", "Clerk", "added"),
        ("agent", "ask_seats", "added"),
        ("runner", "Runner.run", "added"),
        ("runner", "Runner.run_streamed", "added"),
        ("runner", "Runner.run_sync", "added"),
        ("server", "files", "added"),
        ("tool", "update_seat", "added"),
        ("tool", "faq_lookup", "added"),
        ("tool", "book_flight", "added"),
        ("tool", "HostedMCPTool", "no"),
        ("tool", "WebSearchTool", "no"),
    },
    "pydantic_ai_bank": {
        ("agent", "support", "added"),
        ("agent", "checker", "added"),
        ("server", "toolset", "added"),
        ("tool", "block_card", "added"),
        ("tool", "issue_card", "added"),
        ("tool", "transfer_money", "added"),
        ("tool", "save_advice", "in part"),
        ("tool", "NativeTool", "no"),
        ("tool", "balance", "added"),
        ("tool", "is_fraud", "added"),
        ("tools", "toolset", "no"),
    },
    "pydantic_ai_factory": {
        ("agent", "build", "added"),
        ("tool", "get_weather", "added"),
        ("tool", "send_message", "added"),
    },
    "crewai_newsroom": {
        ("agent", "reporter", "added"),
        ("agent", "editor", "added"),
        ("crew", "crew", "added"),
        ("runner", "Newsroom().crew().kickoff", "added"),
        ("tool", "SerperDevTool", "added"),
        ("tool", "Read the archive", "added"),
        ("tool", "publish_article", "added"),
    },
    "crewai_script": {
        ("agent", "Planner", "added"),
        ("crew", "trip", "added"),
        ("runner", "trip.kickoff", "added"),
        ("runner", "trip.kickoff_for_each", "added"),
        ("tool", "book_hotel", "added"),
    },
    "google_adk_shop": {
        ("agent", "searcher", "added"),
        ("agent", "buyer", "added"),
        ("agent", "shop", "added"),
        ("runner", "Runner", "added"),
        ("tool", "get_stock", "added"),
        ("tool", "order_item", "added"),
        ("tool", "google_search", "no"),
        ("tools", "McpToolset(connection_params=None)", "added"),
    },
    "google_adk_folder": {("agent", "weather", "added"), ("tool", "get_weather", "added")},
    "agent_framework_travel": {
        ("agent", "clerk", "added"),
        ("agent", "fares", "added"),
        ("tool", "cancel_booking", "added"),
        ("tool", "get_fares", "added"),
        ("tool", "get_web_search_tool", "no"),
        ("tools", 'MCPStdioTool(name="rail", command="uvx", args=["rail-mcp"])', "added"),
    },
    "mcp_server": {
        ("server", "notes", "in part"),
        ("server", "notes", "added"),
        ("server", "bank", "added"),
        ("tool", "list_notes", "in part"),
        ("tool", "delete_note", "in part"),
    },
}
ENGINES = {
    "langchain_support_desk": 'Engine("seawall.db", effects=["refund_order", "send_email"], reads=["find_order"])',
    "langchain_research": 'Engine("seawall.db", reads=["summarize_paper"])',
    "langgraph_triage": 'Engine("seawall.db", effects=["close_ticket"], reads=["get_ticket", "search_manual"])',
    "openai_agents_airline": 'Engine("seawall.db", effects=["update_seat", "book_flight"], reads=["faq_lookup"])',
    "pydantic_ai_factory": 'Engine("seawall.db", effects=["send_message"], reads=["get_weather"])',
    "crewai_newsroom": 'Engine("seawall.db", effects=["publish_article"])',
    "google_adk_shop": 'Engine("seawall.db", effects=["order_item"], reads=["get_stock"])',
    "agent_framework_travel": 'Engine("seawall.db", effects=["cancel_booking"], reads=["get_fares"])',
}
GATES = {
    "langchain_support_desk": ["                SeawallMiddleware(sea),"],
    "langchain_research": ["    ], middleware=[SeawallMiddleware(sea)])"],
    "langchain_gated": ['effects={"refund": Effect(approve=always()), "delete_order": True}'],
    "langgraph_triage": [
        "llm = gate_model(ChatOpenAI(",
        "return gate_graph(sea, builder.compile(checkpointer=checkpointer))",
    ],
    "langgraph_plain": ["gate_graph(sea, lg.StateGraph("],
    "openai_agents_airline": [
        "result = await runner.run(desk, question",
        "streamed = runner.run_streamed(",
        "print(runner.run_sync(triage",
        "from seawall_engine import sea",
    ],
    "pydantic_ai_bank": [
        "capabilities=[Thinking(), NativeTool(WebSearchTool()), SeawallCapability(sea)],",
        "output_type=bool, capabilities=[SeawallCapability(sea)])",
    ],
    "pydantic_ai_factory": ["capabilities=[*capabilities, SeawallCapability(sea)]"],
    "crewai_newsroom": [
        "        with gate(sea):\n            result = Newsroom().crew().kickoff(inputs=inputs)\n"
    ],
    "crewai_script": ["with gate(sea):\n    for result in trip.kickoff_for_each("],
    "google_adk_shop": ["        plugins=[SeawallPlugin(sea)],\n"],
    "agent_framework_travel": ["middleware=[gate(sea)])", "middleware=[log_calls, gate(sea)],"],
    "mcp_server": ['"servers.json"'],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspect(name: str, folder: Path) -> WrapReport:
    unpack(name, folder)
    return inspect_application([Path()])


def read_all(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".json"))
    return "".join(path.read_text(encoding="utf-8") for path in files)


def test_every_application_has_its_expectations() -> None:
    assert set(NAMES) == set(PARTS)
    assert len(NAMES) >= 15


@pytest.mark.parametrize("name", NAMES)
def test_agents_tools_and_models_are_found_and_told_whether_they_are_gated(name: str, here: Path) -> None:
    report = inspect(name, here)

    assert read_parts(report) == PARTS[name]
    assert report.problems == ()
    assert all(part.why for part in report.parts if part.gated == "no" and part.kind != "tool")


@pytest.mark.parametrize("name", NAMES)
def test_the_lines_apply_and_once_they_are_there_nothing_is_to_be_added(name: str, here: Path) -> None:
    report = inspect(name, here)
    before = read_all(here)

    if report.lines:
        apply_lines(report, here)
    text = read_all(here)
    again = inspect_application([Path()])

    assert (text == before) == (not report.lines)
    for line in GATES.get(name, ()):
        assert line in text
    for path in here.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))
    assert again.lines == ()
    if name != "google_adk_folder":  # its lines are told in words: nothing of it runs the agent
        assert not any(part.gated == "added" for part in again.parts)
    assert not any(part.must_declare for part in again.parts if part.framework != "mcp")


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_the_engine_declares_what_the_names_say(name: str, here: Path) -> None:
    report = inspect(name, here)

    added = [line[1:] for each in report.lines for line in each.diff.splitlines() if line.startswith("+")]
    assert f"sea = {ENGINES[name]}" in added


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_application_is_run_or_changed(name: str, here: Path) -> None:
    unpack(name, here)
    for path in here.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "from __future__" not in text:
            path.write_text(f"raise SystemExit('it was run')\n{text}", encoding="utf-8")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}

    inspect_application([Path()])

    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
