"""The script of one agent that has all tools: the recording as it is, with the advice that the rule adds."""

from __future__ import annotations

from conversation.recorded import Conversation, Turn
from conversation.rule import NoRule, Rule
from conversation.script import CLOSING, Expected, Message, Script, asked, names, said, told

AGENT = "agent"


def script(conversation: Conversation, *, guarded: bool = True) -> Script:
    """One agent, one call at a time. `guarded`: with what the loop guard advises, up to where it halts."""
    messages: list[Message] = [{"role": "system", "content": conversation.system}]
    runs: list[Expected] = []
    for turn in conversation.turns:
        runs.append(_run(turn, messages, Rule() if guarded else NoRule()))
        if runs[-1].halted:
            break
    calls = [call for turn in conversation.turns for call in turn.calls]
    return Script(
        key=conversation.key,
        success=conversation.success,
        system=conversation.system,
        runs=tuple(runs),
        owners={AGENT: names(calls)},
        rows=({"id": conversation.key, "messages": messages},),
    )


def _run(turn: Turn, messages: list[Message], rule: Rule | NoRule) -> Expected:
    """Add what one run sends and is told to `messages`."""
    claim, halted = rule.read(turn.request), False
    advised = int(claim is not None)
    batches = []
    texts: list[str] = []
    messages.append(asked(turn.request, claim))
    for number, call in enumerate(turn.calls):
        messages.append(said(call.text, [call]))
        if call.text:
            texts.append(call.text)
        if rule.stops(AGENT, call):
            halted = True
            break
        batches.append((call,))
        note = rule.learn(AGENT, call, step=2 * number + 2)  # asking the model is a step too
        advised += note is not None
        messages.append(told(call, note))
    if not halted:
        texts.append(CLOSING if turn.answer is None else turn.answer)
        messages.append(said(texts[-1]))
    return Expected(
        request=turn.request,
        batches=tuple(batches),
        texts=tuple(texts),
        advised=advised,
        halted=halted,
        closed=turn.answer is None and not halted,
    )
