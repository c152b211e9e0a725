"""The texts of the guard `waste`: for the agent, in words that help it, and for people, with values and limits."""

from __future__ import annotations

from seawall.run.step import Step
from seawall.run.verdict import Advise
from seawall.run.waste import KnownRead, TextHistory, TextVersion


def advise_duplicate(step: Step, known: KnownRead) -> Advise:
    """Returns advice on a read that another agent has made.

    The result itself is not repeated: it stands right above, and a tool's text must not appear in the guard's name.
    """
    note = (
        f"[{known.agent} has asked this in step {known.step}: {step.name} has returned exactly the same, and nothing was written "
        "in between. Use what colleagues have found out already: ask for it, or have it passed on to you.]"
    )
    reason = f"{step.agent!r} asked {step.name!r} what {known.agent!r} had asked in step {known.step}"
    return Advise(reason, note, "duplicates", known.step)


def advise_turn(step: Step, text: TextHistory, share: float, limit: str) -> Advise:
    """Returns advice for the agent in whose frame a text is rewritten again and again."""
    newest, passed = text.newest, text.passed
    note = (
        f"[The text of step {newest.text} was rewritten {text.rewrites} times without a new value, by "
        f"{_list_authors(text)}: that took {share:.0%} of this run's tokens. The newest version is that of step "
        f"{newest.step}. {_name_passed(newest, passed)} {_suggest(step, newest)}]"
    )
    reason = (
        f"{share:.0%} of the run's tokens went into {text.rewrites} rewrites of the text of step {newest.text}, by "
        f"{_list_authors(text)}; the newest version is that of step {newest.step}; {_describe_passed(passed)}"
    )
    return Advise(reason, note, limit, round(share, 3))


def _suggest(step: Step, newest: TextVersion) -> str:
    """Returns what to do instead, for the agent that asks for versions, or for the agent whose own answer was sent
    back.
    """
    if newest.frame == step.frame:
        return "Change what was asked for and nothing else, or say what can't be changed."
    return "Answer with it, or say what is missing in it and ask for just that."


def _name_passed(newest: TextVersion, passed: TextVersion | None) -> str:
    if passed is None:
        return "No version of it has passed a check."
    if passed.step == newest.step:
        return f"It has passed a check: {_describe_check(passed)}."
    return f"That of step {passed.step} has passed a check: {_describe_check(passed)}."


def _describe_passed(passed: TextVersion | None) -> str:
    if passed is None:
        return "no version has passed a check"
    return f"that of step {passed.step} has passed a check ({_describe_check(passed)})"


def _describe_check(version: TextVersion) -> str:
    if version.check == "review":
        return f"review step {version.checked_in} approved it"
    return f"it fits the type that answers of {version.agent} must have"


def _list_authors(text: TextHistory) -> str:
    return ", ".join(sorted(text.authors))


def explain_taken(step: Step, text: TextHistory, passed: TextVersion, share: float) -> str:
    """Returns why a checked version is used in place of another rewrite; the text names both versions."""
    return (
        f"{step.name!r} is not asked for another version of the text of step {text.newest.text}: {text.rewrites} rewrites "
        f"took {share:.0%} of the run's tokens. The version of step {passed.step} is taken "
        f"({_describe_check(passed)}), and the newest is that of step {text.newest.step}"
    )


def explain_given(step: Step, known: KnownRead, age_s: float) -> str:
    """Returns why a read is answered with another agent's result."""
    return (
        f"{known.agent!r} asked {step.name!r} this in step {known.step}, {age_s:.1f} s ago "
        f"(fresh_s {step.fresh_s or 0:g})"
    )
