"""The runner for the OpenAI Agents SDK: shell, patch and custom tools, which the SDK runs in the caller's process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    ApplyPatchTool,
    CustomTool,
    LocalShellTool,
    Runner,
    ShellTool,
)
from agents.editor import ApplyPatchOperation, ApplyPatchResult
from agents.items import ModelResponse
from agents.run_state import RunState
from agents.tool import ShellCallOutcome, ShellCommandOutput, ShellResult
from agents.usage import Usage
from openai.types.responses import (
    ResponseApplyPatchToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
)
from openai.types.responses.response_output_item import LocalShellCall

from adapters.agents_model import QUIET, PlayedModel
from seawall import Effect, Limits, Principal, always
from seawall.adapters.openai_agents import AgentsHalted, AgentsHeld, SeawallRunner, find_outcome
from seawall.adapters.openai_agents.replies import write_message
from seawall.runtime.foreign.engine import Engine

SHELL = {"type": "shell_call", "id": "s", "status": "completed", "environment": None}
KINDS: dict[str, Callable[[str], Any]] = {
    "shell": lambda call: ResponseFunctionShellToolCall.model_validate(
        {**SHELL, "call_id": call, "action": {"commands": ["rm -r old"], "timeout_ms": 500}}
    ),
    "local_shell": lambda call: LocalShellCall.model_validate(
        {
            "type": "local_shell_call",
            "id": "l",
            "call_id": call,
            "status": "completed",
            "action": {"type": "exec", "command": ["rm", "-r", "old"], "env": {}},
        }
    ),
    "apply_patch": lambda call: ResponseApplyPatchToolCall.model_validate(
        {
            "type": "apply_patch_call",
            "id": "p",
            "call_id": call,
            "status": "completed",
            "operation": {"type": "update_file", "path": "a.py", "diff": "@@\n-x\n+y\n"},
        }
    ),
    "notes": lambda call: ResponseCustomToolCall(
        type="custom_tool_call", call_id=call, name="notes", input="old is gone"
    ),
}
"""By the name of a tool: its call."""


class ClientModel(PlayedModel):
    """Calls the tools that its script names, and then answers."""

    def __init__(self, *names: str) -> None:
        super().__init__([])
        self._names = names
        self.after: Callable[[], object] = list
        """Called when it has answered."""

    def _answer(self, given: Any) -> ModelResponse:
        self.requests.append([{"role": "user", "content": given}] if isinstance(given, str) else list(given))
        replies = sum(str(item.get("type")).endswith("_call") for item in self.requests[-1])
        output: list[Any] = [write_message("Done.")]
        if replies < len(self._names):
            output = [KINDS[self._names[replies]](f"call-{len(self.requests)}")]
        self.after()
        usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
        return ModelResponse(output=output, usage=usage, response_id=None)


class Machine:
    """The outside world: keeps what was done to it."""

    def __init__(self, answer: Any = "removed") -> None:
        self.done: list[Any] = []
        self.answer = answer

    def _do(self, what: Any) -> Any:
        self.done.append(what)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def run(self, request: Any) -> Any:
        action = request.data.action
        return self._do(getattr(action, "commands", None) or action.command)

    def note(self, context: Any, text: str) -> Any:
        return self._do(text)

    def create_file(self, operation: ApplyPatchOperation) -> Any:
        return self._do((operation.type, operation.path))

    update_file = delete_file = create_file

    def make_tool(self, name: str, **options: Any) -> Any:
        if name == "shell":
            return ShellTool(executor=self.run, **options)
        if name == "local_shell":
            return LocalShellTool(executor=self.run)
        if name == "apply_patch":
            return ApplyPatchTool(editor=self, **options)
        return CustomTool(name="notes", description="d", on_invoke_tool=self.note, **options)


def make_agent(machine: Machine, *names: str, **options: Any) -> tuple[Agent[Any], ClientModel]:
    model = ClientModel(*names)
    tools = [machine.make_tool(name, **options) for name in dict.fromkeys(names)]
    return Agent(name="clerk", model=model, tools=tools), model


def ask(runner: SeawallRunner, agent: Any, given: Any = "Clean up", **options: Any) -> Any:
    options.setdefault("request_id", None if isinstance(given, RunState) else "r-1")
    return asyncio.run(runner.run(agent, given, run_config=QUIET, **options))


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return request.param


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(effects=list(KINDS)) as engine:
        yield engine


def test_such_a_tool_passes_the_gate_and_what_is_sent_stays_as_it_is(engine: Engine, kind: str) -> None:
    machine, plain_machine = Machine(), Machine()
    agent, model = make_agent(machine, kind)
    plain, plain_model = make_agent(plain_machine, kind)
    result = ask(SeawallRunner(engine), agent)
    expected = asyncio.run(Runner.run(plain, "Clean up", run_config=QUIET))

    outcome = find_outcome(result)
    assert outcome is not None
    assert (outcome.status, outcome.tool_calls) == ("completed", 1)
    assert machine.done == plain_machine.done != []
    assert model.requests == plain_model.requests
    assert result.final_output == expected.final_output
    assert "CustomTool" not in str(engine.coverage())
    assert "Shell" not in str(engine.coverage())


def test_an_effect_is_made_once_and_its_result_is_given_again(engine: Engine, kind: str) -> None:
    machine = Machine()
    agent, model = make_agent(machine, kind)
    runner = SeawallRunner(engine)

    first, again = ask(runner, agent), ask(runner, agent)

    assert [item.to_input_item() for item in first.new_items] == [
        item.to_input_item() for item in again.new_items
    ]
    assert len(machine.done) == 1
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (
            "shell",
            ShellResult(
                output=[
                    ShellCommandOutput("a\n", "b\n", ShellCallOutcome(type="exit", exit_code=2), "rm -r old"),
                    ShellCommandOutput(outcome=ShellCallOutcome(type="timeout")),
                ],
                provider_data={"at": 1},
            ),
        ),
        ("shell", FileNotFoundError("old")),
        ("notes", FileNotFoundError("old")),
        ("notes", 17),
        ("apply_patch", ApplyPatchResult(status="failed", output="no such file")),
        ("apply_patch", ApplyPatchResult(status="completed")),
        ("apply_patch", FileNotFoundError("old")),
        ("apply_patch", None),
    ],
)
def test_every_kind_of_result_is_given_again_as_it_was(kind: str, answer: Any, tmp_path: Path) -> None:
    machine = Machine(answer)
    agent, _ = make_agent(machine, kind)
    with Engine(tmp_path / "desk.db", reads=[kind]) as engine:
        first = ask(SeawallRunner(engine), agent)
    with Engine(tmp_path / "desk.db", reads=[kind]) as engine:
        again = ask(SeawallRunner(engine), agent)

    assert [item.to_input_item() for item in first.new_items] == [
        item.to_input_item() for item in again.new_items
    ]
    assert len(machine.done) == 1


def test_an_effect_that_raises_waits_for_somebody_who_says_what_became_of_it(
    engine: Engine, kind: str
) -> None:
    machine = Machine(ConnectionError("gone"))
    agent, model = make_agent(machine, kind)

    with pytest.raises(AgentsHeld, match="what became of it is not known"):
        ask(SeawallRunner(engine), agent)

    assert len(model.requests) == 1


def test_a_patch_that_its_editor_could_not_apply_is_told_and_leaves_nothing_in_doubt(engine: Engine) -> None:
    machine = Machine(ApplyPatchResult(status="failed", output="the context was not found"))
    agent, model = make_agent(machine, "apply_patch")

    assert ask(SeawallRunner(engine), agent).final_output == "Done."
    assert model.requests[-1][-1]["status"] == "failed"


def test_equal_operations_of_a_tool_with_a_name_of_its_own_are_calls_of_their_own(engine: Engine) -> None:
    machine = Machine()
    model = ClientModel("apply_patch", "apply_patch")
    agent = Agent(name="clerk", model=model, tools=[ApplyPatchTool(editor=machine, name="edit")])

    ask(SeawallRunner(engine, reads=["edit"]), agent)

    assert len(machine.done) == 2


def test_no_such_tool_runs_once_the_gate_is_closed(kind: str) -> None:
    machine = Machine()
    agent, model = make_agent(machine, kind)
    engine = Engine(effects=list(KINDS))
    runner = SeawallRunner(engine)
    model.after = engine.close
    with pytest.raises(AgentsHalted):
        ask(runner, agent)

    assert machine.done == []


def test_a_loop_ends(kind: str) -> None:
    machine = Machine()
    agent, _ = make_agent(machine, *[kind] * 30)
    with (
        Engine(reads=list(KINDS), limits=Limits(at_limit="halt")) as engine,
        pytest.raises(AgentsHalted, match="returned nothing new"),
    ):
        ask(SeawallRunner(engine), agent, max_turns=60)

    assert len(machine.done) == 4


def test_a_limit_is_told_in_place_of_the_result(kind: str) -> None:
    machine = Machine()
    agent, _ = make_agent(machine, kind, kind)
    with Engine(reads=list(KINDS), limits=Limits(tool_calls=1)) as engine:
        result = ask(SeawallRunner(engine), agent)

    assert len(machine.done) == 1
    assert result.final_output == "Done."


PATCH = """{"operations": [
    {"type": "create_file", "path": "a.py", "diff": "+x = 1"},
    {"type": "delete_file", "path": "b.py"}
]}"""


def test_a_patch_of_several_files_is_a_call_for_each(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        KINDS,
        "apply_patch",
        lambda call: ResponseCustomToolCall(
            type="custom_tool_call", call_id=call, name="apply_patch", input=PATCH
        ),
    )
    machine = Machine()
    agent, _ = make_agent(machine, "apply_patch", "apply_patch")
    runner = SeawallRunner(engine)

    first, again = ask(runner, agent), ask(runner, agent)

    outcome = find_outcome(first)
    assert outcome is not None
    assert outcome.tool_calls == 4
    assert machine.done == [("create_file", "a.py"), ("delete_file", "b.py")] * 2
    assert again.final_output == "Done."


CHANGED: dict[str, tuple[dict[str, Any], Any]] = {
    "shell": ({"commands": ["ls old"], "timeout_ms": 500}, ["ls old"]),
    "local_shell": ({"command": ["ls", "old"], "env": {}}, ["ls", "old"]),
    "apply_patch": ({"type": "delete_file", "path": "b.py"}, ("delete_file", "b.py")),
    "notes": ({"input": "old stays"}, "old stays"),
}


def test_what_a_person_has_changed_is_performed(kind: str, tmp_path: Path) -> None:
    machine = Machine()
    agent, _ = make_agent(machine, kind)
    changed, done = CHANGED[kind]
    with make_careful(tmp_path) as engine:
        runner = SeawallRunner(engine)
        with contextlib.suppress(AgentsHeld):  # `local_shell` can't interrupt the run
            ask(runner, agent)
        (held,) = engine.call(lambda sea: sea.approvals())
        team = engine.make_team(held.team)
        engine.call(
            lambda sea: sea.approve(held.id, hash=held.hash, edit=changed, team=team, credential="dana")
        )
        ask(runner, agent)

    assert machine.done == [done]


@pytest.mark.parametrize("kind", ["shell", "apply_patch", "notes"])
def test_a_policy_of_the_users_own_is_asked_with_what_the_sdk_gives_it(kind: str, tmp_path: Path) -> None:
    machine, asked = Machine(), list[Any]()

    def policy(context: Any, what: Any, call_id: str) -> bool:
        asked.append((type(what).__name__, call_id))
        return True

    agent, _ = make_agent(machine, kind, needs_approval=policy)
    with Engine(tmp_path / "desk.db", effects=list(KINDS)) as engine:
        runner = SeawallRunner(engine)
        result = ask(runner, agent)
        (item,) = result.interruptions
        assert machine.done == []
        state = result.to_state()
        state.approve(item)
        result = ask(runner, agent, state)

    assert result.final_output == "Done."
    assert len(machine.done) == 1
    kinds = {"shell": "ShellActionRequest", "apply_patch": "ApplyPatchOperation", "notes": "str"}
    assert {each for each, _ in asked} == {kinds[kind]}


APPROVED = ["shell", "apply_patch", "notes"]
"""The SDK has no approval for `local_shell`."""


def make_careful(path: Path) -> Engine:
    return Engine(
        path / "desk.db", effects={name: Effect(approve=always()) for name in KINDS}, authenticate=Principal
    )


@pytest.mark.parametrize("kind", APPROVED)
@pytest.mark.parametrize("approve", [True, False])
def test_a_held_call_interrupts_the_run_and_goes_on_after_a_restart(
    kind: str, approve: bool, tmp_path: Path
) -> None:
    machine = Machine()
    agent, _ = make_agent(machine, kind)
    with make_careful(tmp_path) as engine:
        result = ask(SeawallRunner(engine), agent)
        (item,) = result.interruptions
        state = result.to_state()
        assert item.tool_name == kind
        if approve:
            state.approve(item)
        else:
            state.reject(item)
        kept = state.to_json()
    assert machine.done == []

    async def load() -> Any:
        return await RunState.from_json(agent, kept)

    with make_careful(tmp_path) as engine:
        result = ask(SeawallRunner(engine), agent, asyncio.run(load()), credential="dana", request_id="r-1")

    assert result.final_output == "Done."
    assert len(machine.done) == approve


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_call_is_decided_in_seawall(kind: str, tmp_path: Path) -> None:
    machine = Machine()
    agent, _ = make_agent(machine, kind)
    with make_careful(tmp_path) as engine:
        runner = SeawallRunner(engine)
        if kind == "local_shell":
            with pytest.raises(AgentsHeld):
                ask(runner, agent)
        else:
            assert ask(runner, agent).interruptions
        assert machine.done == []
        (held,) = engine.call(lambda sea: sea.approvals())
        engine.call(lambda sea: sea.decide(held.run, held.step, approve=True, credential="dana"))

        result = ask(runner, agent)

    assert result.final_output == "Done."
    assert len(machine.done) == 1


def test_a_held_call_of_an_agent_in_a_tool_interrupts_the_run_around_it(tmp_path: Path) -> None:
    machine = Machine()
    inner, _ = make_agent(machine, "apply_patch")
    model = PlayedModel([[("ask_clerk", {"input": "Clean up"})], "All done."])
    outer = Agent(name="boss", model=model, tools=[inner.as_tool("ask_clerk", "d")])
    with make_careful(tmp_path) as engine:
        runner = SeawallRunner(engine)
        result = ask(runner, outer)
        (item,) = result.interruptions
        assert machine.done == []
        state = result.to_state()
        state.approve(item)
        result = ask(runner, outer, state, credential="dana")

    assert result.final_output == "All done."
    assert machine.done == [("update_file", "a.py")]
