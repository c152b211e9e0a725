"""The lines to add: each stands where a person would write it, whatever the call looks like."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from seawall.wrap import inspect_application
from wrap.unpacking import apply_lines

ADDED = "SeawallMiddleware(sea)"


def wrap(text: str, folder: Path) -> str:
    path = folder / "app.py"
    path.write_text(f"from langchain.agents import create_agent\n{text}\n", encoding="utf-8")
    apply_lines(inspect_application([Path("app.py")]), folder)
    return path.read_text(encoding="utf-8").split("\n", 1)[1].split("\n\n", 2)[-1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("create_agent()", f"create_agent(middleware=[{ADDED}])"),
        ("create_agent('m')", f"create_agent('m', middleware=[{ADDED}])"),
        ("create_agent('m', )", f"create_agent('m', middleware=[{ADDED}] )"),
        ("create_agent(('m'))", f"create_agent(('m'), middleware=[{ADDED}])"),
        ("create_agent('é', [])  # é", f"create_agent('é', [], middleware=[{ADDED}])  # é"),
        ("create_agent('m', middleware=None)", f"create_agent('m', middleware=[{ADDED}])"),
        ("create_agent('m', middleware=[])", f"create_agent('m', middleware=[{ADDED}])"),
        ("create_agent('m', middleware=(a, b))", f"create_agent('m', middleware=[*(a, b), {ADDED}])"),
        (
            "create_agent('m', **options)",
            f'create_agent(\'m\', **{{**options, "middleware": [*(options.get("middleware") or ()), {ADDED}]}})',
        ),
        ("create_agent('m', **read())", f"create_agent('m', **read(), middleware=[{ADDED}])"),
        ("create_agent('m', middleware=a or [])", f"create_agent('m', middleware=[*(a or []), {ADDED}])"),
        (
            "create_agent('m', middleware=a if b else c)",
            f"create_agent('m', middleware=[*(a if b else c), {ADDED}])",
        ),
        (
            "create_agent(\n    'm',\n    tools=[],  # none, yet\n)",
            f"create_agent(\n    'm',\n    tools=[],  # none, yet\n    middleware=[{ADDED}],\n)",
        ),
        (
            "create_agent(\n    'm',\n    tools=[]  # none, yet\n    # and no more\n)",
            f"create_agent(\n    'm',\n    tools=[],  # none, yet\n    # and no more\n    middleware=[{ADDED}],\n)",
        ),
        (
            "create_agent(\n  'm', middleware=[\n    one,\n    two\n  ])",
            f"create_agent(\n  'm', middleware=[\n    one,\n    two,\n    {ADDED},\n  ])",
        ),
    ],
)
def test_an_argument_is_added_whatever_the_call_looks_like(
    before: str, after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert wrap(f"\nagent = {before}", tmp_path) == f"agent = {after}\n"


@pytest.mark.parametrize(
    ("parameters", "listed"),
    [
        ("more=None", "*(more or ())"),
        ("*, more=None", "*(more or ())"),
        ("first, more=None, last=1", "*(more or ())"),
        ("more", "*more"),
        ("more=()", "*more"),
        ("other=None, *, more", "*more"),
    ],
)
def test_a_parameter_that_may_be_none_is_not_unpacked_as_it_is(
    parameters: str, listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = wrap(f"\ndef make({parameters}):\n    return create_agent('m', middleware=more)", tmp_path)
    assert made.endswith(f"    return create_agent('m', middleware=[{listed}, {ADDED}])\n")


def test_what_was_added_to_unpacked_arguments_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrap("\ndef make(**more):\n    return create_agent('m', **more)", tmp_path)
    report = inspect_application([Path("app.py")])
    assert [part.gated for part in report.parts] == ["yes"] and report.lines == ()


def test_an_import_with_something_in_its_place_is_still_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tried = (
        "try:\n    from langchain.agents import create_agent\nexcept ImportError:\n    create_agent = None\n"
    )
    (tmp_path / "app.py").write_text(f"import os\n{tried}\nagent = create_agent('m')\n", encoding="utf-8")
    apply_lines(inspect_application([Path("app.py")]), tmp_path)
    assert f"agent = create_agent('m', middleware=[{ADDED}])" in (tmp_path / "app.py").read_text(
        encoding="utf-8"
    )


def test_a_name_for_a_method_of_the_runner_is_replaced_where_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from agents import Agent, Runner\nask = Runner.run_sync\nprint(ask(Agent(name='a'), 'Go.'))\n"
    (tmp_path / "app.py").write_text(text, encoding="utf-8")
    apply_lines(inspect_application([Path("app.py")]), tmp_path)
    assert "print(runner.run_sync(Agent(name='a'), 'Go.'))" in (tmp_path / "app.py").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    "line", ["def go(): crew.kickoff()", "x = 1; y = crew.kickoff()", "if 0: pass\nelif crew.kickoff(): pass"]
)
def test_a_statement_that_does_not_begin_its_line_is_told_and_not_moved(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"from crewai import Crew\ncrew = Crew()\n{line}\ncrew.kickoff()\n"
    (tmp_path / "app.py").write_text(text, encoding="utf-8")
    report = inspect_application([Path("app.py")])
    number = line.count("\n") + 3
    assert f"app.py:{number}: put this statement inside of  with gate(sea):" in report.notes
    assert "+with gate(sea):\n+    crew.kickoff()" in "".join(each.diff for each in report.lines)


def test_lines_that_end_with_cr_lf_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = b"from langchain.agents import create_agent\r\nagent = create_agent('m')\r\n"
    (tmp_path / "app.py").write_bytes(text)
    assert any(
        "git apply --ignore-whitespace" in note for note in inspect_application([Path("app.py")]).notes
    )


def test_the_engine_stands_below_the_imports_and_above_the_first_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(
        '"""A doc."""\nfrom __future__ import annotations\n\nimport os\n\nos.environ["X"] = "1"\n'
        "from langchain.agents import create_agent\n\nsea = 3\nagent = create_agent('m')\nimport sys\n",
        encoding="utf-8",
    )

    apply_lines(inspect_application([Path("app.py")]), tmp_path)

    assert (tmp_path / "app.py").read_text(encoding="utf-8").splitlines()[6:14] == [
        "from langchain.agents import create_agent",
        "from seawall import Engine",
        "from seawall.adapters.langchain import SeawallMiddleware",
        "",
        'seawall_engine = Engine("seawall.db")',
        "",
        "sea = 3",
        "agent = create_agent('m', middleware=[SeawallMiddleware(seawall_engine)])",
    ]


def test_files_of_a_package_share_one_engine_by_relative_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("desk/__init__.py", "desk/agents/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    agent = "from langchain.agents import create_agent\nagent = create_agent('m')\n"
    (tmp_path / "desk/front.py").write_text(agent, encoding="utf-8")
    (tmp_path / "desk/agents/back.py").write_text(agent, encoding="utf-8")

    apply_lines(inspect_application([Path("desk")]), tmp_path)

    assert "sea = Engine(" in (tmp_path / "desk/seawall_engine.py").read_text(encoding="utf-8")
    assert "from .seawall_engine import sea\n" in (tmp_path / "desk/front.py").read_text(encoding="utf-8")
    assert "from ..seawall_engine import sea\n" in (tmp_path / "desk/agents/back.py").read_text(
        encoding="utf-8"
    )


def test_a_statement_with_a_text_over_several_lines_is_told_and_not_indented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(
        'from crewai import Crew\ncrew = Crew()\ncrew.kickoff(inputs={"text": """a\nb"""})\n',
        encoding="utf-8",
    )

    report = inspect_application([Path("app.py")])

    assert report.notes == ("app.py:3: put this statement inside of  with gate(sea):",)
    assert "with gate" not in "".join(each.diff for each in report.lines)


def test_files_of_two_packages_share_an_engine_above_them_by_its_absolute_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        text = "from langchain.agents import create_agent\nagent = create_agent('m')\n"
        (tmp_path / name / "made.py").write_text(text, encoding="utf-8")

    apply_lines(inspect_application([Path()]), tmp_path)

    assert (tmp_path / "seawall_engine.py").is_file()
    assert "from seawall_engine import sea\n" in (tmp_path / "one/made.py").read_text(encoding="utf-8")


def test_an_engine_that_is_there_is_taken_and_declares_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.py").write_text(
        'from seawall.runtime.foreign.engine import Engine\n\ndoor = Engine("d.db", effects=["pay"])\n',
        encoding="utf-8",
    )
    (tmp_path / "app.py").write_text(
        "from langchain.agents import create_agent\ndef send_mail(): 'Send.'\ndef pay(): 'Pay.'\n"
        "agent = create_agent('m', [send_mail, pay])\n",
        encoding="utf-8",
    )

    apply_lines(inspect_application([Path()]), tmp_path)

    assert 'effects=["pay", "send_mail"]' in (tmp_path / "gate.py").read_text(encoding="utf-8")
    text = (tmp_path / "app.py").read_text(encoding="utf-8")
    assert "from gate import door\n" in text
    assert "middleware=[SeawallMiddleware(door)]" in text


def test_an_engine_in_a_file_that_imports_the_agents_is_told_to_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text(
        "from made import agent\nfrom seawall import Engine\nsea = Engine()\n", encoding="utf-8"
    )
    (tmp_path / "made.py").write_text(
        "from langchain.agents import create_agent\nagent = create_agent('m')\n", encoding="utf-8"
    )

    report = inspect_application([Path()])

    assert report.notes == (
        "main.py imports made.py, which would have to import 'sea' from main.py: move the engine into a separate module",
    )


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_lines_apply_to_a_file_whose_last_line_has_no_end(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "app.py"
    path.write_text(
        f"from langchain.agents import create_agent\nagent = create_agent('m'){end}", encoding="utf-8"
    )
    diff = "".join(each.diff for each in inspect_application([Path("app.py")]).lines)
    apply = ["git", "apply", "-"]
    subprocess.run(apply, input=diff.encode(), check=True, cwd=tmp_path)
    assert path.read_text(encoding="utf-8").endswith(f"create_agent('m', middleware=[{ADDED}]){end}")


def test_a_file_that_is_indented_by_tabs_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from crewai import Crew\ndef go():\n\tcrew = Crew()\n\tresult = crew.kickoff(\n\t\tinputs={}\n\t)\n\treturn result\n"
    (tmp_path / "app.py").write_text(text, encoding="utf-8")
    apply_lines(inspect_application([Path("app.py")]), tmp_path)
    assert "\twith gate(sea):\n\t\tresult = crew.kickoff(\n\t\t\tinputs={}\n\t\t)\n\treturn" in (
        tmp_path / "app.py"
    ).read_text(encoding="utf-8")


def test_a_folder_without_an_init_file_whose_files_import_relatively_is_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from crewai import Crew\nfrom .tasks import x\ncrew = Crew()\ncrew.kickoff()\n"
    for name in ("my-app/__init__.py", "my-app/src/__init__.py", "my-app/src/crew/tasks.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n", encoding="utf-8")
    for name in ("my-app/src/crew/one.py", "my-app/src/two.py"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    report = inspect_application([Path("my-app/src")])
    apply_lines(report, tmp_path)
    imported = [
        line
        for path in sorted((tmp_path / "my-app").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.endswith("import sea")
    ]
    assert imported == ["from ..seawall_engine import sea", "from .seawall_engine import sea"]
