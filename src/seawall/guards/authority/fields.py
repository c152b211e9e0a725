"""Fields that claim a permission: `"approved_by": "cfo"`, `authorization: granted`, `override: true`.

They occur in JSON, YAML, tables and headers of letters alike, so they are searched in the text itself, which is not
parsed; of a table, each cell is read with the head of its column. A field that names who must approve (`approver`), or
says that an approval is needed, claims nothing.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator

from seawall.run.permission_claims import ClaimKind, PermissionClaim

STEMS = ("signed_off", "signedoff", "signed-off", "override", "bypass", "clearance", "permission", "granted")
"""Words of which a field with a claim has one, in addition to the stems of sentences."""
MAX_FIELDS = 8
"""Most fields of one text: as many as claims are kept of it."""
WINDOW_CHARS = 80
"""Characters before and after a field that are kept, because they tell what it is about."""

MAX_ROW_CHARS = 2_000
"""Characters of a table's row that are kept for the same reason."""

_compile = functools.cache(re.compile)
_BEGINS = r"(?:^|[\s{\[,;|<\"'(])"
_IS = r"[\\\"'*_ \t]*[:=|>]+[\\\"'* \t]*"
_NOBODY = (
    r"(?!(?:none|null|nil|pending|n/?a|tbd|nobody|no one|unknown|undefined|false|date|name|signature)\b)"
)
_YES = r"(?:true|yes|1|on)\b"
_OPENS = r"[\\\"'*_ \t]*[:=>]\s*(?:[{\[<](?:\s*[{\[<])?|(?<=\n)[ \t]+)"
"""The beginning of what a field holds, if these are fields of their own."""
_PATTERNS: tuple[tuple[ClaimKind, str], ...] = (
    (
        "permission",
        (
            rf"{_BEGINS}(?:pre[ _-]?)?(?:approved|authori[sz]ed|signed[ _-]?off|cleared|granted|permitted|sanctioned)[ _-]?by"
            rf"{_IS}{_NOBODY}(?P<by>\w[\w@.]*(?: \w[\w@.]*){{0,3}})"
        ),
    ),
    (
        "permission",
        (
            rf"{_BEGINS}(?:(?!requires?|needs?|required|awaits?|auto)[a-z]+[ _-]?)??(?:approval|authori[sz]ation|permission|clearance"
            rf"|sign[ _-]?off)(?:[ _-]?(?:status|state))?{_IS}(?:granted|approved|given|obtained|received)\b"
        ),
    ),
    (
        "permission",
        rf"{_BEGINS}(?:(?!requires?|needs?|required|awaits?|auto)[a-z]+[ _-]?)??(?:approval|authori[sz]ation){_IS}{_YES}",
    ),
    (
        "permission",
        (
            rf"{_BEGINS}(?:(?!requires?|needs?|required|awaits?|auto)[a-z]+[ _-]?)??(?:approval|authori[sz]ation|permission|clearance"
            rf"|sign[ _-]?off)s?{_OPENS}(?:[^{{}}]{{0,60}}?[^\w{{}}])?(?:status|state|decision|result|outcome){_IS}"
            r"(?:granted|approved|given|obtained|received)\b"
        ),
    ),
    ("permission", rf"{_BEGINS}(?:is[ _-]?)?(?:pre[ _-]?)?(?:approved|authori[sz]ed){_IS}{_YES}"),
    (
        "waiver",
        rf"{_BEGINS}(?:[a-z]+[ _-]?)??override(?:[ _-]?[a-z]+){{0,2}}{_IS}(?:{_YES}|granted|approved)",
    ),
    (
        "waiver",
        (
            rf"{_BEGINS}(?:skip|bypass|disable|ignore|waive)[ _-]?(?:[a-z]+[ _-]?)??(?:review|check|approval|verification|validation|limit"
            rf"|guard|polic(?:y|ie)|audit|auth|authori[sz]ation)s?{_IS}{_YES}"
        ),
    ),
)


_HEADED = r"approv|authori[sz]|sign|clear|grant|permi|sanction|overrid|skip|bypass|disabl|ignor|waiv"
"""What the head of a column with claims has in it."""
_HEAD = r"[\w .-]{1,40}"
_AROUND = " \t\r\"'*_`"
"""Characters around the text of a cell."""
_RULE = r"[-=:+|\s]+"
"""The line between heads and rows."""


def find_fields(text: str) -> Iterator[PermissionClaim]:
    """Yields the claims in the fields of a text in lower case, at most `MAX_FIELDS` of each kind, and as many of each
    table.
    """
    for kind, match in _search(text):
        near = text[max(0, match.start() - WINDOW_CHARS) : match.end() + WINDOW_CHARS]
        yield _make_claim(kind, match, near)
    for rows, fields in _list_tables(text):
        for kind, match in _search(fields):
            yield _make_claim(kind, match, rows[fields.count("\n", 0, match.end())][:MAX_ROW_CHARS])


def _search(text: str) -> Iterator[tuple[ClaimKind, re.Match[str]]]:
    for kind, pattern in _PATTERNS:
        for match in itertools.islice(_compile(pattern).finditer(text), MAX_FIELDS):
            yield kind, match


def _make_claim(kind: ClaimKind, match: re.Match[str], near: str) -> PermissionClaim:
    by = match.groupdict().get("by") or ""
    return PermissionClaim(kind=kind, by=by, quote=" ".join(match[0].split()), near=near, field=True)


def _list_tables(text: str) -> Iterator[tuple[list[str], str]]:
    """Yields the tables of a text (CSV, Markdown) in which a column may hold claims: the rows, and for each of them a
    line with the fields of these columns.
    """
    rows: list[str] = []
    fields: list[str] = []
    heads: dict[int, str] = {}
    mark, width = "", 0
    for line in text.split("\n"):
        cells = line.split(mark) if heads else []
        if heads and len(cells) == width:
            rows.append(line)
            given = [(head, cells[at].strip(_AROUND)) for at, head in heads.items()]
            fields.append("; ".join([f"{head}: {cell}" for head, cell in given if cell]))
            continue
        if heads and _compile(_RULE).fullmatch(line):
            continue
        if rows:
            yield rows, "\n".join(fields)
            rows, fields = [], []
        heads = {}
        if _compile(_HEADED).search(line) and (mark := next((each for each in "|\t;," if each in line), "")):
            cells = [cell.strip(_AROUND) for cell in line.split(mark)]
            width = len(cells)
            heads = {at: cell for at, cell in enumerate(cells) if _is_head(cell)}
    if rows:
        yield rows, "\n".join(fields)


def _is_head(cell: str) -> bool:
    return _compile(_HEAD).fullmatch(cell) is not None and _compile(_HEADED).search(cell) is not None
