"""Decides whether the value after the name of a secret is a secret, by the value's form alone.

`password = settings.password`, `token: str` and `secret: ${SECRET}` hold no secret: code, types, templates, masks,
words of prose, paths, dates and versions are not secrets. Any other value must fit its kind of secret: a password may
be a word, but a key or a token must look random.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

Kind = Literal[
    "password",
    "hint",
    "secret",
    "token",
    "authorization",
    "login",
    "cookie",
    "signature",
    "bearer",
    "basic",
    "pair",
]
Form = Literal["quoted", "line", "query", "bare", "said"]
"""The form in which a value is written: in quotes, alone on the rest of its line, in a URL's query, in code, or in a
sentence."""

MAX_JUDGED_CHARS = 256
"""Characters of a value by which its form is judged: its first ones."""
MAX_SPACES = 5
"""Most spaces in a value. A value with more spaces is a sentence."""

_MASKED = re.compile(r"(?:[^A-Za-z0-9]|[xX0])*|.*(?:\*{3}|•|…|\.{3}|x{6}|X{6}).*")
"""A value that somebody has masked: `****`, `xxx`, `…`, zeros."""
_TEMPLATE = re.compile(
    r"<[^>]{0,99}>?|\$[A-Z_{(].*|\$[a-z_]+|\{(?!(?:S?SHA|S?MD5|CRYPT|PBKDF2)[0-9-]*\}[^{]).*|%[sdr(].*|%[A-Z_]+%|\[[\w .-]*\]?|\(.*\)|!(?:secret|ref|sub|env|vault)\b.*"
    r"|.*(?:\$\{|\{\{|\$\(|\{[a-z_.]+\}|<[a-z_ -]+>).*|(?:env|vault|file|op|ref\+\w+|arn|ssm|https?|secretref):.*"
)
"""A placeholder for a value: `${TOKEN}`, `{{ token }}`, `<token>`, `%s`, or the place where it is looked up: `vault:…`,
`env:…`."""
_STAND_IN = re.compile(
    r"(?:your|my|insert|replace|change|dummy|fake|sample|example|placeholder|redacted|the|some|enter)"
    r"[A-Za-z]*(?:[-_ ][A-Za-z]+)*[-_ ]?[0-9]{0,4}|[A-Za-z_-]*_here",
    re.IGNORECASE,
)
"""A stand-in of documentation for a value: `your-token`, `my_secret_1`, `changeme`, `token_here`."""
_WORDS = re.compile(r"[A-Za-z]+(?:[-_/](?:[A-Za-z]+|[0-9]+))*")
"""Words of letters, with numbers between them: `client-credentials/2`."""
_WORD_PATH = re.compile(r"[A-Za-z]?[a-z]{3,}/|.*/[a-z]+[-/]|.*/.*\.[a-z]{2,4}\Z")
"""A path made of words: `docs/reference`, `src/main.py`."""
_WORDY = re.compile(r"(?:[^\W\d]|[-. /'’])*", re.UNICODE)
"""Words of any language."""
_STEM_INSIDE = re.compile(r"pass|pwd|secret|token|key|cred|auth", re.IGNORECASE)
"""A word that names secrets: a value that contains one is the name of a secret, `reset-password`."""
_STEMMED_NAME = re.compile(r"[A-Za-z_.\-]*[0-9]?")
"""Letters and marks that join them, with at most one digit at the end: a name."""
_LABEL = re.compile(
    r"\b(?:your|my|enter|choose|please|must|should|required?|optional|forgot|reset|changed?|example|placeholder|redacted"
    r"|hidden|masked|removed|none|null|nil|undefined|true|false|yes|no|not|string|str|text|number|integer|int|bool|boolean"
    r"|bytes|object|any|unknown|invalid|incorrect|wrong|expired|missing|empty|valid|is|are|the|for|field|default|todo|tbd"
    r"|env|file|prompt|input|stdin|value|val|data|self|this|args?|config|settings|options?|params?|varchar|char|type"
    r"|basic|bearer|oauth|jwt|disabled|enabled|ok|failed|success|new|old|here|and|or|with|in|of|to|a|an)\b",
    re.IGNORECASE,
)
"""A word of a form, a message or a type, which is not a password: `password: required`, `password: str`."""
_DOTTED = re.compile(r"[A-Za-z_$][\w$]*(?:[.:][A-Za-z_$][\w$]*)+[.:]?")
"""A dotted name in code: `settings.password`."""
_CALL = re.compile(r"[A-Za-z_$][\w$.:]*(?:\(.*\)|\[.*\]|\([^)]*|\[[^\]]*)[;,)]*")
"""A call or an index of code: `get_password()`, `os.environ["PASSWORD"]`."""
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
"""A name in code."""
_CAPITALISED = re.compile(r"[A-Z][a-z]*(?:[A-Z][a-z]+)*[!?]?")
"""Words that begin with capitals: `Password`, `ForgotPassword!`."""
SLUG = re.compile(r"[A-Za-z]{2,}(?:[-_./](?:[A-Za-z]+|[vV]?[0-9]{1,8}))+")
"""Words and versions that are joined: `gpt-4-turbo`, `v1.2_beta`."""
_PATH = re.compile(r"(?:~|\.{1,2})?/[\w.@-]+(?:/[\w.@-]*)*/?|[A-Za-z]:[\\/].*")
"""A path of a file, or of a URL."""
_ALL_KINDS = re.compile(r"(?=.*[a-z])(?=.*[A-Z]).*[0-9]")
"""Small letters, capitals and digits together: base64 has all of them, a path seldom."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}:[0-9]{2}.*|v?[0-9]+(?:\.[0-9]+)+")
"""A date, a time or a version."""
_VERSION = re.compile(r"v?[0-9]+(?:\.[0-9]+)+")
"""A version: `v1.2.3`."""
SCHEME = re.compile(r"[A-Za-z][\w-]{1,24}[ \t]{1,4}")
"""The scheme before the credentials of an `Authorization` header."""


