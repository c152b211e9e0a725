"""Readers: the plain form, CrewAI's files, and what is no team."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seawall import Misused
from seawall.lint import TeamDescription, lint_team, read_team
from seawall.lint.description import SourcePlace
from seawall.lint.reading.plain import AGENT_KEYS, TEAM_KEYS, TOOL_KEYS

PLAIN = """\
name: desk
agents:
  - name: clerk
    role: Clerk
    instructions: [Answers customers., Looks up orders.]
    kind: coordinator
    tools:
      - find_order
      - {name: issue_refund, description: Pays back., effect: true, identity: true, approval: false, amount: true, latency_s: 2,
         parameters: {type: object}}
  - name: cashier
    instructions: Pays.
    context_tokens: 4_000
    latency_s: 3.5
flows: {clerk: [cashier, user]}
reviews: [[cashier, clerk]]
authority: {refund: cashier, discount: }
limits: {active_s: 60, model_calls: 9}
waive: {SW205 issue_refund: Small sums.}
x-owner: the shop
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_plain_form_is_read_whole(tmp_path: Path) -> None:
    file = write(tmp_path / "team.yaml", PLAIN)
    read = read_team(file)

    clerk, cashier = read.agents
    assert (clerk.name, clerk.role, clerk.kind) == ("clerk", "Clerk", "coordinator")
    assert clerk.instructions == "Answers customers.\nLooks up orders."
    assert clerk.place == SourcePlace(str(file), 3) and cashier.place == SourcePlace(str(file), 11)
    find, pay = clerk.tools
    assert find.effect is None and find.schema_bytes == 0
    assert (pay.effect, pay.has_identity, pay.has_approval, pay.has_amount, pay.latency_s) == (
        True,
        True,
        False,
        True,
        2,
    )
    assert pay.schema_bytes > 0
    assert (cashier.context_tokens, cashier.latency_s) == (4_000, 3.5)
    assert read.flows == (("clerk", "cashier"), ("clerk", "user"))
    assert read.entry == ("clerk",)
    assert read.reviews == (("cashier", "clerk"),)
    assert read.authority == (("refund", ("cashier",)), ("discount", ()))
    assert (read.active_s, read.limits, read.bounded) == (60, (("model_calls", 9.0),), True)
    assert read.waived == (("SW205 issue_refund", "Small sums."),)


def test_json_says_the_same_as_yaml_and_needs_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {
        "agents": {"clerk": {"instructions": "Answers."}, "cashier": None},
        "flows": [["clerk", "cashier"]],
        "entry": "clerk",
    }
    file = write(tmp_path / "team.json", json.dumps(value, indent=1))
    monkeypatch.setitem(sys.modules, "yaml", None)

    read = read_team(file)

    assert [each.name for each in read.agents] == ["clerk", "cashier"]
    assert (read.name, read.entry, read.flows, read.bounded) == (
        "team",
        ("clerk",),
        (("clerk", "cashier"),),
        None,
    )
    assert read.agents[0].place == SourcePlace(str(file), 3)
    with pytest.raises(Misused, match=r"pip install 'path/to/seawall\[lint\]'"):
        read_team(write(tmp_path / "team.yaml", PLAIN))


AGENTS = """\
researcher:
  role: >
    {topic} Researcher
  goal: Digs up facts on {topic}.
  backstory: You are thorough.
writer: {role: Writer, goal: Writes the final report., backstory: "", tools: [FileWriterTool]}
checker: {role: Checker, goal: Checks the report.}
"""
TASKS = """\
research: {description: Research it., expected_output: A list., agent: researcher, tools: [SerperDevTool]}
write: {description: Write it., expected_output: A report., agent: writer, context: [research]}
"""


def test_crewai_tasks_give_their_agents_duties_and_their_order_is_the_flow(tmp_path: Path) -> None:
    agents = write(tmp_path / "trip" / "config" / "agents.yaml", AGENTS)
    tasks = write(tmp_path / "trip" / "config" / "tasks.yaml", TASKS)
    read = read_team(tmp_path / "trip")

    researcher, writer, checker = read.agents
    assert (read.name, read.form) == ("trip", "CrewAI")
    assert researcher.role == "{topic} Researcher"
    assert (
        researcher.instructions == "Digs up facts on {topic}.\n\nYou are thorough.\n\nResearch it.\n\nA list."
    )
    assert [each.name for each in researcher.tools] == ["SerperDevTool"]
    assert [each.name for each in writer.tools] == ["FileWriterTool"]
    assert checker.place == SourcePlace(str(agents), 7)
    assert (read.flows, read.entry) == ((("researcher", "writer"),), ("researcher",))
    assert [(each.code, each.agents) for each in lint_team(read) if each.code[2] == "3"] == [
        ("SW301", ("checker",))
    ]
    assert read_team(agents) == read_team(tasks) == read


