"""The loop guards of other libraries, as they are published: each behind an adapter that shows it call after call.

Every one runs as its documentation sets it up, with its defaults. Bounds on steps, tokens, money and time are out of
reach: what is measured is who sees a loop. A call is stopped where the library says that it must not be made, or that
the run has to end; advice and warnings are counted apart. All are told tool, arguments, result, whether it failed, and
the time, as far as they ask for it, and which tools write.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from loop.distance import compute_share_to_edit
from seawall.audit import RecordedCall

Said = Literal["", "advise", "stop", "end"]
"""`stop`: this call must not be made. `end`: it was made, and the run has to end now."""
Watch = Callable[[RecordedCall, float], Said]
"""Is shown a call with its result and its time (in s), and says whether it is a loop."""
Tools = Mapping[str, bool | None]
"""Which tools write; None: nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A published loop guard."""

    package: str
    module: str
    what: str
    begin: Callable[[Tools], Watch]
    advises: bool = False
    """Whether it can warn before it stops."""

    @property
    def version(self) -> str | None:
        """The version that is installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None


def _arguments(call: RecordedCall) -> dict[str, Any]:
    try:
        found = json.loads(call.arguments)
    except ValueError:
        return {"raw": call.arguments}
    return found if isinstance(found, dict) else {"raw": found}


def _agent_loop_guard(_: Tools) -> Watch:
    lib = importlib.import_module("loop_guard")
    similarity: Any = importlib.import_module("loop_guard.similarity")
    similarity.normalized_edit_distance = (
        compute_share_to_edit  # the same number: its own takes 0.5 s for two results
    )
    guard = lib.LoopGuard()

    def watch(call: RecordedCall, at_s: float) -> Said:
        found = guard.check(call.tool, _arguments(call), call.result)
        return "end" if found.is_loop else "advise" if found.should_warn else ""

    return watch


def _loopguard(_: Tools) -> Watch:
    lib = importlib.import_module("loopguard")
    core: Any = importlib.import_module("loopguard.core")
    now_s = 0.0
    core._get_time = lambda: now_s  # noqa: SLF001 -- its window is in seconds, and the calls are minutes apart
    guarded: dict[str, Callable[..., None]] = {}

    def watch(call: RecordedCall, at_s: float) -> Said:
        nonlocal now_s
        now_s = at_s
        tool = guarded.setdefault(call.tool, lib.loopguard(_nothing))
        try:
            tool(_arguments(call))
        except lib.LoopDetectedError:
            return "stop"
        return ""

    return watch


def _nothing(arguments: dict[str, Any]) -> None:
    """A tool that `loopguard` is put around."""


def _loop_guardrail(tools: Tools) -> Watch:
    lib = importlib.import_module("loop_guardrail.guardrail")
    config = lib.ToolCallGuardrailConfig(
        hard_stop_enabled=True,
        idempotent_tools={name for name, writes in tools.items() if writes is False},
        mutating_tools={name for name, writes in tools.items() if writes},
    )
    controller = lib.ToolCallGuardrailController(config)

    def watch(call: RecordedCall, at_s: float) -> Said:
        before = controller.before_call(call.tool, _arguments(call))
        if before.should_halt:
            return "stop"
        after = controller.after_call(call.tool, _arguments(call), call.result, failed=call.failed)
        return "end" if after.should_halt else "advise" if after.action == "warn" else ""

    return watch


def _agent_watchdog(_: Tools) -> Watch:
    lib = importlib.import_module("agent_watchdog")
    watchdog = lib.AgentWatchdog(timeout_seconds=None)
    scope = watchdog.watch(run_id="bench")
    scope.__enter__()

    def watch(call: RecordedCall, at_s: float) -> Said:
        try:
            watchdog.record_tool_call(call.tool, _arguments(call), call.result)
        except lib.WatchdogHalt as halt:
            with contextlib.suppress(lib.WatchdogHalt):  # the run of `scope` ends here
                scope.__exit__(lib.WatchdogHalt, halt, None)
            return "end"
        return ""

    return watch