def is_blank(value: str) -> bool:
    """Returns whether a value means that there is none."""
    return bool(_MASKED.fullmatch(value) or _TEMPLATE.fullmatch(value) or _STAND_IN.fullmatch(value))


def has_digit_and_letter(value: str) -> bool:
    """Returns whether a text has a digit and a letter."""
    return re.search(r"[0-9]", value) is not None and re.search(r"[A-Za-z]", value) is not None


def has_all_kinds(value: str) -> bool:
    """Returns whether a text has a small letter, a capital and a digit, in the first characters by which it is judged."""
    return _ALL_KINDS.match(value[:MAX_JUDGED_CHARS]) is not None


def is_secret(value: str, kind: Kind, form: Form, stem: str) -> bool:
    """Returns whether `value`, written in `form` behind a name of `kind` that ends with `stem`, is a secret."""
    if kind == "login":
        return is_basic_login(value)
    value = value[:MAX_JUDGED_CHARS] if form == "quoted" else value[:MAX_JUDGED_CHARS].rstrip(".:!?")
    if len(value) < 2 or is_blank(value) or value.count(" ") > MAX_SPACES or value != value.strip():
        return False
    if "\n" in value or (_STEM_INSIDE.search(value) and _STEMMED_NAME.fullmatch(value)):
        return False
    if kind == "authorization":
        scheme = SCHEME.match(value)
        value = value if scheme is None else value[scheme.end() :]
        return (
            len(value) >= 4
            and (has_digit_and_letter(value) or len(value) >= 16)
            and not is_blank(value)
            and " " not in value
        )
    if form != "quoted" and (_DOTTED.fullmatch(value) or _CALL.fullmatch(value)):
        return (
            form == "line"
            and kind == "password"
            and has_digit_and_letter(value)
            and not _CALL.fullmatch(value)
        )
    if kind == "password":
        return _is_password(value, form, stem)
    if kind == "hint":
        return _is_hinted(value, form, stem)
    return _is_random(value, form, kind)


def _is_password(value: str, form: Form, stem: str) -> bool:
    if stem == "pwd" and _is_path(value):
        return False
    if value.isdigit():
        return len(value) >= 4
    if _VERSION.fullmatch(value):
        return False
    if _WORDY.fullmatch(value):
        if not value.isascii() or _CAPITALISED.fullmatch(value) or _LABEL.search(value.replace("_", " ")):
            return False
        return form in ("quoted", "line", "query") and (len(value) >= 4 or form == "quoted")
    if form == "bare" and _IDENTIFIER.fullmatch(value):
        return len(value) >= 6 and has_digit_and_letter(value)
    if form == "said":
        return len(value) >= 6 and has_digit_and_letter(value)
    return not _is_path(value)


def _is_hinted(value: str, form: Form, stem: str) -> bool:
    """Returns whether a value is a password behind a name that has other meanings as well, such as `pass` or `pw`."""
    if stem == "pass" and form not in ("quoted", "query"):
        return False
    return (
        len(value) >= 6
        and " " not in value
        and has_digit_and_letter(value)
        and not SLUG.fullmatch(value)
        and not _DATE.fullmatch(value)
        and not _is_path(value)
    )


def _is_path(value: str) -> bool:
    """Returns whether a value is a path, and not a long text in base64."""
    return _PATH.fullmatch(value) is not None and not (len(value) >= 32 and _ALL_KINDS.match(value))


def _is_random(value: str, form: Form, kind: Kind) -> bool:
    """Returns whether a value looks random, as keys do and words do not."""
    if " " in value or SLUG.fullmatch(value) or _DATE.fullmatch(value) or _is_path(value):
        return False
    if value.isdigit():
        return len(value) >= 16 if kind == "token" else len(value) >= 8 and form in ("quoted", "line")
    if has_digit_and_letter(value):
        return len(value) >= (6 if kind == "secret" and form != "bare" else 8)
    if form == "said":
        return False
    mixed = re.search(r"[a-z][A-Z]+[a-z]", value) is not None and not _CAPITALISED.fullmatch(value)
    return (
        len(value) >= 16 and value.isascii() and (mixed or len(value) >= 24) and "_" not in value.strip("_")
    )


def is_bearer_token(token: str) -> bool:
    """Returns whether the text after `Bearer` is a token, and not a word."""
    if _MASKED.fullmatch(token) or _STAND_IN.fullmatch(token) or _WORDS.fullmatch(token):
        return (
            "/" not in token
            and len(token) >= 20
            and re.search(r"[0-9A-Z]", token[1:]) is not None
            and not _STEM_INSIDE.search(token)
        )
    if "/" in token and not any(
        len(part) >= 12 and _ALL_KINDS.match(part) for part in re.split(r"[/_.-]", token)
    ):
        return False
    return (len(token) >= 20 or has_digit_and_letter(token)) and not _WORD_PATH.match(token)


def is_basic_login(token: str) -> bool:
    """Returns whether the text after `Basic` is a name and a password in base64."""
    data = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        said = base64.b64decode(data + "=" * (-len(data) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in said and said.isprintable()
