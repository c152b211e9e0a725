"""Splits instructions into duties: the verb, its objects, and its inputs.

It uses the order of words and short lists, without a parser, a model or a network, so the same text always gives the same
duties. It knows English. In text of another language, each sentence becomes one duty with all its words as the object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from seawall.lint.vocabulary import GENERIC_STEMS, STOP, WORD, read_words, stem_word

LONGEST_CHARS = 20_000
"""Characters of an agent's instructions that are read. A page of text has 3,000 characters."""
MOST_DUTIES = 80
"""Duties of an agent that are compared, so that a long text is compared in bounded time."""
LONGEST_SENTENCE_CHARS = 600
"""Characters of a sentence. A longer one is a table or a list without full stops, and is cut into several."""
MOST_WORDS = 60
"""Words of one duty that are compared. A duty with more words is a table or a document."""

_VERBS = {
    "gather": "research gather collect find search retrieve fetch obtain pull extract investigate explore uncover discover dig scout "
    "study track monitor watch scrape look read identify locate source query crawl scan observe listen load get",
    "analyse": "analyse analyze examine assess evaluate judge interpret appraise score rate grade rank mark measure estimate compare "
    "calculate compute weigh diagnose forecast predict classify categorise categorize critique",
    "create": "write draft compose create generate produce develop build invent craft design implement code program make illustrate "
    "draw formulate set define construct prepare model script translate describe come expand author",
    "plan": "plan schedule outline break split structure organise organize prioritise prioritize arrange map allocate form",
    "check": "review check verify validate audit inspect proofread test cross-check confirm reconcile flag detect reject compares",
    "decide": "decide choose approve sign authorise authorize accept select pick determine rule settle grant",
    "advise": "recommend suggest propose advise name advocate argue",
    "revise": "edit rewrite revise refine improve optimise optimize polish rework adjust enhance clean fix solve resolve correct "
    "repair debug modify change update restructure moderate maintain",
    "compile": "compile consolidate summarise summarize synthesise synthesize merge condense assemble combine integrate join collate "
    "aggregate convert transform turn record document store save log bring normalise normalize",
    "present": "report present tell brief explain teach coach guide educate answer talk support help respond inform visualise visualize",
    "send": "send publish post deliver email notify submit forward book order pay issue deploy run execute launch call upload",
    "lead": "coordinate manage oversee supervise lead direct orchestrate steer assign delegate route dispatch facilitate mediate hand "
    "moderate drive align head foster guarantee handle",
}
VERB_CLASS: dict[str, str] = {}
"""The class of a verb, by its stem. If a verb is listed in two classes, the first one counts."""
for _name, _words in _VERBS.items():
    for _word in _words.split():
        VERB_CLASS.setdefault(stem_word(_word), _name)

