"""The texts for calls that are not made, or not made again: their results as the agents get them."""

from __future__ import annotations

from seawall.run.step import Result, Step

LOST_REASON = (
    "the arguments held a secret, which is not stored, and this process does not have it: the call can't be made as "
    "it was written. Approve: the agent is told, and may write the call again. Reject: it is told that you refused"
)
LOST_TEXT = (
    "Error: not done: the arguments of this call held a secret, which was not stored and is lost. "
    "Write the call again, with all values, if it is still needed."
)
FORGOTTEN_TEXT = (
    "Error: not made again: whether the first attempt happened is not known, and so long after it the other side may "
    "have forgotten its key"
)


async def refuse_forgotten() -> Result:
    """Returns the result of an attempt that is not made, because it has waited for so long that the external system may
    have forgotten its key.
    """
    return Result(status="error", output=FORGOTTEN_TEXT, error="forgotten", endpoint="unasked")


def describe_simulated(step: Step) -> str:
    """Returns the text that the agent of a fork gets in place of an effect's result."""
    return f"[simulated: in a fork {step.name!r} is not performed]"