CREW = """
from crewai import Agent, Crew, Process, Task
raise SystemExit("this file is never run")

@CrewBase
class Trip:
    @agent
    def scout(self) -> Agent:
        return Agent(config=self.agents_config["researcher"], tools=[SerperDevTool(), tools.search, *more])

    @agent
    def writer(self) -> Agent:
        return Agent(config=self.agents_config["writer"])

    @task
    def second(self) -> Task:
        return Task(config=self.tasks_config["write"], agent=self.writer(), context=[self.first()])

    @task
    def first(self) -> Task:
        return Task(config=self.tasks_config["research"], agent=self.scout())

    @crew
    def crew(self) -> Crew:
        return Crew(agents=self.agents, tasks=self.tasks, process=Process.PROCESS)
"""
UNOWNED = TASKS.replace(", agent: researcher", "").replace(", agent: writer", "")


@pytest.mark.parametrize("process", ["sequential", "hierarchical"])
def test_the_crews_file_says_who_has_which_task_in_which_order(tmp_path: Path, process: str) -> None:
    write(tmp_path / "src" / "trip" / "config" / "agents.yaml", AGENTS)
    write(tmp_path / "src" / "trip" / "config" / "tasks.yaml", UNOWNED)
    write(tmp_path / "src" / "trip" / "crew.py", CREW.replace("PROCESS", process))
    read = read_team(tmp_path)

    assert "Research it." in read.agents[0].instructions
    assert [each.name for each in read.agents[0].tools] == ["SerperDevTool", "search"]
    if process == "hierarchical":
        assert (read.flows, read.entry) == (None, None)
    else:
        assert (read.flows, read.entry) == ((("writer", "researcher"), ("researcher", "writer")), ("writer",))


@pytest.mark.parametrize("code", [None, "def broken(:", "x = 1"])
def test_without_a_crews_file_tasks_without_agents_say_nothing_of_flows(
    tmp_path: Path, code: str | None
) -> None:
    write(tmp_path / "agents.yaml", AGENTS)
    write(tmp_path / "tasks.yaml", UNOWNED)
    if code is not None:
        write(tmp_path / "crew.py", code)

    assert (read_team(tmp_path).flows, read_team(tmp_path).entry) == (None, None)


def test_who_may_delegate_reaches_everybody_and_a_task_for_nobody_is_told(tmp_path: Path) -> None:
    write(tmp_path / "agents.yaml", AGENTS.replace("role: Writer,", "role: Writer, allow_delegation: true,"))
    write(tmp_path / "tasks.yaml", TASKS.replace("agent: researcher", "agent: reseacher"))
    found = [each for each in lint_team(read_team(tmp_path)) if each.code[2] == "3"]

    assert [each.code for each in found] == ["SW302"]
    assert "'reseacher'" in found[0].reason


