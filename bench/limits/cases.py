"""The cases: what the scripted model says, what the tools return, and what a user has asked to be kept to.

Pure functions of what a request holds, so that any number of runs share them and no framework can get them out of
step: the model says what follows from the agent, the run and how many results stand after the user's last message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from limits.asked import DONE, AskedRun, AskedTool, Config

Family = Literal["loop", "overspend", "storm", "slow", "good"]
COORDINATOR, SPECIALIST = "desk", "clerk"
SERVED = f"All of it is done. {DONE}"
BUDGET_S = 1.0
"""Of the slow cases. A whole second, since CrewAI takes no other; real budgets are some ten times that."""
STALL_S = 6.0
FAN_OUT = 30
"""Tasks at once: below the 32 hand-offs that Seawall allows a run by default, so that money is what is tested."""
CLERK_CALLS = 6
OUTAGE_S = 4.0
PROMPT = (
    "Rule {n}: state no amount, date or name that is not in what a tool has returned in this conversation.\n"
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the scripted model sees of a request."""

    agent: str
    run: str
    turn: int
    task: int
    """Which of the tasks that a coordinator has handed out; 0 for the coordinator."""
    results: int
    """Tool results after the user's last message."""


@dataclass(frozen=True, kw_only=True)
class Say:
    """What it says: a text, or calls of tools (name and arguments), or tasks to hand to the specialist."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    tasks: tuple[tuple[int, str], ...] = ()
    """Each with its number."""


@dataclass(frozen=True, kw_only=True)
class Called:
    """A call that has reached a tool."""

    run: str
    turn: int
    name: str
    arguments: str
    nth: int
    """Of this run's calls of this tool, from 1."""
    at_ms: int
    """The world's clock."""


