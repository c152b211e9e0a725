"""What names stand for: through lists, conditions, functions, classes and modules, and no further than the source says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seawall.wrap import WrapReport, inspect_application

HEAD = """
from langchain.agents import create_agent
from langchain_core.tools import tool

@tool
def pay(): "Pay."

@tool
def look(): "Look."

"""
Inspect = Callable[..., WrapReport]


@pytest.fixture
def inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inspect:
    monkeypatch.chdir(tmp_path)

    def write_and_inspect(text: str, **others: str) -> WrapReport:
        (tmp_path / "app.py").write_text(text, encoding="utf-8")
        for name, other in others.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".py").write_text(other, encoding="utf-8")
        return inspect_application([Path("app.py")])

    return write_and_inspect


def tools(report: WrapReport) -> list[str]:
    return sorted(part.name for part in report.parts if part.kind in ("tool", "tools"))


@pytest.mark.parametrize(
    "code",
    [
        "TOOLS = [pay]\nTOOLS += [look]\nagent = create_agent('m', tools=TOOLS)",
        "TOOLS = [pay]\nTOOLS.extend((look,))\nagent = create_agent('m', TOOLS)",
        "agent = create_agent('m', [pay] if DEBUG else [look])",
        "agent = create_agent('m', [pay if DEBUG else look, *([look] or [])])",
        "BY_NAME = {'pay': pay, 'look': look}\nagent = create_agent('m', list(BY_NAME.values()))",
        "def some(): return [pay, look]\nagent = create_agent('m', some())",
        "def build(tools): return create_agent('m', tools)\nbuild([pay])\nbuild(tools=[look])",
        "def build(tools=(pay, look)): return create_agent('m', tools)\nbuild()",
        "async def main():\n    mine = [pay]\n    mine.append(look)\n    agent = create_agent('m', mine)",
        "class Desk:\n    TOOLS = [pay]\n    def make(self): return create_agent('m', [*self.TOOLS, look])",
        "class Desk:\n    def __init__(self, tools): self.tools = tools\n    def make(self): return create_agent('m', self.tools)\nDesk([pay, look])",
        "a, b = pay, look\nagent = create_agent('m', [a, b])",
        "OPTIONS = {'tools': [pay, look]}\nagent = create_agent('m', **OPTIONS)",
        "OPTIONS = dict(tools=[pay, look])\nagent = create_agent('m', **{**OPTIONS, 'debug': True})",
        "from functools import partial as p\nmake = p(create_agent, 'm')\nmaker = p(make, tools=[])\nagent = p(create_agent, 'm', [pay, look])()",
        "make = create_agent\nagent = make('m', [each for each in [pay, look]])",
        "import langchain.agents as la\nagent = la.create_agent('m', [pay, look])",
    ],
)
def test_tools_are_found_however_their_list_is_put_together(code: str, inspect: Inspect) -> None:
    assert tools(inspect(HEAD + code)) == ["look", "pay"]


def test_a_name_in_a_circle_ends(inspect: Inspect) -> None:
    code = "a = b\nb = a\nTOOLS = [pay]\nTOOLS = TOOLS + [look] + a\ndef f(x): return f(x)\nagent = create_agent(f(a), TOOLS)"

    assert set(tools(inspect(HEAD + code))) >= {"look", "pay"}


def test_tools_of_other_modules_are_shown_where_they_stand(inspect: Inspect) -> None:
    report = inspect(
        "from langchain.agents import create_agent\nfrom shop import things\nfrom shop.more import *\n"
        "import shop.stock as stock\nagent = create_agent('m', [things.sell, stock.count_items])",
        shop____init__="",
        shop__things="from .sales import sell",
        shop__sales="def sell(): 'Sell.'",
        shop__stock="def count_items(): 'Count.'",
        shop__more="",
    )

    assert [(part.name, part.file, part.seems) for part in report.parts if part.kind == "tool"] == [
        ("sell", "shop/sales.py", "effect"),
        ("count_items", "shop/stock.py", "read"),
    ]


def test_a_module_of_ones_own_is_not_taken_for_the_framework_of_its_name(inspect: Inspect) -> None:
    report = inspect(
        "from agents import Runner, clerk\nfrom pydantic_ai import Agent\nRunner.run(clerk)\nagent = Agent('m')",
        agents="class Runner:\n    def run(self): ...\nclerk = 1",
    )

    assert report.frameworks == ("pydantic-ai",)


def test_what_is_known_at_run_time_alone_is_named_as_it_stands(inspect: Inspect) -> None:
    (part,) = [
        part
        for part in inspect(HEAD + "agent = create_agent('m', load_them(1))").parts
        if part.kind == "tools"
    ]

    assert (part.name, part.gated) == ("load_them(1)", "added")
    assert "known only at run time" in part.why


def test_a_model_in_a_helper_of_a_tool_is_found(inspect: Inspect) -> None:
    report = inspect(
        "from langchain.agents import create_agent\nfrom openai import AsyncOpenAI\n"
        "class Client:\n    def __init__(self): self.inner = AsyncOpenAI()\n"
        "    async def ask(self, text): return await self.inner.chat.completions.create(model='m', messages=[])\n"
        "client = Client()\n"
        "async def summarize(text):\n    'Summarise.'\n    return await client.ask(text)\n"
        "agent = create_agent('m', [summarize])"
    )

    (model,) = [part for part in report.parts if part.kind == "model"]
    assert (model.name, model.gated, model.line) == ("self.inner.chat.completions.create", "no", 5)
    assert model.why.startswith("'summarize' calls it")


def test_a_model_that_a_node_hands_on_is_gated_in_part(inspect: Inspect) -> None:
    report = inspect(
        "from langchain_openai import ChatOpenAI\nfrom langgraph.graph import StateGraph\nfrom other import make_agent\n"
        "async def find(state):\n    llm = ChatOpenAI(model='m')\n    return await make_agent(llm, []).ainvoke(state)\n"
        "async def ask(state):\n    return await ChatOpenAI(model='m').ainvoke(state)\n"
        "builder = StateGraph(dict)\nbuilder.add_node('find', find)\nbuilder.add_node('ask', ask)\ngraph = builder.compile()"
    )

    models = [(part.line, part.gated, part.why) for part in report.parts if part.kind == "model"]
    assert [each[:2] for each in models] == [(5, "in part"), (8, "added")]
    assert models[0][2].startswith("node 'find' hands it on")


def test_an_embedding_is_no_model(inspect: Inspect) -> None:
    report = inspect(
        HEAD + "from langchain_openai import OpenAIEmbeddings\nstore = OpenAIEmbeddings()\n"
        "def search(text):\n    'Search.'\n    return store.invoke(text)\nagent = create_agent('m', [search])"
    )

    assert not [part for part in report.parts if part.kind == "model"]


def test_tools_that_the_framework_runs_in_this_process_are_told_from_those_of_the_provider(
    inspect: Inspect,
) -> None:
    report = inspect(
        "from agents import Agent, ApplyPatchTool, ComputerTool, CustomTool, LocalShellTool, Runner, ShellTool\n"
        "import app_tools as t\n"
        "agent = Agent('a', tools=[ShellTool(executor=t.run), ShellTool(t.run, name='bash'), LocalShellTool(t.run),\n"
        "    ApplyPatchTool(editor=t.Editor()), CustomTool(name='sql', description='d', on_invoke_tool=t.run),\n"
        "    ShellTool(environment={'type': 'container_auto'}), ComputerTool(t.screen)])\n"
        "Runner.run_sync(agent, 'hi')\n",
    )

    assert sorted((each.name, each.gated) for each in report.parts if each.kind == "tool") == [
        ("ComputerTool", "no"),
        ("ShellTool", "no"),
        ("apply_patch", "added"),
        ("bash", "added"),
        ("local_shell", "added"),
        ("shell", "added"),
        ("sql", "added"),
    ]


def test_options_that_are_known_at_run_time_alone_may_hold_tools(inspect: Inspect) -> None:
    report = inspect(f"{HEAD}\ndef build(**options): return create_agent('m', **options)")
    assert tools(report) == ["options"]
    report = inspect(f"{HEAD}\ndef build(**options): return create_agent('m', [pay], **options)")
    assert tools(report) == ["pay"]


def test_what_a_caller_gives_to_a_partial_is_told(inspect: Inspect) -> None:
    report = inspect(f"{HEAD}\nfrom functools import partial\nmake = partial(create_agent, tools=[pay])")
    assert [part.name for part in report.parts if part.kind == "agent"] == ["make"]
    assert any("caller of this `partial`" in note for note in report.notes)


def test_a_middleware_in_unpacked_options_is_found(inspect: Inspect) -> None:
    head = "from seawall import Engine\nfrom seawall.adapters.langchain import SeawallMiddleware\nsea = Engine('a.db')"
    options = "OPTIONS = {'tools': [pay], 'middleware': [SeawallMiddleware(sea)]}"
    report = inspect(f"{HEAD}{head}\n{options}\nagent = create_agent('m', **OPTIONS)")
    assert [part.gated for part in report.parts if part.kind == "agent"] == ["yes"]


def test_a_class_that_is_made_in_its_own_way_is_gated_where_it_makes_its_base(inspect: Inspect) -> None:
    own = "class Desk(Agent):\n    def __init__(self, db): super().__init__('m')\ndesk = Desk(1)"
    report = inspect(f"from pydantic_ai import Agent\n{own}")
    assert [(part.kind, part.line) for part in report.parts] == [("agent", 3)]
    assert "super().__init__('m', capabilities=[SeawallCapability(sea)])" in report.lines[0].diff
