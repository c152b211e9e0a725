"""Calls of a reply that the application answers by itself, such as from a cache of its own, are no replies of no use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.foreign.scripted_loop import Reply, ScriptedLoop
from seawall import ALLOW, Engine, Guard, Halted, Refuse
from seawall.run.state import RunState
from seawall.run.step import Step

ROUNDS = 12


class Refuses(Guard):
    """Refuses each call of a tool, for another reason."""

    name = "refuses"

    def before(self, step: Step, run: RunState, memory: object) -> Any:
        return Refuse(f"not in step {'I' * step.number}") if step.kind == "tool" else ALLOW


def look(messages: list[dict[str, Any]]) -> Reply:
    """Calls with other arguments each time, and then answers."""
    asked = sum(message["role"] == "assistant" for message in messages)
    return [(f"c{asked}", "look", {"page": asked})] if asked < ROUNDS else "done"


def run_with_a_cache(engine: Engine, loop: ScriptedLoop) -> str:
    """Runs the loop as a framework does in which middleware answers each call, so that none reaches the gate."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Look."}]
    with engine.begin("Look.", loop="own") as session:
        while True:
            loop.messages = messages
            settled = session.step_sync(session.model("clerk", "test:m", messages), loop.call_model).settled
            content = json.loads(settled.text).get("content")
            messages.append({"role": "assistant", "content": content})
            if not settled.calls:
                session.end_sync(content)
                return str(content)
            messages += [
                {"role": "tool", "tool_call_id": call[0], "content": f"page {call[2]}"}
                for call in settled.calls
            ]


def test_an_application_that_answers_calls_by_itself_is_not_halted() -> None:
    loop = ScriptedLoop(look, {})
    with Engine() as engine:
        assert run_with_a_cache(engine, loop) == "done"
    assert loop.model_calls == ROUNDS + 1


def test_calls_that_the_gate_refuses_are_counted() -> None:
    loop = ScriptedLoop(look, {"look": lambda page: f"page {page}"})
    with (
        Engine(guards=(Refuses(),)) as engine,
        engine.begin("Look.", loop="own") as session,
        pytest.raises(Halted) as halted,
    ):
        loop.run_sync(session, "Look.")

    stopped = halted.value.outcome.stopped_by
    assert stopped is not None
    assert stopped.guard == "loops"
    assert (loop.model_calls, loop.tool_calls) == (8, [])
