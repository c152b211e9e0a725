"""Secrets that are known by what stands before them: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`.

A name, a separator and a value are matched one after the other, each bounded: `_name_at` finds the name, `_list_values`
what may be its value, and `secret_values.py` judges by the value's form whether it is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from seawall.core.secret_commands import MAY_BE_OPTION, find_in_commands
from seawall.core.secret_files import find_in_files
from seawall.core.secret_shapes import AT_START, CONTEXT_CHARS, MAX_SECRET_CHARS
from seawall.core.secret_values import (
    SCHEME,
    SLUG,
    Form,
    Kind,
    has_digit_and_letter,
    is_basic_login,
    is_bearer_token,
    is_blank,
    is_secret,
)
from seawall.core.secret_words import (
    AVE,
    BEFORE_AVE,
    BEFORE_PASSE,
    BEYOND_ASCII,
    IN_ASCII,
    IS,
    IS_BEGINS,
    IS_WITHOUT_SPACES,
    KEYS,
    PASSWORDS,
    REST_OF_AVE,
    TOKENS,
    WIDE_MARKS,
)

STEMS = (
    *("pass", "pwd", "pw", "identified by", "secret", "token", "key", "authorization", "auth", "login("),
    "cookie",
    *("sig=", "signature=", "bearer"),
    *("basic", "akia", "asia", "://"),
    *(*IN_ASCII, AVE),
)
"""Parts of secret names, in small letters. A text without one of them holds no secret of this kind."""

MAX_NAME_CHARS = 64
MAX_SEPARATOR_CHARS = 96
MAX_VALUE_CHARS = 4_096


class Place(NamedTuple):
    """The place of a secret (`start` equals `end`: none), and the name that it depends on."""

    start: int
    end: int
    named_at: int
    """Where its name begins."""
    is_open: bool = False
    """More text may change this result."""
    is_cell: bool = False
    """The name is all of a cell, and may stand in the header of a table."""


class _Name(NamedTuple):
    kind: Kind
    start: int
    end: int


_REST: dict[str, re.Pattern[str]] = {
    "pass": re.compile(
        r"pass(?:word|wd|wort|phrase|code|ord|e)?"
        r"(?:[_-]?(?:confirm(?:ation)?|again|repeat|current|old|new|plain(?:text)?|value))?[0-9]{0,2}(?![a-z0-9_])"
    ),
    "pwd": re.compile(r"pwd[0-9]{0,2}(?![a-z0-9_])"),
    "pw": re.compile(r"pw[0-9]{0,2}(?![a-z0-9_])"),
    "identified by": re.compile(r"identified by(?![a-z0-9_])"),
    "secret": re.compile(r"secret(?:[_-]?value)?[0-9]{0,2}(?![a-z0-9_])"),
    "token": re.compile(r"token(?:[_-]?value| de acc?ess?o)?[0-9]{0,2}(?![a-z0-9_])"),
    "key": re.compile(r"key(?:[_-]?(?:value|base))?[0-9]{0,2}(?![a-z0-9_])"),
    "authorization": re.compile(r"authorization(?![a-z0-9_])"),
    "auth": re.compile(r"auth(?![a-z0-9_])"),
    "login(": re.compile(r"login(?=\()"),
    "cookie": re.compile(r"cookie2?(?![a-z0-9_])"),
    "sig=": re.compile(r"sig(?==)"),
    "signature=": re.compile(r"signature(?==)"),
    "bearer": re.compile(r"bearer(?![a-z0-9_])"),
    "basic": re.compile(r"basic(?![a-z0-9_])"),
}
_REST[AVE] = re.compile(REST_OF_AVE)
_REST.update({name: re.compile(rf"{re.escape(name)}(?![a-z0-9_])") for name in (*IN_ASCII, *BEYOND_ASCII)})
_KINDS: dict[str, Kind] = {
    "pass": "password",
    "pwd": "password",
    "pw": "hint",
    "identified by": "password",
    "secret": "secret",
    "token": "token",
    "key": "secret",
    "authorization": "authorization",
    "auth": "login",
    "login(": "login",
    "cookie": "cookie",
    "sig=": "signature",
    "signature=": "signature",
    "bearer": "bearer",
    "basic": "basic",
}
_KINDS.update(dict.fromkeys(PASSWORDS, "password"))
_KINDS.update(dict.fromkeys(KEYS, "secret"))
_KINDS.update(dict.fromkeys(TOKENS, "token"))
_KINDS[AVE] = "secret"
_FOREIGN = frozenset((*IN_ASCII, *BEYOND_ASCII))
_MOST_WORDS_CHARS = 24
"""Characters of the longest name that begins with such a stem: `token de acceso`."""
_FIRST_WITHOUT_SPACES = "\u2e80"
"""The first letter of the scripts that put no spaces between words."""
_LONG_WORD_CHARS = 6
"""Characters of a name of another language that may end a longer word."""
_OF_KEYS = (
    *("api", "access", "secret", "private", "account", "encrypt", "encryption", "signing", "master"),
    *("auth", "subscription", "function", "functions", "shared", "storage", "service", "admin"),
    *("app", "application", "consumer", "server", "license", "webhook", "deploy", "integration"),
    *("hmac", "cipher", "crypto", "aes", "jwt", "bot", "project", "host", "sas", "write", "ingest"),
    *("ingestion", "provisioning", "root"),
)
"""Words before `key` in the name of a secret. A primary, sort or cache key is not a secret."""
_NO_TOKENS = (
    *("page", "next", "prev", "previous", "continuation", "sync", "cursor", "pagination"),
    *("idempotency", "request", "max", "min", "per", "stop", "eos", "bos", "pad", "unk", "mask"),
    *("special", "start", "end", "first", "last", "sep", "cls", "tik", "forward", "backward"),
    *("design", "change", "resume", "delta", "watch"),
)
"""Words before `token` in a name that is not a secret: tokens of paging and of language models."""
_WORD_GAPS = ("_", "-", ".", " ")
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_ESCAPED = re.compile(rf"{AT_START}\Z")
"""Text that ends with an escape, `\\n`: the letter before a name is then not a part of the name."""

_SEPARATORS = tuple(
    re.compile(separator)
    for separator in (
        r"[ \t]{0,4}:[ \t]{0,4}[A-Za-z][\w.\[\]|]{0,24}[ \t]{0,4}=(?!=)[ \t]{0,4}",  # password: str = "…"
        # "name": "password", "value": "…"
        r"\\{0,7}[\"'`]?\s{0,4}[,\s]\s{0,24}\\{0,7}[\"'`]?[Vv]alue\\{0,7}[\"'`]?\s{0,4}[:=]\s{0,8}",
        (
            r"(?:\\{0,7}[\"'`]|\*{1,3})?\]?[ \t\xa0\u202f]{0,16}"  # name: …, "name" = …, **name:** …
            rf"(?:=>|:=|={{1,2}}|:{{1,2}}|[{IS_WITHOUT_SPACES}]|%3[AaDd]|\\{{1,4}}u003[adAD])"
            r"(?:\*{1,3}[ \t]|)[ \t\xa0\u3000]{0,16}"
        ),
        r"(?:>|&gt;|\\{1,4}u003[eE])\s{0,8}(?=[^\s<>\"'`\\&]{1,999}(?:<|&lt;|\\{1,4}u003[cC])/)",  # <password>…</
    )
)
_ELEMENTS = re.compile(
    r"(?:(?:\\{0,7}[\"'])?(?:\s[^<>\n]{0,60})?>|[:\s]{0,4}(?=</))[:\s]{0,8}(?:</?[A-Za-z][^<>\n]{0,60}>[:\s]{0,16}){0,4}"
    r"(?:<!\[CDATA\[)?(?=[^\s<>\"'`\\&]{6,999}\s{0,16}(?:</|\]\]>|<br|\n|\Z))"
)
"""Elements of HTML or XML between a name and its value: `<td>Password</td><td>…</td>`, `<property name="password">…</`."""
_NEXT_LINE = re.compile(
    r"(?:\*{1,3})?:(?:\*{1,3})?[ \t]{0,8}\r?\n[ \t]{0,16}(?=[^\s:=,;<>(){}\[\]\"'`\\|]{6,128}[ \t]{0,8}(?:\r?\n|\Z))"
)
"""A line end between a name and a value that is all of its line."""
_CELL = re.compile(
    r"(?:\*{1,3}|`)?[ \t]{1,16}\|[ \t]{1,16}(?:\*{1,3}|`)?(?=[^\s|`*]{8,128}(?:\*{1,3}|`)?[ \t]{0,48}(?:\||\Z))"
)
"""The border between the cells of a name and its value in a table."""
_CELL_ENDS = " \"'`*|,;\t\r\n"
_CELL_END = re.compile(r"[ \"'`*]{0,48}[|,;\t\r\n]")
_IN_PAIR = re.compile(r"\\{0,7}[\"'],\s{0,8}(?=b?\\{0,7}[\"'])")
"""Text between a name and its value in a list of arguments or a pair: `("x-api-key", "…")`, `"--password", "…"`."""
_PAIR_BEGINS = re.compile(r"[(\[]\s{0,8}b?\\{0,7}[\"']\Z")
_PAIR_ENDS = re.compile(r"\\{0,7}[\"'],?\s{0,8}[)\]]")
_IN_LIST = re.compile(r"\\{0,7}[\"']\s{0,4}:\s{0,4}\[\s{0,24}(?=\\{0,7}(?:[\"']|\Z))")
"""Text between a name and the first value of its list in JSON, as libraries write headers: `"X-Api-Key": ["…"]`."""
_CALLED = re.compile(r"\(\s{0,8}(?=\\{0,7}(?:[\"']|\Z))")
"""Text between the name of a function and its one argument."""
_SETS = re.compile(
    r"(?:\A|[._])(?:set|with|use|update|change|reset)_?(?=[A-Za-z])[^.]*\Z|\.[^.]*\Z", re.IGNORECASE
)
"""The name of a function that is given a secret: `setPassword`, `with_api_key`, or of a builder, `.password`. The
argument of `get_secret` is a name."""
_LOGIN = re.compile(
    r"(?:\s{0,4}[=:]\s{0,4}[\w.]{0,40})?\(\s{0,8}b?(?P<quote>\\{0,7}[\"'])[^\s\"'\\]{1,64}(?P=quote)\s?,\s{0,8}b?(?=(?P=quote))"
)
"""Text between `auth` and a password after a user's name."""
_LOGIN_BEGUN = re.compile(
    r"(?:\s{0,4}(?:[=:]\s{0,4}[\w.]{0,40})?)(?:\(\s{0,8}b?(?:\\{0,7}[\"'][^\s\"'\\]{0,64}\\{0,7}[\"']?\s?,?\s{0,8}b?\\{0,7})?)?"
)
_SAID = re.compile(rf"\s{{1,4}}(?:{'|'.join(IS)})[: ]{{1,4}}")
"""Separator in a sentence: `the password is …`."""
_BEHIND_OPTION = re.compile(r"[ \t]{1,4}")
"""Separator after a command-line option: `--password …`."""
_BEFORE_QUOTE = re.compile(r"[ \t]{1,4}(?=['\"])")
"""Separator before a password in quotes that follows its name: `password "…"`."""
_OF_NETRC = re.compile(r"login\s{1,4}\S{1,64}\s{1,4}\Z", re.IGNORECASE)
"""A line of a `.netrc` file before its password."""
_NO_SEPARATOR = re.compile(
    rf"\\{{0,7}}[\"'`]?\]?(?:[^\s:=>%,\\\"'`\]&*<|{IS_WITHOUT_SPACES}]"
    rf"|\s{{1,28}}(?!{IS_BEGINS}|[vV](?:alue|a?l?u?\Z)|[a-zA-Z]{{1,16}}(?:=|\Z))[^\s:=><|\"'`,\\])"
)
"""Text after a name that rules out a separator."""