Script = Callable[[Seen], Say]
Tool = Callable[[Called], str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case."""

    name: str
    family: Family
    what: str
    say: Script
    result: Tool
    tools: tuple[AskedTool, ...]
    specialists: tuple[str, ...] = ()
    runs: tuple[AskedRun, ...] = (AskedRun(key="r1"),)
    in_flight: int = 1
    budget_s: float | None = None
    budget_usd: str | None = None
    instructions: str = ""
    output_tokens: int = 60
    """That the model reports for a reply; more than it says, as a model that thinks does."""
    tool_s: float = 0.0
    """How long a tool takes."""
    model_s: float = 0.0
    """How long the model takes over its second reply of a run."""
    outage_s: float = 0.0
    """So long after the first request, the model answers 503 and nothing else."""
    offered: int = 0
    """Model calls that the runs need, where a case compares with that."""
    endless: bool = False
    """Nothing in the script ends it: what no limit stops is ended by the benchmark's cap on calls."""
    configs: tuple[Config, ...] = ("default", "docs", "fitted")
    sources: tuple[str, ...] = field(default=())
    """Of recorded runs, one for each of `runs`."""


FIND = AskedTool(name="find_order")
TRACK = AskedTool(name="track_parcel")
ORDER = '{"order_id": "1042"}'
FOUND = '{"order_id": "1042", "items": ["desk lamp"], "total": "42.50", "status": "sent"}'
_TIMES: tuple[Config, ...] = ("default", "docs")
"""Configurations of cases in which no number of calls decides: `fitted` would be `docs` again."""


def _same(seen: Seen) -> Say:
    return Say(calls=(("find_order", ORDER),))


def _cycle(seen: Seen) -> Say:
    return Say(calls=((("find_order", "track_parcel")[seen.results % 2], ORDER),))


def _writing(seen: Seen) -> Say:
    return Say(
        calls=(("send_note", f'{{"to": "customer", "text": "Still on it, update {seen.results + 1}."}}'),)
    )


def _handing_out(seen: Seen) -> Say:
    if seen.agent == COORDINATOR:
        return Say(tasks=((1, "Find order 1042: where is it?"),))
    if not seen.results:
        return Say(calls=(("find_order", ORDER),))
    return Say(text="Order 1042 was sent. Nothing more is known.")


def _found(called: Called) -> str:
    return FOUND


def _clocked(called: Called) -> str:
    seconds, ms = divmod(called.at_ms, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{FOUND[:-1]}, " + f'"served_at": "2026-03-02T09:{minutes % 60:02d}:{second:02d}.{ms:03d}Z"}}'


def _working_on(seen: Seen) -> Say:
    return Say(calls=(("find_order", f'{{"order_id": "{2000 + seen.results}"}}'),))


def _asked_for(called: Called) -> str:
    return f'{{"asked": {called.arguments}, "status": "sent", "total": "{called.nth}.50"}}'


def _fanning_out(seen: Seen) -> Say:
    if seen.agent == COORDINATOR:
        left = range(seen.results + 1, FAN_OUT + 1)  # CrewAI makes one call of a reply, and asks again
        return (
            Say(tasks=tuple((n, f"Find the orders of customer {n}.") for n in left))
            if left
            else Say(text=SERVED)
        )
    if seen.results < CLERK_CALLS:
        return Say(calls=(("find_order", f'{{"order_id": "{seen.task}-{seen.results}"}}'),))
    return Say(text=f"Customer {seen.task} has {CLERK_CALLS} orders, all sent.")


def _one_call(seen: Seen) -> Say:
    return Say(text=SERVED) if seen.results else Say(calls=(("find_order", ORDER),))


def _many_hops(seen: Seen) -> Say:
    return Say(text=SERVED) if seen.results >= 12 else _working_on(seen)


def _asking_once(seen: Seen) -> Say:
    if seen.agent == COORDINATOR:
        return Say(text=SERVED) if seen.results else Say(tasks=((1, "Find order 1042."),))
    return _one_call(seen)


def _polling(seen: Seen) -> Say:
    return Say(text=SERVED) if seen.results >= 6 else Say(calls=(("job_status", '{"job": "export-7"}'),))


def _job(called: Called) -> str:
    return (
        '{"job": "export-7", "state": "done"}'
        if called.nth >= 6
        else '{"job": "export-7", "state": "running"}'
    )


def _testing(seen: Seen) -> Say:
    if seen.results >= 8:
        return Say(text=SERVED)
    if seen.results % 2:
        return Say(calls=(("edit_file", f'{{"file": "a.py", "try": {seen.results}}}'),))
    return Say(calls=(("run_tests", '{"suite": "all"}'),))


def _tested(called: Called) -> str:
    if called.name == "edit_file":
        return "saved"
    return "12 passed" if called.nth >= 4 else "11 passed, 1 failed: test_total, expected 42.50"


_RULES = "".join(PROMPT.format(n=n) for n in range(220))
"""Some 24 kB, 6,000 tokens: a long prompt is what makes a call cost two cents."""

_CASES = (
    Case(
        name="loop-same",
        family="loop",
        endless=True,
        what="one identical successful call, for ever",
        say=_same,
        result=_found,
        tools=(FIND,),
    ),
    Case(
        name="loop-cycle",
        family="loop",
        endless=True,
        what="two tools in turn, for ever",
        say=_cycle,
        result=_found,
        tools=(FIND, TRACK),
    ),
    Case(
        name="loop-clock",
        family="loop",
        endless=True,
        what="one identical call whose result carries the time of day",
        say=_same,
        result=_clocked,
        tools=(FIND,),
    ),
    Case(
        name="loop-tasks",
        family="loop",
        endless=True,
        what="a coordinator hands out the same task again and again",
        say=_handing_out,
        result=_found,
        tools=(FIND,),
        specialists=(SPECIALIST,),
    ),
    Case(
        name="loop-writes",
        family="loop",
        endless=True,
        what="a write with other words each time: nothing is equal to anything",
        say=_writing,
        result=lambda called: f'{{"sent": {called.nth}}}',
        tools=(AskedTool(name="send_note", effect=True),),
    ),
    Case(
        name="spend-alone",
        family="overspend",
        endless=True,
        what="one agent, new work at every call, two cents a call; at most $1",
        say=_working_on,
        result=_asked_for,
        tools=(FIND,),
        budget_usd="1",
        instructions=_RULES,
        output_tokens=600,
    ),
    Case(
        name="spend-fan-out",
        family="overspend",
        what=f"{FAN_OUT} tasks at once, {CLERK_CALLS + 1} model calls each; at most $1",
        say=_fanning_out,
        result=_asked_for,
        tools=(FIND,),
        specialists=(SPECIALIST,),
        budget_usd="1",
        instructions=_RULES,
        output_tokens=600,
    ),
    Case(
        name="storm",
        family="storm",
        what=f"100 runs, 50 in flight, the model answers 503 for {OUTAGE_S:g} s; 200 model calls are needed",
        say=_one_call,
        result=_found,
        tools=(FIND,),
        runs=tuple(AskedRun(key=f"r{n}") for n in range(1, 101)),
        in_flight=50,
        outage_s=OUTAGE_S,
        offered=200,
        configs=_TIMES,
    ),
    Case(
        name="slow-specialist",
        family="slow",
        what=f"a specialist's tool stalls for {STALL_S:g} s; the run may take {BUDGET_S:g} s",
        say=_asking_once,
        result=_found,
        tools=(FIND,),
        specialists=(SPECIALIST,),
        budget_s=BUDGET_S,
        tool_s=STALL_S,
        configs=_TIMES,
    ),
    Case(
        name="slow-model",
        family="slow",
        what=f"the model stalls for {STALL_S:g} s over its second reply; the run may take {BUDGET_S:g} s",
        say=_one_call,
        result=_found,
        tools=(FIND,),
        budget_s=BUDGET_S,
        model_s=STALL_S,
        configs=_TIMES,
    ),
    Case(
        name="slow-hops",
        family="slow",
        what=f"12 calls of 0.5 s each, none of them slow; the run may take {BUDGET_S:g} s",
        say=_many_hops,
        result=_asked_for,
        tools=(FIND,),
        budget_s=BUDGET_S,
        tool_s=0.5,
        configs=_TIMES,
    ),
    Case(
        name="good-paging",
        family="good",
        what="12 calls of one tool, each with other arguments, then the answer",
        say=_many_hops,
        result=_asked_for,
        tools=(FIND,),
    ),
    Case(
        name="good-poll",
        family="good",
        what="a job is looked at six times, five times it runs, then it is done",
        say=_polling,
        result=_job,
        tools=(AskedTool(name="job_status", poll=True),),
    ),
    Case(
        name="good-tests",
        family="good",
        what="a test run fails three times with the same words, with an edit between, then it passes",
        say=_testing,
        result=_tested,
        tools=(AskedTool(name="run_tests"), AskedTool(name="edit_file", effect=True)),
    ),
)
CASES: dict[str, Case] = {case.name: case for case in _CASES}
RECORDED = "good-recorded"
"""The name of the case that `recorded.case` makes of a recording."""
