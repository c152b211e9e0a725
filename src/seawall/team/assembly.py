"""Keeps the contexts of a team's agents within their budgets: prepares model steps, and shortens contexts before them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import takewhile
from types import MappingProxyType

from msgspec.structs import replace

from seawall.core.canonical import measure_bytes
from seawall.core.events import ContextFolded
from seawall.models.protocol import Price
from seawall.models.usage import compute_bound_usd
from seawall.run.bodies import Bodies
from seawall.run.frame import TOO_LONG, Frame
from seawall.run.ledger import LEAST_REPLY_TOKENS, NO_REST, Rest
from seawall.run.state import RunState
from seawall.run.step import Step
from seawall.team.context import FRAMING_TOKENS
from seawall.team.context_options import LEAST_TOKENS
from seawall.team.conversation import TOKENS_PER_BYTE, Conversation, Weighed, fold_frame
from seawall.team.team import Member, Team

_NO_USD = Decimal(0)
CLOSING_TOKENS = 400
"""Upper bound of the tokens of what an agent is told with its last call: about 260 bytes say that it is the last one, and
about 80 replace a call that is not made. A token has at least one byte."""


class Assembly:
    """Assembles what the models of one run's agents are sent, within their budgets."""

    def __init__(
        self,
        team: Team,
        conversation: Conversation,
        bodies: Bodies,
        prices: Mapping[str, Price | None],
        windows: Mapping[str, int | None],
    ) -> None:
        """`prices` and `windows` are by agent. A window is the tokens of the model's context, reply included; None: unknown."""
        self._team, self._conversation, self._bodies = team, conversation, bodies
        self._prices, self._windows = prices, windows
        self._token_usd = {name: compute_bound_usd(price, 1, 0) for name, price in prices.items()}
        self._reply_usd = {name: compute_bound_usd(price, 0, 1) for name, price in prices.items()}

    def __repr__(self) -> str:
        return f"<Assembly of {self._team.name}>"

    def prepare_model(self, step: Step, member: Member, state: RunState) -> Step:
        """Returns a model step with its reservation, and with the part of the context that is shortened before it."""
        agent, frame = member.agent, state.frames[step.frame]
        weighed, folded = self._weigh(frame, member, state)
        if folded is not None:
            frame = fold_frame(frame, folded)
            weighed = self._conversation.weigh(frame, agent.instructions, member.specs_bytes, member.version)
        price = self._prices.get(agent.name)
        return replace(
            step,
            input=self._bodies.put(agent.instructions),
            tokens=weighed.bound + agent.max_output_tokens,
            reply_tokens=agent.max_output_tokens,
            reply_token_usd=self._reply_usd.get(agent.name) or _NO_USD,
            usd=compute_bound_usd(price, weighed.bound, agent.max_output_tokens),
            input_token_usd=self._token_usd.get(agent.name) or _NO_USD,
            context=len(frame.messages),
            context_bytes=weighed.size,
            context_tokens=weighed.tokens,
            junk=weighed.junk,
            folded=folded,
            endpoint=f"model:{step.name}",
            outlasts=agent.retries > 0,
        )

    def compute_rest(self, frame: Frame, step: Step | None, state: RunState) -> Rest:
        """Returns the reserve for a frame's last reply, and for the required review of its answer.

        If `step` belongs to a hand-off below that frame, the hand-off has a last reply, too, which its caller is sent. What
        is found until then is not known; the last call is sent as much of it as fits.
        """
        member = self._team.members.get(frame.agent)
        if member is None:
            return NO_REST
        reviews = int(member.reviewer is not None and not frame.review.approved)
        must_review = member.reviewer is not None and state.plan.effects
        if step is None or step.kind != "model":  # the cost of other steps is counted apart from replies
            return Rest(must_review=must_review)
        own = step.frame == frame.id
        if (own and step.last) or step.frame in self._list_reviews(frame, state):
            return Rest(must_review=must_review)
        if own and member.only_answers:
            return Rest(model_calls=reviews, must_review=must_review)
        rest = self._keep_reply(Rest(model_calls=1 + reviews, grows=True, must_review=must_review), frame)
        caller = frame
        below = list(takewhile(lambda number: number != frame.id, state.walk_up(step.frame)))
        for inner in (state.frames[number] for number in reversed(below)):
            if inner.kind == "handoff" and not (inner.id == step.frame and self._is_answer(step, inner)):
                rest = self._keep_answer(self._keep_reply(rest, inner), inner, caller)
            caller = inner
        return rest

    def _is_answer(self, step: Step, frame: Frame) -> bool:
        """Returns whether the reply of a frame's model step must be the frame's answer."""
        member = self._team.members.get(frame.agent)
        return step.last or (member is not None and member.only_answers)

    def _keep_reply(self, rest: Rest, frame: Frame) -> Rest:
        """Returns the reserve with a frame's last reply added: the shortest reply, to the context as it is now."""
        member = self._team.members.get(frame.agent)
        if member is None:
            return rest
        agent = member.agent
        bound = self._conversation.weigh(frame, agent.instructions, member.specs_bytes, member.version).bound
        least = min(LEAST_REPLY_TOKENS, agent.max_output_tokens)
        bound += max(0, CLOSING_TOKENS - member.specs_bytes)  # the last call is sent no tools
        usd = compute_bound_usd(self._prices.get(frame.agent), bound, least) or _NO_USD
        token_usd = self._token_usd.get(frame.agent) or _NO_USD
        return replace(
            rest,
            tokens=rest.tokens + bound + least,
            usd=rest.usd + usd,
            input_token_usd=max(rest.input_token_usd, token_usd),
        )

    def _keep_answer(self, rest: Rest, frame: Frame, caller: Frame) -> Rest:
        """Returns the reserve with a hand-off's last reply added, which its caller's last call is sent."""
        member = self._team.members.get(frame.agent)
        least = (
            LEAST_REPLY_TOKENS if member is None else min(LEAST_REPLY_TOKENS, member.agent.max_output_tokens)
        )
        tokens = least + FRAMING_TOKENS
        token_usd = self._token_usd.get(caller.agent) or _NO_USD
        return replace(rest, tokens=rest.tokens + tokens, usd=rest.usd + tokens * token_usd)

    def _list_reviews(self, frame: Frame, state: RunState) -> list[int]:
        """Returns the frames in which a frame's answer is reviewed."""
        return [
            each.id for each in state.frames.values() if each.kind == "review" and each.parent == frame.id
        ]

    def answer_too_long(self, state: RunState) -> RunState:
        """Returns the state in which a frame goes on if its context was too long and can be shortened.

        For a context that can't be shortened, the frame's failure says so.
        """
        changed: dict[int, Frame] = {}
        for frame in state.frames.values():
            failure = frame.failure
            if failure is None or failure.kind != TOO_LONG:
                continue
            member = self._team.members.get(frame.agent)
            if member is None:
                continue
            weighed, folded = self._weigh(frame, member, state)
            if folded is not None:
                changed[frame.id] = replace(frame, failure=None)
            else:
                text = (
                    f"Error: the context of {frame.agent!r} (about {weighed.tokens:,} tokens) is too long for its "
                    "model, and nothing in it can be shortened any further. "
                    f"The model said: {self._bodies.text(failure.text)}"
                )
                changed[frame.id] = replace(frame, failure=replace(failure, text=self._bodies.put(text)))
        return replace(state, frames=MappingProxyType(state.frames | changed)) if changed else state

    def read_again(self, frame: Frame, member: Member, label: str, page: int) -> str | None:
        """Returns a page of a message that was shortened; None if there is none."""
        return self._conversation.read_again(frame, label, page, self._find_budget(member))

    def find_room(self, member: Member) -> int | None:
        """Returns the bytes that an agent's task may have, by an estimate; None if its budget is not known."""
        budget = self._find_budget(member)
        if budget is None:
            return None
        fixed = measure_bytes(member.agent.instructions) + member.specs_bytes
        return int(member.context.fold_at * budget / TOKENS_PER_BYTE) - fixed

    def _weigh(self, frame: Frame, member: Member, state: RunState) -> tuple[Weighed, ContextFolded | None]:
        """Returns the size of a frame's context, and what must be shortened before the frame's next model step."""
        agent, options = member.agent, member.context
        weighed = self._conversation.weigh(frame, agent.instructions, member.specs_bytes, member.version)
        budget = self._find_budget(member)
        return weighed, self._conversation.plan(frame, weighed, state.steps + 1, options, budget)

    def _find_budget(self, member: Member) -> int | None:
        """Returns the tokens that an agent's context may have; None if the budget is not known."""
        if member.context.tokens is not None:
            return member.context.tokens
        window = self._windows.get(member.agent.name)
        return None if window is None else max(LEAST_TOKENS, window - member.agent.max_output_tokens)
