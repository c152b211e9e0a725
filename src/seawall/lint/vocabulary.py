"""Words as the lint compares them: stems, groups of words with one meaning, and words without meaning for a duty.

The lists are small, for English, and made for instructions of agents. A word that is in no list is compared by its stem alone.
"""

from __future__ import annotations

import re

WORD = re.compile(r"\{[^{}\s]{1,40}\}|[^\W_]+(?:['’][^\W_]+)*")
"""A word, or a placeholder such as `{topic}`."""


def read_words(text: str) -> frozenset[str]:
    """Returns the words of a list that is written as a text."""
    return frozenset(text.split())


_SUFFIXES = (
    "izations", "ization", "ations", "ation", "ators", "ator", "itions", "ition", "ments", "ment", "iveness", "ances", "ance",
    "izers", "izer", "izing", "ized", "izes", "ize", "ating", "ated", "ates", "ate", "ingly", "ings", "ing", "ively", "ives", "ive",
    "tions", "tion", "ers", "er", "ors", "or", "edly", "ies", "ied", "ed", "es", "s", "ally", "als", "al", "ly", "ity", "y", "e",
)  # fmt: skip
_SHORTEST_STEM = 4
_LIGHT = frozenset({"s", "e", "y", "ing", "es", "ed", "ies", "ied"})
"""Endings that are removed even if only three letters are left."""

_IRREGULAR = {
    "wrote": "write", "written": "write", "built": "build", "chose": "choose", "choice": "choose", "choices": "choose",
    "found": "find", "sent": "send", "told": "tell", "kept": "keep", "led": "lead", "made": "make", "making": "make",
    "drawn": "draw", "analysis": "analyse", "analyst": "analyse", "analysts": "analyse", "analytics": "analyse",
    "analytical": "analyse", "strategic": "strategy", "strategist": "strategy", "criteria": "criterion",
    "people": "person", "bought": "buy", "gave": "give", "given": "give", "taken": "take", "took": "take",
    "decision": "decide", "decisions": "decide", "resume": "cv", "resumes": "cv", "résumé": "cv",
    "hypothesis": "hypotheses", "verification": "verify", "verifications": "verify", "optimal": "optimise",
    "optimum": "optimise", "pricing": "price",
}  # fmt: skip

_GROUPS = """
research investigate explore uncover discover dig scout study
gather collect find search retrieve fetch obtain pull extract look track monitor watch follow observe
analyse examine assess evaluate judge interpret appraise
score rate grade rank mark
write draft author compose
create generate produce develop build invent craft design
plan schedule roadmap outline
review check verify validate audit inspect proofread cross-check
approve sign decide rule authorise accept reject
recommend suggest propose advise advice
edit rewrite revise refine improve optimise polish rework adjust
compile consolidate summarise synthesise merge condense assemble combine integrate
report present brief
send publish post distribute deliver email mail
coordinate manage oversee supervise lead direct orchestrate steer
assign delegate route dispatch
fix solve resolve correct repair debug mend
explain teach coach guide educate
answer support help respond
code program implement script
article blog text content copy
client customer user buyer visitor consumer shopper
price cost pricing
risk danger hazard threat exposure
bug error defect failure fault problem issue
insight trend pattern
news headline
sentiment mood emotion
chart visual plot graph diagram visualisation
image picture photo illustration
paper literature study publication
hotel accommodation stay lodging
plan strategy
law legal regulation compliance
question exercise quiz
vacancy job position
candidate applicant
refund money payout reimbursement
fact statement claim
test qa
website site page web
frontend interface ui
backend server
"""

STOP = read_words(
    """a an the this that these those it its it's he she they them their his her him you your yours you're we our us i my
    and or but nor so as at by for from in into of off on onto out over per than then to too up upon via with within
    without is are was were be been being am do does did done has have had having will would shall should can could may
    might must need not no never none only just also very well each every all any both either neither other others another
    some such same own more most many much less least few how what when where which who whom whose why if because while
    until once after before during about across along among around between through toward towards under against like
    etc e.g eg ie i.e there here again ever even
    don't doesn't isn't aren't can't won't let lets use uses using used uses make makes making made sure ensure ensures
    ensuring get gets give gives giving given take takes taking keep keeps based go goes come comes put puts put bring
    brings way ways"""
)
"""Words that say nothing about the work."""

GENERIC = read_words(
    """data information detail result work task team agent user project process quality accurate clear relevant specific
    best good new right high full whole final complete various different important key main expert senior specialist
    experienced lead output input format structured content insight goal need provide deliver handle responsible
    professional effective comprehensive thorough ability skill knowledge experience year role part thing time
    question concise detailed manner three return current recent latest newest overall potential possible available existing necessary useful actionable ready"""
)
"""Words that are in the instructions of nearly all agents."""


def stem_word(word: str) -> str:
    """Returns a word without its ending, so that `analyses`, `analyst` and `analysing` become the same stem.

    A stem is not a dictionary form. Words of other languages may lose an ending, too, but equal words have equal stems.
    """
    low = word.lower().replace("’", "'")
    if low.startswith("{"):
        return low
    low = low.removesuffix("'s").removesuffix("'")
    low = _IRREGULAR.get(low, low).replace("yz", "ys")
    low = re.sub(r"is(e|es|ed|ing|er|ers|ation|ations)$", r"iz\1", low) if len(low) > 6 else low
    for suffix in _SUFFIXES:
        if low.endswith(suffix) and len(low) - len(suffix) >= _SHORTEST_STEM - (suffix in _LIGHT):
            low = low[: -len(suffix)]
            break
    low = low.removesuffix("er") if len(low) > _SHORTEST_STEM + 1 else low  # gathering, and then gather
    if len(low) > _SHORTEST_STEM and low[-1] == low[-2] and low[-1] not in "aeiouls":
        low = low[:-1]
    return low.removesuffix("e") if len(low) > _SHORTEST_STEM else low


def _read_groups() -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for line in _GROUPS.strip().splitlines():
        group = {stem_word(word) for word in line.split()}
        for word in group:
            found.setdefault(word, set()).update(group - {word})
    return {word: tuple(sorted(near)) for word, near in found.items()}


_NEAR = _read_groups()
ORDINALS = frozenset(
    map(
        stem_word,
        read_words(
            """first second third fourth fifth one two three four five six 1 2 3 4 5 6 7 8 9 b c d 1st 2nd 3rd 4th
    odd even left right upper lower"""
        ),
    )
)
"""Words that number or place one of several equal objects."""
DEBATE = frozenset(
    map(
        stem_word,
        read_words(
            "argue argues rebut opponent proponent bull bullish bear bearish advocate sceptic skeptic "
            "affirmative opposing contrarian"
        ),
    )
)
"""Words that show that an agent takes a side in a debate."""
GENERIC_STEMS = frozenset(stem_word(word) for word in GENERIC)


def group_of(stem: str) -> tuple[str, ...]:
    """Returns the stems with the same meaning in instructions, in order; empty if the stem is in no group."""
    return _NEAR.get(stem, ())