def _agentguard47(name: str) -> Callable[[Tools], Watch]:
    def begin(_: Tools) -> Watch:
        lib = importlib.import_module("agentguard")
        guard = getattr(lib, name)()

        def watch(call: RecordedCall, at_s: float) -> Said:
            try:
                guard.check(call.tool, _arguments(call))
            except lib.LoopDetected:
                return "stop"
            return ""

        return watch

    return begin


def _trajectory_fuse(_: Tools) -> Watch:
    lib = importlib.import_module("trajectory_fuse")
    fuse = lib.AgentFuse()

    def watch(call: RecordedCall, at_s: float) -> Said:
        action = lib.Action(
            tool=call.tool, args=_arguments(call), result=call.result, success=not call.failed
        )
        try:
            fuse.observe(action)
        except lib.DeadlockDetected:
            return "end"
        return ""

    return watch


def _aura_guard(tools: Tools) -> Watch:
    lib = importlib.import_module("aura_guard")
    writes = {name for name, writes in tools.items() if writes}
    guard = lib.AgentGuard(secret_key=b"bench", side_effect_tools=writes, default_tool_cost=0.0)
    logging.getLogger("aura_guard").setLevel(logging.ERROR)

    def watch(call: RecordedCall, at_s: float) -> Said:
        decision = guard.check_tool(call.tool, _arguments(call))
        if decision.action.value != "allow":  # blocked, rewritten or answered from its cache: it is not made
            return "stop"
        guard.record_result(
            ok=not call.failed, payload=call.result, error_code="error" if call.failed else None
        )
        return ""

    return watch


def _longguard(_: Tools) -> Watch:
    lib = importlib.import_module("longguard")
    far = 10_000_000
    breaker = lib.CircuitBreaker(
        lib.GuardConfig(
            max_steps=far, max_tokens_per_run=far, semantic_window=far
        )  # these agents have no thoughts
    )
    logging.getLogger("longguard").setLevel(logging.CRITICAL)
    number = 0

    def watch(call: RecordedCall, at_s: float) -> Said:
        nonlocal number
        number += 1
        step = lib.AgentStep(
            step_number=number,
            thought="",
            action=call.tool,
            action_input=_arguments(call),
            observation=call.result,
            tokens_used=50,
        )
        action = breaker.check(step).action
        return "end" if action == "kill" else "advise" if action == "reflect" else ""

    return watch


ADVISERS = ("agent-loop-guard", "loop-guardrail", "longguard")
PEERS: dict[str, Peer] = {
    name: Peer(package=package, module=module, what=what, begin=begin, advises=name in ADVISERS)
    for name, package, module, what, begin in (
        (
            "agent-loop-guard",
            "agent-loop-guard",
            "loop_guard",
            "repeats, near repeats, cycles and equal outputs in a window of ten, four in a row",
            _agent_loop_guard,
        ),
        ("loopguard", "loopguard", "loopguard", "equal arguments more than 3 times in 60 s", _loopguard),
        (
            "loop-guardrail",
            "loop-guardrail",
            "loop_guardrail",
            "equal failures, failures of one tool, equal results; told which tools write; hard stop on",
            _loop_guardrail,
        ),
        (
            "agent-watchdog",
            "agent-watchdog",
            "agent_watchdog",
            "3 equal calls in a row, or a pattern that fills 8 calls",
            _agent_watchdog,
        ),
        (
            "agentguard47 LoopGuard",
            "agentguard47",
            "agentguard",
            "3 equal calls in a row",
            _agentguard47("LoopGuard"),
        ),
        (
            "agentguard47 FuzzyLoopGuard",
            "agentguard47",
            "agentguard",
            "one tool 5 times in 10 calls, or two tools in turn",
            _agentguard47("FuzzyLoopGuard"),
        ),
        (
            "trajectory-fuse",
            "trajectory-fuse",
            "trajectory_fuse",
            "3 equal calls, cycles of 2 to 6, alike failures of one tool",
            _trajectory_fuse,
        ),
        (
            "aura-guard",
            "aura-guard",
            "aura_guard",
            "equal and alike calls, failures, more than one write by one tool; told which tools write",
            _aura_guard,
        ),
        (
            "longguard",
            "longguard",
            "longguard",
            "repeated calls and dead ends, without its look at thoughts; two reflections, then an end",
            _longguard,
        ),
    )
}