def test_one_file_may_hold_agents_and_tasks_of_a_crew(tmp_path: Path) -> None:
    def indent(text: str) -> str:
        return "".join(f"  {line}\n" for line in text.splitlines())

    file = write(tmp_path / "crew.yaml", f"agents:\n{indent(AGENTS)}tasks:\n{indent(TASKS)}")

    assert read_team(file).flows == (("researcher", "writer"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "it is a list of 2, not a team; allowed are"),
        ("", "it is nothing, not a team"),
        ("agents: 7\n", ":1: agents: it is 7; it must be a list of agents"),
        ("agents: []\n", ":1: agents: there is no agent in it"),
        ("agents:\n  - nmae: a\n", ":2: agents.0: it has the key 'nmae' (did you mean 'name'?); allowed are name, role"),
        ("agents:\n  - role: a\n", "agents.0.name: it is nothing; it must be a name, in one line"),
        ("agents: [{name: a}, {name: a}]\n", "two agents have the name 'a'"),
        ("agents:\n  a:\n    kind: boss\n", ":3: agents.a.kind: it is 'boss'; it must be one of coordinator"),
        ("agents: {a: }\nflows: [[a, b, c]]\n", ":2: flows.0: it is a list of 3; it must be a pair of names"),
        ("agents: {a: }\nflows: 3\n", ":2: flows: it is 3; it must be a list"),
        ("agents: {a: }\nlimits: {active_s: -1}\n", "limits.active_s: it is -1; it must be a number above zero"),
        ("agents: {a: }\nlimits: {acitve_s: 1}\n", "did you mean 'active_s'?"),
        ("agents: {a: {tools: [{name: t, effect: maybe}]}}\n", "agents.a.tools.0.effect: it is 'maybe'; it must be true or false"),
        ("agents: {a: {instructions: {x: y}}}\n", "agents.a.instructions: it is a mapping; it must be text"),
        ("agents: {a: {role: true}}\n", "agents.a.role: it is true; it must be text"),
        ("agents: {1: }\n", "agents: it has the key 1; keys must be text"),
        ("agents: {a: }\nagents: {b: }\n", ":2: the key 'agents' is in the same mapping twice"),
        ("agents: !!python/object:os.system {a: }\n", ":1: it has the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("agents: !x a\n", "it has the tag '!x'; only plain values are read"),
        ("agents: {a: \n", "it is not YAML"),
        ("a: 1\n---\nb: 2\n", "it is not YAML"),
        ("? [a, b]\n: c\n", "a key is a list of 2; it must be text"),
        ("agents: {<<: 3}\n", "<< is 3; it must be a mapping"),
        ("a: &a [*a]\n", "values are nested more than 32 deep, or refer to themselves"),
        ("[" * 40 + "]" * 40, "values are nested more than 32 deep"),
        ("agents: {x: {goal: 1, tools: {a: b}}}\n", "agents.x.tools: it is a mapping; it must be text"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_names_file_line_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    file = write(tmp_path / "team.yaml", text)

    with pytest.raises(Misused) as caught:
        read_team(file)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"agents": ', ":1: it is not JSON: Expecting value (column 12)"),
        ('{"agents": {}, "agents": {}}', ":1: the key 'agents' is in the same object twice"),
        ('{"agents": NaN}', "NaN is not JSON"),
        ('{"agents": {"a": {"instructions": "x \\udfff"}}}', "half of a surrogate pair"),
        ("[" * 100_000, "values are nested more than"),
        ("[" * 40 + "]" * 40, "values are nested more than 32 deep"),
        (f'{{"agents": {"9" * 5_000}}}', "a value that can't be read"),
        (" " * (1024 * 1024 + 1), "has more than 1,048,576 bytes"),
    ],
)
def test_json_is_bounded_too(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misused) as caught:
        read_team(write(tmp_path / "team.json", text))
    assert said in str(caught.value)


def test_aliases_that_multiply_are_counted(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(Misused, match="more than 50,000 values, each use of an alias counted"):
        read_team(write(tmp_path / "team.yaml", "\n".join(lines)))


def test_merged_keys_count_and_own_ones_win(tmp_path: Path) -> None:
    text = "x-base: &base {role: Clerk, instructions: Works.}\nagents:\n  a: {<<: *base, role: Boss}\n  b: {<<: [*base]}\n"
    read = read_team(write(tmp_path / "team.yaml", text))

    assert [(each.role, each.instructions) for each in read.agents] == [
        ("Boss", "Works."),
        ("Clerk", "Works."),
    ]


def test_folders_and_files_that_are_not_there_or_several_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="there is no team in"):
        read_team(tmp_path)
    with pytest.raises(Misused, match="there is no file"):
        read_team(tmp_path / "team.yaml")
    write(tmp_path / "src" / "one" / "config" / "agents.yaml", AGENTS)
    write(tmp_path / "src" / "two" / "config" / "agents.yaml", AGENTS)
    with pytest.raises(Misused, match="holds several crews: name one of"):
        read_team(tmp_path)
    with pytest.raises(Misused, match=r"there is no agents\.yaml beside it"):
        read_team(write(tmp_path / "lone" / "tasks.yaml", TASKS))
    (tmp_path / "team.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(Misused, match="byte 0 is not UTF-8 text"):
        read_team(tmp_path / "team.json")


def test_a_folder_may_hold_a_team_in_the_plain_form(tmp_path: Path) -> None:
    write(tmp_path / "team.json", '{"name": "desk", "agents": {"clerk": {}}}')

    assert read_team(tmp_path).name == "desk"


def test_more_agents_than_any_team_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="it has 201 agents; allowed are 200"):
        read_team(write(tmp_path / "team.json", json.dumps({"agents": {f"a{n}": {} for n in range(201)}})))


KEYS = st.sampled_from(
    [
        *TEAM_KEYS,
        *AGENT_KEYS,
        *TOOL_KEYS,
        "goal",
        "backstory",
        "tasks",
        "expected_output",
        "agent",
        "a",
        "user",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["a", "b", "user", "reviewer"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
TEAMS = VALUES | st.fixed_dictionaries(
    {"agents": st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=4) | st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)},
    optional={"flows": VALUES, "entry": VALUES, "reviews": VALUES, "authority": VALUES, "limits": VALUES, "waive": VALUES, "tasks": VALUES},
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=TEAMS, suffix=st.sampled_from([".json", ".yaml"]))
def test_any_value_is_a_team_or_a_clear_error(tmp_path: Path, value: Any, suffix: str) -> None:
    file = tmp_path / f"team{suffix}"
    file.write_text(json.dumps(value), encoding="utf-8")
    read, said = None, str(file)
    try:
        read = read_team(file)
    except Misused as error:
        said = str(error)

    assert str(file) in said
    if read is not None:
        assert isinstance(read, TeamDescription)
        lint_team(read)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200) | st.text(alphabet="a:-?[]{}&*!|>#%@ \n'\"<~1", max_size=60).map(str.encode)
)
def test_any_bytes_are_a_team_or_a_clear_error(tmp_path: Path, data: bytes) -> None:
    for suffix in (".json", ".yml"):
        file = tmp_path / f"team{suffix}"
        file.write_bytes(data)
        with pytest.raises(Misused, match="team"):
            read_team(file)