_LINE_BEGINS = r"(?:[ \t]{0,48}(?:[-*] )?(?:\*{2})?(?:export |set |ENV |ARG |\$env:|\$)?|[\"'`])"
_AT_LINE = re.compile(rf"(?:\n|\r|\\[nr])(?:{_LINE_BEGINS})\Z|[\"'`]\Z|-e \Z|--env[= ]\Z")
"""Text before a name that begins a line. The value is then the rest of the line."""
_AT_TEXT = re.compile(_LINE_BEGINS)
"""The same at the beginning of the whole text."""
_IN_QUERY = re.compile(r"(?:[?&;]|\\u0026)\Z")
"""Text before a name in the query of a URL."""

_QUOTE = re.compile(r"\s{0,32}(?:[bruBRUfF]{0,2})(\\{0,7})([\"'`])")
"""The quote at the beginning of a value, with its escapes."""
_IN_QUOTES = {
    '"': re.compile(r'(?:[^"\\\r\n]++|\\[^\r\n])*+'),
    "'": re.compile(r"(?:[^'\\\r\n]++|\\[^\r\n])*+"),
    "`": re.compile(r"(?:[^`\\\r\n]++|\\[^\r\n])*+"),
}
_BLOCK_SCALAR = re.compile(r"[|>][+-]?[ \t]{0,8}\r?\n[ \t]{1,48}")
"""A block of YAML: the value is on the next line."""
_LINE = re.compile(rf"(?:[^\s\x00-\x1f\"'`\\{WIDE_MARKS}]|\\(?![nrtu\"'`\\])){{1,{MAX_VALUE_CHARS}}}")
"""A value that is the rest of its line."""
_LINE_ENDS = re.compile(r"(?<![;,])[ \t]{0,32}(?:#|//|[\r\n\"'`]|\\|\Z)")
"""Text after such a value: the end of the line, or a comment."""
_BARE = re.compile(rf"[^\s\x00-\x1f\"'`,;&<>\\(){{}}\[\]|{WIDE_MARKS}]{{1,{MAX_VALUE_CHARS}}}")
"""A value without quotes, in code or in a sentence."""
_XML = re.compile(rf"[^\s\x00-\x1f<>\"'`\\&]{{1,{MAX_VALUE_CHARS}}}")
"""A value between two tags."""
_GOES_ON_AS_CODE = re.compile(r"[(\[{]|\s?\?\?|\s?\|\|")
"""Text after a bare value that is code: `get(`, `a ?? b`."""
_COOKIES = re.compile(
    rf"[\"']?[\w!#$%*.^|~-]{{1,64}}=(?P<first>[^;\r\n\"'\\]{{0,400}})[^\r\n\"'\\]{{0,{MAX_SECRET_CHARS}}}"
)
"""The pairs of a cookie header."""
_BEFORE_COOKIES = re.compile(r"(?:\\{0,7}[\"'])?[ \t]{0,4}:\s{0,8}\[?\s{0,8}(?:\\{0,7}[\"'])?")
"""Text between the name of the cookie header and its pairs."""
_COOKIE_BEGUN = re.compile(r"[^\s=]*")
"""The beginning of a first pair at the end of the text."""
_SIGNED = re.compile(r"=[A-Za-z0-9%+/=_~-]{40,512}")
"""The signature of a URL."""
_BEARER = re.compile(rf"(?:[ \t]|%20|\+){{1,4}}(?P<token>[A-Za-z0-9._~+/-]{{6,{MAX_SECRET_CHARS}}}=*)")
"""Text after `Bearer`."""
_BASIC = re.compile(rf"(?:[ \t]|%20|\+){{1,4}}(?P<token>[A-Za-z0-9+/_-]{{4,{MAX_SECRET_CHARS}}}={{0,2}})")
"""Text after `Basic`."""
_DIRECT = re.compile(r"(?:[ \t]|%20|[+=]){0,4}[A-Za-z0-9%._~+/-]*=*")
"""The beginning of such a value at the end of the text."""
_PAIR = re.compile(
    AT_START
    + r"A(?:KI|SI)A[A-Z0-9]{16}\\{0,3}[\"'`]?\s{0,4}[\s,:;|/][\s\"'`]{0,4}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
"""A key id of AWS with the secret key after it."""
_PAIR_BEGUN = re.compile(AT_START + r"A(?:KI|SI)A[A-Z0-9]{0,16}[\\\"'`\s,:;|/]{0,12}[A-Za-z0-9/+]{0,40}\Z")
"""The beginning of such a pair at the end of the text."""
_USERINFO = re.compile(
    r"://(?:[^\s/?#\"'<>\\@:]{0,200}:(?P<secret>[^\s/\"'<>\\]{1,400})|(?P<token>[A-Za-z0-9_-]{20,200}))@(?=[\w\[.%-])"
)
"""The password, or the token, in a URL."""
_AUTHORITY = re.compile(r"://[^\s/\"'<>\\]{0,700}")
"""A URL up to its path."""

_BY_NAME = ("password", "pass", "passwd", "pwd")
"""Placeholders for passwords in the URLs of documentation."""

_AS_SMALL = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def find_names(text: str, since: int = 0) -> Iterator[Place]:
    """Yields the place of the value of each secret name in `text` that ends after `since`."""
    lower = _make_small(text)
    for stem in STEMS if lower.isascii() else (*STEMS, *BEYOND_ASCII):
        if stem not in lower:
            continue
        at = lower.find(stem, max(0, since - (_MOST_WORDS_CHARS if stem in (AVE, "token") else len(stem))))
        while at >= 0:
            place = _find_at(text, lower, stem, at)
            if place is not None:
                yield place
            # names within a value are part of it
            at = lower.find(stem, max(at + len(stem), 0 if place is None else place.end))
    if ":" in text:
        for start, end, named_at, is_open in find_in_files(text, since):
            yield Place(start, end, named_at, is_open)
    if "-" in text and MAY_BE_OPTION.search(text):
        for start, end, named_at, is_open in find_in_commands(text, lower, since):
            yield Place(start, end, named_at, is_open)


def has_name(text: str) -> bool:
    """Returns whether `text` has a name that may say that a value is secret, whatever its value is."""
    lower = _make_small(text)
    for stem in _KINDS:
        at = lower.find(stem)
        while at >= 0:
            if _name_at(lower, stem, at) is not None:
                return True
            at = lower.find(stem, at + len(stem))
    return False


def _make_small(text: str) -> str:
    lower = text.lower()
    # a few letters change their length when they become small letters
    return lower if len(lower) == len(text) else text.translate(_AS_SMALL)


def is_secret_value(name: str, value: str) -> bool:
    """Returns whether a JSON object's value, as text, is a secret by its key."""
    find = find_kind if len(name) <= MAX_NAME_CHARS else find_kind.__wrapped__
    found = find(name)
    if found is None:
        return False
    kind, stem = found
    if kind == "cookie":
        return _COOKIES.match(value) is not None
    return is_secret(value, kind, "quoted", stem)


@lru_cache(maxsize=4096)  # the keys of JSON objects are the same again and again
def find_kind(name: str) -> tuple[Kind, str] | None:
    """Returns the kind of secret that a key names, and the word that says so; None if it names none."""
    lower = name.lower()
    for stem in _KINDS:
        at = lower.rfind(stem)
        found = None if at < 0 else _name_at(lower, stem, at)
        if (
            found is not None
            and found.end == len(lower)
            and found.kind not in ("bearer", "basic", "signature")
        ):
            return found.kind, stem
    return None


def _find_at(text: str, lower: str, stem: str, at: int) -> Place | None:
    if stem == "://":
        return _find_userinfo(text, at)
    if stem in ("akia", "asia"):
        return _find_aws_key(text, at)
    name = _name_at(lower, stem, at)
    if name is None:
        return None
    if name.end == len(text):
        return Place(0, 0, name.start, True)
    if name.kind in ("signature", "bearer", "basic"):
        return _find_direct(text, name)
    if name.kind == "cookie":
        return _find_cookie(text, name)
    place = _find_valued(text, name, stem)
    is_cell = text[name.end] in _CELL_ENDS and _CELL_END.match(text, name.end) is not None
    return (place or Place(0, 0, name.start))._replace(is_cell=True) if is_cell else place


def _name_at(lower: str, stem: str, at: int) -> _Name | None:
    """Returns the name that ends with the `stem` found in `lower` at `at`; None if it is not the name of a secret."""
    rest = _REST[stem].match(lower, at)
    if rest is None:
        return None
    before = lower[max(0, at - MAX_NAME_CHARS) : at]
    if not _may_follow(before, stem, rest[0]):
        return None
    kind: Kind = "hint" if rest[0] == "pass" and before[-1:] not in ("_", "-") else _KINDS[stem]
    words = before[:-1] if stem == "key" and before[-1:] == " " else before
    return _Name(kind, at - len(before) + len(words.rstrip(_NAME_CHARS)), rest.end())


def _may_follow(before: str, stem: str, name: str) -> bool:
    """Returns whether the text before a name leaves it the name of a secret."""
    last = before[-1:]
    if stem in ("key", "token"):
        words = before[:-1] if last in _WORD_GAPS else before
        return words.endswith(_OF_KEYS) if stem == "key" else not words.endswith(_NO_TOKENS)
    if stem == "pass":
        return (name != "pass" or not last.isalnum() or _ESCAPED.search(before) is not None) and (
            name != "passe" or before.endswith(BEFORE_PASSE)
        )
    if stem == AVE:
        return before.endswith(BEFORE_AVE)
    is_short = len(stem) < _LONG_WORD_CHARS and stem in _FOREIGN and stem[0] < _FIRST_WITHOUT_SPACES
    if is_short or stem in ("bearer", "basic", "pw"):
        return not last.isalnum() or _ESCAPED.search(before) is not None
    return True


def _find_userinfo(text: str, at: int) -> Place | None:
    scheme = text[max(0, at - MAX_NAME_CHARS) : at]
    named_at = at - len(scheme) + len(scheme.rstrip(_NAME_CHARS))
    authority = _AUTHORITY.match(text, at)
    is_open = authority is not None and authority.end() == len(text)
    match = _USERINFO.match(text, at)
    if match is not None:
        secret, token = match["secret"], match["token"]
        if secret is not None and not (
            secret.lower() in _BY_NAME or secret.startswith(("$", "{")) or is_blank(secret)
        ):
            return Place(*match.span("secret"), named_at, is_open)
        if token is not None and has_digit_and_letter(token) and not SLUG.fullmatch(token):
            return Place(*match.span("token"), named_at, is_open)
    return Place(0, 0, named_at, True) if is_open else None


def _find_aws_key(text: str, at: int) -> Place | None:
    """Returns the secret key of AWS that stands after its id."""
    if match := _PAIR.match(text, at):
        return Place(*match.span("secret"), at)
    return Place(0, 0, at, True) if _PAIR_BEGUN.match(text, at) else None


def _find_direct(text: str, name: _Name) -> Place | None:
    """Returns the value after `sig=`, `Bearer ` or `Basic `."""
    if name.kind == "signature":
        match = _SIGNED.match(text, name.end)
        found = None if match is None else (name.end + 1, match.end())
    else:
        match = (_BEARER if name.kind == "bearer" else _BASIC).match(text, name.end)
        is_one = match is not None and (is_bearer_token if name.kind == "bearer" else is_basic_login)(
            match["token"]
        )
        found = (name.end - len(name.kind), match.end()) if match is not None and is_one else None
    goes_on = _DIRECT.match(text, name.end)
    is_open = goes_on is not None and goes_on.end() == len(text)
    return Place(*(found or (0, 0)), name.start, is_open) if found or is_open else None


def _find_cookie(text: str, name: _Name) -> Place | None:
    separator = _BEFORE_COOKIES.match(text, name.end)
    if separator is None:
        return None if text[name.end :].strip("\\\"' \t") else Place(0, 0, name.start, True)
    at = separator.end()
    match = _COOKIES.match(text, at)
    if match is None:
        near = len(text) - at < MAX_NAME_CHARS and _COOKIE_BEGUN.fullmatch(text, at)
        return Place(0, 0, name.start, True) if near else None
    is_open = match.end() == len(text)
    if match["first"] and is_blank(match["first"]):
        return Place(0, 0, name.start, True) if is_open else None
    return Place(at, match.end(), name.start, is_open)


def _find_valued(text: str, name: _Name, stem: str) -> Place | None:
    option = text[name.start] == "-"
    if name.kind == "login" and (place := _login(text, name)):
        return place
    called = _CALLED.match(text, name.end) if _SETS.search(text[name.start : name.end]) else None
    none_follows = called is None and _NO_SEPARATOR.match(text, name.end) is not None
    if none_follows and not option and not (name.kind == "password" and text[name.end].isspace()):
        return None
    is_open = not none_follows and len(text) - name.end <= MAX_SEPARATOR_CHARS
    for value, form in _list_values(text, name):
        start, end, reached = value
        reaches = reached >= len(text)
        is_open |= reaches
        if is_secret(text[start:end], name.kind, form, stem) and not (
            form in ("bare", "said") and _GOES_ON_AS_CODE.match(text, end)
        ):
            return Place(start, end, name.start, reaches)
    return Place(0, 0, name.start, True) if is_open else None


def _login(text: str, name: _Name) -> Place | None:
    """Returns the password after a user's name, as an HTTP client takes them: `auth=("ada", "…")`."""
    match = _LOGIN.match(text, name.end)
    if match is None:
        begun = _LOGIN_BEGUN.match(text, name.end)
        return Place(0, 0, name.start, True) if begun is not None and begun.end() == len(text) else None
    value, _ = _read_value(text, match.end(), "password", False, False, False)
    is_one = is_secret(text[value.start : value.end], "password", "quoted", "pass")
    start, end = value[:2] if is_one else (0, 0)
    return Place(start, end, name.start, value.reached >= len(text))


class _Value(NamedTuple):
    start: int
    end: int
    reached: int
    """End of the text that was read."""


def _list_values(text: str, name: _Name) -> Iterator[tuple[_Value, Form]]:
    """Yields the values that `name` may have, by each separator that fits."""
    head = text[max(0, name.start - CONTEXT_CHARS) : name.start]
    for number, separator in enumerate(_SEPARATORS):
        match = separator.match(text, name.end)
        if match is not None and match.end() - name.end <= MAX_SEPARATOR_CHARS:
            tight = not match[0][-1:].isspace() or "=" not in match[0]
            at_line = _AT_LINE.search(head) or (name.start <= CONTEXT_CHARS and _AT_TEXT.fullmatch(head))
            yield _read_value(
                text,
                match.end(),
                name.kind,
                bool(at_line) and tight,
                bool(_IN_QUERY.search(head)),
                number == 3,
            )
    for markup in (_ELEMENTS, _NEXT_LINE, _CELL):
        match = markup.match(text, name.end)
        if match is not None and match.end() - name.end <= MAX_SEPARATOR_CHARS:
            value, _ = _read_value(text, match.end(), name.kind, False, False, True)
            yield value, "said"
    if match := _IN_PAIR.match(text, name.end):
        value, form = _read_value(text, match.end(), name.kind, False, False, False)
        if text[name.start] == "-":
            yield value, "query" if form == "bare" else form
        elif _PAIR_BEGINS.search(head) and (value.end == len(text) or _PAIR_ENDS.match(text, value.end)):
            yield value, "said"
    yield from _first_values(text, name)
    if match := _SAID.match(text, name.end):
        value, form = _read_value(text, match.end(), name.kind, False, False, False)
        yield value, "said" if form == "bare" else form
    option = text[name.start : name.start + 1] == "-"
    behind = (
        _BEHIND_OPTION if option or (name.kind == "password" and _OF_NETRC.search(head)) else _BEFORE_QUOTE
    )
    if (option or name.kind == "password") and (match := behind.match(text, name.end)):
        value, form = _read_value(text, match.end(), name.kind, False, False, False)
        if not (option and text[value.start : value.start + 1] == "-"):
            behind_option: Form = "query" if name.kind == "password" else "said"
            yield value, behind_option if form == "bare" else form


def _first_values(text: str, name: _Name) -> Iterator[tuple[_Value, Form]]:
    """Yields the first value of a list, and the argument of a function, that `name` names."""
    if match := _IN_LIST.match(text, name.end):
        value, _ = _read_value(text, match.end(), name.kind, False, False, False)
        # with a space it is a message: `"password": ["must have 8 characters"]`
        yield (value if " " not in text[value.start : value.end] else value._replace(start=value.end)), "said"
    if (match := _CALLED.match(text, name.end)) and _SETS.search(text[name.start : name.end]):
        yield _read_value(text, match.end(), name.kind, False, False, False)


def _read_value(text: str, at: int, kind: Kind, line: bool, query: bool, xml: bool) -> tuple[_Value, Form]:
    if quote := _QUOTE.match(text, at):
        return _read_quoted(text, quote), "quoted"
    if block := _BLOCK_SCALAR.match(text, at):
        at, line = block.end(), True
    if kind == "authorization" and (scheme := SCHEME.match(text, at)):
        match = _BARE.match(text, scheme.end())
        end = scheme.end() if match is None else match.end()
        return _Value(at, end, end), "bare"
    reached = 0
    if line and (match := _LINE.match(text, at)):
        reached = match.end()
        ends = _LINE_ENDS.match(text, match.end())
        spaces = len(text) if not text[match.end() : match.end() + 33].strip(" \t") else match.end()
        if ends is not None:
            return _Value(
                at, match.end(), max(ends.end(), spaces) if text[ends.end() :] == "" else match.end()
            ), "line"
    match = (_XML if xml else _BARE).match(text, at)
    end = at if match is None else match.end()
    reached = len(text) if len(text) - end <= 33 and not text[end:].strip(" \t") else max(end, reached)
    return _Value(at, end, reached), "query" if query or xml else "bare"


def _read_quoted(text: str, quote: re.Match[str]) -> _Value:
    start = quote.end()
    limit = min(len(text), start + MAX_SECRET_CHARS)
    if not quote[1]:
        match = _IN_QUOTES[quote[2]].match(text, start, limit)
        end = start if match is None else match.end()
    else:
        closing = quote[1] + quote[2]
        end = text.find(closing, start, limit)
        while end > start and text[end - 1] == "\\":
            end = text.find(closing, end + len(closing), limit)
        if end < 0:
            end = limit
    return _Value(start, end, len(text) if end + len(quote[1]) >= len(text) else end)
