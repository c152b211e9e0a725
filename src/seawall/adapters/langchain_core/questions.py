"""How a person decides on a held step: LangGraph's interrupt asks, and the value that the graph is resumed with answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import Interrupt, interrupt

from seawall.core.canonical import digest_of
from seawall.core.errors import Misused, Refused
from seawall.runtime.foreign.asks import Held

CHECKPOINTER_KEY = "__pregel_checkpointer"
"""LangGraph's key for the checkpointer of a graph while it runs."""
_SCRATCHPAD_KEY, _RESUME_MAP_KEY = "__pregel_scratchpad", "__pregel_resume_map"
"""LangGraph's keys for what is known of the task that runs, and for the values of `Command(resume={id: value})`."""


class SeawallHeld(GraphBubbleUp):
    """A step waits for a person, and the graph can't be interrupted because it has no checkpointer. Ask again after the
    decision.
    """

    def __init__(self, held: Held) -> None:
        super().__init__(str(held))
        self.held = held


class NotDecided(Exception):
    """The value that the graph was resumed with is not a valid decision. The person is asked again, and told why."""


class GraphQuestion:
    """The question whether a held step may be made.

    LangGraph gives the answers of one task by their order. Where a task calls several effects at the same time, and calls that
    were decided on are not asked about again, the order says nothing: there each question has an id of its own, and an answer
    counts only if it is given under this id or names the question.
    """

    def __init__(self, held: Held, problem: str = "", *, beside: bool = False) -> None:
        """`problem` says why an earlier answer was not accepted. `beside`: see `pass_gate`."""
        self._held, self._problem, self._beside = held, problem, beside

    def __repr__(self) -> str:
        return f"<GraphQuestion {self._held.proposal}>"

    def ask(self) -> Any:
        """Interrupts the graph, and returns the value that it is resumed with: `{"approve": True, "credential": …}` for
        `Command(resume={"approve": True, "credential": …})`.
        """
        configurable = get_config().get("configurable", {})
        if configurable.get(CHECKPOINTER_KEY) is None:
            raise SeawallHeld(self._held) from self._held
        if not self._beside:
            return interrupt(self._held.describe(self._problem))
        own = digest_of([str(configurable.get("checkpoint_ns")), self._held.proposal])
        problem, by_id = self._problem, cast("dict[str, Any]", configurable.get(_RESUME_MAP_KEY) or {})
        if not problem and own in by_id:
            return by_id[own]
        scratchpad = configurable[_SCRATCHPAD_KEY]
        given = None if problem else scratchpad.get_null_resume(False)
        if given is not None and _read_name(given) == self._held.proposal:
            return scratchpad.get_null_resume(True)
        if given is not None and not _read_name(given):
            name = f'"seawall": "{self._held.proposal}"'
            problem = f"several calls are made here: say which one the answer is for, with {name} in it"
        raise GraphInterrupt((Interrupt(self._held.describe(problem), id=own),))

    async def decide(self, answer: Any, sea: Any) -> None:
        """Decides in the name of the person who has resumed the graph. An earlier decision stands.

        Raises `NotDecided` if the value is not a decision on this step, or the person may not decide.
        """
        held = self._held
        given = cast("Mapping[str, Any]", answer) if isinstance(answer, Mapping) else {"approve": answer}
        if all(each.id != held.proposal for each in await sea.approvals(run=held.run)):
            return
        if _read_name(answer) not in ("", held.proposal):
            raise NotDecided(f"the answer was for {given['seawall']}")
        if not isinstance(given.get("approve"), bool):
            raise NotDecided('what is decided? give "approve": true or false')
        try:
            await sea.decide(
                held.run,
                held.step,
                approve=given["approve"],
                by=str(given.get("by") or ""),
                credential=given.get("credential"),
                reason=str(given.get("reason") or ""),
            )
        except (Refused, Misused) as error:
            raise NotDecided(str(error)) from error


def _read_name(answer: Any) -> str:
    """Returns the question that an answer names; "" if it names none."""
    return str(cast("Mapping[str, Any]", answer).get("seawall") or "") if isinstance(answer, Mapping) else ""
