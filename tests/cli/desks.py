"""Scripted teams in a file, and `seawall` called on them: in this process, or in one that can be signalled."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import warm_python
from seawall.cli import app

WAIT_S = 60.0
"""Longer than anything takes on a busy machine; a test that gets here fails."""

HEAD = """
import asyncio, os, signal, sys, threading
from decimal import Decimal
from seawall import *
from seawall.testing import *

@tool
def find_order(order_id: str) -> dict:
    "Look up one order."
    return {"id": order_id, "state": "lost", "amount": "80.00"}

@tool
def stock(sku: str) -> str:
    "Stock of an item."
    raise RuntimeError("warehouse 503")

@tool(effect=True)
def refund(order_id: str, amount: str) -> dict:
    "Pay back."
    return {"receipt": "rc-77"}

@tool(effect=True)
def pay(order_id: str) -> str:
    "Pay, and hear nothing of it."
    raise ConnectionError("the bank hung up")

class Asks(Guard):
    name = "asks"
    def before(self, step, run, memory):
        return Hold("a refund needs a person") if step.effect and step.kind == "tool" else ALLOW

def seen(request):
    "How many results the model was shown: its place in a script, in whatever process."
    return sum(type(each).__name__ == "ToolResult" for each in request.messages)

def script(*entries):
    "A model that finds its place again after a crash."
    return ScriptedModel(lambda request: entries[min(seen(request), len(entries) - 1)],
                         price=Price(Decimal("1.25"), Decimal(10)))

desk = Team("desk", Agent("desk", model=script(call("find_order", order_id="1042"), say("Order 1042 is lost: 80.00 EUR."))
            , tools=[find_order]))
reviewed = Team("reviewed", desk.coordinator, reviewer=Agent("auditor", model=script(call("review", approved=True))))
looping = Team(Agent("looper", model=script(call("stock", sku="SKU-9")), tools=[stock]))
hurried = Team("hurried", Agent("desk", model=script(say("It was shipped."))),
               reviewer=Agent("auditor", model=script(call("review", approved=True))),
               planner=Planner(priors={"agent:auditor": 500}))
parked = Team("parked", Agent("cashier", model=script(call("refund", order_id="1042", amount="80.00"), say("Paid, rc-77.")),
              tools=[refund]), guards=[Asks()])
unsure = Team("unsure", Agent("payer", model=script(call("pay", order_id="1042"), say("Paid.")), tools=[pay]))
clerk = Agent("clerk", model=script(say("It is me.")))
"""

_names = itertools.count()


@dataclass(frozen=True)
class Called:
    """What a command came to."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


@dataclass
class Desks:
    """A directory with an app in it. Each has a module name of its own, as one process imports them all."""

    directory: Path
    module: str = field(default_factory=lambda: f"app_{os.getpid()}_{next(_names)}")

    def write(self, source: str = "", name: str | None = None) -> None:
        """Put `source` below `HEAD` into the app."""
        (self.directory / f"{name or self.module}.py").write_text(HEAD + source, encoding="utf-8")

    def app(self, team: str) -> str:
        """The import path of a team."""
        return f"{self.module}:{team}"

    def __call__(self, *words: str, width: int | None = None, stdin: bytes | None = None) -> Called:
        """`seawall WORDS`, in this process."""
        env = {} if width is None else {"COLUMNS": str(width)}
        result = CliRunner().invoke(app, list(words), input=stdin, env=env, catch_exceptions=False)
        return Called(result.exit_code, result.stdout, result.stderr)

    def start(self, *words: str, stdin: int = warm_python.DEVNULL) -> Child:
        """`seawall WORDS` in a process of its own."""
        return self._process("-c", "from seawall.cli import main; main()", *words, stdin=stdin)

    def python(self, script: str) -> Called:
        """`python SCRIPT`, to its end."""
        return self._process(script).end()

    def run_script(self, script: str) -> Child:
        """`python SCRIPT`, in a process of its own."""
        return self._process(script)

    def _process(self, *words: str, stdin: int = warm_python.DEVNULL) -> Child:
        return Child(
            warm_python.start(
                words,
                cwd=self.directory,
                stdin=stdin,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"},
            )
        )


class Child:
    """A running command."""

    def __init__(self, process: warm_python.Process[bytes]) -> None:
        self.process = process
        self.err = ""

    def until(self, text: str) -> None:
        """Return once stderr has said `text`."""
        assert self.process.stderr is not None
        handle = self.process.stderr.fileno()
        while text not in self.err:
            ready, _, _ = select.select([handle], [], [], WAIT_S)
            piece = os.read(handle, 65_536) if ready else b""
            assert piece, f"{text!r} did not come; stderr: {self.err}"
            self.err += piece.decode()

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> Called:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=WAIT_S)
        self.err += err.decode()
        return Called(self.process.wait(), out.decode(), self.err)
