"""Instructions, split into duties: what is done, to what, and from what.

It goes by the order of words and by short lists, without a parser, a model or a network, so that the same text always
gives the same duties. It knows English. Text of other languages comes out as one duty a sentence, all words of which
are its object.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from seawall.lint.vocabulary import GENERIC_STEMS, STOP, WORD, read_words, stem_word

LONGEST_CHARS = 20_000
"""How much of an agent's instructions is read; a page of text has 3,000 characters."""
MOST_DUTIES = 80
"""How many duties of an agent are compared, so that a long text is compared in bounded time."""
LONGEST_SENTENCE_CHARS = 600
"""A longer sentence is a table or a list without full stops; it is taken for several."""
MOST_WORDS = 60
"""How many words of one duty are compared; a longer sentence is a table or a document."""

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
"""The class of a verb, by its stem; where a verb stands twice, the first class holds."""
for _name, _words in _VERBS.items():
    for _word in _words.split():
        VERB_CLASS.setdefault(stem_word(_word), _name)

_INPUT = read_words(
    "from using by based after against following under per through via given with according once when if on"
)
"""Words behind which stands what a duty works from, by when or with what, and not what it yields."""
_ASIDE = read_words("to so for that which who before until while because")
"""Words behind which stands what a duty is for, or a remark on its object."""
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
"""Sides of a text or a thing: who corrects the style of an article has not written it."""
_DETERMINERS = read_words("the a an each every its their his her all any which whether what how")
_ANNOUNCING = read_words(
    "knack responsible charge adept skilled expert expertise excel excels focus focuses focused tasked specialised "
    "specialized specialising specializing specialise specialises ability job goal task mission"
)
_SENTENCE = re.compile(r"[^.!?;\n。！？；]+(?:[.!?](?=[^\s])[^.!?;\n。！？；]*)*[.!?;。！？；]*")  # noqa: RUF001 - full stops of other scripts
_MANNERS = frozenset(
    map(stem_word, read_words("eye style tone knack passion background track record written present"))
)
"""What people are said to have who are described and told nothing: "a clear and concise style"."""
_REPORT = stem_word("report")
_SPLITTING = frozenset({",", "and", "or", "then", "&", ":", "-", "–"})
_TOKEN = re.compile(rf"{WORD.pattern}|[,:&–()-]")


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an agent is told to do."""

    verb: str
    """The verb as it stands in the text; "": no verb was recognised."""
    kind: str
    """The class of the verb: `gather`, `analyse`, `create`, …; "": not known."""
    objects: tuple[str, ...]
    """Stems of what it is done to, in order."""
    inputs: tuple[str, ...]
    """Stems of what it is done from, with, for or by."""
    sentence: str
    """The sentence it stands in, without space at the ends."""
    start: int
    """Where that sentence begins in the instructions, in characters."""
    text: str
    """The words of the duty itself."""


def split_sentences(text: str) -> list[tuple[int, str]]:
    """The sentences of a text, each with the place where it begins; one that is too long comes in pieces."""
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
    """Where a long sentence is cut: at the last space that keeps the piece within its bound."""
    at = text.rfind(" ", start + 1, start + LONGEST_SENTENCE_CHARS)
    return at if at > start else min(end, start + LONGEST_SENTENCE_CHARS)


def find_duties(instructions: str) -> list[Duty]:
    """The duties of an agent's instructions, in order; at most `MOST_DUTIES`."""
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
    """Gives a verb without an object that of the next one: "Validates and refines the hypothesis"."""
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
    """Whether it names nothing that is done: "be accurate", "delivers high quality results", "reports to the lead"."""
    words = {*duty.objects, *duty.inputs}
    if not duty.verb and words <= GENERIC_STEMS | _MANNERS:
        return True
    if stem_word(duty.verb) == _REPORT and not duty.objects:
        return True
    return words <= GENERIC_STEMS and (not words or not duty.kind or stem_word(duty.verb) in GENERIC_STEMS)


def _find_heads(words: Sequence[str]) -> list[int]:
    """Where a duty begins: a verb at the beginning, or behind a comma or an "and", in the form of the first one."""
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
    """Whether a verb stands behind words such as "responsible for" or "your job is to"."""
    return (
        at > 1
        and words[at - 1] in {"for", "at", "in", "of", "on", "with", "to"}
        and any(word in _ANNOUNCING for word in words[max(0, at - 4) : at - 1])
    )


def _looks_like_a_verb(words: Sequence[str], at: int, form: str) -> bool:
    """Whether a word that is in no list is a verb by its ending and its place: "knows …", "…, adds the …"."""
    word = words[at]
    if _form_of(word) != "s" or word in STOP or at + 1 >= len(words):
        return False
    return at == 0 or (form == "s" and words[at - 1] in _SPLITTING and words[at + 1] in _DETERMINERS)


def _form_of(word: str) -> str:
    if word.endswith("ing"):
        return "ing"
    return "s" if word.endswith("s") and not word.endswith("ss") else "base"


def _has_object(words: Sequence[str], at: int) -> bool:
    """Whether something stands behind a verb that it can be done to: "writes and edits" has one for both."""
    rest = words[at + 1 : at + 2]
    return bool(rest) and rest[0] not in {"of", "is", "are", "in"}


def _is_negated(words: Sequence[str], begin: int) -> bool:
    return any(word in _NEGATIONS for word in words[max(0, begin - 2) : begin]) or (
        begin == 0 and words[:1] == ["no"]
    )


def _read_object(words: Sequence[str], negated: bool) -> tuple[list[str], list[str]]:
    """The stems of the object, and of what stands behind a preposition of source, means or purpose."""
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
            into = inputs  # "the collected reviews": somebody has collected them
        elif word not in STOP and word[0] not in "()" and not negated:
            into.append(stem_word(word))
    return objects, inputs