_INPUT = read_words(
    "from using by based after against following under per through via given with according once when if on"
)
"""Words before an input, a time or a means of a duty, not before its result."""
_ASIDE = read_words("to so for that which who before until while because")
"""Words before the purpose of a duty, or before a remark on its object."""
_NEGATIONS = read_words("no not never don't doesn't without nothing cannot can't neither nor avoid avoids")
_SUBJECTS = read_words(
    "you your we i he she it they must should shall will can may always also then first finally next is are be job goal "
    "role task responsible for to who and or lastly please"
)
_PRONOUNS = frozenset({"it", "them", "this", "these", "both"})
_ASPECTS = frozenset(
    map(
        stem_word,
        read_words("grammar spelling style tone wording punctuation readability clarity structure format"),
    )
)
"""Aspects of a text or a thing. An agent that corrects the style of an article does not write the article, so the article is an
input there."""
_DETERMINERS = read_words("the a an each every its their his her all any which whether what how")
_ANNOUNCING = read_words(
    "knack responsible charge adept skilled expert expertise excel excels focus focuses focused tasked specialised "
    "specialized specialising specializing specialise specialises ability job goal task mission"
)
_SENTENCE = re.compile(r"[^.!?;\n。！？；]+(?:[.!?](?=[^\s])[^.!?;\n。！？；]*)*[.!?;。！？；]*")  # noqa: RUF001 - full stops of other scripts
_MANNERS = frozenset(
    map(stem_word, read_words("eye style tone knack passion background track record written present"))
)
"""Words that describe a person and name no duty, as in "a clear and concise style"."""
_REPORT = stem_word("report")
_SPLITTING = frozenset({",", "and", "or", "then", "&", ":", "-", "–"})
_TOKEN = re.compile(rf"{WORD.pattern}|[,:&–()-]")


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an agent is told to do."""

    verb: str
    """The verb as it is in the text; "" if no verb was recognised."""
    kind: str
    """The class of the verb: `gather`, `analyse`, `create`, …; "" if it is not known."""
    objects: tuple[str, ...]
    """Stems of the words for what the duty is done to, in order."""
    inputs: tuple[str, ...]
    """Stems of the words for what the duty is done from, with, for or by."""
    sentence: str
    """The sentence with the duty, without space at its ends."""
    start: int
    """The offset of that sentence in the instructions, in characters."""
    text: str
    """The words of the duty itself."""


def split_sentences(text: str) -> list[tuple[int, str]]:
    """Returns the sentences of a text, each with its offset. A sentence that is too long is cut into pieces."""
    found: list[tuple[int, str]] = []
    for match in _SENTENCE.finditer(text[:LONGEST_CHARS]):
        start, end = match.span()
        while start < end:
            cut = end if end - start <= LONGEST_SENTENCE_CHARS else _find_space(text, start, end)
            piece = text[start:cut].strip().lstrip("-*•#> \t")
            if any(char.isalpha() for char in piece):
                found.append((text.index(piece, start), piece))
            start = cut
    return found


def _find_space(text: str, start: int, end: int) -> int:
    """Returns the offset at which a long sentence is cut: that of the last space that keeps the piece within its bound."""
    at = text.rfind(" ", start + 1, start + LONGEST_SENTENCE_CHARS)
    return at if at > start else min(end, start + LONGEST_SENTENCE_CHARS)


def find_duties(instructions: str) -> list[Duty]:
    """Returns the duties in an agent's instructions, in order; at most `MOST_DUTIES`."""
    duties: list[Duty] = []
    for start, sentence in split_sentences(instructions):
        duties.extend(_split(sentence, start))
        if len(duties) >= MOST_DUTIES:
            break
    return duties[:MOST_DUTIES]


def _split(sentence: str, start: int) -> list[Duty]:
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(sentence)]
    words = [token.lower() for token, _, _ in tokens]
    heads = _find_heads(words)
    bounds = [0, *[at for at in heads if at > 0], len(tokens)]
    found: list[Duty] = []
    for begin, end in pairwise(bounds):
        part = words[begin:end]
        verb_at = 0 if begin in heads else None
        objects, inputs = _read_object(part if verb_at is None else part[1:], _is_negated(words, begin))
        if not objects and found and _PRONOUNS.intersection(part):
            objects = list(found[-1].objects)
        verb = part[0] if verb_at is not None else ""
        found.append(
            Duty(
                verb=verb,
                kind=VERB_CLASS.get(stem_word(verb), "") if verb else "",
                objects=tuple(objects[:MOST_WORDS]),
                inputs=tuple(inputs[:MOST_WORDS]),
                sentence=sentence,
                start=start,
                text=sentence[tokens[begin][1] : tokens[end - 1][2]].strip(" ,:-–&(").removesuffix(" and"),
            )
        )
    return _share_objects(found)


def _share_objects(duties: list[Duty]) -> list[Duty]:
    """Gives a verb without an object the object of the next verb, as in "Validates and refines the hypothesis"."""
    for at in range(len(duties) - 2, -1, -1):
        duty, following = duties[at], duties[at + 1]
        if not duty.objects and not duty.inputs and duty.verb:
            sentence = duty.sentence
            begin = sentence.find(duty.text)
            end = sentence.find(following.text, begin) + len(following.text)
            duties[at] = msgspec.structs.replace(
                duty, objects=following.objects, inputs=following.inputs, text=sentence[begin:end]
            )
    return [duty for duty in duties if not _is_mannerly(duty)]


def _is_mannerly(duty: Duty) -> bool:
    """Returns whether a duty names no work: "be accurate", "delivers high quality results", "reports to the lead"."""
    words = {*duty.objects, *duty.inputs}
    if not duty.verb and words <= GENERIC_STEMS | _MANNERS:
        return True
    if stem_word(duty.verb) == _REPORT and not duty.objects:
        return True
    return words <= GENERIC_STEMS and (not words or not duty.kind or stem_word(duty.verb) in GENERIC_STEMS)


def _find_heads(words: Sequence[str]) -> list[int]:
    """Returns the indices of the words at which duties begin: a verb at the beginning, and verbs after a comma or an "and" in
    the form of the first one.
    """
    heads: list[int] = []
    form = ""
    for at, word in enumerate(words):
        if stem_word(word) not in VERB_CLASS:
            if _looks_like_a_verb(words, at, form):
                heads.append(at)
                form = "s"
            continue
        opens = (
            all(before in _SUBJECTS or before.endswith("ly") for before in words[:at]) if at < 6 else False
        )
        if (opens and not heads) or _is_announced(words, at):
            heads.append(at)
            form = _form_of(word)
            continue
        before = words[at - 1] if at else ","
        follows = before in _SPLITTING or (
            (before.endswith("ly") or before == "to") and at > 1 and words[at - 2] in _SPLITTING
        )
        if follows and _form_of(word) == form and _has_object(words, at):
            heads.append(at)
    return heads


def _is_announced(words: Sequence[str], at: int) -> bool:
    """Returns whether a verb follows words such as "responsible for" or "your job is to"."""
    return (
        at > 1
        and words[at - 1] in {"for", "at", "in", "of", "on", "with", "to"}
        and any(word in _ANNOUNCING for word in words[max(0, at - 4) : at - 1])
    )


def _looks_like_a_verb(words: Sequence[str], at: int, form: str) -> bool:
    """Returns whether a word that is in no list looks like a verb by its ending and its place: "knows …", "…, adds the …"."""
    word = words[at]
    if _form_of(word) != "s" or word in STOP or at + 1 >= len(words):
        return False
    return at == 0 or (form == "s" and words[at - 1] in _SPLITTING and words[at + 1] in _DETERMINERS)


def _form_of(word: str) -> str:
    if word.endswith("ing"):
        return "ing"
    return "s" if word.endswith("s") and not word.endswith("ss") else "base"


def _has_object(words: Sequence[str], at: int) -> bool:
    """Returns whether the word after a verb may be its object or an "and": "writes and edits" has one object for both verbs."""
    rest = words[at + 1 : at + 2]
    return bool(rest) and rest[0] not in {"of", "is", "are", "in"}


def _is_negated(words: Sequence[str], begin: int) -> bool:
    return any(word in _NEGATIONS for word in words[max(0, begin - 2) : begin]) or (
        begin == 0 and words[:1] == ["no"]
    )


def _read_object(words: Sequence[str], negated: bool) -> tuple[list[str], list[str]]:
    """Returns the stems of the object, and those of the words after a preposition of source, means or purpose."""
    objects: list[str] = []
    inputs: list[str] = []
    into = objects
    for word in words:
        if word in _NEGATIONS:
            negated = True
        elif word in _SPLITTING:
            negated = negated and word not in {",", "–", "-"}
            into = objects if word in {",", ":"} else into
        elif word in _INPUT or word in _ASIDE or (word == "of" and not _ASPECTS.isdisjoint(objects)):
            into = inputs
        elif word.endswith("ed") and stem_word(word) in VERB_CLASS:
            into = inputs  # "the collected reviews": another agent has collected them
        elif word not in STOP and word[0] not in "()" and not negated:
            into.append(stem_word(word))
    return objects, inputs
